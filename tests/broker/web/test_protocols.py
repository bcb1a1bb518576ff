"""What strangers do beneath the application: connections that ask nothing, ask slowly, take no answer, or send what is no message."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import struct
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest
from websockets.asyncio.client import connect

from broker.config import ConnectionLimits
from broker.web import protocols
from broker.web.server import abort_of, here_of, make_server

SOON = 10.0
"""Far longer than anything here takes; what is waited for longer has not happened."""
REQUEST = b"GET / HTTP/1.1\r\nhost: here\r\n\r\n"
PONG = b"\x8a\x80\0\0\0\0"
EMPTY_PIECE = b"\x00\x80\0\0\0\0"
CLOSE = b"\x88\x82\0\0\0\0" + struct.pack("!H", 1000)


@pytest.fixture
def silent(caplog):
    """Have the test fail when it writes anything to the log: nothing a stranger does is a fault of ours."""
    with caplog.at_level(logging.WARNING):
        yield
    assert [record.getMessage() for record in caplog.get_records("call")] == []


def _limits(**more):
    return ConnectionLimits(**{"request_seconds": 0.1, "bytes_per_second": 1_000_000, "stall_seconds": 0.1, **more})


def _text(words: bytes, first: int = 0x81) -> bytes:
    """Return a frame as a client sends it (its mask is zero)."""
    size = bytes([0x80 | len(words)]) if len(words) < 126 else b"\xfe" + struct.pack("!H", len(words))
    return bytes([first]) + size + b"\0\0\0\0" + words


class _Held(set[Any]):
    """What uvicorn holds, connections or tasks, that can be waited for."""

    def __init__(self):
        super().__init__()
        self.changed = asyncio.Event()

    def add(self, one):
        super().add(one)
        self.changed.set()

    def discard(self, one):
        super().discard(one)
        self.changed.set()

    remove = discard

    async def until(self, is_any):
        """Wait until there is any, or none."""
        async with asyncio.timeout(SOON):
            while bool(self) is not is_any:
                self.changed.clear()
                await self.changed.wait()


async def _answer(scope, receive, send):
    """Read the whole request and say how long it was."""
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    words = b"%d" % size
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(words))]})
    await send({"type": "http.response.body", "body": words})


async def _echo(scope, receive, send):
    """Answer HTTP; send back what a socket says."""
    if scope["type"] == "http":
        await _answer(scope, receive, send)
        return
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": message["text"]})


@asynccontextmanager
async def _served(app=_echo, limits=None, **more):
    server = make_server(app, "127.0.0.1", 0, limits=limits or _limits(request_seconds=60.0), **more)
    server.server_state.connections, server.server_state.tasks = held, tasks = _Held(), _Held()
    serving = asyncio.create_task(server.serve())
    opened = []

    async def open_one():
        reader, writer = await asyncio.open_connection("127.0.0.1", server.opened_port, limit=2**20)
        opened.append(writer)
        return SimpleNamespace(reader=reader, writer=writer)

    async def open_socket():
        one = await open_one()
        one.writer.write(_upgrade())
        assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        return one

    try:
        async with asyncio.timeout(60):
            await server.opened.wait()
            address = f"ws://127.0.0.1:{server.opened_port}/"
            yield SimpleNamespace(open=open_one, socket=open_socket, server=server, address=address, held=held, tasks=tasks)
    finally:
        for writer in opened:
            writer.close()
        server.should_exit = True
        await serving


def _upgrade(more: bytes = b"") -> bytes:
    key = base64.b64encode(os.urandom(16))
    head = b"GET / HTTP/1.1\r\nhost: here\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    return head + b"sec-websocket-key: " + key + b"\r\n" + more + b"\r\n"


async def _rest(one):
    async with asyncio.timeout(SOON):
        return await one.reader.read()


async def _close_code(one):
    """Read to the end, and return the code of the close frame that the server sent."""
    said = await _rest(one)
    at = said.rindex(b"\x88")
    return struct.unpack("!H", said[at + 2 : at + 4])[0]


# --- requests


@pytest.mark.parametrize("begun", [b"GET / HT", b"GET / HTTP/1.1\r\nhost: here\r\nx-a: "])
def test_a_request_that_never_ends_is_told_and_closed(begun):
    """One byte now and then does not hold a connection."""

    async def go():
        async with _served(limits=_limits()) as here:
            one = await here.open()
            one.writer.write(begun)
            assert (await _rest(one)).startswith(b"HTTP/1.1 408 ")

    asyncio.run(go())


def test_a_connection_that_says_nothing_is_closed_without_a_word():
    """Browsers open connections in advance: an answer to nothing would be taken for one to their next request."""

    async def go():
        async with _served(limits=_limits()) as here:
            assert await _rest(await here.open()) == b""

    asyncio.run(go())


def test_the_second_request_must_come_in_time_too():
    """What kept the connection alive, a byte of a request, starts its time anew."""

    async def go():
        async with _served(limits=_limits()) as here:
            one = await here.open()
            one.writer.write(REQUEST)
            assert (await one.reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            one.writer.write(b"G")
            assert (await _rest(one)).startswith(b"HTTP/1.1 408 ")

    asyncio.run(go())


def test_a_body_that_does_not_come_ends_the_request():
    """Its application hears that the other side has gone."""

    async def go():
        async with _served(limits=_limits()) as here:
            one = await here.open()
            one.writer.write(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\nabc")
            assert await _rest(one) == b""

    asyncio.run(go())


@pytest.mark.usefixtures("silent")
def test_a_slow_body_of_the_house_is_no_error(make_site):
    """Where nobody is left to answer, nothing has gone wrong with us either: no traceback."""
    site = make_site()

    async def go():
        async with _served(site.app, limits=_limits()) as here:
            one = await here.open()
            head = b"POST /api/v1/bytes HTTP/1.1\r\nhost: here\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
            one.writer.write(head + b"abc")
            assert await _rest(one) == b""

    site.do(go())


def test_a_slow_request_that_gets_on_has_time():
    """Bytes that come buy seconds: a slow line is no attack."""

    async def go():
        async with _served(limits=_limits(bytes_per_second=1)) as here:
            one = await here.open()
            one.writer.write(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n1")
            with pytest.raises(TimeoutError):
                # Three times what silence has.
                await asyncio.wait_for(one.reader.read(1), 0.3)
            one.writer.write(b"2")
            assert (await one.reader.readuntil(b"\r\n\r\n2")).startswith(b"HTTP/1.1 200 ")

    asyncio.run(go())


def test_an_answer_that_nobody_takes_is_cut():
    """The other side's window stays shut: the application is freed, and what it wrote."""
    freed = asyncio.Event()

    async def much(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": b"x" * 1_000_000, "more_body": True})
        freed.set()

    async def go():
        async with _served(much, limits=_limits()) as here:
            one = await here.open()
            one.writer.transport.pause_reading()
            one.writer.write(REQUEST)
            async with asyncio.timeout(SOON):
                await freed.wait()

    asyncio.run(go())


def test_a_kept_connection_whose_answer_nobody_takes_is_cut():
    """Uvicorn would close it when it is idle, and closing waits for what was written."""

    async def large(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"20000000")]})
        await send({"type": "http.response.body", "body": b"x" * 20_000_000})

    async def go():
        async with _served(large, limits=_limits()) as here:
            one = await here.open()
            one.writer.transport.pause_reading()
            one.writer.write(REQUEST)
            await here.held.until(True)
            await here.held.until(False)

    asyncio.run(go())


def test_a_request_that_goes_on_after_its_answer_is_cut():
    """Nobody will read it: not for ever, and not in one go."""

    async def at_once(scope, receive, send):
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def go():
        async with _served(at_once) as here:
            one = await here.open()
            one.writer.write(b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
            assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")

            async def go_on():
                while True:
                    one.writer.write(b"1\r\na\r\n" * 10_000)
                    await one.writer.drain()

            with pytest.raises(ConnectionError):
                await asyncio.wait_for(go_on(), SOON)

    asyncio.run(go())


def test_a_body_of_many_pieces_is_read_by_turns():
    """Others are served between its slices, and it arrives whole."""
    order = []

    async def note(scope, receive, send):
        size, more = 0, True
        while more:
            message = await receive()
            size, more = size + len(message["body"]), message["more_body"]
        order.append(size)
        await _answer(scope, receive_nothing, send)

    async def receive_nothing():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def go():
        async with _served(note) as here:
            large, small = await here.open(), await here.open()
            head = b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n"
            large.writer.write(head + b"1\r\na\r\n" * 30_000 + b"0\r\n\r\n")
            small.writer.write(REQUEST)
            for one in (small, large):
                assert (await one.reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")

    asyncio.run(go())
    assert order == [0, 30_000]


@pytest.mark.usefixtures("silent")
def test_what_follows_an_answer_and_cannot_be_read_ends_the_connection():
    """There is no second answer to give, and no fault of ours to log."""

    async def at_once(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"well"})

    async def go():
        async with _served(at_once) as here:
            one = await here.open()
            one.writer.write(b"POST / HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n")
            await one.reader.readuntil(b"well")
            one.writer.write(b"zzz\r\n")
            await _rest(one)

    asyncio.run(go())


def test_a_connection_opened_in_advance_has_its_time_from_its_first_byte():
    """A browser's, say: it stands open, then a request comes on it by and by."""

    async def go():
        async with _served(limits=_limits(request_seconds=2.0)) as here:
            one = await here.open()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.reader.read(1), 1.2)
            one.writer.write(REQUEST[:-2])
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(one.reader.read(1), 1.2)
            one.writer.write(REQUEST[-2:])
            assert (await one.reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")

    asyncio.run(go())


@pytest.mark.usefixtures("silent")
def test_a_half_sent_request_does_not_hold_up_the_end():
    """It never will be whole: the server ends at once, and nothing has gone wrong."""

    async def go():
        async with _served() as here:
            one = await here.open()
            one.writer.write(b"POST / HTTP/1.1\r\nhost: here\r\ncontent-length: 10\r\n\r\nabc")
            await here.tasks.until(True)
            here.server.should_exit = True
            async with asyncio.timeout(3):  # uvicorn gives its tasks five
                await here.tasks.until(False)

    asyncio.run(go())


def test_one_network_holds_so_many_connections():
    """One more hears so; when one has gone, or has become a socket, there is room again."""

    async def go():
        async with _served(limits=_limits(request_seconds=60.0, per_network=4)) as here:
            held = [await here.open() for _ in range(4)]
            over = await here.open()
            assert (await _rest(over)).startswith(b"HTTP/1.1 503 ")

            held[0].writer.write(_upgrade())
            assert (await held[0].reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            held[1].writer.write(REQUEST.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
            await _rest(held[1])
            for _ in range(2):
                one = await here.open()
                one.writer.write(REQUEST)
                assert (await one.reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            assert (await _rest(await here.open())).startswith(b"HTTP/1.1 503 ")

    asyncio.run(go())


def test_a_proxy_speaks_for_many():
    """A trusted one is not held to what one network may have, but to what all may."""

    async def go():
        limits = _limits(request_seconds=60.0, per_network=4, total=16)
        async with _served(limits=limits, exempt=lambda address: address == "127.0.0.1") as here:
            held = [await here.open() for _ in range(16)]
            held[-1].writer.write(REQUEST)
            assert (await held[-1].reader.readuntil(b"\r\n\r\n0")).startswith(b"HTTP/1.1 200 ")
            assert (await _rest(await here.open())).startswith(b"HTTP/1.1 503 ")

    asyncio.run(go())


# --- frames


@pytest.mark.parametrize("flood", [PONG, b"\x89\x80\0\0\0\0", _text(b"a", 0x01) + EMPTY_PIECE], ids=["pongs", "pings", "pieces"])
def test_a_flood_of_what_is_no_message_closes_the_socket(flood):
    """With 1008, if it listens; what other people have is untouched."""

    async def go():
        async with _served() as here:
            other, one, large = await here.socket(), await here.socket(), await here.socket()
            one.writer.write(flood + flood[-6:] * 350)
            assert await _close_code(one) == 1008
            large.writer.write(flood + flood[-6:] * 100_000)
            with suppress(ConnectionError):  # it writes more than is read
                await _rest(large)
            other.writer.write(_text(b"well?"))
            assert await other.reader.readexactly(7) == b"\x81\x05well?"

    asyncio.run(go())


def test_a_message_has_so_many_pieces(monkeypatch):
    """Slow pieces are not counted as a flood; a message that never ends is refused all the same."""
    monkeypatch.setattr(protocols, "CONTROL_BURST", 100_000)

    async def go():
        async with _served() as here:
            one = await here.socket()
            one.writer.write(_text(b"a", 0x01) + EMPTY_PIECE * protocols.PIECES_MAX)
            assert await _close_code(one) == 1008

    asyncio.run(go())


def test_a_few_pings_and_pieces_are_what_they_are():
    """Pings are answered, and a message in pieces arrives whole."""

    async def go():
        async with _served() as here, connect(here.address, ping_interval=None) as one:
            for _ in range(5):
                await (await one.ping())
            await one.send(["in ", "", "pieces"])
            assert await one.recv() == "in pieces"

    asyncio.run(go())


def test_messages_that_come_together_wait_for_their_endpoint():
    """However many come in one read, few stand in the queue, and all arrive, in their order."""
    most = 0

    async def count(scope, receive, send):
        nonlocal most
        await receive()
        await send({"type": "websocket.accept"})
        here = here_of(scope)
        for number in range(30_000):
            message = await receive()
            assert message["text"] == str(number)
            most = max(most, here())
        await send({"type": "websocket.send", "text": "all"})
        await receive()

    async def go():
        async with _served(count) as here:
            one = await here.socket()
            one.writer.write(b"".join(_text(b"%d" % number) for number in range(30_000)))
            assert await one.reader.readexactly(5) == b"\x81\x03all"

    asyncio.run(go())
    assert 0 < most < protocols.SLICE_BYTES / 7


def test_a_goodbye_behind_unread_messages_is_seen():
    """The endpoint closes first and reads no further: the socket ends at once, not when its time is over."""

    async def close(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        await send({"type": "websocket.close", "code": 4400})

    async def go():
        async with _served(close) as here:
            one = await here.socket()
            one.writer.write(_text(b"x" * 100) * 200 + CLOSE)
            async with asyncio.timeout(5):  # uvicorn gives a goodbye ten
                assert await _close_code(one) == 4400

    asyncio.run(go())


def test_what_comes_after_the_close_is_cut():
    """Nobody reads it, so parsing it would be work for nothing, for as long as a goodbye may take."""

    async def close(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4429})

    async def go():
        async with _served(close) as here:
            one = await here.socket()
            assert await one.reader.readexactly(4) == b"\x88\x02" + struct.pack("!H", 4429)
            one.writer.write(_text(b"x") * 10_000)
            async with asyncio.timeout(5):  # uvicorn gives a goodbye ten
                with pytest.raises(ConnectionError):
                    await one.reader.read()

    asyncio.run(go())


def test_a_large_message_comes_whole():
    """Slices are ours alone."""

    async def go():
        async with _served(frame_bytes=1_000_000) as here, connect(here.address, max_size=None) as one:
            words = "".join(chr(97 + number % 26) for number in range(900_000))
            await one.send(words)
            assert await one.recv() == words

    asyncio.run(go())


def test_an_upgrade_that_cannot_be_read_is_refused_and_forgotten():
    """Headers that HTTP takes and a WebSocket does not: an answer, and nothing is left of it."""

    async def go():
        async with _served() as here:
            one = await here.open()
            one.writer.write(_upgrade(b"".join(b"x-%d: a\r\n" % number for number in range(300))))
            assert (await _rest(one)).startswith(b"HTTP/1.1 431 ")
            assert not here.held

    asyncio.run(go())


@pytest.mark.usefixtures("silent")
def test_who_goes_while_the_socket_opens_is_no_error():
    """Before the opening is answered, or while it is: nothing is written to the log."""
    opened = asyncio.Event()

    async def slow(scope, receive, send):
        await receive()
        abort_of(scope)()
        opened.set()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "welcome"})

    async def go():
        async with _served(slow) as here:
            one = await here.open()
            one.writer.write(_upgrade())
            await opened.wait()
            assert await _rest(one) == b""

    asyncio.run(go())


@pytest.mark.usefixtures("silent")
def test_a_refusal_before_the_opening_is_no_error():
    """An endpoint that answers with a status of its own has done its work."""

    async def refuse(scope, receive, send):
        await receive()
        await send({"type": "websocket.http.response.start", "status": 403, "headers": []})
        await send({"type": "websocket.http.response.body", "body": b"not you"})

    async def go():
        async with _served(refuse) as here:
            one = await here.open()
            one.writer.write(_upgrade())
            assert (await _rest(one)).endswith(b"not you")

    asyncio.run(go())


def test_a_socket_that_says_goodbye_and_reads_nothing_is_cut(monkeypatch):
    """What was written to it is not kept for ever: nobody counts such a socket any more."""
    monkeypatch.setattr(protocols, "GOODBYE_SECONDS", 0.1)
    monkeypatch.setattr(protocols, "TAKING_SECONDS", 0.1)

    async def much(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        with suppress(Exception):
            for _ in range(20):
                async with asyncio.timeout(0.05):
                    await send({"type": "websocket.send", "text": "x" * 1_000_000})

    async def go():
        async with _served(much) as here:
            one = await here.socket()
            one.writer.transport.pause_reading()
            one.writer.write(_text(b"go") + CLOSE)
            await here.held.until(True)
            await here.held.until(False)

    asyncio.run(go())


@pytest.mark.usefixtures("silent")
def test_text_that_is_no_utf_8_is_refused_without_a_word_in_the_log():
    """1007; anybody may send it, also while an answer to them is under way."""

    async def go():
        async with _served() as here:
            one = await here.socket()
            one.writer.write(_text(b"well?") + _text(b"\xff"))
            assert await _close_code(one) == 1007

    asyncio.run(go())


@pytest.mark.parametrize("frames", [_text(b"early"), _text(b"early") + _text(b"\xff"), _text(b"early") + b"\xff" * 100, CLOSE])
@pytest.mark.usefixtures("silent")
def test_frames_that_come_with_the_opening_wait_for_its_answer(frames):
    """They are read after it, good or bad."""

    async def late(scope, receive, send):
        await receive()
        await send({"type": "websocket.accept"})
        with suppress(OSError):
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})

    async def go():
        async with _served(late) as here:
            one = await here.open()
            one.writer.write(_upgrade() + frames)
            assert (await one.reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
            if frames == _text(b"early"):
                assert await one.reader.readexactly(7) == b"\x81\x05early"
            else:
                await _rest(one)

    asyncio.run(go())
