"""The `Transport` socket: bells and passing words. Another transport joins by one more entry in `TRANSPORTS`."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.ports import Bell, Transport
from broker.transport.memory import MemoryTransport

TRANSPORTS: dict[str, Callable[[], Transport]] = {"memory": MemoryTransport}


@pytest.fixture(params=list(TRANSPORTS.values()), ids=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Transport:
    """Return a transport nobody listens to."""
    made: Transport = request.param()
    return made


def test_a_ring_is_heard_with_its_key(transport: Transport):
    """Who listens to a bell hears each key that was rung, in order; other bells are not theirs."""
    heard: list[str] = []
    transport.listen(Bell.CONVERSATION, heard.append)

    transport.ring([(Bell.CONVERSATION, "a"), (Bell.POOL, "line"), (Bell.CONVERSATION, "b")])

    assert heard == ["a", "b"]


def test_the_same_ring_of_one_batch_is_heard_once(transport: Transport):
    """A batch that rang one bell a hundred times wakes its listener once."""
    heard: list[str] = []
    transport.listen(Bell.NEWS, heard.append)

    transport.ring([(Bell.NEWS, "")] * 100)

    assert heard == [""]


def test_everybody_who_listens_hears(transport: Transport):
    """A bell is not a queue: it has no single taker."""
    first: list[str] = []
    second: list[str] = []
    transport.listen(Bell.OUTBOX, first.append)
    transport.listen(Bell.OUTBOX, second.append)

    transport.ring([(Bell.OUTBOX, "a")])

    assert first == second == ["a"]


def test_who_stopped_hears_no_more(transport: Transport):
    """Stopping ends one listening, not another's; stopping twice is stopping once."""
    first: list[str] = []
    second: list[str] = []
    stop = transport.listen(Bell.TIMERS, first.append)
    transport.listen(Bell.TIMERS, second.append)

    stop()
    stop()
    transport.ring([(Bell.TIMERS, "a")])

    assert (first, second) == ([], ["a"])


def test_one_function_that_listens_twice_stops_once_at_a_time(transport: Transport):
    """Each listening has its own end: stopping one, even twice, leaves the other."""
    heard: list[str] = []
    stop = transport.listen(Bell.TIMERS, heard.append)
    transport.listen(Bell.TIMERS, heard.append)

    stop()
    stop()
    transport.ring([(Bell.TIMERS, "a")])

    assert heard == ["a"]


def test_a_listener_that_fails_harms_nobody(transport: Transport):
    """`ring` never raises; who comes after a broken listener still hears."""
    heard: list[str] = []

    def broken(key: str) -> None:
        raise RuntimeError(key)

    transport.listen(Bell.SESSION, broken)
    transport.listen(Bell.SESSION, heard.append)

    transport.ring([(Bell.SESSION, "a"), (Bell.SESSION, "b")])

    assert heard == ["a", "b"]


def test_a_listener_may_stop_while_it_is_called(transport: Transport):
    """Stopping from inside a ring skips nobody else."""
    heard: list[str] = []
    stops: list[Callable[[], None]] = []

    def once(key: str) -> None:
        heard.append("once")
        stops[0]()

    stops.append(transport.listen(Bell.SESSION, once))
    transport.listen(Bell.SESSION, heard.append)

    transport.ring([(Bell.SESSION, "a")])
    transport.ring([(Bell.SESSION, "b")])

    assert heard == ["once", "a", "b"]


def test_words_reach_who_follows_the_topic(transport: Transport):
    """A word told goes to the followers of its topic and is kept for nobody who comes later."""
    early: list[bytes] = []
    late: list[bytes] = []
    other: list[bytes] = []
    transport.follow("typing:1", early.append)
    transport.follow("typing:2", other.append)

    transport.tell("typing:1", b"ann")
    stop = transport.follow("typing:1", late.append)
    transport.tell("typing:1", b"bob")
    stop()
    transport.tell("typing:1", b"cat")

    assert (early, late, other) == ([b"ann", b"bob", b"cat"], [b"bob"], [])


def test_a_topic_may_be_left_and_followed_again(transport: Transport):
    """The last follower's end takes nothing from the next one."""
    heard: list[bytes] = []
    first = transport.follow("t", lambda word: None)
    first()
    transport.follow("t", heard.append)
    first()

    transport.tell("t", b"word")

    assert heard == [b"word"]
