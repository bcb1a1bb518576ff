"""When somebody works: a line's hours, an operator's shifts, breaks and leave, as plain data. Pure.

    {"zone": "Europe/Moscow",
     "week": {"mon": ["09:00-13:00", "14:00-18:00"], "fri": ["22:00-06:00"]},
     "breaks": {"mon": ["11:00-11:15"]},
     "dates": [{"on": "2026-12-31", "open": ["10:00-15:00"], "reason": "New Year's Eve"},
               {"from": "2026-07-01", "to": "2026-07-14", "reason": "leave"}],
     "holidays": ["RU"]}

An interval belongs to the day on which it begins. Where its end is at or before its start, it ends on the next day. A weekday that
is not named is closed; a date without `open` is closed, which is also how an operator's leave is said. What zone and holidays mean
at a certain instant is routing.calendar's; this module knows neither.

`hours_of` reads that shape and refuses what is wrong in it; `raw_of` writes it. The types refuse by themselves what cannot be.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from typing import TypeVar

from broker.errors import BadHours

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
DAY_MINUTES = 1_440
INTERVALS_MAX = 24
"""Intervals in one day."""
DATES_MAX = 1_000
"""Entries of `dates`."""
RANGE_DAYS_MAX = 366 * 5
"""Days in one entry of `dates`."""
HOLIDAYS_MAX = 20
REASON_MAX = 200
"""Characters."""
ZONE_MAX = 64
"""Characters."""

_INTERVAL = re.compile(r"([0-9]{1,2}):([0-9]{2}) ?- ?([0-9]{1,2}):([0-9]{2})")
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]*")
_HOLIDAYS = re.compile(r"[A-Z]{2}(-[^\s-].{0,40})?")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, order=True)
class Interval:
    """From *start* up to, not including, *end*: minutes after midnight of the day it begins on.

    An end above 1440 is on the next day. It is shorter than a day, or it is 00:00-24:00. Raises BadHours.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        """Refuse what has no text."""
        length = self.end - self.start
        whole = (self.start, self.end) == (0, DAY_MINUTES)
        if not (0 <= self.start < DAY_MINUTES and (whole or 0 < length < DAY_MINUTES)):
            raise BadHours(
                f"an interval from minute {self.start} to minute {self.end} is not within a day and a night;"
                " begin it before 24:00 and end it less than 24 hours later"
            )

    def __str__(self) -> str:
        """Return the text, such as 22:00-06:00."""
        end = self.end - DAY_MINUTES if self.end > DAY_MINUTES else self.end
        return f"{self.start // 60:02}:{self.start % 60:02}-{end // 60:02}:{end % 60:02}"


Day = tuple[Interval, ...]
"""The intervals that begin on one day, in order, none overlapping another."""
Week = tuple[Day, ...]
"""Seven days, Monday first."""
CLOSED_WEEK: Week = ((),) * 7


@dataclass(frozen=True, slots=True)
class OtherHours:
    """The days from *first* to *last*, both included, have these intervals and not their weekdays'; none: closed.

    Raises BadHours.
    """

    first: date
    last: date
    intervals: Day = ()
    reason: str = ""

    def __post_init__(self) -> None:
        """Put the intervals in order; refuse a range or intervals that cannot be."""
        if self.last < self.first:
            raise BadHours(f"the range ends on {self.last}, before it begins on {self.first}; swap the two", field="to")
        days = (self.last - self.first).days + 1
        if days > RANGE_DAYS_MAX:
            raise BadHours(f"the range has {days} days, {RANGE_DAYS_MAX} are the most; make it shorter", field="to")
        with _at("open"):
            object.__setattr__(self, "intervals", _day_of(self.intervals))
            if days > 1:
                _refuse_spill(self.intervals, self.intervals, "of the range's next day")
        with _at("reason"):
            _refuse_unplain(self.reason)


@dataclass(frozen=True, slots=True)
class Hours:
    """When a line is open, or an operator works, by the wall clocks of *zone*.

    *breaks* are closed though an interval is open. *holidays* are codes such as RU, DE-BY, US; the order is that in which their
    names are looked for. Days and dates are put in order. Raises BadHours; whether zone and codes exist is routing.calendar's.
    """

    zone: str
    week: Week = CLOSED_WEEK
    breaks: Week = CLOSED_WEEK
    dates: tuple[OtherHours, ...] = ()
    holidays: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Put everything in its one order; refuse what contradicts itself."""
        if not (_ZONE.fullmatch(self.zone) and len(self.zone) <= ZONE_MAX):
            raise BadHours(f"{_shown(self.zone)} is not a time zone; write one such as Europe/Moscow", field="zone")
        with _at("week"):
            object.__setattr__(self, "week", _week_of(self.week))
        with _at("breaks"):
            object.__setattr__(self, "breaks", _week_of(self.breaks))
        with _at("dates"):
            object.__setattr__(self, "dates", _dates_of(self.dates))
        with _at("holidays"):
            _refuse_codes(self.holidays)


def hours_of(raw: object) -> Hours:
    """Return the hours that *raw*, the shape above as JSON or TOML gives it, says.

    Raises BadHours, and nothing else whatever *raw* is; its text begins with the place, which is also its `field`.
    """
    table = _table(raw, ("zone", "week", "breaks", "dates", "holidays"))
    if "zone" not in table:
        raise BadHours('no time zone is said; write one, such as "Europe/Moscow"', field="zone")
    with _at("zone"):
        zone = _text(table["zone"])
    with _at("week"):
        week = _raw_week(table.get("week", {}))
    with _at("breaks"):
        breaks = _raw_week(table.get("breaks", {}))
    with _at("dates"):
        dates = _each(table.get("dates", ()), DATES_MAX, _raw_other)
    with _at("holidays"):
        holidays = _each(table.get("holidays", ()), HOLIDAYS_MAX, _text)
    return Hours(zone, week, breaks, dates, holidays)


def raw_of(hours: Hours) -> dict[str, object]:
    """Return the shape that `hours_of` reads as *hours*: every key, in one spelling; closed weekdays are left out."""
    return {
        "zone": hours.zone,
        "week": _week_text(hours.week),
        "breaks": _week_text(hours.breaks),
        "dates": [_other_text(each) for each in hours.dates],
        "holidays": list(hours.holidays),
    }


def _week_text(week: Week) -> dict[str, object]:
    return {name: [str(interval) for interval in day] for name, day in zip(WEEKDAYS, week, strict=True) if day}


def _other_text(other: OtherHours) -> dict[str, object]:
    first, last = other.first.isoformat(), other.last.isoformat()
    days = {"on": first} if first == last else {"from": first, "to": last}
    return {**days, "open": [str(interval) for interval in other.intervals], "reason": other.reason}


# --- what cannot be


def _day_of(intervals: Iterable[Interval]) -> Day:
    """Return the intervals of one day in order; refuse two that overlap."""
    day = tuple(sorted(intervals))
    if len(day) > INTERVALS_MAX:
        raise BadHours(f"{len(day)} intervals in one day, {INTERVALS_MAX} are the most; join some")
    for one, other in pairwise(day):
        if other.start < one.end:
            raise BadHours(f"{one} and {other} overlap; join them, or end the first where the second begins")
    return day


def _refuse_spill(day: Day, following: Day, whose: str) -> None:
    """Refuse a night that runs into the first interval of the day after."""
    if day and following and day[-1].end - DAY_MINUTES > following[0].start:
        raise BadHours(f"{day[-1]} runs into {following[0]} {whose}; end it where that begins, or earlier")


def _week_of(week: Week) -> Week:
    if len(week) != len(WEEKDAYS):
        raise BadHours(f"a week of {len(week)} days; give seven, Monday first")
    days = []
    for name, intervals in zip(WEEKDAYS, week, strict=True):
        with _at(name):
            days.append(_day_of(intervals))
    for number, name in enumerate(WEEKDAYS):
        after = (number + 1) % len(WEEKDAYS)
        with _at(name):
            _refuse_spill(days[number], days[after], f"of {WEEKDAYS[after]}")
    return tuple(days)


def _dates_of(dates: Sequence[OtherHours]) -> tuple[OtherHours, ...]:
    """Return the entries by their days; refuse two for one day, named by their places in *dates*."""
    if len(dates) > DATES_MAX:
        raise BadHours(f"{len(dates)} entries, {DATES_MAX} are the most; take out those that are over")
    order = sorted(range(len(dates)), key=lambda place: dates[place].first)
    for one, other in pairwise(order):
        if dates[other].first <= dates[one].last:
            raise BadHours(
                f"{dates[other].first} is in dates[{one}] too; a day has one entry: take it out of one", field=f"[{other}]"
            )
    return tuple(dates[place] for place in order)


def _refuse_codes(codes: Sequence[str]) -> None:
    if len(codes) > HOLIDAYS_MAX:
        raise BadHours(f"{len(codes)} countries and regions, {HOLIDAYS_MAX} are the most; take some out")
    for place, code in enumerate(codes):
        if not (_HOLIDAYS.fullmatch(code) and code.isprintable()):
            raise BadHours(f"{_shown(code)} is not a country or region; write a code such as RU, US or DE-BY", field=f"[{place}]")
        if code in codes[:place]:
            raise BadHours(f"{code} is there twice; take one out", field=f"[{place}]")


def _refuse_unplain(reason: str) -> None:
    if len(reason) > REASON_MAX:
        raise BadHours(f"{len(reason)} characters, {REASON_MAX} are the most; make it shorter")
    if not reason.isprintable():
        raise BadHours("there is a line break or a control character in it; write one line of plain text")


# --- what was written


def _raw_week(raw: object) -> Week:
    table = _table(raw, WEEKDAYS)
    days = []
    for name in WEEKDAYS:
        with _at(name):
            days.append(_raw_day(table.get(name, ())))
    return tuple(days)


def _raw_day(raw: object) -> Day:
    return _each(raw, INTERVALS_MAX, _raw_interval)


def _raw_interval(raw: object) -> Interval:
    text = _text(raw)
    match = _INTERVAL.fullmatch(text)
    if match is None:
        raise BadHours(f'{_shown(text)} is not an interval; write it as "09:00-18:00"')
    start = _minute(match[1], match[2])
    end = _minute(match[3], match[4])
    if start == DAY_MINUTES:
        raise BadHours(f'{_shown(text)} begins at 24:00; write it as "00:00-{match[3]}:{match[4]}" of the next day')
    if start == end:
        raise BadHours(
            f'{_shown(text)} begins and ends at once; for the whole day write "00:00-24:00", to be closed leave it out'
        )
    return Interval(start, end if end > start else end + DAY_MINUTES)


def _minute(hour: str, minute: str) -> int:
    at = int(hour) * 60 + int(minute)
    if int(minute) >= 60 or at > DAY_MINUTES:
        raise BadHours(f"there is no {hour}:{minute} on a clock; write 00:00 to 24:00")
    return at


def _raw_other(raw: object) -> OtherHours:
    table = _table(raw, ("on", "from", "to", "open", "reason"))
    if ("on" in table) == ("from" in table or "to" in table):
        raise BadHours('say which days: either "on", or "from" and "to"')
    ends = ("on", "on") if "on" in table else ("from", "to")
    days = []
    for end in ends:
        with _at(end):
            if end not in table:
                raise BadHours(f'a range needs "{end}" too; for one day write "on"')
            days.append(_raw_date(table[end]))
    with _at("open"):
        intervals = _raw_day(table.get("open", ()))
    with _at("reason"):
        reason = _text(table.get("reason", ""))
    return OtherHours(days[0], days[1], intervals, reason)


def _raw_date(raw: object) -> date:
    # TOML knows dates; JSON writes them as text.
    if isinstance(raw, date) and not isinstance(raw, datetime):
        return raw
    text = _text(raw)
    match = _DATE.fullmatch(text)
    if match is None:
        raise BadHours(f'{_shown(text)} is not a date; write it as "2026-12-31"')
    try:
        return date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError:
        raise BadHours(f"there is no {text} in the calendar; correct the day") from None


def _table(raw: object, known: tuple[str, ...]) -> Mapping[str, object]:
    if not isinstance(raw, Mapping):
        raise BadHours(f"{_kind(raw)} stands where a table belongs, with {', '.join(known)}")
    for key in raw:
        if key not in known:
            shown = _shown(key) if isinstance(key, str) else _kind(key)
            raise BadHours(f"{shown} is unknown here; known are {', '.join(known)}")
    return raw


def _each(raw: object, most: int, read: Callable[[object], T]) -> tuple[T, ...]:
    if not isinstance(raw, list | tuple):
        raise BadHours(f"{_kind(raw)} stands where a list belongs; write [...]")
    if len(raw) > most:
        raise BadHours(f"{len(raw)} in this list, {most} are the most; take some out")
    items = []
    for place, each in enumerate(raw):
        with _at(f"[{place}]"):
            items.append(read(each))
    return tuple(items)


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise BadHours(f"{_kind(raw)} stands where text belongs; put it in quotes")
    return raw


def _kind(raw: object) -> str:
    """Return what *raw* is, in the words of JSON; never the thing itself, which may be of any size."""
    if raw is None:
        return "nothing"
    if isinstance(raw, bool):
        return "true or false"
    names = {str: "text", int: "a number", float: "a number", list: "a list", dict: "a table"}
    return names.get(type(raw), f"a {type(raw).__name__}")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 40 else f"{text[:40]!r}..."


@contextmanager
def _at(place: str) -> Iterator[None]:
    """Let what is refused inside be refused at *place*."""
    try:
        yield
    except BadHours as fault:
        raise fault.at(place) from None
