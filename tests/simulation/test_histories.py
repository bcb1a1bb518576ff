"""20,000 histories of the pure core, at least 30 events each: every promise of routing, and for each promise what breaks it.

`OMNILINE_HISTORY=1234 pytest tests/simulation/test_histories.py -k promise` plays one history alone; `OMNILINE_HISTORIES=200000` widens
the search. In every second one the records of all decisions are decided again; every second one is played to its end.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    Distribution,
    LineId,
    LineSettings,
    OperatorId,
    SessionId,
    Status,
)
from broker.events import (
    CallEnded,
    Close,
    ContactMessage,
    CustomerNotReached,
    Held,
    OfferExpired,
    Reply,
    RingEnded,
    RoundDue,
    SilenceDue,
    Take,
    Transfer,
)
from routing.distribution import Pool, Result, Turn, distribute
from routing.engine import OFFER, PROMISED, ROUND, SILENCE, SNOOZE, decide
from routing.session import CancelTimer, Decision, Divert, EndOffers, Ignore, MarkPool, Release, Say, Session, SetTimer
from routing.view import OPEN, View
from tests.simulation.histories import EVENTS, Parts, World
from tests.support.clock import NOON

HISTORIES = int(os.environ.get("OMNILINE_HISTORIES", "20000"))
CHUNK = 500
ONE = os.environ.get("OMNILINE_HISTORY")
CHUNKS = [range(int(ONE), int(ONE) + 1)] if ONE else [range(at, min(at + CHUNK, HISTORIES)) for at in range(0, HISTORIES, CHUNK)]
MUTANT_SEEDS_MAX = 400
"""A mutant that survives this many histories is not caught."""


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"seeds-{seeds.start}")
def test_every_promise_is_kept_in_every_history(seeds: range, record_property: Callable[[str, object], None]):
    """Whatever is done in whatever order: nothing of tests.simulation.histories' list is found, and every decision replays."""
    events = replayed = 0
    for seed in seeds:
        world = World(seed).run()
        assert world.findings == [], f"OMNILINE_HISTORY={seed} plays it alone"
        assert world.played >= EVENTS
        assert world.replayed == len(world.journal)
        events += world.played
        replayed += world.replayed
    record_property("events", events)
    record_property("replayed", replayed)
    assert events >= len(seeds) * EVENTS
    assert ONE or replayed > events / 2


def test_there_are_as_many_as_were_promised():
    """20,000 of 30 events, 600,000 in all, none of them twice; fewer only when one is asked for by name."""
    seeds = [seed for chunk in CHUNKS for seed in chunk]

    assert len(seeds) == len(set(seeds))
    assert ONE or (len(seeds) >= 20_000 and EVENTS >= 30)


def test_the_same_seed_is_the_same_history():
    """A failure can be played again: two runs of a seed decide the same, to the byte."""
    first, second = (World(9).run() for _ in range(2))

    assert first.journal
    assert first.journal == second.journal


def test_histories_reach_what_they_are_meant_to_try():
    """Every verb, rule, hold and end of an offer, refusals, hours, jumps of the clock, changes of the house: a calm sea proves nothing."""
    met: set[str] = set()
    for seed in range(800):
        met |= World(seed).run().met

    assert met >= {
        *(
            "ContactMessage Rated Take Decline Reply Note Close Transfer Invite Join LeaveSession TakeOver Spam Start Snooze".split()
        ),
        *("OperatorGone OfferExpired RoundDue NoAnswerDue SnoozeEnded SilenceDue KpiDue ReopenEnded Offered Held".split()),
        *(f"rule {rule}" for rule in (*Distribution, "responsible")),
        *(f"held {why}" for why in "round rounds_over responsible skill nobody".split()),
        *(f"offer {how}" for how in "taken declined ran_out withdrawn gone".split()),
        *(f"outside {status}" for status in (Status.QUEUED, Status.ACTIVE, Status.CLOSED)),
        *(f"refused {code}" for code in "too_late full taken not_offered colleague_full colleague_away no_line banned".split()),
        *("RingAnswered RingEnded CallEnded CallRated VoicemailLeft".split()),
        *("Hold Resume Consult ConsultAnswered ConsultEnded HoldFailed TalkEnded TalkMoved ForwardEnded".split()),
        *("Listen ListenBegan ListenEnded CustomerReached CustomerNotReached CallReady KeyPressed Settle".split()),
        *("not reached", "called at the opening", "ignored nobody is wanted yet", "ignored nobody is on the line"),
        *(f"came back {status}" for status in (Status.OFFERED, Status.ACTIVE, Status.CLOSED)),
        *(
            f"refused {code}"
            for code in "nobody_talks not_a_call colleague_no_phone not_lifted one_at_a_time on_phone not_missed".split()
        ),
        *(f"ring {how}" for how in "taken declined ran_out busy unreachable gone withdrawn".split()),
        *(f"call {how}" for how in "ended missed lost voicemail forward hang_up".split()),
        *("refused by_phone", "refused no_phone"),
        *("paced", "went round", "banned", "went", "vanished", "removed", "seated", "changed with offers"),
        *("jumped forward", "jumped back", "took at the last moment"),
    }


# --- what the histories have found, and is repaired


def test_a_moment_that_comes_again_is_timed_again():
    """After the clock was set back a hold until the same moment is said anew; it was silent, and nobody looked when it was over."""
    held = waiting(held_until=NOON, held_why="round")

    due, _ = decide(held, RoundDue(NOON), View(LineSettings()), NOON)

    assert due == replace(held, held_until=None, held_why="")


def test_a_demand_ends_also_for_what_has_never_waited():
    """Closed outside the hours, reopened by an operator's writing, passed on and not taken: it is anybody's after the line's time."""
    passed = waiting(
        status=Status.OFFERED,
        needs=("skill:billing",),
        offered_to=(OperatorId("bob"),),
        offered_until=NOON,
        offer_no=1,
        passed_by=OperatorId("ann"),
        passed=True,
    )

    queued, _ = decide(passed, OfferExpired(NOON, 1), View(LineSettings(skill_seconds=50), hours=OPEN), NOON)

    assert queued is not None
    assert (queued.status, queued.needs_until) == (Status.QUEUED, NOON + timedelta(seconds=50))


def waiting(**state: Any) -> Session:
    """Return a session that waits since noon."""
    return replace(
        Session(
            id=SessionId("s1"),
            conversation_id=ConversationId("c1"),
            line_id=LineId("shop"),
            channel_id=ChannelId("page"),
            contact_id=ContactId("eve"),
            opened_at=NOON,
            status=Status.QUEUED,
            weight=25,
            queued_at=NOON,
        ),
        **state,
    )


# --- planted faults: each takes one promise's reason away, and the histories must see it


def caught(promise: str, parts: Parts) -> bool:
    """Return whether one of the first histories of *parts* finds *promise* broken."""
    return any(found.startswith(f"{promise} ") for seed in range(MUTANT_SEEDS_MAX) for found in World(seed, parts).run().findings)


Outcome = tuple[Session | None, tuple[Decision, ...]]


def told(changed: Callable[[Decision], Decision]) -> Parts:
    """Return an engine whose every decision is put through *changed*."""

    def mutant(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        return after, tuple(changed(decision) for decision in decisions)

    return Parts(decide=mutant)


def seen(changed: Callable[[Pool], Pool]) -> Parts:
    """Return a distribution that is shown a pool put through *changed*."""
    return Parts(distribute=lambda pool, now: distribute(changed(pool), now))


def forgetting(what: Callable[[Any], bool]) -> Parts:
    """Return a house that does not do *what* it was told."""
    return Parts(forgets=what)


def test_offers_that_are_not_withdrawn_are_a_second_owner():
    """All at once: who takes it has it alone, and the others' offers end."""
    assert caught("OWNER", forgetting(lambda made: isinstance(made, EndOffers) and made.how == "withdrawn"))


def test_what_is_taken_twice_has_two_owners():
    """A session that somebody has cannot be taken as from the list."""

    def mutant(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        if session is not None and session.status is Status.ACTIVE and isinstance(event, Take):
            return replace(session, operator_id=event.operator_id), ()
        return decide(session, event, view, now)

    assert caught("OWNER", Parts(decide=mutant))


def test_a_distribution_blind_to_what_is_reserved_exceeds_a_budget():
    """What is offered at once is counted against what is held already."""

    def blind(pool: Pool) -> Pool:
        return replace(pool, operators=tuple(replace(operator, reserved=0) for operator in pool.operators))

    assert caught("BUDGET", seen(blind))


def test_a_distribution_blind_to_who_talks_rings_a_phone_twice():
    """An operator has one phone."""
    assert caught("TWICE", seen(lambda pool: replace(pool, operators=tuple(replace(one, calls=0) for one in pool.operators))))


def test_a_distribution_that_believes_in_phones_rings_where_there_is_none():
    """Who takes no calls is not to be offered any."""
    assert caught("TWICE", seen(lambda pool: replace(pool, operators=tuple(replace(one, phone=True) for one in pool.operators))))


def test_a_call_that_is_not_sent_elsewhere_rings_nowhere():
    """Its line has closed, and nobody does what the line says."""

    def deaf(session: Any, event: Any, view: View, now: datetime) -> tuple[Session | None, tuple[Decision, ...]]:
        after, decisions = decide(session, event, view, now)
        if isinstance(event, Held) and any(isinstance(one, Divert) for one in decisions):
            return session, ()
        return after, decisions

    assert caught("LOST", Parts(decide=deaf))


def test_a_colleague_who_was_asked_has_their_room_again():
    """Whatever becomes of the talk about which they were asked."""

    def mean(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        asked = session.consulted if session is not None else None
        kept = tuple(one for one in decisions if asked is None or not (isinstance(one, Release) and one.operator_id == asked))
        return after, kept

    assert caught("OWNER", Parts(decide=mean))


def test_a_talk_that_is_over_is_not_on_hold():
    """Nobody is asked about it, and nobody listens."""

    def stuck(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        if session is not None and after is not None and session.listeners:
            return replace(after, listeners=session.listeners), decisions
        return after, decisions

    assert caught("OWNER", Parts(decide=stuck))


@pytest.mark.parametrize("status", [Status.ACTIVE, Status.OFFERED, Status.CLOSED])
def test_a_caller_who_comes_back_is_not_anybodys(status: Status):
    """Put down while on hold, not taken by a colleague, not answered outside: whoever spoke with them is rung first."""

    def forgetful(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        if session is not None and after is not None and session.status is status and after.status is Status.QUEUED:
            return replace(after, responsible_id=None, responsible_until=None), decisions
        return after, decisions

    assert caught("RECALL", Parts(decide=forgetful))


def test_a_caller_whom_a_phone_has_let_go_is_not_left_there():
    """What cannot be passed on waits again."""

    def stubborn(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        by_phone = isinstance(event, Transfer) and event.by_phone
        return decide(session, replace(event, by_phone=False) if by_phone else event, view, now)

    assert caught("RECALL", Parts(decide=stubborn))


def test_who_was_promised_a_call_is_not_called_before():
    """Nor is a phone rung while a caller hears the greeting."""

    def hasty(pool: Pool, now: datetime) -> Result:
        free = tuple(replace(one, held_why="", held_until=None) for one in pool.waiting)
        return distribute(replace(pool, waiting=free), now)

    assert caught("EARLY", Parts(distribute=hasty))


def test_a_call_that_somebody_wants_to_make_alone_is_not_given_away():
    """It is theirs, or nobody's."""

    def generous(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        if isinstance(event, RingEnded) and session is not None and session.mine_only and after is not None:
            plain, decisions = decide(replace(session, mine_only=False), event, view, now)
            return replace(plain, mine_only=True) if plain is not None else None, decisions
        return after, decisions

    assert caught("EARLY", Parts(decide=generous))


def test_a_call_that_was_wanted_early_keeps_its_time():
    """Whoever wanted to make it before did not, or it was passed on: others are asked at the time that was promised."""

    def impatient(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        if isinstance(event, RingEnded | OfferExpired) and after is not None and after.held_why == PROMISED:
            return replace(after, held_until=None, held_why=""), decisions
        return after, decisions

    assert caught("EARLY", Parts(decide=impatient))


@pytest.mark.parametrize(
    ("event", "as_if"), [(CallEnded, {"outgoing": False}), (CustomerNotReached, {"mine_only": True})], ids=["ended", "tried"]
)
def test_a_customer_who_was_not_reached_is_not_forgotten(event: type[Any], as_if: dict[str, bool]):
    """They are called as often as the line says, whatever the telephone tells."""

    def careless(session: Any, told: Any, view: View, now: datetime) -> Outcome:
        if not isinstance(told, event) or session is None or not session.outgoing:
            return decide(session, told, view, now)
        after, decisions = decide(replace(session, **as_if), told, view, now)
        return replace(after, outgoing=True, mine_only=session.mine_only) if after is not None else None, decisions

    assert caught("FORGOTTEN", Parts(decide=careless))


def test_a_queue_served_from_its_end_is_no_queue():
    """Inside a priority the oldest is first."""
    assert caught("FIFO", Parts(place=lambda queued_at, priority: -int(queued_at.timestamp() * 1_000_000)))


def test_a_priority_without_a_bound_lets_others_wait_for_ever():
    """A point of priority is worth ten minutes, and no more."""
    absolute = 10**18

    assert caught("OVERTAKEN", Parts(place=lambda at, priority: int(at.timestamp() * 1_000_000) - priority * absolute))


def test_a_freed_seat_that_marks_no_pool_stands_idle():
    """Whatever frees a seat distributes at once."""
    assert caught("IDLE", forgetting(lambda made: isinstance(made, MarkPool) and made.seats))


def test_a_hold_without_a_timer_is_a_hold_without_an_end():
    """Who is kept back is offered again at the moment that was said."""
    assert caught("IDLE", forgetting(lambda made: isinstance(made, SetTimer) and made.name == ROUND))


def test_a_pace_that_ready_seats_must_keep_too_holds_them_back():
    """Only a seat that was given one of those who waited for the opening is paced."""

    def slow(pool: Pool, now: datetime) -> Result:
        later = now + timedelta(seconds=20)
        lines = (replace(line, seats=tuple(replace(seat, paced_until=later) for seat in line.seats)) for line in pool.lines)
        return distribute(replace(pool, lines=tuple(lines)), now)

    assert caught("IDLE", Parts(distribute=slow))


def test_strictly_from_the_end_is_not_strict():
    """Always from the head of the list."""

    def backwards(pool: Pool) -> Pool:
        lines = tuple(
            replace(line, seats=line.seats[::-1]) if line.distribution is Distribution.STRICTLY else line for line in pool.lines
        )
        return replace(pool, lines=lines)

    assert caught("STRICT", seen(backwards))


def test_all_at_once_is_all():
    """Nobody who could have it is left out."""

    def fewer(pool: Pool, now: datetime) -> Result:
        result = distribute(pool, now)
        offers = (
            replace(offer, operators=offer.operators[:1]) if offer.rule == Distribution.ALL_AT_ONCE.value else offer
            for offer in result.offers
        )
        return replace(result, offers=tuple(offers))

    assert caught("STRICT", Parts(distribute=fewer))


def test_least_loaded_is_not_most_loaded():
    """The smallest share of a budget has the session."""

    def upside_down(pool: Pool) -> Pool:
        most = max(operator.reserved for operator in pool.operators)
        operators = (
            replace(operator, reserved=most - operator.reserved, budget=operator.budget + most - 2 * operator.reserved)
            for operator in pool.operators
        )
        return replace(pool, operators=tuple(operators))

    assert caught("STRICT", seen(upside_down))


def test_a_turn_that_is_not_kept_is_uneven():
    """Who was offered one goes to the end of the turn."""
    assert caught("UNEVEN", Parts(distribute=lambda pool, now: replace(distribute(pool, now), turns=())))


def test_an_own_customer_that_counts_as_a_turn_is_uneven():
    """What a responsible is offered first neither counts nor moves the turn."""

    def moved(pool: Pool, now: datetime) -> Result:
        result = distribute(pool, now)
        line_of = {session.id: session.line_id for session in pool.waiting}
        own = (offer for offer in result.offers if offer.rule == "responsible")
        moved = (Turn(line_of[offer.session_id], offer.operators[0], 10**6 + number) for number, offer in zip(count(), own))
        return replace(result, turns=(*result.turns, *moved))

    assert caught("UNEVEN", Parts(distribute=moved))


@pytest.mark.parametrize("seconds", [-1, 1], ids=["early", "late"])
def test_an_offer_ends_neither_early_nor_late(seconds: int):
    """At its deadline, to the microsecond."""

    def moved(made: Decision) -> Decision:
        if isinstance(made, SetTimer) and made.name == OFFER:
            return replace(made, due=made.due + timedelta(seconds=seconds))
        return made

    assert caught("DEADLINE", told(moved))


def test_a_take_after_the_deadline_is_seen():
    """The clock has jumped over the deadline: a take that comes before the timer has looked is late all the same."""

    def lenient(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        if isinstance(event, Take) and session is not None and session.offered_until is not None:
            event = replace(event, at=min(event.at, session.offered_until))
        return decide(session, event, view, now)

    assert caught("DEADLINE", Parts(decide=lenient))


def test_a_line_that_does_not_listen_outside_its_hours_loses_words():
    """What was written then waits, is answered by the line itself, or is somebody's already."""

    def deaf(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        if isinstance(event, ContactMessage) and view._hours is not None and not view._hours.open:
            return session, (Ignore("we are closed"),)
        return decide(session, event, view, now)

    assert caught("LOST", Parts(decide=deaf))


def test_whoever_waits_when_the_line_closes_is_told_when_it_opens():
    """Also who comes back to its queue while it is closed."""

    def silent(made: Decision) -> bool:
        return isinstance(made, Say) and made.reply == "outside"

    def blind(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        return (session, ()) if isinstance(event, Held) and event.why == "hours" else decide(session, event, view, now)

    assert caught("TOLD", forgetting(silent))
    assert caught("TOLD", Parts(decide=blind))


def test_silence_that_closes_over_a_customers_words_loses_them():
    """Only what was answered closes by itself."""

    def hasty(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        if isinstance(event, SilenceDue) and session is not None and session.operator_id is not None:
            event = Close(event.at, session.operator_id, "by itself")
        return decide(session, event, view, now)

    def goes_on(made: Decision) -> bool:
        return isinstance(made, CancelTimer) and made.name == SILENCE

    assert caught("LOST", Parts(decide=hasty, forgets=goes_on))


def test_a_snoozed_session_that_never_wakes_is_stuck():
    """What was put by comes back."""
    assert caught("STUCK", forgetting(lambda made: isinstance(made, SetTimer) and made.name == SNOOZE))


def test_an_engine_that_remembers_cannot_be_replayed():
    """A decision depends on nothing but what its record holds."""
    said = count()

    def moody(session: Any, event: Any, view: View, now: datetime) -> Outcome:
        after, decisions = decide(session, event, view, now)
        if isinstance(event, Reply) and after is not None:
            after = replace(after, skips=after.skips + next(said) % 2)
        return after, decisions

    assert caught("REPLAY", Parts(decide=moody))


def test_a_distribution_that_remembers_cannot_be_replayed():
    """Nor does a choice of seats."""
    said = count()

    def moody(pool: Pool, now: datetime) -> Result:
        result = distribute(pool, now)
        return replace(result, offers=tuple(replace(offer, reasons=offer.reasons[next(said) % 2 :]) for offer in result.offers))

    assert caught("REPLAY", Parts(distribute=moody))
