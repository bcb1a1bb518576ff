"""A week of a busy house, made from a seed: for measuring the simulation, and for tests that need a lot of traffic."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from broker.domain import (
    ChannelId,
    ContactId,
    ConversationId,
    Directory,
    Line,
    LineId,
    LineSettings,
    LoadKind,
    Operator,
    OperatorId,
    PresenceState,
    Role,
    SessionId,
)
from broker.hours import WEEKDAYS
from routing.openings import Openings
from routing.view import ConversationView
from routing.what_if import Arrangement, Deed, Habit, Lived, Person, Step, Traffic

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
WEEK = timedelta(days=7)
SHOP = LineId("shop")
DAYTIME = {"zone": "UTC", "week": {day: ["08:00-20:00"] for day in WEEKDAYS}}


def conversation(number: int = 1, line: LineId = SHOP, **changes: Any) -> ConversationView:
    """Return a customer's conversation, chat unless *changes* say otherwise."""
    values: dict[str, Any] = {
        "conversation_id": ConversationId(f"c{number:06}"),
        "channel_id": ChannelId("site"),
        "line_id": line,
        "contact_id": ContactId(f"p{number:06}"),
        "load": LoadKind.CHAT,
        "contact_priority": 0,
        "first_time": True,
        "new_session_id": SessionId(f"s{number:06}"),
    }
    return ConversationView(**(values | changes))


def arrangement(
    people: Mapping[OperatorId, Person],
    settings: LineSettings | Mapping[LineId, LineSettings] | None = None,
    seats: Mapping[LineId, tuple[OperatorId, ...]] | None = None,
    shifts: Mapping[OperatorId, Mapping[str, Any]] | None = None,
) -> Arrangement:
    """Return a house of *people*, all of them seated in one line unless *seats* say otherwise; *shifts* are their hours."""
    lines = settings if isinstance(settings, Mapping) else {SHOP: settings or LineSettings()}
    hours = shifts or {}
    directory = Directory(
        {id_: Line(id_, id_, id_.title(), 1, line) for id_, line in lines.items()},
        {},
        {id_: Operator(id_, id_, id_, Role.OPERATOR, "en", True, dict(hours[id_]) if id_ in hours else None) for id_ in people},
        {},
        {},
    )
    seated = seats if seats is not None else dict.fromkeys(lines, tuple(people))
    return Arrangement(lines, seated, people, Openings(directory))


def busy_week(seed: int = 1, operators: int = 40, sessions: int = 20_000) -> tuple[Traffic, Arrangement]:
    """Return a week from MONDAY on: open by day, two shifts with breaks, some customers known, some offers not answered."""
    dice = Random(seed)
    ids = [OperatorId(f"operator-{number:02}") for number in range(operators)]
    people = {id_: Person(presence=_presence(dice, late=number % 2 == 1)) for number, id_ in enumerate(ids)}
    house = arrangement(people, LineSettings(hours=DAYTIME))
    habits = {id_: _habit(dice) for id_ in ids}
    lived = sorted((_lived(dice, number, ids) for number in range(sessions)), key=lambda one: one.began_at)
    return Traffic(MONDAY, MONDAY + WEEK, tuple(lived), habits, {(SHOP, LoadKind.CHAT): (300.0, 600.0, 900.0)}), house


def more_of_it(house: Arrangement, add: int) -> Arrangement:
    """Return *house* with *add* more operators who are always there."""
    more = {OperatorId(f"extra-{number}"): Person(presence=((MONDAY, PresenceState.ONLINE),)) for number in range(1, add + 1)}
    seats = {line: (*seated, *more) for line, seated in house.seats.items()}
    return replace(house, people={**house.people, **more}, seats=seats)


def _presence(dice: Random, *, late: bool) -> tuple[tuple[datetime, PresenceState], ...]:
    changes = []
    for day in range(7):
        begins = MONDAY + timedelta(days=day, hours=13 if late else 7.75, minutes=dice.random() * 20)
        for hour in range(0, 8, 2):
            changes.append((begins + timedelta(hours=hour), PresenceState.ONLINE))
            away = PresenceState.AWAY if hour < 6 else PresenceState.OFFLINE
            changes.append((begins + timedelta(hours=hour, minutes=105 + dice.random() * 10), away))
    return tuple(changes)


def _habit(dice: Random) -> Habit:
    takes = tuple(sorted(dice.expovariate(1 / 8) for _ in range(60)))
    return Habit(takes, tuple(dice.uniform(2, 30) for _ in range(dice.randint(0, 6))), dice.randint(0, 8))


def _lived(dice: Random, number: int, ids: list[OperatorId]) -> Lived:
    hour = dice.triangular(6, 22, 12)
    known = dice.random() < 0.2
    return Lived(
        MONDAY + timedelta(days=dice.randrange(7), hours=hour),
        conversation(number, responsible_id=dice.choice(ids) if known else None),
        (Step(dice.lognormvariate(6.3, 0.7), Deed.CLOSED),),
    )
