"""Who is offered what: the line's rule, rounds, reasons, priority, age and budgets."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from broker.domain import Distribution, LineId, OperatorId, PresenceState, SessionId
from routing.distribution import Hold, LineState, Offer, OperatorState, Pool, Reason, Result, SeatState, Turn, Waiting, distribute
from tests.support.clock import MINUTE, NOON, SECOND

SHOP, DESK = LineId("shop"), LineId("desk")
ANN, BOB, CAT = OperatorId("ann"), OperatorId("bob"), OperatorId("cat")
EVENLY, STRICTLY, ALL = Distribution.EVENLY, Distribution.STRICTLY, Distribution.ALL_AT_ONCE


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
    return distribute(Pool(lines, states, sessions, changed), NOON)


def offered(result: Result) -> dict[str, tuple[str, ...]]:
    """Return who was offered what."""
    return {offer.session_id: offer.operators for offer in result.offers}


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


# --- priority, age, budget


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

    assert result == Result((), (), (), 0)


# --- rounds


def test_a_seat_is_asked_once_a_round():
    """Who declined is passed over until the next round."""
    assert offered(given(line(ANN, BOB), waiting(round_no=1, asked=(BOB,), round_began=NOON))) == {"s1": (ANN,)}


def test_the_next_round_waits_one_time_to_answer():
    """Everybody was asked quickly: not sooner than a minute after the round began, and that is said once."""
    asked = waiting(round_no=1, asked=(ANN, BOB), round_began=NOON - 20 * SECOND)
    gate = NOON + 40 * SECOND

    assert given(line(ANN, BOB), asked).holds == (Hold(SessionId("s1"), gate, (Reason(ANN, "asked"), Reason(BOB, "asked"))),)
    assert given(line(ANN, BOB), replace(asked, next_round_at=gate)) == Result((), (), (), 1)


def test_at_the_gate_a_fresh_round_begins():
    """To the microsecond."""
    asked = waiting(round_no=1, asked=(ANN,), round_began=NOON - MINUTE)
    (offer,) = given(line(ANN), asked).offers

    assert (offer.operators, offer.fresh_round) == ((ANN,), True)
    assert given(line(ANN), replace(asked, round_began=NOON - MINUTE + timedelta(microseconds=1))).offers == ()


def test_after_the_last_round_it_waits_for_a_change():
    """Three rounds by default; then a hold without an end, and after that silence."""
    over = waiting(round_no=3, asked=(ANN,), round_began=NOON - MINUTE)

    assert given(line(ANN), over).holds == (Hold(SessionId("s1"), None, (Reason(ANN, "asked"),)),)
    assert given(line(ANN), replace(over, rounds_over=True)) == Result((), (), (), 1)


def test_a_change_in_the_pool_begins_again():
    """A seat was added, freed or came online: everybody may be asked again."""
    over = waiting(round_no=3, asked=(ANN,), round_began=NOON - MINUTE, rounds_over=True)
    (offer,) = given(line(ANN), over, changed=True).offers

    assert (offer.operators, offer.renewed) == ((ANN,), True)


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
    people = [OperatorId(name) for name in ("off", "gone", "away", "full", "asked", "chosen", "later")]
    states = {
        "off": operator(people[0], active=False),
        "gone": operator(people[1], presence=PresenceState.OFFLINE),
        "away": operator(people[2], presence=PresenceState.AWAY),
        "full": operator(people[3], reserved=80),
    }

    (offer,) = given(line(*people), waiting(round_no=1, asked=(people[4],), round_began=NOON), changed=False, **states).offers

    assert offer.reasons == tuple(
        Reason(person, why)
        for person, why in zip(people, ("inactive", "offline", "away", "full", "asked", "chosen", "later"), strict=True)
    )


def test_nobody_fit_is_no_hold():
    """Without a fit seat there is nothing to wait out: the seat's own change marks the pool."""
    result = given(
        line(ANN, BOB), waiting(weight=50), ann=operator(ANN, reserved=60), bob=operator(BOB, presence=PresenceState.AWAY)
    )

    assert (result.offers, result.holds) == ((), ())


def test_a_line_without_seats_waits():
    """An empty line offers nothing and breaks nothing."""
    assert given((line(), line(BOB, id_=DESK)), waiting()) == Result((), (), (), 1)


def test_a_session_that_weighs_nothing_always_fits():
    """A full operator can take what takes nothing."""
    assert isinstance(given(line(ANN), waiting(weight=0), ann=operator(ANN, reserved=100)).offers[0], Offer)
