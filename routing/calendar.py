"""When a line is open and an operator at work: `Hours` read against the clocks of their zone. Pure; zones are known here alone.

The rule. At an instant the zone's wall clock shows a day and a time. The calendar is open exactly when that wall time stands inside
an interval (start <= wall < end), counted from midnight of the day on which the interval begins, and inside no break. What follows:

- A day's intervals are those of its own date in `dates`; else none if it is a public holiday; else its weekday's.
- A night that begins on a day belongs to that day: a holiday or leave on the next day does not cut it short.
- Breaks belong to the weekday they begin on, whatever that day's intervals are: they apply on dates with other hours too.
- Where clocks go forward, the walls in between never show: an interval inside such a gap does not open that day.
- Where clocks go back, an hour shows twice and counts twice: 02:00-02:30 opens, closes, opens and closes again.

Inside, an instant is whole seconds since 1970 UTC and a wall is whole seconds since 1970 by the wall clock: the two differ by the
zone's offset, which is constant on a *piece*. All changes of a calendar fall on whole seconds.

What a calendar remembers is bounded: `SPANS_KEPT` days each, and the pieces of `PIECES_KEPT` years of zones for all of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from enum import StrEnum
from functools import lru_cache
from zoneinfo import ZoneInfo, available_timezones

from broker.domain import EPOCH
from broker.errors import BadHours, BadInput, NaiveTime
from broker.hours import DAY_MINUTES, Day, Hours

HOLIDAY_DAYS = 731
"""How far a search goes day by day where public holidays alone may decide; listed dates are found at any distance."""
SPANS_KEPT = 128
PIECES_KEPT = 512

HolidayNames = Callable[[str, int], Mapping[date, str]]
"""From a code (RU, DE-BY) and a year to the names of its holidays."""
Span = tuple[int, int]
"""From the first second up to, not including, the second one."""
Piece = tuple[int, int, int]
"""A span of instants, and what the wall clock is ahead of them in it, in seconds."""

_SECOND = timedelta(seconds=1)
_DAY = 86_400
_LOOK_EVERY = 2 * _DAY
_DAY_ONE = EPOCH.toordinal()
_YEARS = range(2, 9_999)
"""Years whose instants are datetimes in every zone; beyond them clocks stay as they are."""
_LAST_DAY = date(9_998, 12, 31).toordinal() - _DAY_ONE
_NO_PIECE: Piece = (0, 0, 0)
_EMPTY_DAYS = 3
"""UTC days that a rule without intervals shares with the nights before it: nothing opens behind them."""
_SETTLED_DAYS = _EMPTY_DAYS + 22
"""After so many days a rule with intervals has said all it has: three weeks, of which a gap may take what is in one."""


class Why(StrEnum):
    """What decided a day's intervals."""

    DATE = "date"
    HOLIDAY = "holiday"
    WEEK = "week"
    CLOSED = "closed"
    """An ordinary weekday on which nothing begins."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """An open time inside one day: its instants in UTC, and what the wall clock shows then, such as 22:00 and 24:00."""

    start: datetime
    end: datetime
    start_wall: str
    end_wall: str


@dataclass(frozen=True, slots=True)
class DayPreview:
    """One day as its zone's clocks show it.

    *stretches* are cut at its midnights; the rest of a night is the next day's. *why* and *reason* (a holiday's or date's name) say
    what decided the intervals that begin on it. *shift* is by how many minutes its clock is put forward; negative: back.
    """

    day: date
    why: Why
    reason: str
    stretches: tuple[Stretch, ...]
    minutes: int
    shift: int


class Calendar:
    """Answers for one `Hours`.

    *holidays* is asked for the codes of `hours.holidays` alone. Raises BadHours for a zone that does not exist. Every instant passed
    in must be aware (NaiveTime); every instant returned is in UTC.
    """

    __slots__ = ("_firsts", "_holidays", "_hours", "_lasts", "_piece", "_spans", "_zone")

    def __init__(self, hours: Hours, holidays: HolidayNames) -> None:
        _check_zone(hours.zone)
        self._hours = hours
        self._holidays = holidays
        self._zone = ZoneInfo(hours.zone)
        self._firsts = [_number(each.first) for each in hours.dates]
        self._lasts = [_number(each.last) for each in hours.dates]
        self._spans: dict[int, tuple[Span, ...]] = {}
        self._piece = _NO_PIECE

    def is_open(self, at: datetime) -> bool:
        """Return whether it is open at *at*."""
        return self._is_open(_second(at))

    def local(self, at: datetime) -> datetime:
        """Return *at* as the zone's clocks show it."""
        return _aware(at).astimezone(self._zone)

    def next_opening(self, at: datetime) -> datetime | None:
        """Return the first open instant at or after *at*; None if there is none.

        Exact at any distance, but for one thing: public holidays that close every day of two years close for good.
        """
        second = _second(at)
        if self._is_open(second):
            return at.astimezone(UTC)
        return self._first(second, is_open=True)

    def next_change(self, at: datetime) -> datetime | None:
        """Return the first instant after *at* at which it is open and was not, or the reverse; None if there is none.

        Exact as `next_opening` is; hours round the clock that no public holiday stops for two years do not stop.
        """
        second = _second(at)
        return self._first(second, is_open=not self._is_open(second))

    def openings(self, start: datetime, end: datetime) -> tuple[tuple[datetime, datetime], ...]:
        """Return the open times between *start* and *end*, cut there, each as long as it can be. Takes some microseconds a day."""
        lo, hi = _second(start), -((EPOCH - _aware(end)) // _SECOND)
        if _aware(start) >= end:
            return ()
        start, end = start.astimezone(UTC), end.astimezone(UTC)
        # Only the ends may lie inside a second.
        return tuple((start if a == lo else _instant(a), end if b == hi else _instant(b)) for a, b in self._open_spans(lo, hi))

    def preview(self, year: int, month: int) -> tuple[DayPreview, ...]:
        """Return the days of a month. Raises BadInput for a month that does not exist or lies outside 1970-9998."""
        if not (1 <= month <= 12 and 1970 <= year <= _YEARS[-1]):
            raise BadInput(f"there is no month {month} of {year} to show; ask for 1 to 12 of 1970 to {_YEARS[-1]}", field="month")
        first = _number(date(year, month, 1))
        return tuple(self._day_preview(first + day) for day in range(monthrange(year, month)[1]))

    # --- instants and walls

    def _is_open(self, second: int) -> bool:
        lo, hi, offset = self._piece
        if not lo <= second < hi:
            _, _, offset = self._piece_at(second)
        day, clock = divmod(second + offset, _DAY)
        for start, end in self._spans_of(day):
            if clock < end:
                return start <= clock
        return False

    def _piece_at(self, second: int) -> Piece:
        piece = self._piece
        if not piece[0] <= second < piece[1]:
            self._piece = piece = _piece_at(self._zone, second)
        return piece

    def _open_spans(self, lo: int, hi: int) -> list[Span]:
        """Return the open instants of [lo, hi), joined where they touch."""
        found: list[Span] = []
        while lo < hi:
            _, cut, offset = self._piece_at(lo)
            cut = min(cut, hi)
            for day in range((lo + offset) // _DAY, (cut - 1 + offset) // _DAY + 1):
                midnight = day * _DAY - offset
                for start, end in self._spans_of(day):
                    _join(found, max(midnight + start, lo), min(midnight + end, cut))
            lo = cut
        return found

    def _first(self, second: int, *, is_open: bool) -> datetime | None:
        """Return the first instant from *second* on at which it is open, or is not."""
        for day in self._days_to_look_at(second // _DAY):
            lo, hi = max(second, day * _DAY), (day + 1) * _DAY
            spans = self._open_spans(lo, hi)
            if not is_open:
                spans = _gaps(spans, lo, hi)
            if spans:
                return _instant(spans[0][0])
        return None

    def _days_to_look_at(self, day: int) -> Iterator[int]:
        """Yield the UTC days from *day* on, without those that only repeat what the rule above them has shown.

        A rule, which is an entry of `dates` or the week between two of them, has a period of seven days once it has begun.
        """
        holiday_days = HOLIDAY_DAYS if self._hours.holidays else 0
        ruled_until: int | None = day  # no rule of the day after ends here
        before: tuple[object, ...] = ()
        left = _EMPTY_DAYS
        while day <= _LAST_DAY:
            # No clock is a day ahead: the latest day that decides about a UTC day is the one after it.
            until, intervals = self._rule(day + 1)
            if until != ruled_until:
                if intervals or before:
                    left = _SETTLED_DAYS if intervals else _EMPTY_DAYS
                ruled_until, before = until, intervals
            if left > 0:
                left -= 1
            elif intervals is self._hours.week and holiday_days > 0:
                holiday_days -= 1
            elif until is None:
                return
            else:
                day = until
                continue
            yield day
            day += 1

    # --- days

    def _rule(self, day: int) -> tuple[int | None, tuple[object, ...]]:
        """Return up to which day the rule of *day* holds, None for good, and its intervals: an entry's, or the week if it has any."""
        place = bisect_right(self._firsts, day)
        if place and day <= self._lasts[place - 1]:
            return self._lasts[place - 1], self._hours.dates[place - 1].intervals
        until = self._firsts[place] - 1 if place < len(self._firsts) else None
        return until, self._hours.week if any(self._hours.week) else ()

    def _decided(self, day: int) -> tuple[Why, str, Day]:
        """Return what decides about the intervals that begin on *day*, its name, and the intervals."""
        place = bisect_right(self._firsts, day)
        if place and day <= self._lasts[place - 1]:
            other = self._hours.dates[place - 1]
            return Why.DATE, other.reason, other.intervals
        for code in self._hours.holidays:
            on = date.fromordinal(day + _DAY_ONE)
            name = self._holidays(code, on.year).get(on)
            if name is not None:
                return Why.HOLIDAY, name, ()
        intervals = self._hours.week[_weekday(day)]
        return Why.WEEK if intervals else Why.CLOSED, "", intervals

    def _spans_of(self, day: int) -> tuple[Span, ...]:
        """Return the walls at which it is open on *day*, in seconds after its midnight."""
        spans = self._spans.get(day)
        if spans is None:
            if len(self._spans) >= SPANS_KEPT:
                self._spans.clear()
            spans = self._spans[day] = tuple(self._walls(day))
        return spans

    def _walls(self, day: int) -> list[Span]:
        if not 1 < day + _DAY_ONE <= date.max.toordinal():
            return []
        breaks = self._hours.breaks
        opened = _on_one_day(self._decided(day - 1)[2], self._decided(day)[2])
        closed = _on_one_day(breaks[_weekday(day - 1)], breaks[_weekday(day)])
        found: list[Span] = []
        for lo, hi in _gaps(closed, 0, _DAY) if closed else [(0, _DAY)]:
            for start, end in opened:
                _join(found, max(start, lo), min(end, hi))
        return found

    # --- a month

    def _day_preview(self, day: int) -> DayPreview:
        why, reason, _ = self._decided(day)
        shown = self._instants_of(day)
        spans = [span for lo, hi in shown for span in self._open_spans(lo, hi)]
        return DayPreview(
            day=date.fromordinal(day + _DAY_ONE),
            why=why,
            reason=reason,
            stretches=tuple(Stretch(_instant(a), _instant(b), self._wall(a), self._wall(b - 1, after=1)) for a, b in spans),
            minutes=sum(b - a for a, b in spans) // 60,
            shift=(_DAY - sum(hi - lo for lo, hi in shown)) // 60,
        )

    def _instants_of(self, day: int) -> list[Span]:
        """Return the instants at which the wall clock shows *day*: one span, but where a clock goes back over midnight."""
        found: list[Span] = []
        lo, hi = (day - 1) * _DAY, (day + 2) * _DAY
        while lo < hi:
            _, cut, offset = self._piece_at(lo)
            cut = min(cut, hi)
            _join(found, max(lo, day * _DAY - offset), min(cut, (day + 1) * _DAY - offset))
            lo = cut
        return found

    def _wall(self, second: int, after: int = 0) -> str:
        """Return what the wall clock shows at *second*, and *after* seconds more, so that a day ends at 24:00."""
        _, _, offset = self._piece_at(second)
        minutes, seconds = divmod((second + offset) % _DAY + after, 60)
        return f"{minutes // 60:02}:{minutes % 60:02}" + (f":{seconds:02}" if seconds else "")


def check(hours: Hours, codes: Callable[[], Collection[str]]) -> None:
    """Refuse a zone, country or region that does not exist. *codes* is called only if there is a code to look for. Raises BadHours."""
    _check_zone(hours.zone)
    for place, code in enumerate(hours.holidays):
        if code not in codes():
            near = _near(code, codes())
            raise BadHours(f"no country or region {code!r} is known; {near or 'take it out'}", field=f"holidays[{place}]")


def _check_zone(zone: str) -> None:
    if zone not in _zones():
        near = _near(zone, _zones())
        raise BadHours(f"no time zone {zone!r} is known; {near or 'write one such as Europe/Moscow'}", field="zone")


@lru_cache(maxsize=1)
def _zones() -> frozenset[str]:
    # Some systems have a file of this name: the machine's own zone, whichever that is.
    return frozenset(available_timezones()) - {"localtime"}


def _near(name: str, known: Collection[str]) -> str:
    """Return a question with up to three of the *known* names that look most like *name*, or nothing."""
    # A city alone finds its zone.
    parts = {part.casefold(): each for each in sorted(known) for part in (each.rpartition("/")[2], each)}
    found = dict.fromkeys(parts[part] for part in get_close_matches(name.casefold(), parts, n=3, cutoff=0.75))
    return f"did you mean {' or '.join(found)}?" if found else ""


def _aware(at: datetime) -> datetime:
    if at.utcoffset() is None:
        raise NaiveTime(f"{at.isoformat()} has no zone; pass an aware datetime")
    return at


def _second(at: datetime) -> int:
    return (_aware(at) - EPOCH) // _SECOND


def _instant(second: int) -> datetime:
    return EPOCH + timedelta(seconds=second)


def _number(on: date) -> int:
    """Return the day's number; 1970-01-01, a Thursday, is 0."""
    return on.toordinal() - _DAY_ONE


def _weekday(day: int) -> int:
    return (day + 3) % 7


@lru_cache(maxsize=PIECES_KEPT)
def _pieces(zone: ZoneInfo, year: int) -> tuple[Piece, ...]:
    """Return the pieces of a UTC year.

    A clock is looked at every other day, and where it has moved, the second is found by halving. Two moves within two days would
    be taken for one; the database has none since 1900 that are nearer to each other than three.
    """

    def offset_at(second: int) -> int:
        offset = _instant(second).astimezone(zone).utcoffset()
        assert offset is not None
        return offset // _SECOND

    begin, end = _number(date(year, 1, 1)) * _DAY, _number(date(year + 1, 1, 1)) * _DAY
    offset = offset_at(begin)
    found = []
    for lo in range(begin, end, _LOOK_EVERY):
        hi = min(lo + _LOOK_EVERY, end)
        later = offset_at(hi)
        if later != offset:
            moved = lo + bisect_left(range(lo, hi), True, key=lambda second: offset_at(second) == later)
            found.append((begin, moved, offset))
            begin, offset = moved, later
    return (*found, (begin, end, offset)) if begin < end else tuple(found)


def _piece_at(zone: ZoneInfo, second: int) -> Piece:
    day = second // _DAY
    if day < _number(date(_YEARS[0], 1, 1)):
        return -(10**12), _number(date(_YEARS[0], 1, 1)) * _DAY, _pieces(zone, _YEARS[0])[0][2]
    if day > _LAST_DAY:
        return (_LAST_DAY + 1) * _DAY, 10**12, _pieces(zone, _YEARS[-1])[-1][2]
    pieces = _pieces(zone, date.fromordinal(day + _DAY_ONE).year)
    return pieces[bisect_right(pieces, second, key=lambda piece: piece[0]) - 1]


def _on_one_day(before: Day, own: Day) -> list[Span]:
    """Return, in seconds and joined, what intervals of the day *before* and of a day itself cover of it."""
    night = [(0, each.end - DAY_MINUTES) for each in before if each.end > DAY_MINUTES]
    found: list[Span] = []
    for start, end in sorted(night + [(each.start, min(each.end, DAY_MINUTES)) for each in own]):
        if found and start * 60 <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end * 60))
        else:
            found.append((start * 60, end * 60))
    return found


def _join(found: list[Span], start: int, end: int) -> None:
    """Add a span, if there is anything in it, behind those found before it."""
    if start >= end:
        return
    if found and found[-1][1] == start:
        found[-1] = (found[-1][0], end)
    else:
        found.append((start, end))


def _gaps(spans: list[Span], lo: int, hi: int) -> list[Span]:
    """Return what *spans*, which are in order, leave of [lo, hi)."""
    ends = [lo, *(edge for span in spans for edge in span), hi]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]
