"""Our FastAGI on a real Asterisk, with phones and callers that are SIPp: what it says and does is what we take it for."""

from __future__ import annotations

import asyncio
import socket
import wave
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from typing import Any

import pytest
from pystrix.agi.agi_core import AGIDeadChannelError, AGIInvalidCommandError, AGIUsageError

from channels.phone.fastagi import Leg, Server
from tests.support.asterisk import Asterisk, free_port

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk")]
PORT = free_port(socket.SOCK_STREAM)
SECRET = "s3 cret&"  # what must be encoded in an address
DIALPLAN = f"""
[general]
static=yes
[from-trunk]
exten => _X.,1,AGI(agi://127.0.0.1:{PORT}/shop?secret=${{URIENCODE({SECRET})}}&try=0)
 same => n,Set(AFTER=${{BROKER_RESULT}})
 same => n,UserEvent(After,Result: ${{BROKER_RESULT}})
 same => n,Hangup()
[from-phone]
exten => _X.,1,Hangup()
[answered]
exten => s,1,MixMonitor(@folder@/recordings/${{ARG1}}.wav)
 same => n,Return()
"""
LOCAL = [ip_network("127.0.0.0/8")]
CALL_SECONDS = 40.0


@pytest.fixture(scope="module")
def pbx() -> Iterator[Asterisk]:
    """Return a running Asterisk that asks us what to do with calls to any number."""
    with Asterisk(DIALPLAN) as running:
        yield running


def served(pbx: Asterisk, handler: Callable[[Leg], Awaitable[Any]], *caller: str, scenario: str = "caller.xml") -> Any:
    """Call, have *handler* serve the call, and return what it made of it; the caller's side must end as *scenario* says."""

    async def whole() -> Any:
        made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def handle(leg: Leg) -> None:
            try:
                made.set_result(await handler(leg))
            except BaseException as error:
                made.set_exception(error)
                raise

        server = Server(handle, secret=SECRET, networks=LOCAL)
        await server.start("127.0.0.1", PORT)
        try:
            calling = pbx.call("100", scenario, *caller)
            answer = await asyncio.wait_for(made, CALL_SECONDS)
            assert await asyncio.to_thread(calling.wait, CALL_SECONDS) == 0
            return answer
        finally:
            await server.close()

    return asyncio.run(whole())


def test_a_call_says_who_calls_and_whom(pbx: Asterisk):
    """The header of a real call; the secret arrives as it was meant."""

    async def handler(leg: Leg) -> list[str]:
        await leg.command("ANSWER")
        header = leg.header
        return [header.path, header.query["try"], header["agi_callerid"], header["agi_calleridname"], header["agi_extension"]]

    assert served(pbx, handler) == ["shop", "0", "79001234567", "Caller", "100"]


@pytest.mark.parametrize("text", ["plain", 'q"uo"te', "back\\slash", "\\", "привет «мир»", "a,b|c&d;e${f}", "(a) b)", " ", ""])
def test_what_is_set_is_what_is_read(pbx: Asterisk, text: str):
    """Through our quoting and Asterisk's, there and back."""

    async def handler(leg: Leg) -> str:
        await leg.command("ANSWER")
        await leg.set_variable("WORDS", text)
        return await leg.variable("WORDS")

    assert served(pbx, handler) == text


def test_what_is_wrong_is_told_and_the_next_reply_is_the_next_commands(pbx: Asterisk):
    """An unknown command, a usage of many lines, an application that is not there."""

    async def handler(leg: Leg) -> list[Any]:
        await leg.command("ANSWER")
        told: list[Any] = []
        for words in ("NONSENSE", "GET DATA"):
            try:
                await leg.command(words)
            except (AGIInvalidCommandError, AGIUsageError) as error:
                told.append(type(error))
        told.append(await leg.app("NoSuchApplication", "x"))
        await leg.set_variable("A", "b")
        return [*told, await leg.variable("A")]

    assert served(pbx, handler) == [AGIInvalidCommandError, AGIUsageError, -2, "b"]


def test_a_caller_who_gives_up_while_it_rings_is_an_event_and_the_outcome_can_be_read(pbx: Asterisk):
    """HANGUP comes before the reply of the Dial that runs, or right behind it: it is never taken for one."""
    pbx.phone("101", "phone-rings.xml")

    async def handler(leg: Leg) -> tuple[int, bool, str]:
        outcome = await leg.app("Dial", "PJSIP/101", 20, seconds=30)
        async with asyncio.timeout(CALL_SECONDS):
            await leg.hungup.wait()
        return outcome, leg.closed, await leg.variable("DIALSTATUS")

    assert served(pbx, handler, "-d", "600", scenario="caller-gives-up.xml") == (-1, False, "CANCEL")


def test_a_hangup_wakes_who_waits_and_some_commands_work_still(pbx: Asterisk):
    """Nothing was asked when it came."""

    async def handler(leg: Leg) -> list[Any]:
        await leg.command("ANSWER")
        async with asyncio.timeout(CALL_SECONDS):
            await leg.hungup.wait()
        await leg.set_variable("STAGE", "gone")
        told: list[Any] = [leg.closed, await leg.variable("STAGE")]
        with pytest.raises(AGIDeadChannelError):
            await leg.command("WAIT FOR DIGIT", 100)
        return told

    assert served(pbx, handler, "-d", "300", scenario="caller-hangs-up.xml") == [False, "gone"]


def test_the_second_phone_answers_and_what_both_say_is_recorded(pbx: Asterisk):
    """The first lets it ring; the recording begins with the answer and has sound of both."""
    pbx.phone("102", "phone-rings.xml")
    pbx.phone("103", "phone-answers.xml", "-d", "300")

    async def handler(leg: Leg) -> list[Any]:
        told: list[Any] = []
        for phone in ("102", "103"):
            seconds = 1 if phone == "102" else 10
            await leg.app("Dial", f"PJSIP/{phone}", seconds, f"gU(answered^{leg.header['agi_uniqueid']})", seconds=30)
            told.append(await leg.variable("DIALSTATUS"))
        return [*told, await leg.variable("DIALEDPEERNAME"), leg.header["agi_uniqueid"]]

    first, second, peer, uniqueid = served(pbx, handler, "-d", "1500", scenario="caller-hangs-up.xml")

    assert (first, second, peer.rpartition("-")[0]) == ("NOANSWER", "ANSWER", "PJSIP/103")
    with wave.open(str(pbx.folder / f"recordings/{uniqueid}.wav")) as recording:
        frames = recording.readframes(recording.getnframes())
    samples = [int.from_bytes(frames[at : at + 2], "little", signed=True) for at in range(0, len(frames), 2)]
    assert len(samples) > 8_000
    assert max(map(abs, samples)) > 2_000


@pytest.mark.parametrize(
    ("scenario", "status", "cause"),
    [("phone-busy.xml", "BUSY", "17"), ("phone-declines.xml", "CHANUNAVAIL", "21")],
)
def test_how_a_phone_says_no(pbx: Asterisk, scenario: str, status: str, cause: str):
    """A phone that is declined is told from one that is not there by the cause alone."""
    number = {"phone-busy.xml": "104", "phone-declines.xml": "105"}[scenario]
    pbx.phone(number, scenario)

    async def handler(leg: Leg) -> tuple[str, str]:
        await leg.command("ANSWER")
        await leg.app("Dial", f"PJSIP/{number}", 10, "g", seconds=20)
        return await leg.variable("DIALSTATUS"), await leg.variable("HANGUPCAUSE")

    assert served(pbx, handler) == (status, cause)
