"""Routing: what a decision costs, how soon a freed seat has its next offer on screen, and how long a week takes to play again.

`routing_decision_*`: a waiting session is matched to a seat, and the session is told. That is `distribute` over a pool with one waiting
session, then `decide` of the `Offered` event that follows from it. Every seat is free and has had a turn, in an order unlike the
queue's, and the line distributes evenly: all of them are compared. Nothing waits in it, so its CPU time is counted.

`routing_offer_p99_ms`: the real process, OPERATORS consoles with room for one chat each, and WAITING visitors who wait. A console closes
its session, and the clock runs until the card of its next offer has come in at its socket. Then it is taken, and the visitor whose
session ended writes again, so that as many wait as before.

`routing_week_seconds`: a week of 40 operators and 20,000 sessions, as `omniline what-if` plays it again.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import uvloop

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
from broker.store.sqlite import connect
from routing.distribution import LineState, OperatorState, Pool, SeatState, Waiting, distribute
from routing.engine import decide
from routing.session import Session
from routing.view import View
from routing.what_if import Ending, simulate
from tests.bench.measure import BenchError, Report, median, percentile, progress, stolen_seconds
from tests.bench.pipeline import WORDS
from tests.bench.product import Card, Desk, Product, ProductServer, ProductSubject
from tests.bench.wsclient import WebSocketError
from tests.support.traffic import busy_week

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
LINE = LineId("shop")
WEIGHT = 25
ROUNDS = 9
ROUND_SECONDS = 0.3

OPERATORS = 20
WAITING = 1000
OFFERS = 200
"""In a round."""
OFFER_ROUNDS = 3
WARM_UP_OFFERS = 40
"""Not measured: a thousand openings are still being shown and put away when the queue has been filled."""
REST_SECONDS = 0.02
"""Between two offers: what the one before has left to do is not measured with the next."""
QUEUE_SECONDS = 120.0
STEP_SECONDS = 30.0

WEEK_OPERATORS = 40
WEEK_SESSIONS = 20_000
WEEK_ROUNDS = 3


def run(report: Report) -> None:
    """Report `routing_decision_20_us`, `routing_decision_500_us`, `routing_offer_p99_ms` and `routing_week_seconds`."""
    for seats in (20, 500):
        report(f"routing_decision_{seats}_us", microseconds(decision(seats)), "us")
    report("routing_offer_p99_ms", offers_p99_ms(), "ms")
    report("routing_week_seconds", week_seconds(), "s")


# --- one decision


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
    """Return what one call takes of this thread's CPU, the median of ROUNDS; what others take of the core meanwhile is not the call's.

    Raises BenchError when it decides something else than an offer.
    """
    if once() is not Status.OFFERED:
        raise BenchError("the decision was no offer; the measure does not fit the engine any more")
    rounds: list[float] = []
    for _ in range(ROUNDS):
        count = 0
        begun = time.thread_time()
        while (taken := time.thread_time() - begun) < ROUND_SECONDS:
            for _ in range(50):
                once()
            count += 50
        rounds.append(taken / count * 1e6)
    return median(rounds)


# --- from a freed seat to the offer on its screen


class SmallSeats(ProductSubject):
    """The product with operators who have room for one chat each; tells when an offer comes in at a console."""

    operators = OPERATORS

    def __init__(self) -> None:
        super().__init__()
        self.on_offer: Callable[[], None] = lambda: None

    def make(self) -> Product:
        server = ProductServer(self.operators)
        make_room_for_one(server.database)
        return server

    def _on_card(self, desk: Desk, card: Card) -> None:
        if card.offered_until and card.session not in self._held:
            self.on_offer()
        super()._on_card(desk, card)


def make_room_for_one(database: Path) -> None:
    """Give every operator of *database* the budget of one chat."""
    connection = connect(database)
    try:
        connection.cursor().execute("UPDATE budgets SET budget = ?", (LineSettings().weights.chat,))
    finally:
        connection.close()


def offers_p99_ms() -> float:
    """Return the median of OFFER_ROUNDS of the slowest hundredth, in milliseconds from the closing to the offer."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(offers_of_rounds())


async def offers_of_rounds() -> float:
    """Fill the queue once, then free seats by turns."""
    subject = SmallSeats()
    found: list[float] = []
    try:
        await subject.start()
        queue = Queue(subject)
        await subject.connect_operators(OPERATORS)
        await subject.connect_visitors(WAITING + OPERATORS)
        await queue.fill()
        for _ in range(WARM_UP_OFFERS):
            await queue.next_offer_ms()
        for number in range(1, OFFER_ROUNDS + 1):
            stolen, begun = stolen_seconds(), time.monotonic()
            taken = [await queue.next_offer_ms() for _ in range(OFFERS)]
            share = (stolen_seconds() - stolen) / (time.monotonic() - begun)
            found.append(percentile(taken, 99))
            progress(
                f"   round {number}: a freed seat's next offer in p50 {median(taken):.2f} ms, p99 {found[-1]:.2f} ms; "
                f"the host took {share:.0%} of a core, load {os.getloadavg()[0]:.1f}"
            )
    except (OSError, WebSocketError) as error:
        raise BenchError(f"product: a client could not connect: {error!r}") from error
    finally:
        await subject.stop()
    return median(found)


class Queue:
    """The visitors of a subject: those who are held, and all the others, who wait."""

    def __init__(self, subject: SmallSeats) -> None:
        self._subject = subject
        self._loop = asyncio.get_running_loop()
        self._held: deque[int] = deque()
        self._sent = 0
        self._offered_at = 0.0
        self._failure = ""
        subject.on_operator_message = lambda text: self._held.append(int(text[:5]))
        subject.on_session_ended = self._write
        subject.on_offer = self._on_offer
        subject.on_failure = self._fail

    async def fill(self) -> None:
        """Let every visitor write; those for whom there is room are taken, the others wait."""
        for visitor in range(WAITING + OPERATORS):
            self._write(visitor)
        await self._until(self._is_quiet, QUEUE_SECONDS, "filling the queue")

    async def next_offer_ms(self) -> float:
        """Free the seat that was filled longest ago; return the milliseconds until its next offer is on its screen."""
        await asyncio.sleep(REST_SECONDS)
        self._offered_at = 0.0
        begun = time.perf_counter()
        self._subject.end_session(self._held.popleft())
        await self._until(self._is_quiet, STEP_SECONDS, "waiting for an offer")
        if not self._offered_at:
            raise BenchError("product: a seat was freed and filled without an offer")
        return (self._offered_at - begun) * 1000

    def _is_quiet(self) -> bool:
        """Tell whether every seat is filled again and everything that was written is stored."""
        return len(self._held) == OPERATORS and not self._subject.unacknowledged()

    def _write(self, visitor: int) -> None:
        self._sent += 1
        self._subject.visitor_send(visitor, f"{visitor:05d} {WORDS} {self._sent:06d}")

    def _on_offer(self) -> None:
        self._offered_at = self._offered_at or time.perf_counter()

    def _fail(self, why: str) -> None:
        self._failure = self._failure or why

    async def _until(self, done: Callable[[], bool], seconds: float, doing: str) -> None:
        """Look again and again, often enough for what is not measured by it."""
        ends = self._loop.time() + seconds
        while not done():
            if self._failure:
                raise BenchError(f"product: {self._failure}")
            if self._loop.time() > ends:
                raise BenchError(f"product: gave up after {seconds:g} s while {doing}")
            await asyncio.sleep(0.005)


# --- a week again


def week_seconds() -> float:
    """Return how long a week takes, the median of WEEK_ROUNDS. Raises BenchError when hardly anybody was served in it."""
    traffic, house = busy_week(operators=WEEK_OPERATORS, sessions=WEEK_SESSIONS)
    rounds: list[float] = []
    for number in range(1, WEEK_ROUNDS + 1):
        begun = time.perf_counter()
        outcome = simulate(traffic, house, Random(number))
        rounds.append(time.perf_counter() - begun)
        taken = sum(wait.ending is Ending.TAKEN for wait in outcome.waits)
        progress(f"   week {number}: {taken:,} of {WEEK_SESSIONS:,} sessions were taken, {rounds[-1]:.1f} s")
        if taken < WEEK_SESSIONS // 2:
            raise BenchError("less than half of the week's sessions were taken; the measure does not fit the simulation any more")
    return median(rounds)
