"""A telephone that does what SIPp cannot: two calls at once, one of which takes the other's place (RFC 3891, an attended transfer).

    phone = await SipPhone.at(number, port, server)
    first = await phone.lifted()              # it answers whoever calls
    second = await phone.calls("103")
    await phone.joins(first, second)          # and is out of both

No sound: what is heard is SIPp's business.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from typing import cast

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
WAIT_SECONDS = 20.0


@dataclass
class Dialog:
    """A call of the phone's: both sides as this one writes them."""

    call_id: str
    ours: str
    theirs: str = ""
    target: str = ""
    number: int = 1
    up: asyncio.Event = field(default_factory=asyncio.Event)


class SipPhone(asyncio.DatagramProtocol):
    """See the module."""

    def __init__(self, number: str, port: int, server: int) -> None:
        self._number = number
        self._port = port
        self._server = ("127.0.0.1", server)
        self._dialogs: dict[str, Dialog] = {}
        self._lifted: asyncio.Queue[Dialog] = asyncio.Queue()
        self._answers: dict[tuple[str, str], asyncio.Future[dict[str, str]]] = {}
        self._wire: asyncio.DatagramTransport

    @classmethod
    async def at(cls, number: str, port: int, server: int) -> SipPhone:
        """Be there, at *port*; *server* is the exchange's."""
        loop = asyncio.get_running_loop()
        _, phone = await loop.create_datagram_endpoint(lambda: cls(number, port, server), local_addr=("127.0.0.1", port))
        return phone

    def close(self) -> None:
        """Be there no more."""
        self._wire.close()

    async def lifted(self) -> Dialog:
        """Return the next call that was answered."""
        async with asyncio.timeout(WAIT_SECONDS):
            dialog = await self._lifted.get()
            await dialog.up.wait()
            return dialog

    async def calls(self, number: str) -> Dialog:
        """Call *number*, and return when it is answered."""
        us, them = f"<sip:{self._number}@127.0.0.1:{self._port}>;tag={uuid.uuid4().hex[:8]}", f"<sip:{number}@127.0.0.1>"
        dialog = Dialog(uuid.uuid4().hex, us, them, f"sip:{number}@127.0.0.1:{self._server[1]}")
        self._dialogs[dialog.call_id] = dialog
        answer = await self._ask("INVITE", dialog, body=SDP.format(port=self._port + 2))
        dialog.theirs, dialog.target = answer["to"], _uri(answer["contact"])
        self._send("ACK", dialog)
        return dialog

    async def joins(self, first: Dialog, second: Dialog) -> None:
        """Let the two to whom this phone speaks speak with each other."""
        replaces = f"{second.call_id}%3Bto-tag%3D{_tag(second.theirs)}%3Bfrom-tag%3D{_tag(second.ours)}"
        await self._ask("REFER", first, f"Refer-To: <{second.target}?Replaces={replaces}>")

    # --- the protocol, as far as that needs it (RFC 3261)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, where: object) -> None:
        head, _, _ = data.decode().partition("\r\n\r\n")
        first, *lines = head.split("\r\n")
        told = {"first": first, "via": "\r\n".join(line for line in lines if line.lower().startswith("via:"))}
        for line in lines:
            name, _, value = line.partition(":")
            told.setdefault(name.strip().lower(), value.strip())
        if first.startswith("SIP/2.0"):
            self._answered(told)
        else:
            self._asked(first.split(" ")[0], told)

    def _answered(self, told: dict[str, str]) -> None:
        status, method = int(told["first"].split(" ")[1]), told["cseq"].split(" ")[1]
        waits = self._answers.get((told["call-id"], method))
        if waits is not None and not waits.done() and status >= 200:
            waits.set_result(told)

    def _asked(self, method: str, told: dict[str, str]) -> None:
        dialog = self._dialogs.get(told["call-id"])
        if method == "INVITE" and dialog is None:
            dialog = Dialog(told["call-id"], f"{told['to']};tag={uuid.uuid4().hex[:8]}", told["from"], _uri(told["contact"]))
            self._dialogs[dialog.call_id] = dialog
            self._lifted.put_nowait(dialog)
        if method == "ACK":
            if dialog is not None:
                dialog.up.set()
            return
        to = dialog.ours if dialog is not None and _tag(told["to"]) in ("", _tag(dialog.ours)) else told["to"]
        body = SDP.format(port=self._port + 2) if method == "INVITE" else ""
        lines = [told["via"], f"From: {told['from']}", f"To: {to}", f"Call-ID: {told['call-id']}", f"CSeq: {told['cseq']}"]
        self._write(["SIP/2.0 200 OK", *lines], body)

    async def _ask(self, method: str, dialog: Dialog, *more: str, body: str = "") -> dict[str, str]:
        waits: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()
        self._answers[dialog.call_id, method] = waits
        self._send(method, dialog, *more, body=body)
        async with asyncio.timeout(WAIT_SECONDS):
            answer = await waits
        assert answer["first"].split(" ")[1] in ("200", "202"), answer["first"]
        return answer

    def _send(self, method: str, dialog: Dialog, *more: str, body: str = "") -> None:
        dialog.number += method != "ACK"
        via = f"Via: SIP/2.0/UDP 127.0.0.1:{self._port};rport;branch=z9hG4bK{uuid.uuid4().hex}"
        lines = [via, f"From: {dialog.ours}", f"To: {dialog.theirs}", f"Call-ID: {dialog.call_id}"]
        lines += [f"CSeq: {dialog.number} {method}", "Max-Forwards: 70", *more]
        self._write([f"{method} {dialog.target} SIP/2.0", *lines], body)

    def _write(self, lines: list[str], body: str) -> None:
        kind = ["Content-Type: application/sdp"] if body else []
        contact = f"Contact: <sip:{self._number}@127.0.0.1:{self._port}>"
        told = "\r\n".join([*lines, contact, *kind, f"Content-Length: {len(body)}", "", body])
        self._wire.sendto(told.encode(), self._server)


def _tag(side: str) -> str:
    found = re.search(r";tag=([^;>]+)", side)
    return found[1] if found else ""


def _uri(contact: str) -> str:
    return contact.partition("<")[2].partition(">")[0]


__all__ = ["Dialog", "SipPhone"]
