"""AMI: on a real Asterisk, and with a peer that does what no Asterisk does."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from broker.errors import BadInput, Rejected, Unavailable, Uncertain
from channels.phone.ami import MESSAGE_BYTES_MAX, Ami, Event, _Wire
from tests.support.asterisk import Asterisk, free_port
from tests.support.counting import counted
from tests.support.postgres import wait_until

WAIT_SECONDS = 30.0
USER = """
[broker]
secret = secret of the broker
read = system,call,user
write = call,originate,reporting
"""
DIALPLAN = """
[general]
static=yes
[from-trunk]
exten => _X.,1,Answer()
 same => n,Wait(60)
[from-phone]
exten => _X.,1,Hangup()
[outward]
exten => 100,1,Answer()
 same => n,UserEvent(Said,A: ${A},C: ${C})
 same => n,Wait(0.2)
 same => n,Hangup()
"""


@asynccontextmanager
async def running(manager: Ami) -> AsyncIterator[None]:
    """Let *manager* run meanwhile."""
    task = asyncio.create_task(manager.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(true: Callable[[], Any]) -> None:
    """Wait until *true*."""
    await asyncio.to_thread(wait_until, true)


# --- a real Asterisk


@pytest.fixture(scope="module")
def pbx() -> Iterator[Asterisk]:
    """Return a running Asterisk with a manager's user."""
    with Asterisk(DIALPLAN, manager=USER) as started:
        yield started


def on(pbx: Asterisk, body: Callable[[Ami], Coroutine[Any, Any, Any]], secret: str = "secret of the broker", **more: Any) -> Any:
    """Run *body* with a manager of *pbx*."""

    async def whole() -> Any:
        manager = Ami("127.0.0.1", pbx.ami, "broker", secret, **more)
        async with running(manager):
            return await asyncio.wait_for(body(manager), WAIT_SECONDS)

    return asyncio.run(whole())


@pytest.mark.asterisk
@pytest.mark.xdist_group("asterisk")
def test_a_phone_is_rung_and_what_happens_to_it_is_heard(pbx: Asterisk):
    """Originate, with our own id of the channel: its answer comes when the phone has answered, the events by that id.

    The new channel has the variables it was given.
    """
    pbx.phone("101", "phone-answers.xml", "-d", "100")
    heard: list[Event] = []

    async def body(manager: Ami) -> Event:
        await until(lambda: manager.lost is None)
        answers = await manager.ask(
            "Originate", 20, Channel="PJSIP/101", Context="outward", Exten="100", Priority="1", Async="true",
            ChannelId="our-id", CallerID="Клиент <79001234567>", Variable=["A=b", "C=d e=я"],
        )  # fmt: skip
        await until(lambda: [one for one in heard if one["Event"] == "Hangup" and one["Uniqueid"] == "our-id"])
        return answers[-1]

    answer = on(pbx, body, hear=heard.append)

    assert (answer["Event"], answer["Response"], answer["Uniqueid"]) == ("OriginateResponse", "Success", "our-id")
    said = next(one for one in heard if one.get("UserEvent") == "Said")
    assert (said["Uniqueid"], said["A"], said["C"]) == ("our-id", "b", "d e=я")
    names = [one["Event"] for one in heard if one.get("Uniqueid") == "our-id"]
    assert (names[0], "Newstate" in names) == ("Newchannel", True)


@pytest.mark.asterisk
@pytest.mark.xdist_group("asterisk")
def test_what_asterisk_refuses_is_told_and_the_connection_stays(pbx: Asterisk):
    """An extension that is not there, an action that is not allowed; the next is answered."""

    async def body(manager: Ami) -> list[Any]:
        await until(lambda: manager.lost is None)
        told: list[Any] = []
        asked: dict[str, Any] = {
            "Originate": {"Channel": "PJSIP/101", "Context": "outward", "Exten": "nowhere", "Priority": "1", "Async": "true"},
            "Command": {"Command": "core show uptime"},
            "NoSuchAction": {},
        }
        for action, keys in asked.items():
            with pytest.raises(Rejected) as refused:
                await manager.ask(action, **keys)
            told.append(str(refused.value).partition(":")[0])
        channels = await manager.ask("CoreShowChannels")
        return [*told, channels[0]["Response"], channels[-1]["Event"]]

    assert on(pbx, body) == ["Originate", "Command", "NoSuchAction", "Success", "CoreShowChannelsComplete"]


@pytest.mark.asterisk
@pytest.mark.xdist_group("asterisk")
@pytest.mark.parametrize(
    ("action", "keys"),
    [
        ("Originate", {"Channel": "PJSIP/101\r\n\r\nAction: Originate"}),
        ("Originate", {"Variable": ["A=b", "C=d\nAction: Ping"]}),
        ("Originate", {"CallerID\r\nX": "a"}),
        ("Ping\r\n", {}),
        ("Ping", {"A": "\0"}),
    ],
)
def test_a_line_break_is_refused_before_anything_is_sent(pbx: Asterisk, action: str, keys: dict[str, Any]):
    """It would be a key, or a whole action, of whoever chose the value."""

    async def body(manager: Ami) -> list[Event]:
        await until(lambda: manager.lost is None)
        with pytest.raises(BadInput):
            await manager.ask(action, **keys)
        return await manager.ask("Ping")

    assert on(pbx, body)[0]["Response"] == "Success"


@pytest.mark.asterisk
@pytest.mark.xdist_group("asterisk")
def test_a_wrong_secret_is_told(pbx: Asterisk):
    """In words for the administrator; nothing can be asked meanwhile."""

    async def body(manager: Ami) -> str:
        await until(lambda: "Authentication" in str(manager.lost))
        with pytest.raises(Unavailable):
            await manager.ask("Ping")
        return str(manager.lost)

    assert on(pbx, body, secret="guess") == "Login: Authentication failed"


@pytest.mark.asterisk
@pytest.mark.xdist_group("asterisk")
def test_it_comes_back_by_itself_and_looks_what_it_missed():
    """Asterisk is started again: whoever must know is awaited after each login."""
    logins = 0

    async def ready() -> None:
        nonlocal logins
        logins += 1

    with Asterisk(DIALPLAN, manager=USER) as pbx:

        async def body(manager: Ami) -> None:
            await until(lambda: manager.lost is None)
            await asyncio.to_thread(pbx.stop)
            await until(lambda: manager.lost is not None)
            with pytest.raises(Unavailable):
                await manager.ask("Ping")
            await asyncio.to_thread(pbx.start)
            await until(lambda: manager.lost is None)
            await manager.ask("Ping")

        on(pbx, body, ready=ready)
    assert logins == 2


# --- peers that do what no Asterisk does


Answer = Callable[[dict[str, str]], list[bytes]]


def with_peer(answer: Answer, body: Callable[[Ami], Coroutine[Any, Any, Any]], **more: Any) -> Any:
    """Run *body* with a manager of a peer that answers each action with the messages *answer* returns, a Drop by hanging up."""

    serving: set[asyncio.Task[Any] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.current_task())
        writer.write(b"Asterisk Call Manager/9.0.0\r\n")
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                text = (await reader.readuntil(b"\r\n\r\n")).decode()
                asked = dict(line.split(": ", 1) for line in text.strip().split("\r\n"))
                messages = answer(asked)
                if asked["Action"] == "Drop":
                    break
                writer.write(b"".join(messages).replace(b"@id@", asked["ActionID"].encode()))
                await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def whole() -> Any:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        manager = Ami("127.0.0.1", server.sockets[0].getsockname()[1], "u", "s", **more)
        try:
            async with running(manager):
                await until(lambda: manager.lost is None)
                return await asyncio.wait_for(body(manager), WAIT_SECONDS)
        finally:
            server.close()
            await asyncio.gather(*filter(None, serving), return_exceptions=True)

    return asyncio.run(whole())


async def at_once(seconds: float) -> None:
    """Let no time pass between two tries."""


def obliging(asked: dict[str, str]) -> list[bytes]:
    """Answer everything with success but what a test knows of."""
    if asked["Action"] in ("Silence", "Drop"):
        return []
    return [b"Response: Success\r\nActionID: @id@\r\n\r\n"]


def test_an_action_without_an_answer_is_in_doubt():
    """It may have been done: nobody may do it again without a look. The next is answered."""

    async def body(manager: Ami) -> list[Event]:
        with pytest.raises(Uncertain, match=r"Silence: no answer came within 0\.05 s"):
            await manager.ask("Silence", 0.05)
        return await manager.ask("Ping")

    assert with_peer(obliging, body)[0]["Response"] == "Success"


@pytest.mark.parametrize(
    ("action", "keys", "answers"),
    [
        ("Originate", {}, ["Response: Success\r\nMessage: Originate successfully queued"]),
        ("Originate", {"Async": "false"}, ["Response: Success\r\nMessage: Originate successfully queued"]),
        ("Originate", {"Async": "true"}, ["Response: Success", "Event: OriginateResponse\r\nResponse: Failure"]),
        ("originate", {"async": "Yes"}, ["Response: Success", "Event: OriginateResponse\r\nResponse: Success"]),
        ("Originate", {"Async": "1"}, ["Response: Success", "Event: OriginateResponse\r\nResponse: Success"]),
        ("QueueAdd", {}, ["Response: Success\r\nMessage: Added interface to queue"]),
        ("QueueStatus", {}, ["Response: Success\r\nEventList: Start", "Event: QueueMember", "Event: QueueStatusComplete"]),
        ("Parking", {}, ["Response: Success\r\nMessage: Calls Will follow", "Event: Call", "Event: ParkingComplete"]),
    ],
)
def test_an_action_has_the_answers_that_come(action: str, keys: dict[str, Any], answers: list[str]):
    """A list that is announced is waited for to its end, and none else."""

    def answer(asked: dict[str, str]) -> list[bytes]:
        if asked["Action"] != action:
            return obliging(asked)
        return [f"{text}\r\nActionID: @id@\r\n\r\n".encode() for text in answers]

    found = with_peer(answer, lambda manager: manager.ask(action, **keys))

    assert len(answers) == len(found)


def test_an_originate_that_is_refused_has_one_answer():
    """Nothing is begun that could be heard of later."""

    def answer(asked: dict[str, str]) -> list[bytes]:
        refused = b"Response: Error\r\nActionID: @id@\r\nMessage: Originate failed\r\n\r\n"
        return [refused] if asked["Action"] == "Originate" else obliging(asked)

    async def body(manager: Ami) -> None:
        await manager.ask("Originate", Async="true")

    with pytest.raises(Rejected, match="Originate: Originate failed"):
        with_peer(answer, body)


@pytest.mark.parametrize("keys", [{"Variable": "A=b,c"}, {"variable": ["A=b", "C=d,e"]}])
def test_a_comma_in_a_variable_is_refused_before_anything_is_sent(keys: dict[str, Any]):
    """Asterisk would take what is behind it for another variable; in other keys it means no more than it says."""
    seen: list[dict[str, str]] = []

    def answer(asked: dict[str, str]) -> list[bytes]:
        seen.append(asked)
        return obliging(asked)

    async def body(manager: Ami) -> None:
        with pytest.raises(BadInput) as refused:
            await manager.ask("Originate", **keys)
        assert refused.value.code == "comma"
        await manager.ask("Originate", Data="PJSIP/101,20", Variable="A=b")

    with_peer(answer, body)
    assert [(one["Action"], one.get("Data")) for one in seen] == [("Login", None), ("Originate", "PJSIP/101,20")]


def test_an_action_whose_connection_breaks_is_in_doubt_and_not_sent_again():
    """On the next connection nobody calls a second time."""
    seen: list[str] = []

    def answer(asked: dict[str, str]) -> list[bytes]:
        seen.append(asked["Action"])
        return obliging(asked)

    async def body(manager: Ami) -> None:
        with pytest.raises(Uncertain, match="Drop: the connection was lost"):
            await manager.ask("Drop")
        await until(lambda: manager.lost is not None)
        await until(lambda: manager.lost is None)
        await manager.ask("Ping")

    with_peer(answer, body)
    assert seen == ["Login", "Drop", "Login", "Ping"]


def test_a_letter_that_is_cut_between_two_packets_is_read_whole():
    """A caller's name in two bytes a letter."""
    heard: list[Event] = []
    wire = _Wire(heard.append)
    wire.connection_made(None)

    for byte in "Event: Newchannel\r\nCallerIDName: Жанна\r\n\r\n".encode():
        wire.data_received(bytes([byte]))

    assert [event["CallerIDName"] for event in heard] == ["Жанна"]


def test_a_message_without_end_ends_the_connection():
    """It would fill the memory."""
    logins: list[str] = []

    def answer(asked: dict[str, str]) -> list[bytes]:
        logins.append(asked["Action"])
        return [b"Event: A\r\nB: " + b"c" * MESSAGE_BYTES_MAX] if asked["Action"] == "Ping" else obliging(asked)

    async def body(manager: Ami) -> None:
        with pytest.raises(Uncertain):
            await manager.ask("Ping")
        await until(lambda: logins.count("Login") == 2)

    with_peer(answer, body, sleep=at_once)
    assert logins == ["Login", "Ping", "Login"]


def test_an_event_that_we_stumble_over_is_counted_and_the_next_is_heard():
    """A fault of ours ends no connection."""
    heard: list[str] = []

    def hear(event: Event) -> None:
        heard.append(event["Event"])
        if event["Event"] == "First":
            raise KeyError("fault")

    def answer(asked: dict[str, str]) -> list[bytes]:
        return [b"Event: First\r\n\r\nEvent: Second\r\n\r\n", *obliging(asked)] if asked["Action"] == "Ping" else obliging(asked)

    before = counted("omniline_unexpected_errors_total", where="telephone")
    with_peer(answer, lambda manager: manager.ask("Ping"), hear=hear)

    assert heard == ["First", "Second"]
    assert counted("omniline_unexpected_errors_total", where="telephone") == before + 1


def test_a_fault_of_ours_ends_the_connection_and_the_next_is_made():
    """Whatever `ready` stumbles over, it is counted and told, and the calls after it are heard of."""
    logins = 0
    told: list[tuple[float, str | None]] = []
    there: list[Ami] = []

    async def ready() -> None:
        nonlocal logins
        logins += 1
        if logins == 2:
            raise KeyError("fault")

    async def sleep(seconds: float) -> None:
        told.append((seconds, there[0].lost))

    async def body(manager: Ami) -> list[Event]:
        there.append(manager)
        with pytest.raises(Uncertain):
            await manager.ask("Drop")
        await until(lambda: logins == 3)
        return await manager.ask("Ping")

    before = counted("omniline_unexpected_errors_total", where="telephone")
    assert with_peer(obliging, body, ready=ready, sleep=sleep)[0]["Response"] == "Success"

    lost = "the program failed (KeyError); its log says where"
    assert told == [(1.0, "the connection has ended"), (1.0, lost)]
    assert counted("omniline_unexpected_errors_total", where="telephone") == before + 1


def test_a_peer_that_stands_still_is_found_out():
    """The connection is open and nothing is answered: pings tell."""
    asked_of: list[str] = []

    def answer(asked: dict[str, str]) -> list[bytes]:
        asked_of.append(asked["Action"])
        return [] if asked["Action"] == "Ping" else obliging(asked)

    async def body(manager: Ami) -> None:
        await until(lambda: asked_of.count("Login") == 2)

    with_peer(answer, body, ping_seconds=0.05, pong_seconds=0.05, sleep=at_once)
    assert asked_of[:3] == ["Login", "Ping", "Login"]


def test_nobody_at_the_port_is_told():
    """In words; it goes on trying, ever more slowly."""
    slept: list[float] = []

    async def whole() -> str:
        enough = asyncio.Event()

        async def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 7:
                enough.set()
                await asyncio.Event().wait()

        manager = Ami("127.0.0.1", free_port(socket.SOCK_STREAM), "u", "s", sleep=sleep)
        async with running(manager):
            await asyncio.wait_for(enough.wait(), WAIT_SECONDS)
            return str(manager.lost)

    assert "Connect call failed" in asyncio.run(whole())
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]
