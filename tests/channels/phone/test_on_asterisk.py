"""Our FastAGI on a real Asterisk, with phones and callers that are SIPp: what it says and does is what we take it for.

And how such an Asterisk is had, or is not.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import subprocess
import wave
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from pystrix.agi.agi_core import AGIDeadChannelError, AGIInvalidCommandError, AGIUsageError

from channels.phone.fastagi import Leg, Server
from tests.support.asterisk import ROOT, Asterisk

SECRET = "s3 cret&"  # what must be encoded in an address
DIALPLAN = f"""
[general]
static=yes
[from-trunk]
exten => _X.,1,AGI(agi://127.0.0.1:@port@/shop?secret=${{URIENCODE({SECRET})}}&try=0)
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

Served = Callable[..., Any]
"""`served(handler, *caller, scenario)`: what *handler* made of a call, whose caller's side ended as *scenario* says."""


def on_asterisk(test: Callable[..., None]) -> Callable[..., None]:
    """Mark *test*: it needs an Asterisk, which all of them share."""
    marked: Callable[..., None] = pytest.mark.asterisk(pytest.mark.xdist_group("asterisk")(test))
    return marked


@pytest.fixture(scope="module")
def listening() -> Iterator[socket.socket]:
    """Return where Asterisk asks: ours until the last of its tests, so that nobody else takes the port between two of them."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        yield bound


@pytest.fixture(scope="module")
def pbx(listening: socket.socket) -> Iterator[Asterisk]:
    """Return a running Asterisk that asks us what to do with calls to any number."""
    with Asterisk(DIALPLAN.replace("@port@", str(listening.getsockname()[1]))) as running:
        yield running


@pytest.fixture
def served(pbx: Asterisk, listening: socket.socket) -> Served:
    """Return what makes a call and has a handler serve it."""

    def serve(handler: Callable[[Leg], Awaitable[Any]], *caller: str, scenario: str = "caller.xml") -> Any:
        return asyncio.run(_served(pbx, listening, handler, *caller, scenario=scenario))

    return serve


async def _served(
    pbx: Asterisk, listening: socket.socket, handler: Callable[[Leg], Awaitable[Any]], *caller: str, scenario: str
) -> Any:
    made: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def handle(leg: Leg) -> None:
        try:
            made.set_result(await handler(leg))
        except BaseException as error:
            made.set_exception(error)
            raise

    server = Server(handle, secret=SECRET, networks=LOCAL)
    await server.start(sock=listening.dup())
    try:
        calling = pbx.call("100", scenario, *caller)
        answer = await asyncio.wait_for(made, CALL_SECONDS)
        assert await asyncio.to_thread(calling.wait, CALL_SECONDS) == 0
        return answer
    finally:
        await server.close()


@on_asterisk
def test_a_call_says_who_calls_and_whom(served: Served):
    """The header of a real call; the secret arrives as it was meant."""

    async def handler(leg: Leg) -> list[str]:
        await leg.command("ANSWER")
        header = leg.header
        return [header.path, header.query["try"], header["agi_callerid"], header["agi_calleridname"], header["agi_extension"]]

    assert served(handler) == ["shop", "0", "79001234567", "Caller", "100"]


@pytest.mark.parametrize("text", ["plain", 'q"uo"te', "back\\slash", "\\", "привет «мир»", "a,b|c&d;e${f}", "(a) b)", " ", ""])
@on_asterisk
def test_what_is_set_is_what_is_read(served: Served, text: str):
    """Through our quoting and Asterisk's, there and back."""

    async def handler(leg: Leg) -> str:
        await leg.command("ANSWER")
        await leg.set_variable("WORDS", text)
        return await leg.variable("WORDS")

    assert served(handler) == text


@on_asterisk
def test_what_is_wrong_is_told_and_the_next_reply_is_the_next_commands(served: Served):
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

    assert served(handler) == [AGIInvalidCommandError, AGIUsageError, -2, "b"]


@on_asterisk
def test_a_caller_who_gives_up_while_it_rings_is_an_event_and_the_outcome_can_be_read(pbx: Asterisk, served: Served):
    """HANGUP comes before the reply of the Dial that runs, or right behind it: it is never taken for one."""
    pbx.phone("101", "phone-rings.xml")

    async def handler(leg: Leg) -> tuple[int, bool, str]:
        outcome = await leg.app("Dial", "PJSIP/101", 20, seconds=30)
        async with asyncio.timeout(CALL_SECONDS):
            await leg.hungup.wait()
        return outcome, leg.closed, await leg.variable("DIALSTATUS")

    assert served(handler, "-d", "600", scenario="caller-gives-up.xml") == (-1, False, "CANCEL")


@on_asterisk
def test_a_hangup_wakes_who_waits_and_some_commands_work_still(served: Served):
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

    assert served(handler, "-d", "300", scenario="caller-hangs-up.xml") == [False, "gone"]


@on_asterisk
def test_the_second_phone_answers_and_what_both_say_is_recorded(pbx: Asterisk, served: Served):
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

    first, second, peer, uniqueid = served(handler, "-d", "1500", scenario="caller-hangs-up.xml")

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
@on_asterisk
def test_how_a_phone_says_no(pbx: Asterisk, served: Served, scenario: str, status: str, cause: str):
    """A phone that is declined is told from one that is not there by the cause alone."""
    number = {"phone-busy.xml": "104", "phone-declines.xml": "105"}[scenario]
    pbx.phone(number, scenario)

    async def handler(leg: Leg) -> tuple[str, str]:
        await leg.command("ANSWER")
        await leg.app("Dial", f"PJSIP/{number}", 10, "g", seconds=20)
        return await leg.variable("DIALSTATUS"), await leg.variable("HANGUPCAUSE")

    assert served(handler) == (status, cause)


# --- how an Asterisk is had


@on_asterisk
def test_an_asterisk_that_does_not_start_is_not_left_behind():
    """Nobody would stop it: the block that does was never entered."""

    class Mute(Asterisk):
        def cli(self, command: str) -> str:
            self.begun = self._process
            raise TimeoutError("nothing is said")

    pbx = Mute(DIALPLAN)
    with pytest.raises(TimeoutError), pbx:
        pytest.fail("it started")

    assert pbx.begun is not None
    assert pbx.begun.poll() is not None
    shutil.rmtree(pbx.folder)


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return what runs tests/tools/asterisk.sh where nothing was unpacked before, among the programs of *apt* and few others."""
    script = tmp_path / "tests/tools/asterisk.sh"
    script.parent.mkdir(parents=True)
    shutil.copy(ROOT / "tests/tools/asterisk.sh", script)
    path = tmp_path / "programs"
    path.mkdir()
    for name in ("cat", "dirname", "grep", "head", "mkdir", "rm", "sh"):
        (path / name).symlink_to(str(shutil.which(name)))

    def run(apt: dict[str, str], **environment: str) -> subprocess.CompletedProcess[str]:
        for name, body in apt.items():
            (path / name).write_text(f"#!/bin/sh\n{body}\n")
            (path / name).chmod(0o755)
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")}
        return subprocess.run(
            ["sh", str(script)], env=inherited | {"PATH": str(path)} | environment, capture_output=True, text=True, check=False
        )

    return run


APT = {"apt-get": 'case "$*" in *install*) exit 100 ;; esac', "apt-cache": "echo asterisk", "dpkg-deb": "exit 1"}
NONE_CAN_BE_HAD = [
    pytest.param({}, "there is no apt here", id="no apt"),
    pytest.param(APT, "apt did not bring the packages", id="no download"),
    pytest.param(APT | {"apt-get": "exit 100", "apt-cache": ""}, "this distribution has none", id="no mirror"),
]


@pytest.mark.parametrize(("apt", "reason"), NONE_CAN_BE_HAD)
def test_where_no_asterisk_can_be_had_its_tests_are_left_out(found, apt: dict[str, str], reason: str):
    """All the others are run; what is left out is said, and why."""
    done = found(apt)

    assert (done.returncode, done.stdout) == (0, "")
    assert f"left out: the tests of calls (marker asterisk), because {reason}" in done.stderr


@pytest.mark.parametrize(("apt", "reason"), NONE_CAN_BE_HAD)
def test_where_an_asterisk_is_demanded_none_is_a_failure(found, apt: dict[str, str], reason: str):
    """A machine that is there to test calls must not pass without."""
    done = found(apt, OMNILINE_TEST_DEMAND_ASTERISK="1")

    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr


def test_an_asterisk_that_is_named_and_does_not_serve_is_a_failure(found, tmp_path: Path):
    """Whoever names one wants the tests of calls."""
    done = found(APT, OMNILINE_TEST_ASTERISK=str(tmp_path))

    assert (done.returncode, done.stdout) == (1, "")
    assert "which does not serve" in done.stderr
