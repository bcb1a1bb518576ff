"""What holds whatever happens: hypothesis plays a house on the shipped functions and looks after each step.

Each rule of `House` is a deed or the passing of time; each invariant is read from the tables, not from the engine.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from broker.domain import (
    ConversationId,
    Distribution,
    LineId,
    MessageId,
    OperatorId,
    Outside,
    PresenceState,
    Role,
    SessionId,
    Status,
    Vanished,
    Weights,
    from_us,
    rank_of,
    to_us,
)
from broker.events import Close, Decline, Event, Note, OperatorGone, Reply, Take
from broker.inbound import accept, enter, prepare, undecided
from broker.ports import Tx
from broker.timers import earliest, fire_due
from routing import clockwork, distributor, worker
from routing.applying import TIMER_OWNER, timer_fired
from routing.distribution import Hold, LineState, Offer, OperatorState, Pool, SeatState, Waiting, distribute
from routing.session import Session
from tests.support.audit import Seen, audit
from tests.support.channels import FakeChannel, wrote
from tests.support.clock import NOON, MovedClock
from tests.support.house import add_channel, add_line, add_operator, load_house, set_presence
from tests.support.store import MemoryStore, fewer

_STATE = msgspec.json.Decoder(Session)
CUSTOMERS = 5
PEOPLE = 3


def on_monday(*intervals: str) -> dict[str, Any]:
    """Return hours or shifts of the day of NOON."""
    return {"zone": "UTC", "week": {"mon": list(intervals)}}


HOURS = [None, on_monday("12:01-12:03", "12:04-13:00"), on_monday("09:00-12:02", "12:10-12:11", "12:12-24:00")]
SHIFTS = [None, None, on_monday("12:02-12:05", "12:06-18:00"), on_monday("08:00-12:03", "12:15-18:00")]
ONLINE = PresenceState.ONLINE


class Houses(RuleBasedStateMachine):
    """A house with two lines that share people, open and close; its customers, its operators with shifts and skills, its clock."""

    @initialize(
        rules=st.tuples(*[st.sampled_from(list(Distribution))] * 2),
        rounds=st.integers(1, 3),
        weights=st.tuples(*[st.sampled_from([25, 50, 100])] * 2),
        seats=st.lists(st.sampled_from([(0,), (1,), (0, 1)]), min_size=PEOPLE, max_size=PEOPLE),
        budgets=st.lists(st.sampled_from([50, 100]), min_size=PEOPLE, max_size=PEOPLE),
        hours=st.tuples(*[st.sampled_from(HOURS)] * 2),
        outside=st.sampled_from(list(Outside)),
        pace=st.sampled_from([0, 20, 20]),
        vanished=st.sampled_from(list(Vanished)),
        demands=st.sampled_from([(), ("billing",), ("billing",)]),
        skilled=st.sets(st.integers(0, PEOPLE - 1)),
        shifts=st.lists(st.sampled_from(SHIFTS), min_size=PEOPLE, max_size=PEOPLE),
        known=st.lists(st.integers(0, PEOPLE), min_size=CUSTOMERS, max_size=CUSTOMERS),
        crowd=st.booleans(),
    )
    def build(
        self,
        rules: Any,
        rounds: int,
        weights: Any,
        seats: Any,
        budgets: Any,
        hours: Any,
        outside: Outside,
        pace: int,
        vanished: Vanished,
        demands: tuple[str, ...],
        skilled: set[int],
        shifts: Any,
        known: list[int],
        crowd: bool,
    ) -> None:
        """Write the house, with a crowd at its door or without."""
        self.clock = MovedClock()
        self.store = MemoryStore(self.clock)

        def make(tx: Tx) -> None:
            self.lines = [
                add_line(
                    tx,
                    f"line{n}",
                    distribution=rules[n],
                    rounds=rounds,
                    offer_seconds=30,
                    weights=Weights(chat=weights[n]),
                    hours=hours[n],
                    outside=outside,
                    opening_pace_seconds=pace,
                    vanished=vanished,
                    responsible_seconds=45,
                    # Only one of them demands anything.
                    skills=demands if n else (),
                    skill_seconds=50,
                )
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
        for n, person in enumerate(self.people):
            shift, skills = shifts[n] and msgspec.json.encode(shifts[n]).decode(), '["billing"]' if n in skilled else "[]"
            self.store.change("UPDATE operators SET hours = ?, skills = ? WHERE id = ?", shift, skills, person)
        self.house = self.store.write(load_house)
        self.present = dict.fromkeys(self.people, ONLINE)
        self.responsible = [self.people[n] if n < PEOPLE else None for n in known]
        self.said = 0
        self.commands = 0
        self.store.write(lambda tx: clockwork.keep_time(tx, self.house))
        self.write(tuple(range(CUSTOMERS)) if crowd else ())

    # --- deeds

    @rule(customers=st.sampled_from([*((n,) for n in range(CUSTOMERS)), *[tuple(range(CUSTOMERS))] * 3]))
    def write(self, customers: tuple[int, ...]) -> None:
        """A customer writes, or everybody does."""
        for customer in customers:
            self.said += 1
            channel = self.channels[customer % 2]
            settings_ = self.house.directory.lines[channel.line_id].settings
            prepared = prepare(channel, [wrote(f"{self.said}", f"v{customer}", f"text {self.said}")], settings_)
            (accepted,) = self.store.write(lambda tx: accept(tx, channel.id, prepared))  # noqa: B023
            self.store.change(
                "UPDATE contacts SET responsible_id = ? WHERE id = (SELECT contact_id FROM conversations WHERE id = ?)",
                self.responsible[customer],
                accepted.conversation_id,
            )
        self.settle()

    @rule(which=st.integers(0, 9), deed=st.sampled_from([Take, Decline, Decline]))
    def respond(self, which: int, deed: Any) -> None:
        """Somebody takes or declines what they are offered."""
        rows = self.store.rows(
            "SELECT o.operator_id, s.conversation_id FROM offers o JOIN sessions s ON s.id = o.session_id "
            "WHERE o.state = 'open' ORDER BY o.id"
        )
        if rows:
            operator, conversation = rows[which % len(rows)]
            self.enter(OperatorId(operator), ConversationId(conversation), deed)

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
        self.enter(self.people[who], ConversationId(rows[which % len(rows)][0]), deed)

    def enter(self, operator: OperatorId, conversation: ConversationId, deed: Any) -> None:
        """Enter a deed and let it be decided."""
        self.commands += 1
        command = f"k{self.commands}"
        more = {"message_id": MessageId(f"m{self.commands}")} if deed in (Reply, Note) else {}

        def make(at: datetime) -> Event:
            event: Event = deed(at=at, operator_id=operator, command=command, **more)
            return event

        self.store.write(lambda tx: enter(tx, "console", command, conversation, make, b"words"))
        self.settle()

    @rule(who=st.integers(0, PEOPLE - 1), state=st.sampled_from([ONLINE, ONLINE, *PresenceState]))
    def go(self, who: int, state: PresenceState) -> None:
        """An operator goes away, with what they were offered, or comes back."""
        self.leave(who, state)
        self.settle()

    @rule(who=st.integers(0, PEOPLE - 1), removed=st.booleans())
    def vanish(self, who: int, removed: bool) -> None:
        """An operator's laptop closes, or they are switched off: what they held goes by the line's rule."""
        self.leave(who, PresenceState.OFFLINE if removed else PresenceState.AWAY, vanished=True, removed=removed)
        self.settle()

    def leave(self, who: int, state: PresenceState, **how: bool) -> None:
        """Write a presence, and enter for each conversation it concerns that the operator is gone."""
        operator = self.people[who]
        concerned = (
            "SELECT s.conversation_id FROM offers o JOIN sessions s ON s.id = o.session_id "
            "WHERE o.operator_id = ? AND o.state = 'open'"
        )
        if how:
            concerned += " UNION SELECT conversation_id FROM sessions WHERE operator_id = ? AND status <> 'closed'"
        gone = self.store.rows(concerned, *[operator] * (2 if how else 1)) if how or state is not ONLINE else []
        self.commands += 1

        def write(tx: Tx) -> None:
            set_presence(tx, operator, state, self.seats[who])
            for (conversation,) in gone:
                enter(
                    tx,
                    "presence",
                    f"g{self.commands}:{conversation}",
                    ConversationId(conversation),
                    lambda at: OperatorGone(at=at, operator_id=operator, **how),
                )

        self.store.write(write)
        self.present[operator] = state

    @rule(seconds=st.sampled_from([0.5, 5, 15, 29.999999, 30, 61, 180]))
    def wait(self, seconds: float) -> None:
        """Time passes; each deadline on the way is kept at its moment."""
        self.pass_until(self.clock.now() + timedelta(seconds=seconds))

    @rule(seconds=st.sampled_from([0, 1, 21]))
    def change(self, seconds: float) -> None:
        """Time passes until shortly after the next opening, closing, or change of shifts."""
        rows = self.store.rows("SELECT min(due_us) FROM timers WHERE name = 'hours'")
        if rows[0][0] is not None and from_us(rows[0][0]) < NOON + timedelta(hours=1):
            self.pass_until(from_us(rows[0][0]) + timedelta(seconds=seconds))

    def pass_until(self, until: datetime) -> None:
        """Keep each deadline until then."""
        while (due := self.store.write(earliest)) is not None and due <= until:
            self.clock.move(max(due - self.clock.now(), timedelta(0)))
            self.store.write(lambda tx: fire_due(tx, self.enters()))
            self.settle()
        self.clock.move(until - self.clock.now())

    def enters(self) -> dict[str, Any]:
        """Return what becomes of each kind of timer."""
        return {
            TIMER_OWNER: timer_fired,
            clockwork.LINE: lambda tx, owner, *_: clockwork.line_due(tx, owner, self.house),
            clockwork.SHIFT: lambda tx, owner, *_: clockwork.shift_due(tx, owner, self.house),
        }

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
        """A waiting session and a seat that could take it: only while something says why, and a timer until when.

        The line is closed, the opening's pace, the responsible, a skill, a round's gate, or the end of its rounds.
        """
        if not hasattr(self, "house"):
            return
        now = self.clock.now()
        timers = {(row[0], row[1]): from_us(row[2]) for row in self.store.rows("SELECT owner_id, name, due_us FROM timers")}
        lines = {row[0]: row[1:] for row in self.store.rows("SELECT line_id, open, paced_until_us FROM line_state")}
        there = self.there(now)
        for line, weight, body in self.store.rows("SELECT line_id, weight, state FROM sessions WHERE status = 'queued'"):
            state = _STATE.decode(body)
            fit = {who for who, (seats, free) in there.items() if line in seats and free >= weight}
            is_open, paced_until_us = lines[line]
            if not fit or not is_open:
                continue
            if paced_until_us is not None and paced_until_us > to_us(now):
                assert timers[line, clockwork.PACE] == from_us(paced_until_us)
                continue
            if state.held_until is not None:
                assert state.held_until > now, f"{fit} could take {state}"
                assert timers[state.conversation_id, "round"] == state.held_until
            if state.held_why == "responsible":
                assert state.held_until == state.responsible_until
                assert state.responsible_id in there
                assert state.responsible_id not in fit
                assert line in there[state.responsible_id][0]
                continue
            relaxed = state.needs_until is not None and state.needs_until <= now
            able = {who for who in fit if relaxed or set(state.needs) <= set(self.house.skills[who])}
            assert able <= set(state.asked), f"{able - set(state.asked)} could take {state} and were not asked"
            if able < fit:
                assert state.held_until is not None
                assert state.needs_until is not None
                assert state.held_until <= state.needs_until
            # Who could take it may have been given another's session a moment after this one was held: what was said then stands.
            said = {"rounds_over" if state.rounds_over else "round"} | (set() if able else {"skill"})
            assert state.held_why in said
            assert state.held_until is not None or (state.rounds_over and state.held_why == "rounds_over")

    def there(self, now: datetime) -> dict[OperatorId, tuple[list[LineId], int]]:
        """Return who is online and on shift: the lines they sit in, and what is left of their budget."""
        free = dict(self.store.rows("SELECT operator_id, budget - reserved FROM budgets"))
        return {
            who: (self.seats[number], free[who])
            for number, who in enumerate(self.people)
            if self.present[who] is ONLINE and self.house.openings.of_operator(who, now).open
        }

    @invariant()
    def lines_open_and_close_at_their_moment(self) -> None:
        """What everybody reads of a line is what its calendar says, the next change is a timer, and nothing is offered in between."""
        if not hasattr(self, "house"):
            return
        now = self.clock.now()
        for line, is_open, opens_us, due_us in self.store.rows(
            "SELECT l.line_id, l.open, l.opens_us, t.due_us FROM line_state l "
            "LEFT JOIN timers t ON t.owner_id = l.line_id AND t.name = 'hours'"
        ):
            calendar = self.house.openings.calendar(line)
            if calendar is None:
                assert (is_open, opens_us, due_us) == (1, None, None)
                continue
            opens, changes = calendar.next_opening(now), calendar.next_change(now)
            assert bool(is_open) is calendar.is_open(now)
            assert opens_us == (to_us(opens) if opens is not None and not is_open else None)
            assert due_us == (to_us(changes) if changes is not None else None)
            for (made_us,) in self.store.rows(
                "SELECT o.made_us FROM offers o JOIN sessions s ON s.id = o.session_id WHERE s.line_id = ?", line
            ):
                assert calendar.is_open(from_us(made_us))

    @invariant()
    def what_waits_has_its_rank_and_its_skips(self) -> None:
        """By age and priority; a skip is an offer declined or let pass, not one that went with its operator."""
        if not hasattr(self, "house"):
            return
        for status, rank, body, skips in self.store.rows(
            "SELECT status, rank, state, (SELECT count(*) FROM offers o WHERE o.session_id = s.id AND o.state IN ('declined', 'ran_out')) "
            "FROM sessions s"
        ):
            state = _STATE.decode(body)
            assert state.skips == skips
            if status == "queued":
                assert state.queued_at is not None
                assert rank == rank_of(state.queued_at, state.priority)

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
    max_examples=fewer(500), stateful_step_count=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
TestWhateverHappensInAHouse = pytest.mark.slow(Houses.TestCase)


def test_whatever_happens_is_tried_often_enough():
    """What is promised holds in 500 houses at least, and a failure is shrunk to the least that shows it."""
    assert Houses.TestCase.settings.max_examples >= fewer(500)
    assert Phase.shrink in Houses.TestCase.settings.phases


# --- distribution alone

SHOP = LineId("shop")
ids = st.sampled_from([OperatorId(name) for name in "abcdef"])


@st.composite
def pools(draw: st.DrawFn, how: Distribution | None = None) -> Pool:
    """Draw any pool of one line."""
    people = draw(st.lists(ids, unique=True, min_size=1, max_size=6))
    paced = st.sampled_from([None, NOON, NOON + timedelta(seconds=5), NOON + timedelta(seconds=9)])
    seats = tuple(SeatState(person, draw(st.integers(0, 9)), draw(paced)) for person in people)
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
            on_shift=draw(st.sampled_from([True, True, True, False])),
            skills=draw(st.sampled_from([(), ("skill:billing",)])),
        )
        for person in people
    )
    opened_at = draw(st.sampled_from([None, NOON, NOON]))
    sessions = []
    for number in range(draw(st.integers(0, 6))):
        round_no = draw(st.integers(0, 3))
        until = st.integers(-30, 60).map(lambda seconds: NOON + timedelta(seconds=seconds))
        responsible, needs = draw(st.sampled_from([None, None, *people])), draw(st.sampled_from([(), ("skill:billing",)]))
        sessions.append(
            Waiting(
                SessionId(f"s{number}"),
                SHOP,
                weight=draw(st.sampled_from([5, 25, 50])),
                queued_at=NOON - timedelta(seconds=draw(st.integers(0, 1))),
                round_no=round_no,
                round_began=NOON - timedelta(seconds=draw(st.integers(0, 90))) if round_no else None,
                asked=tuple(draw(st.lists(st.sampled_from(people), unique=True))) if round_no else (),
                rounds_over=round_no == 3 and draw(st.booleans()),
                over_changes=draw(st.integers(0, 2)),
                responsible_id=responsible,
                responsible_until=draw(until) if responsible else None,
                needs=needs,
                needs_until=draw(st.none() | until) if needs else None,
            )
        )
    sessions.sort(key=lambda session: session.queued_at)
    line = LineState(
        SHOP,
        1,
        rule_,
        offer_seconds=60,
        rounds=3,
        seats=seats,
        opened_at=opened_at,
        pace_seconds=20 if opened_at else 0,
        changes=draw(st.integers(0, 2)),
    )
    return Pool((line,), operators, tuple(sessions))


PURE = settings(max_examples=150, deadline=None, derandomize=True)


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
    """Who stands before the chosen one could not have it: only the responsible may stand further down."""
    for offer in distribute(pool, NOON).offers:
        before = offer.reasons[: [reason.why for reason in offer.reasons].index("chosen")]
        absent = {"inactive", "offline", "away", "off_shift", "full"}

        allowed = {"kept"} if offer.rule == "responsible" else {"unskilled", "asked", "paced"}
        assert {reason.why for reason in before} <= absent | allowed


@PURE
@given(pools())
def test_nothing_overtakes_what_is_paced(pool: Pool):
    """Once a session of the line waits for the pace, nothing behind it is offered or held."""
    result = distribute(pool, NOON)
    order = [session.id for session in pool.waiting]
    for pace in result.paces:
        assert pace.until > NOON
        placed: list[Offer | Hold] = [*result.offers, *result.holds]
        assert all(order.index(made.session_id) < order.index(pace.session_id) for made in placed)


@PURE
@given(pools())
def test_every_session_that_somebody_could_take_is_accounted_for(pool: Pool):
    """Offered, held, or behind the pace: nothing is passed over in silence."""
    result = distribute(pool, NOON)
    free = {
        state.id: state.budget - state.reserved
        for state in pool.operators
        if state.active and state.on_shift and state.presence is PresenceState.ONLINE
    }
    weights = {session.id: session.weight for session in pool.waiting}
    placed = {offer.session_id for offer in result.offers} | {hold.session_id for hold in result.holds}
    for offer in result.offers:
        for operator in offer.operators:
            free[operator] -= weights[offer.session_id]
    paced = [session.id for session in pool.waiting].index(result.paces[0].session_id) if result.paces else len(pool.waiting)

    for session in pool.waiting[:paced]:
        assert session.id in placed or all(left < session.weight for left in free.values())


@PURE
@given(pools())
def test_a_hold_is_said_once(pool: Pool):
    """It ends at some later moment or not by itself; and once it is said, deciding again is silent about it."""
    for session in pool.waiting:
        for hold in distribute(msgspec.structs.replace(pool, waiting=(session,)), NOON).holds:
            held = msgspec.structs.replace(
                session,
                held_until=hold.until,
                held_why=hold.why,
                rounds_over=hold.rounds_over,
                asked=() if hold.renewed else session.asked,
                round_no=0 if hold.renewed else session.round_no,
            )

            assert hold.until is None or hold.until > NOON
            assert distribute(Pool(pool.lines, pool.operators, (held,)), NOON).holds == ()


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
