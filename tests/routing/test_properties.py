"""What holds whatever happens: hypothesis plays a house on the shipped functions and looks after each step.

Each rule of `House` is a deed or the passing of time; each invariant is read from the tables, not from the engine.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.domain import (
    ConversationId,
    Distribution,
    LineId,
    MessageId,
    OperatorId,
    PresenceState,
    Role,
    SessionId,
    Status,
    Weights,
    from_us,
)
from broker.events import Close, Decline, Event, Note, Reply, Take
from broker.inbound import accept, enter, prepare, undecided
from broker.ports import Tx
from broker.timers import earliest, fire_due
from routing import distributor, worker
from routing.applying import TIMER_OWNER, timer_fired
from routing.distribution import Hold, LineState, Offer, OperatorState, Pool, SeatState, Waiting, distribute
from routing.session import Session
from tests.support.audit import Seen, audit
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import NOON, MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house, set_presence
from tests.support.store import MemoryStore

_STATE = msgspec.json.Decoder(Session)
CUSTOMERS = 5
PEOPLE = 3


class Houses(RuleBasedStateMachine):
    """A house with two lines that share people, its customers, its operators and its clock."""

    @initialize(
        rules=st.tuples(*[st.sampled_from(list(Distribution))] * 2),
        rounds=st.integers(1, 3),
        weights=st.tuples(*[st.sampled_from([25, 50, 100])] * 2),
        seats=st.lists(st.sampled_from([(0,), (1,), (0, 1)]), min_size=PEOPLE, max_size=PEOPLE),
        budgets=st.lists(st.sampled_from([50, 100]), min_size=PEOPLE, max_size=PEOPLE),
    )
    def build(self, rules: Any, rounds: int, weights: Any, seats: Any, budgets: Any) -> None:
        """Write the house."""
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def make(tx: Tx) -> None:
            self.lines = [
                add_line(tx, f"line{n}", distribution=rules[n], rounds=rounds, offer_seconds=30, weights=Weights(chat=weights[n]))
                for n in range(2)
            ]
            self.channels = [FakeChannel(add_channel(tx, line, f"page{n}"), line) for n, line in enumerate(self.lines)]
            self.people = [
                # The first of them supervises: may take and close in lines where they have no seat.
                add_operator(
                    tx,
                    f"p{n}",
                    [self.lines[seat] for seat in seats[n]],
                    role=Role.OPERATOR if n else Role.SUPERVISOR,
                    budget=budgets[n],
                    position=n,
                )
                for n in range(PEOPLE)
            ]
            self.seats = [[self.lines[seat] for seat in each] for each in seats]

        self.store.write(make)
        self.house = self.store.write(load_house)
        self.said = 0
        self.commands = 0

    # --- deeds

    @rule(customer=st.integers(0, CUSTOMERS - 1))
    def write(self, customer: int) -> None:
        """A customer writes."""
        self.said += 1
        channel = self.channels[customer % 2]
        settings_ = self.house.directory.lines[channel.line_id].settings
        prepared = prepare(channel, [wrote(f"{self.said}", f"v{customer}", f"text {self.said}")], settings_)
        self.store.write(lambda tx: accept(tx, channel.id, prepared))
        self.settle()

    @rule(
        who=st.integers(0, PEOPLE - 1),
        which=st.integers(0, 9),
        deed=st.sampled_from([Take, Take, Reply, Decline, Note, Close, Close]),
    )
    def do(self, who: int, which: int, deed: Any) -> None:
        """An operator does something to some session, allowed or not."""
        rows = self.store.rows("SELECT id FROM conversations ORDER BY id")
        if not rows:
            return
        self.commands += 1
        command, operator = f"k{self.commands}", self.people[who]
        more = {"message_id": MessageId(f"m{self.commands}")} if deed in (Reply, Note) else {}
        conversation = ConversationId(rows[which % len(rows)][0])

        def make(at: datetime) -> Event:
            event: Event = deed(at=at, operator_id=operator, command=command, **more)
            return event

        self.store.write(lambda tx: enter(tx, "console", command, conversation, make, b"words"))
        self.settle()

    @rule(who=st.integers(0, PEOPLE - 1), state=st.sampled_from(list(PresenceState)))
    def go(self, who: int, state: PresenceState) -> None:
        """An operator goes away or comes back."""
        self.store.write(lambda tx: set_presence(tx, self.people[who], state, self.seats[who]))
        self.settle()

    @rule(seconds=st.sampled_from([0.5, 5, 29.999999, 30, 61, 700]))
    def wait(self, seconds: float) -> None:
        """Time passes; each deadline on the way is kept at its moment."""
        until = self.clock.now() + timedelta(seconds=seconds)
        while (due := self.store.write(earliest)) is not None and due <= until:
            self.clock.move(max(due - self.clock.now(), timedelta(0)))
            self.store.write(lambda tx: fire_due(tx, {TIMER_OWNER: timer_fired}))
            self.settle()
        self.clock.move(until - self.clock.now())

    def settle(self) -> None:
        """Let the worker and the distributor do what there is to do."""
        while True:
            conversations = self.store.write(undecided)
            pools = self.store.write(distributor.marked)
            if not conversations and not pools:
                return
            for conversation in conversations:
                self.store.write(lambda tx, c=conversation: worker.step(tx, c, self.house))  # type: ignore[misc]
            for line in pools:
                self.store.write(lambda tx, ln=line: distributor.step(tx, ln, self.house))  # type: ignore[misc]

    # --- what holds

    @invariant()
    def the_tables_agree(self) -> None:
        """One holder, budgets never exceeded and equal to what is open, journal without gaps and replayed to the byte."""
        if hasattr(self, "house"):
            findings = audit(self.store.rows, Seen(idempotent={channel.id: True for channel in self.channels}))
            assert [found for found in findings if not found.endswith("is queued")] == []

    @invariant()
    def nothing_that_fits_stands_side_by_side(self) -> None:
        """A waiting session and a seat that could take it: only while a round's gate or the end of its rounds says so."""
        if not hasattr(self, "house"):
            return
        now = self.clock.now()
        for line, weight, body in self.store.rows("SELECT line_id, weight, state FROM sessions WHERE status = 'queued'"):
            state = _STATE.decode(body)
            fit = {
                operator
                for operator, free in self.store.rows(
                    "SELECT s.operator_id, b.budget - b.reserved FROM seats s JOIN budgets b USING (operator_id) "
                    "JOIN presence p USING (operator_id) WHERE s.line_id = ? AND p.state = 'online'",
                    line,
                )
                if free >= weight
            }
            assert fit <= set(state.asked), f"{fit - set(state.asked)} could take {state} and were not asked"
            if fit and not state.rounds_over:
                assert state.next_round_at is not None
                assert state.next_round_at > now
                due = self.store.rows("SELECT due_us FROM timers WHERE owner_id = ? AND name = 'round'", state.conversation_id)
                assert [from_us(row[0]) for row in due] == [state.next_round_at]

    @invariant()
    def offers_end_at_their_deadline(self) -> None:
        """No offer is open past its moment, and each open one has its timer at that moment."""
        if not hasattr(self, "house"):
            return
        now = self.clock.now()
        for until, due in self.store.rows(
            "SELECT o.until_us, t.due_us FROM offers o JOIN sessions s ON s.id = o.session_id "
            "LEFT JOIN timers t ON t.owner_id = s.conversation_id AND t.name = 'offer' WHERE o.state = 'open'"
        ):
            assert from_us(until) > now
            assert due == until


Houses.TestCase.settings = settings(
    max_examples=100, stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestWhateverHappensInAHouse = pytest.mark.slow(Houses.TestCase)

# --- distribution alone

SHOP = LineId("shop")
ids = st.sampled_from([OperatorId(name) for name in "abcdef"])


@st.composite
def pools(draw: st.DrawFn, how: Distribution | None = None) -> Pool:
    """Draw any pool of one line."""
    people = draw(st.lists(ids, unique=True, min_size=1, max_size=6))
    seats = tuple(SeatState(person, draw(st.integers(0, 9))) for person in people)
    rule_ = how or draw(st.sampled_from(list(Distribution)))
    operators = tuple(
        OperatorState(
            person,
            active=draw(st.booleans()) or draw(st.booleans()),
            presence=draw(
                st.sampled_from([PresenceState.ONLINE, PresenceState.ONLINE, PresenceState.AWAY, PresenceState.OFFLINE])
            ),
            budget=100,
            reserved=draw(st.sampled_from([0, 0, 25, 60, 100])),
        )
        for person in people
    )
    sessions = []
    for number in range(draw(st.integers(0, 6))):
        round_no = draw(st.integers(0, 3))
        sessions.append(
            Waiting(
                SessionId(f"s{number}"),
                SHOP,
                weight=draw(st.sampled_from([5, 25, 50])),
                queued_at=NOON,
                round_no=round_no,
                round_began=NOON - timedelta(seconds=draw(st.integers(0, 90))) if round_no else None,
                asked=tuple(draw(st.lists(st.sampled_from(people), unique=True))) if round_no else (),
                rounds_over=round_no == 3 and draw(st.booleans()),
            )
        )
    line = LineState(SHOP, 1, rule_, offer_seconds=60, rounds=3, seats=seats)
    return Pool((line,), operators, tuple(sessions), changed=draw(st.booleans()))


PURE = settings(max_examples=60, deadline=None, derandomize=True)


@PURE
@given(pools())
def test_nothing_is_offered_beyond_a_budget(pool: Pool):
    """Whatever is offered at once fits together into each operator's free budget; only who is there is offered anything."""
    weights = {session.id: session.weight for session in pool.waiting}
    taken = {operator.id: operator.reserved for operator in pool.operators}
    for offer in distribute(pool, NOON).offers:
        for operator in offer.operators:
            taken[operator] += weights[offer.session_id]

    for state in pool.operators:
        if taken[state.id] != state.reserved:
            assert taken[state.id] <= state.budget
            assert state.active
            assert state.presence is PresenceState.ONLINE


@PURE
@given(pools())
def test_every_offer_and_hold_gives_a_reason_for_every_seat(pool: Pool):
    """In the queue's order; chosen are exactly those who are offered it."""
    result = distribute(pool, NOON)
    everything: list[Offer | Hold] = [*result.offers, *result.holds]
    for made in everything:
        assert [reason.operator_id for reason in made.reasons] == [seat.operator_id for seat in pool.lines[0].seats]
        assert tuple(reason.operator_id for reason in made.reasons if reason.why == "chosen") == tuple(
            sorted(getattr(made, "operators", ()), key=[seat.operator_id for seat in pool.lines[0].seats].index)
        )


@PURE
@given(pools(Distribution.STRICTLY))
def test_strictly_is_strict(pool: Pool):
    """Who stands before the chosen one was inactive, not there, full, or asked in this round."""
    for offer in distribute(pool, NOON).offers:
        before = offer.reasons[: [reason.why for reason in offer.reasons].index("chosen")]

        assert {reason.why for reason in before} <= {"inactive", "offline", "away", "full", "asked"}


@PURE
@given(pools())
def test_deciding_again_is_deciding_the_same(pool: Pool):
    """And from the part that was examined alone: a journal's row needs no more."""
    result = distribute(pool, NOON)
    read = msgspec.structs.replace(pool, waiting=pool.waiting[: result.examined])

    assert distribute(read, NOON) == result


@PURE
@given(people=st.integers(1, 5), sessions=st.integers(1, 30), turns=st.lists(st.integers(0, 3), min_size=5, max_size=5))
def test_evenly_differs_by_no_more_than_one(people: int, sessions: int, turns: list[int]):
    """Among seats that were fit all the time, nobody is ahead of anybody by more than one, wherever the turns stood."""
    seats = tuple(SeatState(OperatorId(f"o{n}"), turns[n]) for n in range(people))
    counts = dict.fromkeys((seat.operator_id for seat in seats), 0)
    for number in range(sessions):
        operators = tuple(OperatorState(seat.operator_id, True, PresenceState.ONLINE, 100, 0) for seat in seats)
        line = LineState(SHOP, 1, Distribution.EVENLY, 60, 3, seats)
        result = distribute(Pool((line,), operators, (Waiting(SessionId(f"s{number}"), SHOP, 25, NOON),)), NOON)
        (offer,) = result.offers
        counts[offer.operators[0]] += 1
        moved = {turn.operator_id: turn.turn for turn in result.turns}
        seats = tuple(SeatState(seat.operator_id, moved.get(seat.operator_id, seat.turn)) for seat in seats)

        assert max(counts.values()) - min(counts.values()) <= 1


def test_a_session_ends_only_in_states_the_engine_reaches():
    """The status of every session is one the table knows."""
    assert set(Status) - {Status.SNOOZED} == {Status.NEW, Status.QUEUED, Status.OFFERED, Status.ACTIVE, Status.CLOSED}
