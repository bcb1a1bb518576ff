"""FastAGI's server among peers that behave, and peers that do not: after each of them the next normal call is served."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from functools import partial
from ipaddress import ip_network
from typing import Any

import pytest
from pystrix.agi.agi_core import (
    AGIDeadChannelError,
    AGIInvalidCommandError,
    AGINoResultError,
    AGISIGPIPEHangup,
    AGIUnknownError,
)

from broker.errors import BadInput, Unavailable
from channels.phone.fastagi import LINES_AHEAD_MAX, Leg, Server
from tests.support.counting import counted

SECRET = "s3cret"
LOCAL = [ip_network("127.0.0.0/8"), ip_network("::1/128")]
WAIT_SECONDS = 20.0
SLOW_SECONDS = 1.0
"""What is waited for those who say nothing: on a busy machine a good call must still have it to spare."""
MANY_LINES = b"".join(b"agi_arg_%d: a\n" % number for number in range(5_000))


class Peer:
    """A connection that says what it is told to, as Asterisk or as somebody else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def say(self, *lines: str) -> None:
        """Send lines."""
        self.writer.write("".join(f"{line}\n" for line in lines).encode())
        await self.writer.drain()

    async def hear(self) -> str:
        """Return the next command; empty when the connection has ended."""
        try:
            return (await self.reader.readline()).decode().rstrip("\n")
        except ConnectionError:
            return ""

    async def call(self, *, secret: str = SECRET, uniqueid: str = "1.1") -> None:
        """Say a header."""
        await self.say(f"agi_network_script: shop?secret={secret}", "agi_channel: PJSIP/trunk-1", f"agi_uniqueid: {uniqueid}", "")


Play = Callable[[Callable[..., Awaitable[Peer]]], Awaitable[Any]]


def serve(handler: Callable[[Leg], Awaitable[None]], play: Play, **limits: Any) -> Any:
    """Run *play* against a server with *handler*; it is given what makes a connection."""

    async def whole() -> Any:
        given: dict[str, Any] = {"secret": SECRET, "networks": LOCAL} | limits
        server = Server(handler, **given)
        port = await server.start("127.0.0.1", 0)
        writers = []

        async def connect() -> Peer:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writers.append(writer)
            return Peer(reader, writer)

        try:
            return await asyncio.wait_for(_awaited(play(connect)), WAIT_SECONDS)
        finally:
            await asyncio.wait_for(server.close(), WAIT_SECONDS)
            for writer in writers:
                writer.close()
                with suppress(ConnectionError):
                    await writer.wait_closed()

    return asyncio.run(whole())


async def _awaited(what: Awaitable[Any]) -> Any:
    return await what


def refused(reason: str) -> float:
    """Return how many connections have been refused for *reason*."""
    return counted("omniline_refused_calls_total", reason=reason)


async def served(connect: Callable[..., Awaitable[Peer]]) -> str:
    """Make the next normal call; return the first command it is given."""
    peer = await connect()
    await peer.call()
    return await peer.hear()


async def answer(leg: Leg) -> None:
    """Answer the call, and no more."""
    await leg.command("ANSWER")


# --- a call


def test_a_call_is_told_what_to_do_one_command_at_a_time():
    """The next command leaves when the reply to the one before has come; the handler has the header before the first."""
    heard: list[Any] = []

    async def handler(leg: Leg) -> None:
        heard.append((leg.header.path, leg.header["agi_uniqueid"]))
        one, two = await asyncio.gather(leg.app("Dial", "PJSIP/101", 20), leg.variable("DIALSTATUS"))
        heard.append((one, two))

    async def play(connect: Callable[..., Awaitable[Peer]]) -> list[str]:
        peer = await connect()
        await peer.call(uniqueid="7.7")
        first = await peer.hear()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(waiting := asyncio.ensure_future(peer.hear())), 0.05)
        await peer.say("100 result=0 Trying...", "200 result=0")
        second = await waiting
        await peer.say("200 result=1 (NOANSWER)")
        return [first, second, await peer.hear()]

    assert serve(handler, play) == ['EXEC Dial "PJSIP/101,20"', 'GET VARIABLE "DIALSTATUS"', ""]
    assert heard == [("shop", "7.7"), (0, "NOANSWER")]


def test_a_hangup_is_heard_while_nothing_is_asked_and_the_channel_may_be_asked_still():
    """The line comes at any time; afterwards variables can be read."""
    heard: list[Any] = []

    async def handler(leg: Leg) -> None:
        await leg.hungup.wait()
        heard.append(leg.closed)
        heard.append(await leg.variable("DIALSTATUS"))

    async def play(connect: Callable[..., Awaitable[Peer]]) -> None:
        peer = await connect()
        await peer.call()
        await peer.say("HANGUP")
        await peer.hear()
        await peer.say("200 result=1 (CANCEL)")
        assert await peer.hear() == ""

    serve(handler, play)
    assert heard == [False, "CANCEL"]


def test_a_hangup_before_a_reply_is_not_the_reply():
    """Taken for one, every later reply would be that of the command before."""
    heard: list[Any] = []

    async def handler(leg: Leg) -> None:
        heard.append(await leg.app("Dial", "PJSIP/101"))
        heard.append(leg.hungup.is_set())
        heard.append(await leg.variable("DIALSTATUS"))

    async def play(connect: Callable[..., Awaitable[Peer]]) -> None:
        peer = await connect()
        await peer.call()
        await peer.hear()
        await peer.say("HANGUP", "200 result=-1")
        await peer.hear()
        await peer.say("200 result=1 (CANCEL)")
        await peer.hear()

    serve(handler, play)
    assert heard == [-1, True, "CANCEL"]


def test_what_asterisk_refuses_leaves_the_replies_in_step():
    """An unknown command, a dead channel, a usage of many lines: the next reply is the next command's."""
    heard: list[Any] = []

    async def handler(leg: Leg) -> None:
        for words in ("NONSENSE", "GET DATA", "STREAM FILE"):
            try:
                await leg.command(words)
            except Exception as error:  # whichever it is, it is looked at
                heard.append(type(error).__name__)
        heard.append(await leg.variable("A"))

    async def play(connect: Callable[..., Awaitable[Peer]]) -> None:
        peer = await connect()
        await peer.call()
        for lines in (
            ["510 Invalid or unknown command"],
            ["520-Invalid command syntax.  Proper usage follows:", "Usage: GET DATA", "520 End of proper usage."],
            ["511 Command Not Permitted on a dead channel or intercept routine"],
            ["200 result=1 (b)"],
        ):
            await peer.hear()
            await peer.say(*lines)
        await peer.hear()

    serve(handler, play)
    assert heard == [AGIInvalidCommandError.__name__, "AGIUsageError", AGIDeadChannelError.__name__, "b"]


def test_an_argument_with_a_comma_is_not_sent():
    """It would be two; options, which have none, are one argument."""
    refused: list[str] = []

    async def handler(leg: Leg) -> None:
        with pytest.raises(BadInput) as error:
            await leg.app("Dial", "PJSIP/101,20,U(other)")
        refused.append(error.value.code)
        await leg.app("Dial", "PJSIP/101", 20, "gU(answered^1.1)")

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        return await served(connect)

    assert serve(handler, play) == 'EXEC Dial "PJSIP/101,20,gU(answered^1.1)"'
    assert refused == ["comma"]


# --- what does not answer


def failing(command: Callable[[Leg], Awaitable[Any]], told: list[Any]) -> Callable[[Leg], Awaitable[None]]:
    """Return a handler that keeps the kinds of error of *command*, and of another one after it."""

    async def handler(leg: Leg) -> None:
        for ask in (command, lambda leg: leg.command("NOOP")):
            try:
                told.append(await ask(leg))
            except Exception as error:  # whichever it is, it is looked at
                told.append(type(error))

    return handler


def test_a_command_that_is_not_answered_ends_the_connection():
    """Its reply, coming later, would be taken for the next one's."""
    told: list[Any] = []

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        peer = await connect()
        await peer.call()
        await peer.hear()
        return await peer.hear()

    assert serve(failing(lambda leg: leg.command("ANSWER", seconds=0.05), told), play) == ""
    assert told == [Unavailable, AGISIGPIPEHangup]


def test_a_command_that_is_given_up_ends_the_connection():
    """As one that is not answered: its reply is on its way."""
    told: list[Any] = []

    async def give_up(leg: Leg) -> None:
        async with asyncio.timeout(0.05):
            await leg.command("ANSWER")

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        peer = await connect()
        await peer.call()
        await peer.hear()
        return await peer.hear()

    assert serve(failing(give_up, told), play) == ""
    assert told == [TimeoutError, AGISIGPIPEHangup]


@pytest.mark.parametrize(
    ("lines", "error"),
    [
        (["whatever"], AGIUnknownError),
        (["200 nothing"], AGINoResultError),
        (["200 result=0", "200 result=1 (forged)"], AGIUnknownError),
        (["510 Invalid or unknown command", "200 result=0"], AGIUnknownError),
        (["200 result=0", "100 result=0 Trying...", "200 result=0"], AGIUnknownError),
    ],
)
def test_a_reply_that_is_none_and_a_second_one_end_the_connection(lines: list[str], error: type[Exception]):
    """Nobody knows any more which reply is whose."""
    told: list[Any] = []

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        peer = await connect()
        await peer.call()
        await peer.hear()
        await peer.say(*lines)
        return await peer.hear()

    assert serve(failing(lambda leg: leg.command("ANSWER"), told), play) == ""
    assert told == [error, AGISIGPIPEHangup]


def test_what_may_follow_a_reply_is_not_taken_for_a_second_one():
    """A hangup comes at any time; that Asterisk tries is no reply."""
    told: list[Any] = []

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        peer = await connect()
        await peer.call()
        await peer.hear()
        await peer.say("100 result=0 Trying...", "200 result=0", "HANGUP", "100 result=0 Trying...")
        asked = await peer.hear()
        await peer.say("200 result=1")
        await peer.hear()
        return asked

    assert serve(failing(lambda leg: leg.command("ANSWER"), told), play) == "NOOP"
    assert told == ["0", "1"]


def test_a_connection_that_ends_is_a_hangup():
    """Whoever waits for the caller hears of it; whoever asks is told."""
    told: list[Any] = []

    async def command(leg: Leg) -> None:
        await leg.hungup.wait()
        await leg.command("ANSWER")

    async def play(connect: Callable[..., Awaitable[Peer]]) -> None:
        peer = await connect()
        await peer.call()
        peer.writer.write_eof()
        await peer.hear()

    serve(failing(command, told), play)
    assert told == [AGISIGPIPEHangup] * 2


def test_a_bad_argument_is_refused_and_the_call_goes_on():
    """Nothing of it has been sent."""
    told: list[Any] = []

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        peer = await connect()
        await peer.call()
        asked = await peer.hear()
        await peer.say("200 result=0")
        assert await peer.hear() == ""
        return asked

    assert serve(failing(lambda leg: leg.set_variable("A", "b\nEXEC System rm"), told), play) == "NOOP"
    assert told == [BadInput, "0"]


def test_lines_that_nobody_asked_for_are_passed_over():
    """They are no reply to what is asked later."""
    told: list[Any] = []

    async def command(leg: Leg) -> str:
        await leg.hungup.wait()
        return await leg.variable("A")

    async def play(connect: Callable[..., Awaitable[Peer]]) -> None:
        peer = await connect()
        await peer.call()
        await peer.say("200 result=1 (old)", "200 result=1 (older)", "HANGUP")
        await peer.hear()
        await peer.say("200 result=1 (new)")
        await peer.hear()

    serve(failing(command, told), play)
    assert told[0] == "new"


# --- hostile peers


async def _nothing(peer: Peer) -> None:
    peer.writer.close()


async def _half(peer: Peer) -> None:
    await peer.say("agi_network: yes", "agi_channel: PJSIP/trunk-1")
    peer.writer.close()


async def _http(peer: Peer) -> None:
    await peer.say("GET / HTTP/1.1", "Host: shop.example.com", "")
    assert await peer.hear() == ""


async def _endless(what: bytes, peer: Peer) -> None:
    with suppress(ConnectionError):
        for _ in range(1_000):
            peer.writer.write(what)
            await peer.writer.drain()
    assert await peer.hear() == ""


async def _no_text(peer: Peer) -> None:
    peer.writer.write(b"agi_channel: \xff\xfe\nagi_network_script: shop?secret=%ff\n\n")
    assert await peer.hear() == ""


async def _wrong_secret(peer: Peer) -> None:
    await peer.call(secret="guess")
    assert await peer.hear() == ""


async def _no_secret(peer: Peer) -> None:
    await peer.say("agi_network_script: shop", "agi_channel: PJSIP/trunk-1", "")
    assert await peer.hear() == ""


async def _talks_on(peer: Peer) -> None:
    await peer.call()
    await peer.hear()
    with suppress(ConnectionError):
        for _ in range(1_000):
            await peer.say(*["100 result=0 Trying..."] * 1_000)
    # What it asked for is read to the end, and then there is no more.
    while await peer.hear():
        pass


async def _slow(peer: Peer) -> None:
    await peer.say("agi_network: yes")
    assert await peer.hear() == ""


@pytest.mark.parametrize(
    ("hostile", "reason", "header_seconds"),
    [
        (_nothing, None, WAIT_SECONDS),
        (_half, None, WAIT_SECONDS),
        (_http, "no_agi", WAIT_SECONDS),
        pytest.param(partial(_endless, b"a" * 65_536), "no_agi", WAIT_SECONDS, id="endless line"),
        pytest.param(partial(_endless, MANY_LINES), "no_agi", WAIT_SECONDS, id="endless header"),
        (_no_text, "secret", WAIT_SECONDS),
        (_wrong_secret, "secret", WAIT_SECONDS),
        (_no_secret, "secret", WAIT_SECONDS),
        (_slow, "slow", SLOW_SECONDS),
        (_talks_on, None, WAIT_SECONDS),
    ],
)
def test_after_a_hostile_peer_the_next_call_is_served(
    hostile: Callable[[Peer], Awaitable[None]], reason: str | None, header_seconds: float
):
    """It is closed without a word, counted where it is refused, and costs nobody else anything."""
    before = refused(reason) if reason else 0

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        await hostile(await connect())
        return await served(connect)

    assert serve(answer, play, header_seconds=header_seconds) == "ANSWER"
    assert not reason or refused(reason) == before + 1


def test_many_who_say_nothing_hold_up_nobody():
    """They are let go when their time is over; a call in the midst of them is served at once."""

    async def play(connect: Callable[..., Awaitable[Peer]]) -> tuple[str, set[str]]:
        mute = [await connect() for _ in range(100)]
        asked = await served(connect)
        return asked, {await peer.hear() for peer in mute}

    assert serve(answer, play, header_seconds=SLOW_SECONDS) == ("ANSWER", {""})


def test_a_stranger_is_refused_before_they_are_read():
    """Who is in none of the networks may know the secret and is no PBX."""
    before = refused("network")

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        return await served(connect)

    assert serve(answer, play, networks=[ip_network("192.0.2.0/24")]) == ""
    assert refused("network") == before + 1


def test_more_connections_than_are_served_are_refused():
    """Those that are there go on; when one has ended there is room again."""
    before = refused("all")

    async def play(connect: Callable[..., Awaitable[Peer]]) -> list[str]:
        first = await connect()
        await first.call()
        asked = await first.hear()
        too_many = await served(connect)
        await first.say("200 result=0")
        ended = await first.hear()
        return [asked, too_many, ended, await served(connect)]

    assert serve(answer, play, connections_max=1) == ["ANSWER", "", "", "ANSWER"]
    assert refused("all") == before + 1


def test_a_fault_of_ours_ends_one_call():
    """It is counted, and the next is served."""
    before = counted("omniline_unexpected_errors_total", where="telephone")
    calls = 0

    async def handler(leg: Leg) -> None:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("fault")
        await answer(leg)

    async def play(connect: Callable[..., Awaitable[Peer]]) -> list[str]:
        return [await served(connect), await served(connect)]

    assert serve(handler, play) == ["", "ANSWER"]
    assert counted("omniline_unexpected_errors_total", where="telephone") == before + 1


def test_stopping_lets_go_of_every_call():
    """Their dialplan asks whoever listens then: a call is not held by a program that stops."""
    ended = asyncio.Event()

    async def handler(leg: Leg) -> None:
        try:
            await leg.command("WAIT FOR DIGIT", 60_000, seconds=60)
        finally:
            ended.set()

    async def whole() -> str:
        server = Server(handler, secret=SECRET, networks=LOCAL)
        port = await server.start("127.0.0.1", 0)
        peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
        await peer.call()
        await peer.hear()
        await server.close()
        assert ended.is_set()
        heard = await peer.hear()
        peer.writer.close()
        return heard

    assert asyncio.run(asyncio.wait_for(whole(), WAIT_SECONDS)) == ""


def test_what_is_read_ahead_is_bounded():
    """A peer that says more than a reply has is no Asterisk."""
    told: list[Any] = []

    async def play(connect: Callable[..., Awaitable[Peer]]) -> str:
        peer = await connect()
        await peer.call()
        await peer.hear()
        await peer.say(*["100 result=0 Trying..."] * (LINES_AHEAD_MAX + 1))
        return await peer.hear()

    assert serve(failing(lambda leg: leg.command("ANSWER"), told), play) == ""
    assert told == [AGISIGPIPEHangup, AGISIGPIPEHangup]


# --- sockets


def test_a_host_that_vanished_is_found_out():
    """It has ended nothing, and would hold its calls for ever: the system asks whether it is still there."""
    expected = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
    expected = {name: value for name, value in expected.items() if hasattr(socket, name)}
    found: dict[str, int] = {}

    async def handler(leg: Leg) -> None:
        accepted = leg._writer.get_extra_info("socket")
        found.update({name: accepted.getsockopt(socket.IPPROTO_TCP, getattr(socket, name)) for name in expected})
        found["SO_KEEPALIVE"] = bool(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
        await answer(leg)

    assert serve(handler, served) == "ANSWER"
    assert found == expected | {"SO_KEEPALIVE": True}


def test_a_socket_that_is_bound_already_serves_one_server_after_the_other():
    """Whoever keeps it keeps the port: nobody else takes it in between."""

    async def once(bound: socket.socket) -> str:
        server = Server(answer, secret=SECRET, networks=LOCAL)
        port = await server.start(sock=bound.dup())
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            peer = Peer(reader, writer)
            await peer.call()
            with closing(writer):
                return await peer.hear()
        finally:
            await server.close()

    with socket.create_server(("127.0.0.1", 0)) as bound:
        heard = [asyncio.run(asyncio.wait_for(once(bound), WAIT_SECONDS)) for _ in range(2)]

    assert heard == ["ANSWER", "ANSWER"]


@pytest.mark.parametrize("turns", range(7))
def test_a_connection_that_comes_while_we_close_is_let_go(turns: int):
    """However far it has come: its dialplan asks whoever listens then, and does not wait for us."""

    async def run() -> bytes:
        async def handler(leg: Leg) -> None:
            await leg.hungup.wait()

        server = Server(handler, secret="s", networks=[ip_network("127.0.0.0/8")])
        with socket.create_server(("127.0.0.1", 0)) as listening:
            await server.start(sock=listening.dup())
            with socket.create_connection(listening.getsockname()) as client:
                client.setblocking(False)
                for _ in range(turns):
                    await asyncio.sleep(0)
                await server.close()
                with suppress(BlockingIOError):
                    # What was not accepted yet is the next one's who listens at the port.
                    listening.setblocking(False)
                    listening.accept()[0].close()
                async with asyncio.timeout(5):
                    return await asyncio.get_running_loop().sock_recv(client, 1)

    assert asyncio.run(run()) == b""
