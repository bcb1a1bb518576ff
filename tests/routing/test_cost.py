"""What a distribution costs as a line grows: instructions are counted, so no clock has a say."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import Distribution, LineId, OperatorId, PresenceState, SessionId
from routing.distribution import LineState, OperatorState, Pool, Result, SeatState, Waiting, distribute
from tests.support.clock import MINUTE, NOON, SECOND

SHOP = LineId("shop")
BILLING = "skill:billing"
FEW, MANY = 50, 500
MOST = 11
"""What MANY may cost of what FEW cost: ten times as much, and a tenth to spare."""


class SeenId(str):
    """An id that is looked at in Python, so that what dictionaries, tuples and sorts do with it is counted too."""

    __slots__ = ()

    def __hash__(self) -> int:
        return str.__hash__(self)

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other)


class SeenTurn(int):
    """A turn that is compared in Python."""

    __slots__ = ()
    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return int.__eq__(self, other)

    def __lt__(self, other: int) -> bool:
        return int.__lt__(self, other)

    def __gt__(self, other: int) -> bool:
        return int.__gt__(self, other)


def steps(work: Callable[[], object]) -> int:
    """Return how many instructions of Python *work* is."""
    done = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal done
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        done += event == "opcode"
        return count

    before = sys.gettrace()
    sys.settrace(count)
    try:
        work()
    finally:
        sys.settrace(before)
    return done


def crowd(seats: int) -> tuple[OperatorId, ...]:
    return tuple(OperatorId(SeenId(f"operator-{number:03}")) for number in range(seats))


def pool(how: Distribution, people: tuple[OperatorId, ...], session: Waiting) -> Pool:
    """Return a line that opened just now: every other one of *people* knows billing, every third was given something of the opening."""
    seats = tuple(
        SeatState(who, SeenTurn(len(people) - number), None if number % 3 else NOON + MINUTE) for number, who in enumerate(people)
    )
    operators = tuple(
        OperatorState(
            who,
            active=True,
            presence=PresenceState.ONLINE,
            budget=100,
            reserved=number % 4,
            skills=(BILLING,) if number % 2 else (),
        )
        for number, who in enumerate(people)
    )
    line = LineState(SHOP, 1, how, offer_seconds=60, rounds=2, seats=seats, opened_at=NOON - SECOND, pace_seconds=20)
    return Pool((line,), operators, (session,))


def asked(people: tuple[OperatorId, ...]) -> dict[str, Any]:
    """Return a session's first round, begun a minute ago, in which *people* were asked."""
    # Equal, and not the same: what is read from a session is not what the seats hold.
    again = tuple(OperatorId(SeenId(who)) for who in people)
    return {"asked": again, "round_no": 1, "round_began": NOON - MINUTE}


def known(who: OperatorId) -> dict[str, Any]:
    """Return that *who* is responsible, and may be waited for."""
    return {"responsible_id": who, "responsible_until": NOON + MINUTE}


SITUATIONS: dict[str, Callable[[tuple[OperatorId, ...]], dict[str, Any]]] = {
    "anybody": lambda people: {},
    "a skill": lambda people: {"needs": (BILLING,)},
    "the opening": lambda people: {"queued_at": NOON - MINUTE},
    "the responsible": lambda people: known(people[-1]),
    "a round": lambda people: asked(people[::2]),
    "another round": asked,
    "all of it": lambda people: {
        "queued_at": NOON - MINUTE,
        "needs": (BILLING,),
        **asked((*people[1::4], people[-1])),
        **known(people[-1]),
    },
}
"""What is known of the session that waits, by a name."""


def decided(how: Distribution, situation: str, seats: int) -> tuple[int, Result]:
    """Return how many instructions the decision about a session is, and the decision."""
    people = crowd(seats)
    session = replace(Waiting(SessionId("s"), SHOP, weight=25, queued_at=NOON), **SITUATIONS[situation](people))
    made = pool(how, people, session)
    found: list[Result] = []
    return steps(lambda: found.append(distribute(made, NOON))), found[0]


@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("how", Distribution)
def test_a_decision_costs_no_more_than_its_seats(how: Distribution, situation: str):
    """Ten times the seats are ten times the work at most, whatever the rule and whatever is known of the session."""
    few, one = decided(how, situation, FEW)
    many, other = decided(how, situation, MANY)

    assert [FEW, MANY] == [len(offer.reasons) for offer in (*one.offers, *other.offers)]
    assert many <= MOST * few
