"""How each channel is: written down when it changes, told to administrators' screens, and never under somebody else's lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from broker.domain import ChannelId, ChannelRow, ConversationId, LineId, LineSettings, MessageId, to_us
from broker.errors import AccessLost, BadInput, LeaseLost, StoreBusy, Unavailable
from broker.leases import Run, free
from broker.ports import Delivery, Outbound, Raw, Tx
from broker.receiving import CALM_SECONDS, WELL_SECONDS, Receivers
from broker.store import health
from broker.store.health import Health
from channels.unknown import CAPABILITIES, UnservedChannel
from tests.support.channels import PUSH, FakeChannel, wrote
from tests.support.clock import MovedClock
from tests.support.house import add_channel, add_line
from tests.support.store import MemoryStore, open_store, plain


class Ward:
    """Two channels, and what is written down of them."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def build(tx: Tx) -> tuple[ChannelId, ChannelId]:
            line = add_line(tx)
            return add_channel(tx, line, "one"), add_channel(tx, line, "two")

        self.one, self.two = self.store.write(build)

    def note(self, state: str, code: str = "", problem: str = "", *, came: bool = False) -> bool:
        """Write down how the first is."""
        return self.store.write(lambda tx: health.note(tx, self.one, state, code, problem, came=came))

    def known(self) -> Health:
        """Return what is known of the first."""
        return self.store.write(health.of_all)[self.one]

    def at_us(self) -> int:
        """Return this moment."""
        return to_us(self.clock.now())

    def told(self) -> list[Any]:
        """Return what the journal says."""
        return [
            msgspec.json.decode(row[0]) for row in self.store.rows("SELECT body FROM journal WHERE kind = 'channel' ORDER BY id")
        ]


@pytest.fixture
def ward() -> Ward:
    """Return channels of which nothing is known."""
    return Ward()


def test_nothing_is_known_of_a_channel_that_nobody_asked(ward: Ward):
    """And nothing of one by another."""
    assert {} == ward.store.write(health.of_all)
    ward.note("well")
    assert [ward.one] == list(ward.store.write(health.of_all))


def test_a_channel_that_is_well_from_the_start_is_no_news(ward: Ward):
    """As nearly all are."""
    ward.note("well")

    assert ("well", ward.at_us(), ward.at_us(), None, []) == (
        ward.known().state,
        ward.known().since_us,
        ward.known().well_us,
        ward.known().came_us,
        ward.told(),
    )


def test_each_change_is_told_and_no_repeat_is(ward: Ward):
    """Unwell, for another reason, well again: a screen that shows it hears of each once."""
    told = [
        ward.note(*said)
        for said in [
            ("waiting", "", "timed out"),
            ("waiting", "", "reset"),
            ("refused", "token_revoked"),
            ("refused", "other_receiver"),
            ("refused", "other_receiver"),
            ("well",),
            ("well",),
        ]
    ]

    assert [True, False, True, True, False, True, False] == told
    assert [("waiting", ""), ("refused", "token_revoked"), ("refused", "other_receiver"), ("well", "")] == [
        (one["state"], one["code"]) for one in ward.told()
    ]
    assert {ward.one} == {one["channel"] for one in ward.told()}


def test_since_when_is_the_beginning_of_a_state(ward: Ward):
    """Repeats and other reasons do not begin it anew; when it was last well, and when something last came, stay known."""
    ward.note("well", came=True)
    well_us = ward.at_us()
    ward.clock.move(60)
    ward.note("refused", "token_revoked", "first")
    since_us = ward.at_us()
    ward.clock.move(60)
    ward.note("refused", "other_receiver", "second")

    assert Health("refused", "other_receiver", "second", since_us, well_us, well_us) == ward.known()


def test_a_problem_without_an_end_is_cut(ward: Ward):
    """A provider may answer with a page."""
    ward.note("waiting", problem="x" * 5_000)

    assert 1_000 == len(ward.known().problem)


# --- by whom it is written


class Patient(FakeChannel):
    """A channel that does what its script says: an error is raised, anything else is a delivery; at its end it stays silent."""

    def __init__(self, ward: Any, script: list[Any]) -> None:
        super().__init__(ward.channel, ward.line, replace(PUSH, polled=True))
        self.does = script
        self.silent = asyncio.Event()

    async def receive(self, cursor: str | None = None) -> AsyncIterator[Delivery]:
        """See `Channel.receive`."""
        while self.does:
            does = self.does.pop(0)
            if isinstance(does, Exception):
                raise does
            if callable(does):
                does()
                continue
            yield does
        self.silent.set()
        await asyncio.get_running_loop().create_future()


class Place:
    """A store with a channel, and how often it refuses what is written down of the channel."""

    def __init__(self, store: Any, clock: MovedClock) -> None:
        self._store = store
        self.clock = clock
        self.refuses = False
        self.written: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def write(self, work: Callable[[Tx], Any]) -> Any:
        """See `Store.write`."""
        if "_note" in work.__qualname__:
            self.written.append("refused" if self.refuses else "taken")
            if self.refuses:
                future = asyncio.get_running_loop().create_future()
                future.set_exception(StoreBusy("another has it"))
                return future
        return self._store.write(work)


def played(folder: Path, script: Callable[[Place], list[Any]], once: Any = None) -> tuple[list[tuple[str, str]], Place]:
    """Let a receiver go through *script*; return how the channel is in the end, and the place."""

    async def alone(name: str, run: Run) -> None:
        await run(free)

    async def whole() -> tuple[list[tuple[str, str]], Place]:
        clock = MovedClock()
        place = Place(open_store(folder, clock=clock), clock)

        def build(tx: Tx) -> None:
            place.line = add_line(tx)  # type: ignore[attr-defined]
            place.channel = add_channel(tx, place.line)  # type: ignore[attr-defined]

        await place._store.write(build)
        patient = Patient(place, script(place))

        async def at_once(seconds: float) -> None:
            await asyncio.sleep(0)

        receivers = Receivers(place, once or alone, lambda: {patient.id: patient}, lambda _: LineSettings(), clock, at_once)
        running = asyncio.create_task(receivers.run())
        await patient.silent.wait()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
        found = await place.read(lambda tx: plain(tx, "SELECT state, code FROM channel_health").fetchall())
        await place.close()
        return [tuple(row) for row in found], place

    return asyncio.run(asyncio.wait_for(whole(), 20))


NOTHING = Delivery(())


@pytest.mark.parametrize(
    ("error", "state", "code"),
    [
        (Unavailable("resting"), "waiting", ""),
        (AccessLost("the token was revoked", code="token_revoked"), "refused", "token_revoked"),
    ],
)
def test_a_provider_that_gives_nothing_is_written_down(tmp_path: Path, error: Exception, state: str, code: str):
    """Whether it comes back by itself, or an administrator must act."""
    found, _ = played(tmp_path, lambda _: [NOTHING, error])

    assert [(state, code)] == found


@pytest.mark.parametrize(("seconds", "state"), [(CALM_SECONDS - 1, "refused"), (CALM_SECONDS, "well")])
def test_a_provider_that_refused_is_well_when_it_has_been_calm(tmp_path: Path, seconds: float, state: str):
    """Of two programs that take the same messages each has its turn: one answer says nothing yet."""

    def script(place: Place) -> list[Any]:
        return [AccessLost("taken", code="other_receiver"), NOTHING, lambda: place.clock.move(seconds), NOTHING]

    found, _ = played(tmp_path, script)

    assert [state] == [one for one, _ in found]


def test_a_provider_that_was_away_is_well_when_it_is_heard(tmp_path: Path):
    """At once, and with nothing new from it, too."""
    found, _ = played(tmp_path, lambda _: [Unavailable("resting"), NOTHING])

    assert [("well", "")] == found


def test_a_fault_of_an_adapter_says_nothing_of_its_provider(tmp_path: Path):
    """Whoever reads the log repairs it; the channel is as it was."""
    found, _ = played(tmp_path, lambda _: [NOTHING, ZeroDivisionError()])

    assert [("well", "")] == found


def test_a_channel_that_stays_well_is_written_down_once_a_minute(tmp_path: Path):
    """Of a provider that is asked every second a database would have nothing else to do; that something came is told as rarely."""
    came = [Delivery((wrote(f"{number}", "eve", "hello"),)) for number in range(3)]

    def script(place: Place) -> list[Any]:
        return [NOTHING, NOTHING, came[0], came[1], NOTHING, lambda: place.clock.move(WELL_SECONDS), NOTHING, NOTHING, came[2]]

    _, place = played(tmp_path, script)

    assert ["taken"] * 4 == place.written


def test_what_the_store_refused_is_written_down_the_next_time(tmp_path: Path):
    """It holds up no delivery, and is not taken for done."""

    def script(place: Place) -> list[Any]:
        place.refuses = True
        return [Delivery((wrote("1", "eve", "hello"),)), lambda: setattr(place, "refuses", False), NOTHING]

    found, place = played(tmp_path, script)

    assert ([("well", "")], ["refused", "taken"]) == (found, place.written)


def test_who_lost_the_lease_writes_nothing_down(tmp_path: Path):
    """Another process hears the provider now."""
    ended = asyncio.Event()

    async def losing(name: str, run: Run) -> None:
        def lost(tx: Tx) -> None:
            raise LeaseLost(name)

        with suppress(LeaseLost):
            await run(lost)
        ended.set()
        await run(free)  # whoever took over

    found, _ = played(tmp_path, lambda _: [Unavailable("resting"), lambda: None], losing)

    assert ended.is_set()
    assert [] == found


# --- what this process cannot serve


def test_a_channel_that_cannot_be_served_says_why():
    """Its secrets cannot be opened, or its library is missing: an administrator is told, nothing leaves, and nothing is lost."""
    row = ChannelRow(ChannelId("c"), LineId("l"), "one", "messenger", "One", {}, 1)
    channel = UnservedChannel(row, CAPABILITIES, "give the token again", "sealed_otherwise")

    async def asked() -> None:
        async for _ in channel.receive():
            raise AssertionError("it yields nothing")

    async def sent() -> None:
        await channel.send(Outbound(ConversationId("1"), "eve", MessageId("2"), "3", 4, "hello", "Shop", True, 0))

    for ask in (asked, sent):
        with pytest.raises(AccessLost, match="give the token again") as lost:
            asyncio.run(ask())
        assert ("sealed_otherwise", 60.0) == (lost.value.code, lost.value.retry_after)
    with pytest.raises(BadInput, match="give the token again"):
        channel.parse(Raw("1", b""))
