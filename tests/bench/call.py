"""Calls: how soon the first command comes, what a caller who waits costs, and how soon a phone rings; beside Asterisk's own app_queue.

A real Asterisk with the shipped dialplan, `omniline serve` beside it, callers by SIPp. Between both stands a tap: it sees when Asterisk
has connected, and when the first byte of ours comes back. Who measures the ringing is caller and phone at once, on two UDP sockets: from
its INVITE to the one that the phone is sent, by way of us and by way of app_queue, on the same exchange in the same run.
"""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from channels.phone import dialplan
from tests.bench.measure import BenchError, Report, progress, rss_kib
from tests.support.asterisk import Asterisk, free_port
from tests.support.broker import PASSWORD, SECRET, Broker, come_online

WAITING, RATE = 200, 20
RINGS = 40
ANSWER_SECONDS = 10.0
MUSIC_SECONDS = 60.0
DIALPLAN = """
[general]
static=yes
[from-trunk]
exten => 100,1,Set(BROKER_LINE=waiting)
 same => n,Goto(omniline,call,1)
exten => 200,1,Set(BROKER_LINE=ringing)
 same => n,Goto(omniline,call,1)
exten => 300,1,Queue(bench,,,,1)
 same => n,Hangup()
[from-phone]
exten => _X.,1,Hangup()
"""
QUEUES = "[bench]\nstrategy = ringall\ntimeout = 10\nretry = 1\nmember => PJSIP/108\n"
HOUSE = """
[operators.op]
name = "Op"
password_env = "PHONE_PASSWORD"
phone = "PJSIP/108"

[lines.waiting]
operators = []
settings = { calls = { no_answer_does = "wait", position_seconds = 0 } }

[lines.ringing]
operators = ["op"]
settings = { rounds = 1, calls = { no_answer_does = "hang_up", no_answer_seconds = 0 } }

[channels.waiting]
kind = "phone"
line = "waiting"

[channels.ringing]
kind = "phone"
line = "ringing"
"""


def run(report: Report) -> None:
    """Report `call_*`."""
    assert PASSWORD
    with tempfile.TemporaryDirectory(prefix="omniline-bench-") as folder:
        asyncio.run(_measure(Path(folder), report))


async def _measure(folder: Path, report: Report) -> None:
    tap, agi = free_port(socket.SOCK_STREAM), free_port(socket.SOCK_STREAM)
    local = dialplan.local([f"127.0.0.1:{tap}"], SECRET)
    with Asterisk(DIALPLAN + dialplan.ours() + local, queues=QUEUES) as pbx:
        broker = Broker(folder, pbx.folder, agi)
        (folder / "house.toml").write_text(HOUSE)
        broker.command("apply", "house.toml")
        broker.start()
        try:
            async with _tapped(tap, agi) as tapped:
                await _waiting(pbx, broker, tapped, report)
            async with _tapped(tap, agi):
                await _ringing(pbx, broker, report)
        finally:
            broker.end(signal.SIGTERM)


@dataclass
class _Tapped:
    """What was heard between Asterisk and us."""

    first_seconds: list[float] = field(default_factory=list)
    """From each connection to our first word."""
    music: int = 0
    """Callers for whom Asterisk has said that the music plays: the last that is said before they wait."""


@asynccontextmanager
async def _tapped(tap: int, agi: int) -> AsyncIterator[_Tapped]:
    """Carry what Asterisk and we say to each other; give what was heard."""
    heard = _Tapped()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began = time.perf_counter()
        there, to = await asyncio.open_connection("127.0.0.1", agi)
        spoke = asks_music = False

        async def from_asterisk() -> None:
            nonlocal asks_music
            with suppress(OSError):
                while data := await reader.read(65_536):
                    to.write(data)
                    if asks_music:
                        heard.music += 1
                        asks_music = False
            to.close()

        async def from_us() -> None:
            nonlocal spoke, asks_music
            with suppress(OSError):
                while data := await there.read(65_536):
                    if not spoke:
                        heard.first_seconds.append(time.perf_counter() - began)
                        spoke = True
                    asks_music = asks_music or data.startswith(b"SET MUSIC")
                    writer.write(data)
            writer.close()

        await asyncio.gather(from_asterisk(), from_us())

    server = await asyncio.start_server(carry, "127.0.0.1", tap, backlog=512)
    try:
        yield heard
    finally:
        server.close()


async def _waiting(pbx: Asterisk, broker: Broker, tapped: _Tapped, report: Report) -> None:
    # What is made at the first calls (how numbers are written in the world) is made once, and costs no caller anything.
    first = pbx.call("100", "caller.xml", "-r", str(RATE), calls=RATE)
    await broker.until("SELECT count(*) FROM sessions WHERE status = 'queued'", lambda found: found == [(RATE,)])
    await _all_hear_music(pbx, tapped, RATE)
    await _hang_up(pbx, broker, first)
    tapped.first_seconds.clear()
    tapped.music = 0
    before = rss_kib(broker.pid)
    callers = pbx.call("100", "caller.xml", "-r", str(RATE), "-l", str(WAITING + 50), calls=WAITING)
    await broker.until("SELECT count(*) FROM sessions WHERE status = 'queued'", lambda found: found == [(WAITING,)])
    await _all_hear_music(pbx, tapped, WAITING)
    held = rss_kib(broker.pid) - before
    report("call_first_command_p95_ms", _p95(tapped.first_seconds[:WAITING]) * 1_000, "ms")
    report("call_waiting_kib", held / WAITING, "KiB")
    await _hang_up(pbx, broker, callers)


async def _all_hear_music(pbx: Asterisk, tapped: _Tapped, callers: int) -> None:
    """Wait until each of the *callers* has been answered, hears music, and nothing more is said about them. Raises BenchError."""
    up = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(MUSIC_SECONDS):
            while up != callers or tapped.music != callers:
                await asyncio.sleep(0.1)
                # (name!context!exten!priority!state!…)
                shown = (await asyncio.to_thread(pbx.cli, "core show channels concise")).splitlines()
                up = sum(line.split("!")[4:5] == ["Up"] for line in shown)
            return
    raise BenchError(f"call: of {callers} callers {up} have been answered, and {tapped.music} hear music")


async def _hang_up(pbx: Asterisk, broker: Broker, callers: Any) -> None:
    await asyncio.to_thread(pbx.cli, "channel request hangup all")
    await asyncio.to_thread(callers.wait, 60)
    await broker.until("SELECT count(*) FROM calls WHERE ended_us IS NULL", lambda found: found == [(0,)])


async def _ringing(pbx: Asterisk, broker: Broker, report: Report) -> None:
    async with AsyncExitStack() as stack:
        await come_online(broker, "op", stack)
        with closing(_Sip(pbx.ports["108"])) as phone, closing(_Sip(0)) as caller:
            ours, decided = [], []
            for _ in range(RINGS):
                called, rang = await asyncio.to_thread(_call, pbx, caller, phone, "200")
                ours.append(rang - called)
                decided.append(rang)
            made = [row[0] / 1e6 for row in broker.find("SELECT made_us FROM offers ORDER BY made_us")]
            queue = []
            for _ in range(RINGS):
                called, rang = await asyncio.to_thread(_call, pbx, caller, phone, "300")
                queue.append(rang - called)
    if len(made) != RINGS:
        raise BenchError(f"call: {len(made)} offers of {RINGS} calls")
    report("call_ring_p95_ms", _p95([rang - at for rang, at in zip(decided, made, strict=True)]) * 1_000, "ms")
    by_us, by_queue = (statistics.median(took) * 1_000 for took in (ours, queue))
    progress(f"   from the caller's INVITE to the phone's: by us {by_us:.1f} ms, by app_queue {by_queue:.1f} ms")
    report("call_ring_vs_app_queue_ms", by_us - by_queue, "ms")


def _p95(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=20)[-1]


class _Sip:
    """One side of a call, as far as a measure needs it: it says what it must and nothing more."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", port))
        self._socket.settimeout(ANSWER_SECONDS)
        self.port = int(self._socket.getsockname()[1])

    def close(self) -> None:
        """Let go of the port."""
        self._socket.close()

    def say(self, text: str, to: tuple[str, int]) -> None:
        """Send a message."""
        self._socket.sendto(text.replace("\n", "\r\n").encode(), to)

    def hear(self) -> tuple[str, tuple[str, int]]:
        """Return the next message, and who sent it. Raises BenchError."""
        try:
            data, sender = self._socket.recvfrom(65_536)
        except TimeoutError:
            raise BenchError(f"call: nothing was said to port {self.port} within {ANSWER_SECONDS:g} s") from None
        return data.decode(errors="replace").replace("\r\n", "\n"), sender


def _call(pbx: Asterisk, caller: _Sip, phone: _Sip, number: str) -> tuple[float, float]:
    """Call *number*, and have the phone say that it is busy; return when the call was made and when the phone was rung, since 1970."""
    name = f"{time.time_ns()}"
    exchange = ("127.0.0.1", pbx.sip)
    media = "v=0\no=- 1 1 IN IP4 127.0.0.1\ns=-\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio 6000 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
    head = (
        f"Via: SIP/2.0/UDP 127.0.0.1:{caller.port};branch=z9hG4bK{name}\nFrom: <sip:79001234567@127.0.0.1:{caller.port}>;tag={name}\n"
        f"Call-ID: {name}\nMax-Forwards: 70\n"
    )
    called = time.time()
    caller.say(
        f"INVITE sip:{number}@127.0.0.1:{pbx.sip} SIP/2.0\n{head}To: <sip:{number}@127.0.0.1>\nCSeq: 1 INVITE\n"
        f"Contact: <sip:79001234567@127.0.0.1:{caller.port}>\nX-Trunk: test\nContent-Type: application/sdp\n"
        f"Content-Length: {len(media) + media.count(chr(10))}\n\n{media}",
        exchange,
    )
    while True:
        asked, sender = phone.hear()
        if asked.startswith("INVITE"):
            rang = time.time()
            break
    kept = "".join(f"{line}\n" for line in asked.split("\n\n")[0].split("\n") if re.match("(Via|From|Call-ID|CSeq):", line))
    to = re.search("^To:.*$", asked, re.MULTILINE)
    assert to is not None
    phone.say(f"SIP/2.0 486 Busy Here\n{kept}{to[0]};tag=p{name}\nContent-Length: 0\n\n", sender)
    while True:
        answer, _ = caller.hear()
        status = int(answer.split(" ")[1]) if answer.startswith("SIP/2.0 ") else 0
        to = re.search("^To:.*$", answer, re.MULTILINE)
        if status >= 200 and f"Call-ID: {name}" in answer and to is not None:
            end = "ACK" if status >= 300 else "BYE"
            number_of = 1 if status >= 300 else 2
            caller.say(
                f"ACK sip:{number}@127.0.0.1:{pbx.sip} SIP/2.0\n{head}{to[0]}\nCSeq: 1 ACK\nContent-Length: 0\n\n", exchange
            )
            if end == "BYE":
                bye = head.replace(f"z9hG4bK{name}", f"z9hG4bKb{name}")
                caller.say(
                    f"BYE sip:{number}@127.0.0.1:{pbx.sip} SIP/2.0\n{bye}{to[0]}\nCSeq: {number_of} BYE\nContent-Length: 0\n\n",
                    exchange,
                )
            return called, rang
