"""The settings of the house, read at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from broker.domain import Distribution, LineId, OperatorId
from broker.errors import StoreTooNew
from broker.ports import Bell, Store, Tx
from broker.store import directory
from broker.transport.memory import MemoryTransport
from tests.support.house import add_channel, add_line, add_operator
from tests.support.store import MemoryStore


def pools_of(*sittings: str) -> dict[str, tuple[str, ...]]:
    """Return the pools of lines that are written as `line:people`."""
    store = MemoryStore()

    def build(tx: Tx) -> dict[LineId, str]:
        lines = {sitting.split(":")[0]: add_line(tx, sitting.split(":")[0]) for sitting in sittings}
        people: dict[str, list[LineId]] = {}
        for sitting in sittings:
            name, _, who = sitting.partition(":")
            for person in who:
                people.setdefault(person, []).append(lines[name])
        for person, seated in people.items():
            add_operator(tx, person, seated)
        return {id_: slug for slug, id_ in lines.items()}

    slugs = store.write(build)
    found = store.write(directory.load).pools
    return {slugs[line]: tuple(slugs[member] for member in pool) for line, pool in found.items()}


def test_lines_that_share_nobody_are_pools_of_their_own():
    """Each line is at least its own pool, with or without seats."""
    assert pools_of("a:x", "b:y", "c:") == {"a": ("a",), "b": ("b",), "c": ("c",)}


def test_lines_that_share_an_operator_are_one_pool():
    """And so are those that share one with those: what frees a seat here may serve a session there."""
    assert pools_of("a:xy", "b:yz", "c:z", "d:w") == {
        "a": ("a", "b", "c"),
        "b": ("a", "b", "c"),
        "c": ("a", "b", "c"),
        "d": ("d",),
    }


def test_pools_that_meet_late_are_joined():
    """Two pools grow apart until a third line joins them."""
    assert set(pools_of("a:x", "b:x", "c:y", "d:y", "e:xy").values()) == {("a", "b", "c", "d", "e")}


def test_seats_are_in_the_queues_order():
    """By position; who is switched off has no seat."""
    store = MemoryStore()

    def build(tx: Tx) -> tuple[LineId, list[OperatorId]]:
        line = add_line(tx)
        last = add_operator(tx, "last", [line], position=3)
        first = add_operator(tx, "first", [line], position=1)
        add_operator(tx, "gone", [line], position=2, active=False)
        return line, [first, last]

    line, people = store.write(build)

    assert list(store.write(directory.load).seats[line]) == people


def test_what_was_set_comes_back():
    """A line's settings, a channel's line, an operator's role."""
    store = MemoryStore()

    def build(tx: Tx) -> None:
        line = add_line(tx, "shop", distribution=Distribution.STRICTLY, offer_seconds=7, welcome_text={"ru": "Привет"})
        add_channel(tx, line, "page")

    store.write(build)
    house = store.write(directory.load)
    (line,) = house.lines.values()
    (channel,) = house.channels.values()

    assert (line.slug, line.settings.distribution, line.settings.offer_seconds) == ("shop", Distribution.STRICTLY, 7)
    assert line.settings.welcome_text == {"ru": "Привет"}
    assert (channel.slug, channel.line_id, channel.active) == ("page", line.id, True)


# --- the settings of this moment


class Readable:
    """A store that is read on the loop."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    async def read(self, work: Callable[[Tx], Any], /) -> Any:
        """See `Store.read`."""
        return self._store.read(work)


def test_what_a_newer_version_has_set_ends_no_process_of_this_one():
    """It goes on by what was set before, says so, and follows again what it understands."""
    store, transport = MemoryStore(), MemoryTransport()
    store.write(lambda tx: add_line(tx, "shop", distribution=Distribution.STRICTLY))
    live = directory.LiveDirectory(cast("Store", Readable(store)), transport)

    def becomes(distribution: str) -> None:
        store.change("UPDATE lines SET settings = ?", f'{{"distribution": "{distribution}"}}')
        transport.ring([(Bell.SETTINGS, "")])

    async def story() -> tuple[list[Any], list[str]]:
        await live.refresh()
        heard = asyncio.Event()
        live.on_change(lambda _: heard.set())
        following = asyncio.create_task(live.run())
        await asyncio.sleep(0)
        with capture_logs() as logs:
            becomes("sideways")
            for _ in range(100):
                await asyncio.sleep(0)
            kept = [line.settings.distribution for line in live().lines.values()]
            becomes("evenly")
            await asyncio.wait_for(heard.wait(), 5)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return [*kept, *(line.settings.distribution for line in live().lines.values())], [one["event"] for one in logs]

    assert asyncio.run(story()) == ([Distribution.STRICTLY, Distribution.EVENLY], ["settings_not_understood"])


def test_nobody_hears_of_settings_that_have_not_changed():
    """A bell that rings twice, or a Redis that comes and goes, is no reason for every console and pool to be looked at."""
    store, transport = MemoryStore(), MemoryTransport()
    store.write(add_line)
    live = directory.LiveDirectory(cast("Store", Readable(store)), transport)

    async def story() -> list[int]:
        await live.refresh()
        heard: list[int] = []
        live.on_change(lambda house: heard.append(len(house.lines)))
        following = asyncio.create_task(live.run())
        await asyncio.sleep(0)
        for _ in range(2):
            transport.ring([(Bell.SETTINGS, "")])
            for _ in range(100):
                await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        return heard

    assert asyncio.run(story()) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('UPDATE lines SET settings = \'{"distribution": "sideways"}\'', "line shop is set to what"),
        ("UPDATE operators SET role = 'bishop'", "ann is a bishop, which this version does not know"),
    ],
)
def test_what_is_not_understood_is_named(change, says):
    """Whoever starts an old process on a newer house reads why it does not start."""
    store = MemoryStore()
    store.write(lambda tx: add_operator(tx, "ann", [add_line(tx, "shop")]))
    store.change(change)

    with pytest.raises(StoreTooNew, match=says):
        store.read(directory.load)
