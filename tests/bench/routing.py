"""One decision of routing's pure core: a waiting session is matched to a seat, and the session is told.

That is `distribute` over a pool with one waiting session, then `decide` of the `Offered` event that follows from it.
Every seat is free and has had a turn, in an order unlike the queue's, and the line distributes evenly: all of them are compared.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    Distribution,
    LineId,
    LineSettings,
    OperatorId,
    PresenceState,
    SessionId,
    Status,
)
from broker.events import Offered
from routing.distribution import LineState, OperatorState, Pool, SeatState, Waiting, distribute
from routing.engine import decide
from routing.session import Session
from routing.view import View
from tests.bench.measure import BenchError, Report, median

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LINE = LineId("shop")
WEIGHT = 25
ROUNDS = 9
ROUND_SECONDS = 0.3


def run(report: Report) -> None:
    """Report `routing_decision_20_us` and `routing_decision_500_us`."""
    for seats in (20, 500):
        report(f"routing_decision_{seats}_us", microseconds(decision(seats)), "us")


def decision(seats: int) -> Callable[[], Status]:
    """Return one decision among *seats*, to be called again and again; it returns the session's next status."""
    people = [OperatorId(f"operator-{number:04d}") for number in range(seats)]
    line = LineState(
        LINE,
        version=1,
        distribution=Distribution.EVENLY,
        offer_seconds=60,
        rounds=3,
        seats=tuple(SeatState(person, 1 + (number * 7919) % seats) for number, person in enumerate(people)),
    )
    states = tuple(
        OperatorState(person, active=True, presence=PresenceState.ONLINE, budget=100, reserved=50) for person in people
    )
    session = Session(
        id=SessionId("s1"),
        conversation_id=ConversationId("c1"),
        line_id=LINE,
        channel_id=ChannelId("page"),
        contact_id=ContactId("eve"),
        opened_at=NOON,
        status=Status.QUEUED,
        weight=WEIGHT,
        queued_at=NOON,
        unanswered_since=NOON,
    )
    pool = Pool((line,), states, (Waiting(session.id, LINE, WEIGHT, NOON),))
    settings = LineSettings()

    def once() -> Status:
        (offer,) = distribute(pool, NOON).offers
        event = Offered(at=NOON, operators=offer.operators, until=offer.until, fresh_round=offer.fresh_round)
        after, _ = decide(session, event, View(settings), NOON)
        return after.status if after is not None else Status.NEW

    return once


def microseconds(once: Callable[[], Status]) -> float:
    """Return what one call takes, the median of ROUNDS. Raises BenchError when it decides something else than an offer."""
    if once() is not Status.OFFERED:
        raise BenchError("the decision was no offer; the measure does not fit the engine any more")
    rounds: list[float] = []
    for _ in range(ROUNDS):
        count = 0
        begun = time.perf_counter()
        while (taken := time.perf_counter() - begun) < ROUND_SECONDS:
            for _ in range(50):
                once()
            count += 50
        rounds.append(taken / count * 1e6)
    return median(rounds)
