"""The `Clock` and `Ids` sockets, the machine's and the tests' own."""

from __future__ import annotations

import uuid
from datetime import timedelta

import pytest

from broker.clock import SystemClock, SystemIds
from broker.ports import Clock, Ids
from tests.support.clock import NOON, CountedIds, MovedClock


@pytest.fixture(params=[SystemClock, MovedClock])
def clock(request: pytest.FixtureRequest) -> Clock:
    """Return a clock."""
    made: Clock = request.param()
    return made


@pytest.fixture(params=[SystemIds, CountedIds])
def ids(request: pytest.FixtureRequest) -> Ids:
    """Return a source of ids."""
    made: Ids = request.param()
    return made


def test_now_is_aware_utc(clock: Clock):
    """Everything inside is UTC; a naive moment would be a fault."""
    assert clock.now().utcoffset() == timedelta(0)


def test_monotonic_never_goes_back(clock: Clock):
    """Differences of `monotonic` are never negative."""
    seen = [clock.monotonic() for _ in range(100)]

    assert seen == sorted(seen)


def test_ids_are_uuids_of_version_seven(ids: Ids):
    """36 characters, version 7: they fit the columns and every client's parser."""
    made = ids.new()

    assert (len(made), uuid.UUID(made).version) == (36, 7)


def test_ids_grow_and_never_repeat(ids: Ids):
    """A later id sorts later: lists by id are lists by age."""
    made = [ids.new() for _ in range(1_000)]

    assert made == sorted(set(made))


def test_a_moved_clock_stands_still_until_it_is_moved():
    """The tests' clock: `move` passes time, `set` turns the wall clock alone."""
    clock = MovedClock()
    began = clock.monotonic()

    clock.move(2.5)
    clock.set(NOON - timedelta(hours=1))

    assert (clock.now(), clock.monotonic() - began) == (NOON - timedelta(hours=1), 2.5)
