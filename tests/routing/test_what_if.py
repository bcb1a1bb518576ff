"""Traffic played again: exact waits where chance has no say, every rule of the line honoured, the same seed the same play."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import accumulate, pairwise
from random import Random
from typing import Any

import pytest

from broker.domain import Distribution, LineId, LineSettings, LoadCounts, LoadKind, OperatorId, Outside, PresenceState
from routing.what_if import (
    Arrangement,
    Deed,
    Ending,
    Habit,
    Hold,
    Lived,
    Outcome,
    Person,
    Step,
    Traffic,
    simulate,
)
from tests.support.traffic import DAYTIME, MONDAY, SHOP, arrangement, busy_week, conversation, more_of_it

ANN, BOB, CAT = OperatorId("ann"), OperatorId("bob"), OperatorId("cat")
DESK = LineId("desk")
NINE = MONDAY + timedelta(hours=9)
ONLINE, AWAY, OFFLINE = PresenceState.ONLINE, PresenceState.AWAY, PresenceState.OFFLINE
PROMPT = Habit((5.0,) * 5)
"""Takes every offer after five seconds."""
DEAF = Habit((), (), 5)
"""Lets every offer run out."""


def person(budget: int = 100, **changes: Any) -> Person:
    return replace(Person(budget, presence=((MONDAY, ONLINE),)), **changes)


def lived(at: float, *steps: Step | float, number: int | None = None, **changes: Any) -> Lived:
    """Return a session begun *at* seconds after NINE; a number among *steps* is when it was closed."""
    told = tuple(step if isinstance(step, Step) else Step(step, Deed.CLOSED) for step in steps)
    about = {
        key: changes.pop(key)
        for key in tuple(changes)
        if key in ("line", "load", "responsible_id", "language", "contact_priority")
    }
    return Lived(NINE + timedelta(seconds=at), conversation(int(at) if number is None else number, **about), told, **changes)


def traffic(*sessions: Lived, habits: Mapping[OperatorId, Habit] | None = None, hours: float = 8) -> Traffic:
    """Return the traffic of a morning from NINE on; everybody answers promptly unless *habits* say otherwise."""
    known = dict.fromkeys((ANN, BOB, CAT), PROMPT) if habits is None else habits
    return Traffic(NINE, NINE + timedelta(hours=hours), sessions, known)


def play(of: Traffic, house: Arrangement, seed: int = 1) -> Outcome:
    return simulate(of, house, Random(seed))


def waits(outcome: Outcome) -> list[float | str]:
    """Return the seconds that each session waited to be taken, from its opening; of others what became of them."""
    return [
        (wait.ended_at - wait.counted_from).total_seconds() if wait.ending is Ending.TAKEN else wait.ending.value
        for wait in outcome.waits
    ]


def takers(outcome: Outcome) -> list[str | None]:
    return [wait.taken_by for wait in outcome.waits]


def held(outcome: Outcome) -> list[tuple[str, float, float]]:
    """Return who held something from when to when, in seconds after NINE."""
    return [(hold.operator_id, (hold.start - NINE).total_seconds(), (hold.end - NINE).total_seconds()) for hold in outcome.holds]


# --- one operator, no chance


def test_one_after_the_other():
    """One operator with room for one: each waits for those before it to be closed, and for the answer to the offer."""
    outcome = play(traffic(lived(0, 100), lived(10, 100), lived(20, 100)), arrangement({ANN: person(25)}))

    assert [5, 100, 195] == waits(outcome)
    assert [("ann", 5, 105), ("ann", 110, 210), ("ann", 215, 315)] == held(outcome)


def test_room_for_four_is_used():
    """A budget of 100 bears four chats of 25 side by side; the fifth waits for the first to be closed."""
    outcome = play(traffic(*(lived(n, 100) for n in range(5))), arrangement({ANN: person()}))

    assert [5, 5, 5, 5, 5 + 101] == waits(outcome)


def test_the_highest_priority_goes_first():
    """A VIP who came later is offered before those who waited already."""
    sessions = (lived(0, 100), lived(10, 100), lived(20, 100, contact_priority=1))
    outcome = play(traffic(*sessions), arrangement({ANN: person(25)}))

    assert [5, 205, 90] == waits(outcome)


def test_an_offer_that_nobody_answers_runs_out():
    """It goes to the next of the queue after exactly the time to answer, and is counted."""
    settings = LineSettings(distribution=Distribution.STRICTLY, offer_seconds=30)
    outcome = play(traffic(lived(0, 100), habits={ANN: DEAF, BOB: PROMPT}), arrangement({ANN: person(), BOB: person()}, settings))

    assert ([35], [BOB]) == (waits(outcome), takers(outcome))
    assert {"made": 1, "ran_out": 1} == outcome.offers[SHOP, ANN]
    assert {"made": 1, "taken": 1} == outcome.offers[SHOP, BOB]


def test_an_answer_later_than_the_time_allowed_is_none():
    """Whoever takes after 20 s lets an offer of 10 s run out; after the last round the session waits."""
    settings = LineSettings(offer_seconds=10, rounds=2)
    outcome = play(traffic(lived(0, 100), habits={ANN: Habit((20.0,) * 5)}), arrangement({ANN: person()}, settings))

    assert ["waiting"] == waits(outcome)
    assert {"made": 2, "ran_out": 2} == outcome.offers[SHOP, ANN]


def test_who_declines_is_asked_again_in_the_next_round():
    """A round is begun not sooner than one time to answer after the one before."""
    house = arrangement({ANN: person()}, LineSettings(offer_seconds=30, rounds=2))
    outcome = play(traffic(lived(0, 100), habits={ANN: Habit((), (5.0,) * 5)}), house)

    assert {"made": 2, "declined": 2} == outcome.offers[SHOP, ANN]


def test_all_at_once_is_the_first_to_answer():
    """Everybody is offered it; who did not answer first has nothing of it."""
    habits = {ANN: Habit((9.0,) * 5), BOB: Habit((4.0,) * 5)}
    house = arrangement({ANN: person(), BOB: person()}, LineSettings(distribution=Distribution.ALL_AT_ONCE))
    outcome = play(traffic(lived(0, 100), habits=habits), house)

    assert ([4], [BOB]) == (waits(outcome), takers(outcome))
    assert {"made": 1, "withdrawn": 1} == outcome.offers[SHOP, ANN]


def test_evenly_and_least_loaded():
    """Evenly knows turns alone; the least loaded is whoever has less just now, in equal loads whose turn it is."""
    # Every other one takes an hour.
    sessions = [lived(60 * n, 3_600 if n % 2 else 20) for n in range(6)]

    def taken(how: Distribution) -> list[str | None]:
        house = arrangement({ANN: person(200), BOB: person(200)}, LineSettings(distribution=how))
        return takers(play(traffic(*sessions), house))

    assert [ANN, BOB, ANN, BOB, ANN, BOB] == taken(Distribution.EVENLY)
    assert [ANN, BOB, ANN, ANN, BOB, ANN] == taken(Distribution.LEAST_LOADED)


# --- whom and when


def test_the_responsible_is_asked_first():
    """A known customer's own operator, whoever's turn it is; not when the line does not want it."""
    session = lived(0, 100, responsible_id=BOB)
    for first, taker in ((True, BOB), (False, ANN)):
        house = arrangement({ANN: person(), BOB: person()}, LineSettings(responsible_first=first))

        assert [taker] == takers(play(traffic(session), house))


def test_the_responsible_is_waited_for():
    """Who is there and full is waited for as long as the line says, and then it is everybody's."""
    sessions = (lived(0, 1_000, responsible_id=BOB), lived(10, 100, responsible_id=BOB))
    house = arrangement({ANN: person(25), BOB: person(25)}, LineSettings(responsible_seconds=40))
    outcome = play(traffic(*sessions), house)

    assert ([5, 45], [BOB, ANN]) == (waits(outcome), takers(outcome))


def test_skills_and_languages_are_honoured():
    """Only who has them is asked, until the demand relaxes."""
    settings = LineSettings(skills=("billing",), match_language=True, skill_seconds=50)
    able = ("language:ru", "skill:billing")
    session = lived(0, 100, language="ru")

    both = play(traffic(session), arrangement({ANN: person(skills=("language:en",)), BOB: person(skills=able)}, settings))
    alone = play(traffic(session), arrangement({ANN: person(skills=("language:ru",))}, settings))

    assert ([5], [BOB]) == (waits(both), takers(both))
    assert [55] == waits(alone)


def test_what_comes_outside_the_hours_is_kept_for_the_opening():
    """It waits, the oldest first and paced, and its wait counts from the opening."""
    night = [lived(12 * 3600 + n, 100, number=n) for n in range(2)]
    house = arrangement({ANN: person()}, LineSettings(hours=DAYTIME, opening_pace_seconds=20))
    outcome = play(traffic(*night, hours=30), house)
    opening = MONDAY + timedelta(days=1, hours=8)

    assert [5, 25] == waits(outcome)
    assert [opening, opening] == [wait.counted_from for wait in outcome.waits]


def test_other_hours():
    """A line that is open longer has nothing to keep; one that only replies closes it at once."""
    session = lived(12 * 3600, 100)
    longer = {"zone": "UTC", "week": {"mon": ["08:00-22:00"]}}

    assert [5] == waits(play(traffic(session, hours=30), arrangement({ANN: person()}, LineSettings(hours=longer))))
    replies = LineSettings(hours=DAYTIME, outside=Outside.REPLY)
    assert ["shut"] == waits(play(traffic(session, hours=30), arrangement({ANN: person()}, replies)))


def test_nobody_is_asked_who_is_not_there():
    """Offline, away, off shift and switched off people are offered nothing; who comes is at once."""
    late = person(presence=((NINE + timedelta(seconds=50), ONLINE), (NINE + timedelta(seconds=200), AWAY)))
    shift = {"zone": "UTC", "week": {"mon": ["10:00-11:00"]}}
    house = arrangement({ANN: late, BOB: person(), CAT: person(active=False)}, shifts={BOB: shift})
    outcome = play(traffic(lived(0, 100), lived(300, 100)), house)

    assert ([55, 3_300 + 5], [ANN, BOB]) == (waits(outcome), takers(outcome))


def test_who_leaves_loses_what_they_are_offered():
    """It goes on to the next at once; what they hold stays theirs."""
    leaves = person(presence=((MONDAY, ONLINE), (NINE + timedelta(seconds=12), AWAY)))
    house = arrangement({ANN: leaves, BOB: person()}, LineSettings(distribution=Distribution.STRICTLY))
    outcome = play(traffic(lived(0, 100), lived(10, 100)), house)

    assert ([5, 7], [ANN, BOB]) == (waits(outcome), takers(outcome))
    assert ("ann", 5, 105) in held(outcome)
    assert 1 == outcome.offers[SHOP, ANN]["gone"]


def test_added_staff_takes_from_the_waits():
    """With each one more the middle wait of this traffic and the longest are shorter."""
    sessions = traffic(*(lived(20 * n, 300) for n in range(60)))
    alone = arrangement({ANN: person(25)})
    found = [sorted(map(float, waits(play(sessions, more_of_it(alone, more))))) for more in range(4)]

    for one, other in pairwise(found):
        assert one[30] > other[30]
        assert one[-1] > other[-1]
    assert found[0][-1] > 10 * found[-1][-1]


def test_lines_that_share_people_are_one():
    """What comes to another line takes from the same budgets; only that line's own people are asked."""
    settings = {SHOP: LineSettings(), DESK: LineSettings(priority=1)}
    house = arrangement({ANN: person(25), BOB: person(25)}, settings, {SHOP: (ANN,), DESK: (ANN, BOB)})
    outcome = play(traffic(lived(0, 100), lived(0, 100, line=DESK, number=1), lived(1, 100, number=2)), house)

    assert ([110, 5, 214], [ANN, ANN, ANN]) == (waits(outcome), takers(outcome))


# --- what followed once somebody had it


def test_a_session_put_by_takes_nothing():
    """While it is snoozed there is room for another; it comes back to whoever put it by."""
    steps = (Step(10, Deed.SNOOZED), Step(100, Deed.WOKE), Step(10, Deed.CLOSED))
    outcome = play(traffic(lived(0, *steps), lived(1, 30)), arrangement({ANN: person(25)}))

    assert [("ann", 5, 15), ("ann", 20, 50), ("ann", 115, 125)] == held(outcome)


def test_what_is_answered_makes_room_where_that_is_the_rule():
    """Where only the unanswered counts, an answer frees and the customer's next words take again."""
    steps = (Step(10, Deed.ANSWERED), Step(50, Deed.WROTE), Step(10, Deed.CLOSED))
    open_ = play(traffic(lived(0, *steps)), arrangement({ANN: person(25)}))
    unanswered = play(traffic(lived(0, *steps)), arrangement({ANN: person(25)}, LineSettings(load_counts=LoadCounts.UNANSWERED)))
    mail = play(traffic(lived(0, *steps, load=LoadKind.MAIL)), arrangement({ANN: person(25)}))

    assert [("ann", 5, 75)] == held(open_)
    assert [("ann", 5, 15), ("ann", 65, 75)] == held(unanswered) == held(mail)


def test_passed_on_to_another_line():
    """It waits there for that line's people."""
    house = arrangement(
        {ANN: person(), BOB: person()}, {SHOP: LineSettings(), DESK: LineSettings()}, {SHOP: (ANN,), DESK: (BOB,)}
    )
    outcome = play(traffic(lived(0, Step(10, Deed.PASSED_ON, DESK), 20)), house)

    assert [("ann", 5, 15), ("bob", 20, 40)] == held(outcome)
    assert [5] == waits(outcome)


def test_given_back_to_the_queue():
    """It goes to whoever is free, and takes as long as it took."""
    outcome = play(traffic(lived(0, Step(10, Deed.GIVEN_BACK), 20)), arrangement({ANN: person(), BOB: person()}))

    assert [("ann", 5, 15), ("bob", 20, 40)] == held(outcome)


@pytest.mark.parametrize(("after", "waits_again"), [(60, False), (3_600, True)])
def test_a_customer_who_comes_back(after, waits_again):
    """Within the reopen window they have the operator they had; after it they wait again. Neither counts as a session."""
    outcome = play(traffic(lived(0, 10, Step(after, Deed.REOPENED), 20)), arrangement({ANN: person()}))
    back = 15 + after + (5 if waits_again else 0)

    assert [("ann", 5, 15), ("ann", back, back + 20)] == held(outcome)
    assert [5] == waits(outcome)


def test_who_was_closed_while_they_waited():
    """They are closed after as long, if nobody has taken them; taken sooner, they take as long as others did."""
    sessions = (lived(0, 1_000), lived(10, given_up_seconds=50.0), lived(20, number=3, given_up_seconds=50.0))
    handling = {(SHOP, LoadKind.CHAT): (77.0,)}
    alone = play(replace(traffic(*sessions), handling=handling), arrangement({ANN: person(25)}))
    room = play(replace(traffic(*sessions), handling=handling), arrangement({ANN: person(50)}))

    assert [5, "given_up", "given_up"] == waits(alone)
    assert [5, 5, "given_up"] == waits(room)
    assert ("ann", 15, 92) in held(room)


def test_what_was_open_already_takes_its_part():
    """Who had a session when the time began has it still, with or without room; it is no session of the time."""
    before = (
        replace(lived(0, 60, counts=False, held_by=ANN), began_at=NINE),
        lived(-100, 10, number=7, counts=False),
    )
    outcome = play(traffic(*reversed(before), lived(1, 100, number=8)), arrangement({ANN: person(25)}))

    assert [("ann", 0, 60), ("ann", 65, 75), ("ann", 80, 180)] == held(outcome)
    assert [79] == waits(outcome)


def test_two_things_at_one_moment():
    """Each has its turn, in the order in which they became due."""
    sessions = (lived(-100, number=1, counts=False, given_up_seconds=110.0), lived(10, 100))
    outcome = play(traffic(*sessions), arrangement({ANN: person(25, presence=((NINE + timedelta(seconds=10), ONLINE),))}))

    assert [5] == waits(outcome)


# --- chance, and all of it


def test_the_same_seed_is_the_same_play():
    """To the last hold; another seed is another."""
    of, house = busy_week(seed=3, operators=6, sessions=400)

    assert play(of, house) == play(of, house)
    assert play(of, house) != play(of, house, seed=2)


def test_luck_is_the_sessions_own():
    """What is changed for some does not throw other dice for those who came before."""
    of, house = busy_week(seed=3, operators=6, sessions=400)
    fewer = replace(of, sessions=of.sessions[:200])

    assert play(of, house).waits[:150] == play(fewer, house).waits[:150]


@pytest.mark.parametrize("seed", range(60))
def test_any_life_can_be_played(seed):
    """Deeds in any order, people who come and go, lines and people that are not there: each session is told of, once."""
    dice = Random(seed)
    lines = {
        SHOP: LineSettings(
            distribution=dice.choice(list(Distribution)),
            rounds=dice.randint(1, 3),
            load_counts=dice.choice(list(LoadCounts)),
            reopen_seconds=dice.choice([0, 600]),
            hours=dice.choice([None, DAYTIME]),
            outside=dice.choice(list(Outside)),
            skills=dice.choice([(), ("billing",)]),
        ),
        DESK: LineSettings(priority=dice.randint(-2, 2)),
    }
    ids = [OperatorId(f"operator-{number}") for number in range(dice.randint(0, 4))]
    people = {
        id_: Person(dice.choice([0, 25, 100]), dice.choice([(), ("skill:billing",)]), _comings(dice), dice.random() < 0.9)
        for id_ in ids
    }
    house = arrangement(people, lines, {line: tuple(id_ for id_ in ids if dice.random() < 0.6) for line in lines})
    sessions = sorted((_any_life(dice, number, ids) for number in range(40)), key=lambda one: one.began_at)
    habits = {id_: Habit((dice.uniform(0, 90),) * dice.randint(0, 5), (3.0,), dice.randint(0, 4)) for id_ in ids}
    of = traffic(*sessions, habits=habits, hours=15)
    outcome = play(of, house)

    assert [one.began_at for one in sessions if one.counts and one.conversation.line_id in lines] == [
        wait.began_at for wait in outcome.waits
    ]
    assert all(hold.start < hold.end <= of.until for hold in outcome.holds)
    assert play(of, house) == outcome


def _comings(dice: Random) -> tuple[tuple[datetime, PresenceState], ...]:
    at = sorted(dice.uniform(-9, 15) for _ in range(dice.randint(0, 8)))
    return tuple((NINE + timedelta(hours=hour), dice.choice(list(PresenceState))) for hour in at)


def _any_life(dice: Random, number: int, ids: list[OperatorId]) -> Lived:
    steps = (Step(dice.choice([0.0, dice.uniform(0, 900)]), dice.choice(list(Deed)), dice.choice([SHOP, DESK])) for _ in range(6))
    return lived(
        dice.uniform(-3_000, 50_000),
        *tuple(steps)[: dice.randint(0, 6)],
        number=number,
        line=dice.choice([SHOP, DESK, LineId("none")]),
        load=dice.choice(list(LoadKind)),
        responsible_id=dice.choice([None, *ids, CAT]),
        given_up_seconds=dice.choice([None, None, 900.0]),
        held_by=dice.choice([None, None, None, *ids, CAT]),
        counts=dice.random() < 0.8,
    )


@pytest.mark.parametrize("how", list(Distribution))
def test_a_week_keeps_every_budget(how):
    """Whatever the rule: nobody holds more than their budget, nobody is taken from outside the hours or twice, nobody is lost."""
    of, house = busy_week(seed=5, operators=4, sessions=700)
    house = replace(house, lines={SHOP: replace(house.lines[SHOP], distribution=how)})
    outcome = play(of, house)

    assert len(of.sessions) == len(outcome.waits)
    assert 400 < sum(wait.ending is Ending.TAKEN for wait in outcome.waits)
    assert all(most <= 100 for most in _most(outcome.holds).values())
    assert all(8 <= wait.ended_at.hour <= 20 for wait in outcome.waits if wait.ending is Ending.TAKEN)


def _most(holds: tuple[Hold, ...]) -> dict[OperatorId, int]:
    """Return the most that each operator held at one time."""
    changes: defaultdict[OperatorId, list[tuple[datetime, int]]] = defaultdict(list)
    for hold in holds:
        changes[hold.operator_id] += [(hold.start, hold.weight), (hold.end, -hold.weight)]
    return {who: max(accumulate(weight for _, weight in sorted(weights))) for who, weights in changes.items()}
