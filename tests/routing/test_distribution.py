"""Who is offered what: the line's rule, the responsible, skills, pace, rounds, reasons, priority, age and budgets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from msgspec.structs import replace

from broker.domain import AGE_SECONDS, Distribution, LineId, OperatorId, PresenceState, SessionId, rank_of
from routing.distribution import (
    Hold,
    LineState,
    Offer,
    OperatorState,
    Pace,
    Pool,
    Reason,
    Result,
    SeatState,
    Turn,
    Waiting,
    distribute,
)
from tests.support.clock import MINUTE, NOON, SECOND

SHOP, DESK = LineId("shop"), LineId("desk")
ANN, BOB, CAT = OperatorId("ann"), OperatorId("bob"), OperatorId("cat")
EVENLY, STRICTLY, ALL, LEAST = Distribution.EVENLY, Distribution.STRICTLY, Distribution.ALL_AT_ONCE, Distribution.LEAST_LOADED
BILLING = "skill:billing"
OPENED = NOON - SECOND
"""When a line that paces began its hours."""


def line(*people: OperatorId, how: Distribution = STRICTLY, id_: LineId = SHOP, rounds: int = 3, **turns: int) -> LineState:
    seats = tuple(SeatState(person, turns.get(person, 0)) for person in people)
    return LineState(id_, version=1, distribution=how, offer_seconds=60, rounds=rounds, seats=seats)


def operator(id_: OperatorId, **changes: Any) -> OperatorState:
    return replace(OperatorState(id_, active=True, presence=PresenceState.ONLINE, budget=100, reserved=0), **changes)


def waiting(id_: str = "s1", at: datetime = NOON, **changes: Any) -> Waiting:
    return replace(Waiting(SessionId(id_), SHOP, weight=25, queued_at=at), **changes)


def given(lines: LineState | tuple[LineState, ...], *sessions: Waiting, changed: bool = False, **people: OperatorState) -> Result:
    """Distribute at noon among *lines*; operators who are not given are online and free."""
    lines = (lines,) if isinstance(lines, LineState) else lines
    seated = dict.fromkeys(seat.operator_id for each in lines for seat in each.seats)
    states = tuple(people.get(person, operator(person)) for person in seated)
    return distribute(Pool(tuple(replace(one, changes=int(changed)) for one in lines), states, sessions), NOON)


def offered(result: Result) -> dict[str, tuple[str, ...]]:
    """Return who was offered what."""
    return {offer.session_id: offer.operators for offer in result.offers}


def why(made: Offer | Hold) -> dict[str, str]:
    """Return the reason for each seat."""
    return {reason.operator_id: reason.why for reason in made.reasons}


def again(session: Waiting, hold: Hold) -> Waiting:
    """Return the session as it stands after its hold."""
    return replace(session, held_until=hold.until, held_why=hold.why, rounds_over=hold.rounds_over)


# --- the line's rule


def test_strictly_is_the_head_of_the_queue():
    """Always from the head, whoever had the last one."""
    assert offered(given(line(ANN, BOB, ann=9), waiting("s1"), waiting("s2"))) == {"s1": (ANN,), "s2": (ANN,)}


def test_strictly_goes_on_only_when_the_one_before_cannot_or_would_not():
    """The next one when the head has been asked, is full, or is away."""
    shop = line(ANN, BOB)

    assert offered(given(shop, waiting(asked=(ANN,), round_no=1, round_began=NOON))) == {"s1": (BOB,)}
    assert offered(given(shop, waiting(), ann=operator(ANN, reserved=80))) == {"s1": (BOB,)}
    assert offered(given(shop, waiting(), ann=operator(ANN, presence=PresenceState.AWAY))) == {"s1": (BOB,)}


def test_evenly_is_who_has_waited_longest():
    """The seat whose turn is longest ago; a seat that never had one goes first, in the queue's order."""
    assert offered(given(line(ANN, BOB, CAT, how=EVENLY, ann=3, bob=1, cat=2), waiting())) == {"s1": (BOB,)}
    assert offered(given(line(ANN, BOB, CAT, how=EVENLY, ann=3), waiting())) == {"s1": (BOB,)}


def test_evenly_goes_round_within_one_distribution():
    """Three sessions at once are three seats' turns, and the turns are kept for the next time."""
    result = given(line(ANN, BOB, CAT, how=EVENLY), *(waiting(f"s{n}") for n in range(4)))

    assert offered(result) == {"s0": (ANN,), "s1": (BOB,), "s2": (CAT,), "s3": (ANN,)}
    assert set(result.turns) == {Turn(SHOP, ANN, 4), Turn(SHOP, BOB, 2), Turn(SHOP, CAT, 3)}


def test_all_at_once_is_everybody_fit():
    """Each fit seat is offered it; the others are passed over."""
    result = given(line(ANN, BOB, CAT, how=ALL), waiting(), bob=operator(BOB, reserved=100))

    assert offered(result) == {"s1": (ANN, CAT)}


def test_all_at_once_reserves_everywhere():
    """What is offered to everybody is free for nobody else: the next session finds who is left."""
    result = given(line(ANN, BOB, how=ALL), waiting("s1", weight=60), waiting("s2", weight=60))

    assert offered(result) == {"s1": (ANN, BOB)}


def test_an_offer_stands_for_one_time_to_answer():
    """The deadline is the line's seconds from now."""
    (offer,) = given(line(ANN), waiting()).offers

    assert offer.until == NOON + MINUTE


@pytest.mark.parametrize("how", Distribution)
def test_an_offer_names_the_rule_that_chose(how: Distribution):
    """Whoever asks why reads the line's rule beside the seats' reasons."""
    assert given(line(ANN, how=how), waiting()).offers[0].rule == how.value


# --- kept back until its time


@pytest.mark.parametrize("why", ["promised", "greeting"])
@pytest.mark.parametrize("responsible", [None, ANN])
def test_what_is_kept_back_is_nobodys_before_its_time(why: str, responsible: OperatorId | None):
    """Whoever is free, their own operator too; nothing is said of it, and what stands behind it is not kept back."""
    kept = waiting("s1", held_until=NOON + SECOND, held_why=why, call=True, responsible_id=responsible)
    kept = replace(kept, responsible_until=NOON + MINUTE if responsible else None)
    result = given(line(ANN, BOB), kept, waiting("s2"))

    assert (offered(result), result.holds, result.examined) == ({"s2": (ANN,)}, (), 2)
    assert offered(given(line(ANN, BOB), replace(kept, held_until=NOON))) == {"s1": (ANN,)}


@pytest.mark.parametrize("why", ["round", "responsible", "skill"])
def test_what_is_held_otherwise_is_looked_at_again(why: str):
    """Somebody has come since."""
    assert offered(given(line(ANN), waiting(held_until=NOON + SECOND, held_why=why))) == {"s1": (ANN,)}


# --- least loaded


def test_least_loaded_is_the_smallest_share_of_a_budget():
    """A quarter of a large budget is less than half of a small one, though it weighs more."""
    states = {"ann": operator(ANN, budget=50, reserved=25), "bob": operator(BOB, budget=200, reserved=50)}

    assert offered(given(line(ANN, BOB, how=LEAST), waiting(), changed=False, **states)) == {"s1": (BOB,)}


def test_among_the_equally_loaded_it_is_the_turn_then_the_queue():
    """Who was distributed to longest ago; among those who never were, the first of the queue."""
    assert offered(given(line(ANN, BOB, CAT, how=LEAST, ann=3, bob=2, cat=1), waiting())) == {"s1": (CAT,)}
    assert offered(given(line(ANN, BOB, CAT, how=LEAST, ann=3), waiting())) == {"s1": (BOB,)}


def test_load_grows_within_one_distribution():
    """Each offer counts at once, so that three sessions fill up the one who had least before the next is asked."""
    states = {"ann": operator(ANN, reserved=50), "bob": operator(BOB)}
    result = given(line(ANN, BOB, how=LEAST), *(waiting(f"s{n}") for n in range(3)), changed=False, **states)

    # Before the third both stand at a half; Bob has had his turns meanwhile.
    assert offered(result) == {"s0": (BOB,), "s1": (BOB,), "s2": (ANN,)}


def test_a_budget_of_nothing_is_fully_loaded():
    """Who may hold nothing comes last where sessions weigh nothing."""
    states = {"ann": operator(ANN, budget=0), "bob": operator(BOB, reserved=75)}

    assert offered(given(line(ANN, BOB, how=LEAST), waiting(weight=0), changed=False, **states)) == {"s1": (BOB,)}


# --- the responsible first


def known(who: OperatorId = BOB, **changes: Any) -> Waiting:
    """Return a session of a customer whom *who* knows, which may wait a minute for them."""
    return replace(waiting(responsible_id=who, responsible_until=NOON + MINUTE), **changes)


@pytest.mark.parametrize("how", Distribution)
def test_the_responsible_is_asked_first_whatever_the_rule(how: Distribution):
    """Alone, and the others' reason says that it is kept for them."""
    (offer,) = given(line(ANN, BOB, CAT, how=how), known()).offers

    assert (offer.operators, offer.rule, why(offer)) == ((BOB,), "responsible", {ANN: "kept", BOB: "chosen", CAT: "kept"})


def test_an_own_customer_does_not_move_the_turn():
    """Neither counted nor carried forward: the next stranger goes to whose turn it was."""
    result = given(line(ANN, BOB, how=EVENLY, ann=1), known(BOB, id=SessionId("own")), waiting("other"))

    assert offered(result) == {"own": (BOB,), "other": (BOB,)}
    assert result.turns == (Turn(SHOP, BOB, 2),)


def test_a_full_responsible_is_waited_for():
    """They are there and have no room: kept until the session's moment, which is said once."""
    session, full = known(), operator(BOB, reserved=100)
    (hold,) = given(line(ANN, BOB), session, bob=full).holds

    assert (hold.until, hold.why, why(hold)) == (NOON + MINUTE, "responsible", {ANN: "kept", BOB: "full"})
    assert given(line(ANN, BOB), again(session, hold), bob=full) == Result((), (), (), (), 1)


def test_what_is_kept_for_the_responsible_does_not_hold_back_others():
    """The free seat takes the next session of the line."""
    result = given(line(ANN, BOB), known(), waiting("next"), bob=operator(BOB, reserved=100))

    assert offered(result) == {"next": (ANN,)}


def test_when_the_wait_is_over_it_is_everybodys():
    """To the microsecond, whether the responsible has room by then or not."""
    session = known(responsible_until=NOON)
    full = operator(BOB, reserved=100)

    assert offered(given(line(ANN, BOB), session, bob=full)) == {"s1": (ANN,)}
    assert offered(given(line(ANN, BOB), session)) == {"s1": (ANN,)}
    assert given(line(ANN, BOB), replace(session, responsible_until=NOON + timedelta(microseconds=1)), bob=full).offers == ()


def test_a_responsible_who_would_not_is_not_asked_again():
    """Declined or let pass: in the same round it is everybody else's."""
    session = known(round_no=1, round_began=NOON, asked=(BOB,))

    assert offered(given(line(ANN, BOB), session)) == {"s1": (ANN,)}


@pytest.mark.parametrize(
    "state",
    [
        operator(BOB, presence=PresenceState.OFFLINE),
        operator(BOB, presence=PresenceState.AWAY),
        operator(BOB, on_shift=False),
        operator(BOB, active=False),
    ],
    ids=["offline", "away", "off shift", "inactive"],
)
def test_nobody_waits_for_a_responsible_who_is_not_there(state: OperatorState):
    """It is everybody's at once."""
    assert offered(given(line(ANN, BOB), known(), bob=state)) == {"s1": (ANN,)}


def test_nobody_waits_for_a_responsible_without_a_seat():
    """They work in another line of the pool, full as they are, or in none at all."""
    lines = (line(ANN, id_=SHOP), line(ANN, BOB, id_=DESK))

    assert offered(given(lines, known(), bob=operator(BOB, reserved=100))) == {"s1": (ANN,)}
    assert offered(given(line(ANN), known(CAT))) == {"s1": (ANN,)}


def test_the_responsible_needs_no_skill():
    """They know the customer: what the line demands of strangers is not asked of them."""
    assert offered(given(line(ANN, BOB), known(needs=(BILLING,), needs_until=NOON + MINUTE))) == {"s1": (BOB,)}


# --- skills


def test_only_who_has_all_it_needs_is_asked():
    """One of two is not enough; the reason says so."""
    session = waiting(needs=("language:ru", BILLING), needs_until=NOON + MINUTE)
    states = {"ann": operator(ANN, skills=("language:ru",)), "bob": operator(BOB, skills=(BILLING, "language:ru", "skill:x"))}
    (offer,) = given(line(ANN, BOB), session, changed=False, **states).offers

    assert (offer.operators, why(offer)) == ((BOB,), {ANN: "unskilled", BOB: "chosen"})


def test_nobody_able_holds_it_until_the_demand_relaxes():
    """Somebody is free and may not have it yet: said once, with the moment."""
    session = waiting(needs=(BILLING,), needs_until=NOON + MINUTE)
    (hold,) = given(line(ANN, BOB), session, bob=operator(BOB, skills=(BILLING,), reserved=100)).holds

    assert (hold.until, hold.why, why(hold)) == (NOON + MINUTE, "skill", {ANN: "unskilled", BOB: "full"})
    assert given(line(ANN), again(session, hold)) == Result((), (), (), (), 1)


def test_a_demand_that_never_relaxes_is_held_without_an_end():
    """Until the pool changes."""
    (hold,) = given(line(ANN), waiting(needs=(BILLING,))).holds

    assert (hold.until, hold.why) == (None, "skill")


def test_when_the_demand_has_relaxed_anybody_is_asked():
    """To the microsecond; and nobody is called unskilled any more."""
    session = waiting(needs=(BILLING,), needs_until=NOON)
    (offer,) = given(line(ANN, BOB), session, bob=operator(BOB, skills=(BILLING,))).offers

    assert (offer.operators, why(offer)) == ((ANN,), {ANN: "chosen", BOB: "later"})
    assert given(line(ANN), replace(session, needs_until=NOON + timedelta(microseconds=1))).offers == ()


def test_without_anybody_there_a_demand_is_no_hold():
    """Nobody is kept from it."""
    session = waiting(needs=(BILLING,), needs_until=NOON + MINUTE)

    assert given(line(ANN), session, ann=operator(ANN, presence=PresenceState.AWAY)) == Result((), (), (), (), 0)


@pytest.mark.parametrize(("relaxes", "until"), [(30, 30), (50, 40)])
def test_the_earlier_of_the_rounds_gate_and_the_relaxing_counts(relaxes: int, until: int):
    """The able were asked: at the gate they may be asked again, at the relaxing somebody else."""
    session = waiting(
        needs=(BILLING,), needs_until=NOON + relaxes * SECOND, round_no=1, asked=(BOB,), round_began=NOON - 20 * SECOND
    )
    (hold,) = given(line(ANN, BOB), session, bob=operator(BOB, skills=(BILLING,))).holds

    assert (hold.until, hold.why, why(hold)) == (NOON + until * SECOND, "round", {ANN: "unskilled", BOB: "asked"})


def test_a_gate_that_only_the_able_wait_for_is_not_moved_by_the_demand():
    """Everybody who is fit has the skill: there is nobody whom the relaxing would let in."""
    session = waiting(needs=(BILLING,), needs_until=NOON + SECOND, round_no=1, asked=(BOB,), round_began=NOON)

    assert given(line(BOB), session, bob=operator(BOB, skills=(BILLING,))).holds[0].until == NOON + MINUTE


def test_after_the_last_round_of_the_able_the_relaxing_is_waited_for():
    """Their rounds are over, and the others' chance comes: held until then, and then offered to who was not asked."""
    session = waiting(needs=(BILLING,), needs_until=NOON + MINUTE, round_no=3, asked=(BOB,), round_began=NOON - MINUTE)
    bob = operator(BOB, skills=(BILLING,))
    (hold,) = given(line(ANN, BOB), session, bob=bob).holds

    assert (hold.until, hold.why, hold.rounds_over) == (NOON + MINUTE, "rounds_over", True)
    assert offered(given(line(ANN, BOB), replace(again(session, hold), needs_until=NOON), bob=bob)) == {"s1": (ANN,)}


def test_a_fresh_round_asks_only_the_able():
    """The demand holds from round to round."""
    session = waiting(needs=(BILLING,), needs_until=NOON + MINUTE, round_no=1, asked=(BOB,), round_began=NOON - MINUTE)
    (offer,) = given(line(ANN, BOB), session, bob=operator(BOB, skills=(BILLING,))).offers

    assert (offer.operators, offer.fresh_round) == ((BOB,), True)


# --- the opening's pace


def opened(*people: OperatorId, how: Distribution = EVENLY, id_: LineId = SHOP, pace: int = 20, **until: datetime) -> LineState:
    """Return a line that opened a second ago; *until*: whose pace lasts until when."""
    seats = tuple(SeatState(person, 0, until.get(person)) for person in people)
    return LineState(id_, 1, how, offer_seconds=60, rounds=3, seats=seats, opened_at=OPENED, pace_seconds=pace)


def overnight(id_: str = "s1", **changes: Any) -> Waiting:
    """Return a session that has waited since before the opening."""
    return replace(waiting(id_, OPENED - MINUTE), **changes)


def test_what_has_waited_for_the_opening_is_paced():
    """One a seat at once; the next a pace later, and the line is told when."""
    result = given(opened(ANN, BOB), *(overnight(f"s{n}") for n in range(4)))
    next_at = NOON + 20 * SECOND

    assert offered(result) == {"s0": (ANN,), "s1": (BOB,)}
    assert result.paces == (Pace(SHOP, SessionId("s2"), next_at),)
    assert result.turns == (Turn(SHOP, ANN, 1, next_at), Turn(SHOP, BOB, 2, next_at))
    assert (result.holds, result.examined) == ((), 4)


def test_the_pace_is_over_at_its_moment():
    """To the microsecond."""
    assert offered(given(opened(ANN, ann=NOON), overnight())) == {"s1": (ANN,)}
    (pace,) = given(opened(ANN, ann=NOON + timedelta(microseconds=1)), overnight()).paces
    assert pace.until == NOON + timedelta(microseconds=1)


def test_the_line_waits_for_the_first_seat_that_may_again():
    """Of the seats that could take it, the one whose pace ends first."""
    lines = opened(ANN, BOB, CAT, ann=NOON + 9 * SECOND, bob=NOON + 7 * SECOND, cat=NOON + 5 * SECOND)

    assert given(lines, overnight(), cat=operator(CAT, reserved=100)).paces[0].until == NOON + 7 * SECOND


def test_a_paced_seat_is_passed_over_for_a_ready_one():
    """The reason says that it is paced."""
    (offer,) = given(opened(ANN, BOB, how=STRICTLY, ann=NOON + SECOND), overnight()).offers

    assert (offer.operators, why(offer)) == ((BOB,), {ANN: "paced", BOB: "chosen"})


def test_nobody_of_the_line_overtakes_what_is_paced():
    """Who wrote after the opening stands behind who has waited all night."""
    result = given(opened(ANN, ann=NOON + SECOND), overnight("night"), waiting("day"))

    assert (result.offers, [pace.session_id for pace in result.paces]) == ((), ["night"])


def test_what_came_after_the_opening_knows_no_pace():
    """With nobody before it, it is offered at once, and leaves the seat's pace as it is."""
    result = given(opened(ANN, ann=NOON + SECOND), waiting("day"))

    assert offered(result) == {"day": (ANN,)}
    assert result.turns == (Turn(SHOP, ANN, 1, NOON + SECOND),)


def test_at_the_opening_itself_is_not_before_it():
    """Who was queued in the moment of the opening waits for no pace."""
    assert offered(given(opened(ANN, ann=NOON + SECOND), waiting(at=OPENED))) == {"s1": (ANN,)}


def test_another_line_of_the_pool_goes_on():
    """Their shared operator is paced for one line only."""
    lines = (opened(ANN, ann=NOON + SECOND), line(ANN, id_=DESK))
    result = given(lines, overnight("night"), waiting("desk", line_id=DESK))

    assert offered(result) == {"desk": (ANN,)}
    assert [pace.line_id for pace in result.paces] == [SHOP]


def test_a_pace_of_nothing_is_no_pace():
    """As fast as capacity allows; a pace left from before is forgotten with the opening it belonged to."""
    result = given(opened(ANN, pace=0), *(overnight(f"s{n}") for n in range(3)))

    assert (list(offered(result)), result.paces, result.turns) == (["s0", "s1", "s2"], (), (Turn(SHOP, ANN, 3),))
    assert given(line(ANN), overnight()).turns == (Turn(SHOP, ANN, 1),)


def test_all_at_once_paces_everybody_it_asked():
    """Each of them was offered one."""
    result = given(opened(ANN, BOB, how=ALL), overnight("s1"), overnight("s2"))

    assert offered(result) == {"s1": (ANN, BOB)}
    assert {turn.paced_until for turn in result.turns} == {NOON + 20 * SECOND}


def test_an_own_customer_waits_for_no_pace_and_sets_none():
    """The responsible who is paced is asked for theirs all the same."""
    session = overnight(responsible_id=ANN, responsible_until=NOON + MINUTE)
    result = given(opened(ANN, BOB, ann=NOON + SECOND), session, overnight("s2"))

    assert offered(result) == {"s1": (ANN,), "s2": (BOB,)}
    assert [turn.operator_id for turn in result.turns] == [BOB]


# --- priority, age, budget


@pytest.mark.parametrize(("priority", "seconds"), [(0, 0), (1, AGE_SECONDS), (-2, -2 * AGE_SECONDS)])
def test_a_point_of_priority_is_ten_minutes_of_waiting(priority: int, seconds: int):
    """A session stands where one without priority stands that came so much earlier."""
    assert rank_of(NOON, priority) == rank_of(NOON - timedelta(seconds=seconds), 0)


ARRIVALS = st.lists(st.tuples(st.integers(0, 7_200_000), st.integers(-3, 3)), max_size=12)
"""(milliseconds after noon, priority) of each."""


@settings(max_examples=200, deadline=None, derandomize=True)
@drawn(ARRIVALS)
def test_nobody_starves(arrivals: list[tuple[int, int]]):
    """Nobody waits behind one of a higher priority who came more than ten minutes a point later; within a priority it is who came first.

    The bound of broker.domain.AGE_SECONDS, over any arrivals.
    """
    came = [(NOON + timedelta(milliseconds=ms), priority) for ms, priority in arrivals]
    order = sorted(came, key=lambda each: (rank_of(*each), each[0]))

    for place, (at, priority) in enumerate(order):
        for earlier_at, higher in order[:place]:
            assert earlier_at - at <= timedelta(seconds=max(higher - priority, 0) * AGE_SECONDS)


@pytest.mark.parametrize("priority", [1, 5])
def test_whoever_waits_behind_a_stream_of_higher_priority_is_served_within_the_bound(priority: int):
    """A place a minute, and each minute another of a higher priority: who came first is served ten minutes a point after they came."""
    low = waiting("low", NOON)
    queue, served = [low], None
    for minute in range(10 * priority + 2):
        now = NOON + minute * MINUTE
        queue.append(waiting(f"high{minute:02}", now, priority=priority))
        queue.sort(key=lambda each: (rank_of(each.queued_at, each.priority), each.queued_at, each.id))
        (offer,) = distribute(Pool((line(ANN),), (operator(ANN, budget=25),), tuple(queue)), now).offers
        queue = [each for each in queue if each.id != offer.session_id]
        if offer.session_id == "low":
            served = minute
            break

    assert served == 10 * priority


def test_what_is_heavier_waits_for_room_and_keeps_no_seat_from_the_lighter():
    """The bound is for what the seat has room for: no seat stands idle beside somebody it could serve."""
    heavy, light = waiting("heavy", NOON - timedelta(hours=1), weight=50, priority=5), waiting("light", NOON)
    part, whole = operator(ANN, reserved=75), operator(ANN, reserved=50)

    assert offered(given(line(ANN), heavy, light, ann=part)) == {"light": (ANN,)}
    assert offered(given(line(ANN), heavy, light, ann=whole)) == {"heavy": (ANN,)}


@settings(max_examples=100, deadline=None, derandomize=True)
@drawn(st.lists(st.tuples(st.integers(0, 100), st.sampled_from([0, 1])), min_size=1, max_size=10), st.sampled_from(Distribution))
def test_first_come_first_served_within_a_priority(arrivals: list[tuple[int, int]], how: Distribution):
    """Given room for some of them, of one priority those are offered who came first."""
    sessions = [
        waiting(f"s{n}", NOON - timedelta(hours=1) + seconds * SECOND, priority=priority)
        for n, (seconds, priority) in enumerate(arrivals)
    ]
    sessions.sort(key=lambda each: (rank_of(each.queued_at, each.priority), each.queued_at, each.id))
    taken = offered(given(line(ANN, how=how), *sessions))

    for priority in (0, 1):
        alike = [each for each in sessions if each.priority == priority]
        asked = [each.queued_at for each in alike if each.id in taken]
        left = [each.queued_at for each in alike if each.id not in taken]
        assert max(asked, default=NOON) <= min(left, default=NOON) or not asked


def test_the_pools_order_is_kept():
    """Priority, then age, is the order in which sessions come: the first in line takes the last of the budget."""
    first, second = waiting("vip", NOON + SECOND, priority=10, weight=100), waiting("old", weight=100)

    assert offered(given(line(ANN), first, second)) == {"vip": (ANN,)}


def test_a_heavy_session_does_not_hold_back_a_light_one():
    """What fits nobody is passed over, and the next that fits is offered."""
    result = given(line(ANN), waiting("heavy", weight=50), waiting("light", weight=25), ann=operator(ANN, reserved=70))

    assert offered(result) == {"light": (ANN,)}


def test_budgets_are_counted_down_within_one_distribution():
    """Four chats fill an operator of 100; the fifth waits."""
    result = given(line(ANN), *(waiting(f"s{n}") for n in range(5)))

    assert list(offered(result)) == ["s0", "s1", "s2", "s3"]


def test_an_operators_budget_is_shared_by_their_lines():
    """Free budget goes to the first of all that wait, whichever line it is in."""
    lines = (line(ANN, id_=SHOP), line(ANN, id_=DESK))
    sessions = waiting("a", weight=100, line_id=DESK), waiting("b", weight=100, line_id=SHOP)

    assert offered(given(lines, *sessions)) == {"a": (ANN,)}


def test_a_seat_in_another_line_does_not_count():
    """Only who sits in the session's line is considered, or mentioned."""
    (offer,) = given((line(ANN, id_=SHOP), line(BOB, id_=DESK)), waiting(line_id=DESK)).offers

    assert (offer.operators, offer.reasons) == ((BOB,), (Reason(BOB, "chosen"),))


def test_when_nobody_is_free_nobody_is_examined():
    """A full house costs nothing, however long the queue."""
    result = given(line(ANN), *(waiting(f"s{n}") for n in range(50)), ann=operator(ANN, reserved=100))

    assert result == Result((), (), (), (), 0)


# --- rounds


def test_a_seat_is_asked_once_a_round():
    """Who declined is passed over until the next round."""
    assert offered(given(line(ANN, BOB), waiting(round_no=1, asked=(BOB,), round_began=NOON))) == {"s1": (ANN,)}


def test_the_next_round_waits_one_time_to_answer():
    """Everybody was asked quickly: not sooner than a minute after the round began, and that is said once."""
    asked = waiting(round_no=1, asked=(ANN, BOB), round_began=NOON - 20 * SECOND)
    gate = NOON + 40 * SECOND

    assert given(line(ANN, BOB), asked).holds == (
        Hold(SessionId("s1"), gate, (Reason(ANN, "asked"), Reason(BOB, "asked")), "round"),
    )
    assert given(line(ANN, BOB), replace(asked, held_until=gate, held_why="round")) == Result((), (), (), (), 1)


def test_at_the_gate_a_fresh_round_begins():
    """To the microsecond."""
    asked = waiting(round_no=1, asked=(ANN,), round_began=NOON - MINUTE)
    (offer,) = given(line(ANN), asked).offers

    assert (offer.operators, offer.fresh_round) == ((ANN,), True)
    assert given(line(ANN), replace(asked, round_began=NOON - MINUTE + timedelta(microseconds=1))).offers == ()


def test_after_the_last_round_it_waits_for_a_change():
    """Three rounds by default; then a hold without an end, and after that silence."""
    over = waiting(round_no=3, asked=(ANN,), round_began=NOON - MINUTE)

    assert given(line(ANN), over).holds == (
        Hold(SessionId("s1"), None, (Reason(ANN, "asked"),), "rounds_over", rounds_over=True),
    )
    assert given(line(ANN), replace(over, held_why="rounds_over", rounds_over=True)) == Result((), (), (), (), 1)


def test_a_change_in_the_pool_begins_again():
    """A seat was added, freed or came online: everybody may be asked again."""
    over = waiting(round_no=3, asked=(ANN,), round_began=NOON - MINUTE, rounds_over=True)
    (offer,) = given(line(ANN), over, changed=True).offers

    assert (offer.operators, offer.renewed) == ((ANN,), True)


def test_a_change_counts_until_it_has_been_looked_at():
    """Behind a pace or a full house it was not: the next distribution, whatever for, sees that it came after the rounds were over."""
    over = waiting(round_no=3, asked=(ANN,), round_began=NOON - MINUTE, rounds_over=True, over_changes=1)

    assert given(line(ANN), over, changed=True).offers == ()
    assert given(line(ANN), replace(over, over_changes=0), changed=True).offers
    (hold,) = given(line(ANN), replace(over, rounds_over=False), changed=True).holds
    assert (hold.rounds_over, hold.changes) == (True, 1)


@pytest.mark.parametrize("rounds", [1, 3])
def test_whoever_had_it_is_asked_when_a_round_would_be_over(rounds: int):
    """Given back to the queue of a line with one seat: the seat that was left out has cost no round."""
    back = waiting(asked=(ANN,), round_began=NOON)
    (hold,) = given(line(ANN, rounds=rounds), back).holds
    (offer,) = given(line(ANN, rounds=rounds), replace(back, round_began=NOON - MINUTE)).offers

    assert (hold.why, hold.until) == ("round", NOON + MINUTE)
    assert (offer.operators, offer.fresh_round) == ((ANN,), True)
    assert offered(given(line(ANN, BOB, rounds=rounds), back)) == {"s1": (BOB,)}


def test_a_change_does_not_cut_a_round_short():
    """While its rounds last, a session keeps to them."""
    asked = waiting(round_no=1, asked=(ANN,), round_began=NOON)

    assert given(line(ANN), asked, changed=True).offers == ()


def test_a_seat_that_was_not_asked_in_the_last_round_is_asked():
    """Its rounds are over because the others would not; one who was full then, and is not now, has not been asked."""
    over = waiting(round_no=3, asked=(ANN,), round_began=NOON - MINUTE, rounds_over=True)

    assert offered(given(line(ANN, BOB), over)) == {"s1": (BOB,)}


@pytest.mark.parametrize("rounds", [1, 2])
def test_a_line_may_have_fewer_rounds(rounds: int):
    """The line's number counts."""
    asked = waiting(round_no=rounds, asked=(ANN,), round_began=NOON - MINUTE)

    assert given(line(ANN, rounds=rounds), asked).holds[0].until is None
    assert given(line(ANN, rounds=rounds + 1), asked).offers


# --- reasons


def test_every_seat_has_its_reason():
    """Whoever asks why a session went where it went finds each seat of the line, in the queue's order."""
    people = [OperatorId(name) for name in ("off", "gone", "away", "shift", "full", "asked", "chosen", "later")]
    states = {
        "off": operator(people[0], active=False),
        "gone": operator(people[1], presence=PresenceState.OFFLINE),
        "away": operator(people[2], presence=PresenceState.AWAY),
        "shift": operator(people[3], on_shift=False),
        "full": operator(people[4], reserved=80),
    }
    reasons = ("inactive", "offline", "away", "off_shift", "full", "asked", "chosen", "later")

    (offer,) = given(line(*people), waiting(round_no=1, asked=(people[5],), round_began=NOON), changed=False, **states).offers

    assert offer.reasons == tuple(Reason(person, reason) for person, reason in zip(people, reasons, strict=True))


@pytest.mark.parametrize("presence", [PresenceState.AWAY, PresenceState.OFFLINE])
def test_who_is_not_there_is_not_there_on_shift_or_off(presence: PresenceState):
    """What they chose is the reason, not their calendar."""
    states = {"bob": operator(BOB, presence=presence, on_shift=False)}

    assert why(given(line(ANN, BOB), waiting(), changed=False, **states).offers[0])[BOB] == presence.value


def test_nobody_fit_is_no_hold():
    """Without a fit seat there is nothing to wait out: the seat's own change marks the pool."""
    result = given(
        line(ANN, BOB), waiting(weight=50), ann=operator(ANN, reserved=60), bob=operator(BOB, presence=PresenceState.AWAY)
    )

    assert (result.offers, result.holds) == ((), ())


def test_a_line_without_seats_waits():
    """An empty line offers nothing and breaks nothing."""
    assert given((line(), line(BOB, id_=DESK)), waiting()) == Result((), (), (), (), 1)


def test_a_session_that_weighs_nothing_always_fits():
    """A full operator can take what takes nothing."""
    assert isinstance(given(line(ANN), waiting(weight=0), ann=operator(ANN, reserved=100)).offers[0], Offer)


# --- calls


def call(id_: str = "s1", at: datetime = NOON, **changes: Any) -> Waiting:
    return waiting(id_, at, **({"weight": 50, "call": True} | changes))


def test_a_call_rings_where_there_is_a_phone_that_is_free():
    """Whoever has none, and whoever rings or talks, is passed over, and it is told why."""
    result = given(line(ANN, BOB, CAT), call(), ann=operator(ANN, phone=False), bob=operator(BOB, calls=1, reserved=50))

    assert offered(result) == {"s1": (CAT,)}
    assert why(result.offers[0]) == {ANN: "no_phone", BOB: "on_call", CAT: "chosen"}


def test_two_calls_do_not_ring_at_one_phone():
    """Though there is room for both."""
    assert offered(given(line(ANN), call("s1"), call("s2"))) == {"s1": (ANN,)}


def test_whose_phone_rings_is_offered_nothing_else():
    """Unless the line says so."""
    quiet = line(ANN)
    busy = replace(quiet, chats_too=True)

    assert offered(given(quiet, call("s1"), waiting("s2"))) == {"s1": (ANN,)}
    assert offered(given(busy, call("s1"), waiting("s2"))) == {"s1": (ANN,), "s2": (ANN,)}
    talks = operator(ANN, calls=1, reserved=50)
    assert offered(given(quiet, waiting("s2"), ann=talks)) == {}
    assert offered(given(busy, waiting("s2"), ann=talks)) == {"s2": (ANN,)}


def test_who_chats_is_rung_as_long_as_they_have_room():
    """One budget for both: two chats and a call are 100."""
    assert offered(given(line(ANN), call(), ann=operator(ANN, reserved=50))) == {"s1": (ANN,)}
    assert offered(given(line(ANN), call(), ann=operator(ANN, reserved=75))) == {}


def test_a_call_rings_for_the_time_of_calls():
    """Not for that of chats; and a round of it lasts as long."""
    shop = replace(line(ANN), ring_seconds=15)
    (made,) = given(shop, call()).offers
    assert made.until == NOON + 15 * SECOND

    (hold,) = given(shop, call(asked=(ANN,), round_no=1, round_began=NOON - 5 * SECOND)).holds
    assert (hold.why, hold.until) == ("round", NOON + 10 * SECOND)


def test_all_at_once_rings_all_phones_that_are_free():
    """The others are not among them."""
    result = given(line(ANN, BOB, CAT, how=ALL), call(), bob=operator(BOB, calls=1))
    assert offered(result) == {"s1": (ANN, CAT)}


def test_a_caller_waits_for_their_responsible_who_talks_and_not_for_one_without_a_phone():
    """As a chat waits for one without room."""
    mine: dict[str, Any] = {"responsible_id": BOB, "responsible_until": NOON + MINUTE}
    (hold,) = given(line(ANN, BOB), call(**mine), bob=operator(BOB, calls=1)).holds

    assert (hold.why, hold.until) == ("responsible", NOON + MINUTE)
    assert offered(given(line(ANN, BOB), call(**mine), bob=operator(BOB, phone=False))) == {"s1": (ANN,)}
