"""A telephone that does what SIPp cannot: what it is told, when it is told; two calls at once; and it passes its caller on.

    async with SipPhone(number, port, server) as phone:
        first = await phone.rung()                # somebody calls
        await phone.lifts(first)                  # or both: await phone.lifted()
        await phone.passes(first, "103")          # a blind transfer (RFC 3515)

        second = await phone.calls("103")
        await phone.joins(first, second)          # an attended one (RFC 3891): it is out of both

No sound: what is heard is SIPp's business.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from dataclasses import dataclass, field
from types import TracebackType
from typing import cast

SDP = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
WAIT_SECONDS = 60.0


@dataclass
class Dialog:
    """A call of the phone's: both sides as this one writes them."""

    call_id: str
    ours: str
    theirs: str = ""
    target: str = ""
    asked: dict[str, str] = field(default_factory=dict)
    """How the exchange has asked for it; empty: this phone calls."""
    number: int = 1
    lifted: bool = False
    up: asyncio.Event = field(default_factory=asyncio.Event)


class SipPhone(asyncio.DatagramProtocol):
    """See the module. It is there, at *port*, while its context lasts; *server* is the exchange's."""

    def __init__(self, number: str, port: int, server: int) -> None:
        self._number = number
        self._port = port
        self._server = ("127.0.0.1", server)
        self._dialogs: dict[str, Dialog] = {}
        self._rung: asyncio.Queue[Dialog] = asyncio.Queue()
        self._answers: dict[tuple[str, str], asyncio.Future[dict[str, str]]] = {}
        self._wire: asyncio.DatagramTransport
        self._gone: asyncio.Future[None]

    async def __aenter__(self) -> SipPhone:
        """Be there."""
        loop = asyncio.get_running_loop()
        self._gone = loop.create_future()
        await loop.create_datagram_endpoint(lambda: self, local_addr=("127.0.0.1", self._port))
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Be there no more."""
        self._wire.close()
        await self._gone

    async def rung(self) -> Dialog:
        """Return the next call for which it rings; it rings until it is lifted."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self._rung.get()

    async def lifts(self, dialog: Dialog) -> None:
        """Answer the call."""
        dialog.lifted = True
        self._reply(dialog.asked, dialog, "200 OK")
        async with asyncio.timeout(WAIT_SECONDS):
            await dialog.up.wait()

    async def lifted(self) -> Dialog:
        """Answer the next call, and return it."""
        dialog = await self.rung()
        await self.lifts(dialog)
        return dialog

    async def calls(self, number: str) -> Dialog:
        """Call *number*, and return when it is answered."""
        us, them = f"<sip:{self._number}@127.0.0.1:{self._port}>;tag={uuid.uuid4().hex[:8]}", f"<sip:{number}@127.0.0.1>"
        dialog = Dialog(uuid.uuid4().hex, us, them, f"sip:{number}@127.0.0.1:{self._server[1]}", lifted=True)
        self._dialogs[dialog.call_id] = dialog
        answer = await self._ask("INVITE", dialog, body=SDP.format(port=self._port + 2))
        dialog.theirs, dialog.target = answer["to"], _uri(answer["contact"])
        self._send("ACK", dialog)
        return dialog

    async def passes(self, dialog: Dialog, number: str) -> None:
        """Let whoever speaks with this phone have *number* instead, whether it is lifted there or not."""
        await self._ask("REFER", dialog, f"Refer-To: <sip:{number}@127.0.0.1>")

    async def joins(self, first: Dialog, second: Dialog) -> None:
        """Let the two to whom this phone speaks speak with each other."""
        replaces = f"{second.call_id}%3Bto-tag%3D{_tag(second.theirs)}%3Bfrom-tag%3D{_tag(second.ours)}"
        await self._ask("REFER", first, f"Refer-To: <{second.target}?Replaces={replaces}>")

    # --- the protocol, as far as that needs it (RFC 3261)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._wire = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        if not self._gone.done():
            self._gone.set_result(None)

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
            ours = f"{told['to']};tag={uuid.uuid4().hex[:8]}"
            dialog = Dialog(told["call-id"], ours, told["from"], _uri(told["contact"]), told)
            self._dialogs[dialog.call_id] = dialog
            self._rung.put_nowait(dialog)
        if method == "ACK":
            if dialog is not None:
                dialog.up.set()
        elif method == "INVITE" and dialog is not None and not dialog.lifted:
            self._reply(told, dialog, "180 Ringing")
        else:
            self._reply(told, dialog, "200 OK")

    def _reply(self, told: dict[str, str], dialog: Dialog | None, status: str) -> None:
        to = dialog.ours if dialog is not None and _tag(told["to"]) in ("", _tag(dialog.ours)) else told["to"]
        lines = [told["via"], f"From: {told['from']}", f"To: {to}", f"Call-ID: {told['call-id']}", f"CSeq: {told['cseq']}"]
        body = SDP.format(port=self._port + 2) if told["cseq"].endswith("INVITE") and status == "200 OK" else ""
        self._write([f"SIP/2.0 {status}", *lines], body)

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
