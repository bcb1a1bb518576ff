"""The calendar against an oracle that shares nothing with it: minutes marked in an array, clocks read from the zone files' bytes.

The oracle marks every minute of the wall clock as open or closed, deals the marks out to the minutes of UTC by the offset the zone
file gives, and looks where they change. It has its own reader of TZif (RFC 9636) and of the rule in a file's last line, its own idea
of what a day's intervals are, and no idea of seconds, searches or caches.

Every zone is looked at, from 2020 to 2037: two days before and after each transition, and one random week a year, under hours
that are drawn anew each time, often close to the transition's own wall times. Zones whose files are the same to the byte are one.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_right
from datetime import UTC, date, datetime, timedelta
from functools import cache
from importlib import resources
from itertools import pairwise
from pathlib import Path
from random import Random
from zoneinfo import TZPATH, available_timezones

import pytest

from broker.hours import hours_of
from routing.calendar import Calendar

YEARS = range(2020, 2038)
SHARDS = 8
START = datetime(1970, 1, 1, tzinfo=UTC)
DAY = 1440
AHEAD = 12 * DAY
"""How many minutes behind a window the oracle sees what comes next."""
NAMES = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


# --- the oracle's clocks: [(first UTC second, offset in seconds)], in order


def file_of(zone: str) -> bytes:
    """Return the zone's file: the system's, else the package's, as the standard library chooses."""
    for folder in TZPATH:
        if (path := Path(folder, zone)).is_file():
            return path.read_bytes()
    return resources.files("tzdata").joinpath("zoneinfo", *zone.split("/")).read_bytes()


def clock_of(content: bytes) -> list[tuple[int, int]]:
    """Return the offsets that a TZif file of version 2 or later tells, with its last line's rule played to 2040."""

    def counts(at: int) -> tuple[int, ...]:
        assert content[at : at + 4] == b"TZif"
        assert content[at + 4 : at + 5] >= b"2"
        return struct.unpack(">6L", content[at + 20 : at + 44])

    utc, std, leap, times, types, letters = counts(0)
    at = 44 + times * 5 + types * 6 + letters + leap * 8 + std + utc
    utc, std, leap, times, types, letters = counts(at)
    assert leap == 0, "seconds that leap are in the `right` files, which are not zones of anybody's wall"
    at += 44
    moments = struct.unpack(f">{times}q", content[at : at + times * 8])
    kinds = content[at + times * 8 : at + times * 9]
    at += times * 9
    offsets = [struct.unpack(">l", content[at + 6 * kind : at + 6 * kind + 4])[0] for kind in range(types)]
    rule = content[at + types * 6 + letters + std + utc :].decode().strip()
    told = [(-(2**62), offsets[0]), *zip(moments, (offsets[kind] for kind in kinds), strict=True)]
    told += [each for each in played(rule) if each[0] > told[-1][0]]
    return [told[0], *(after for before, after in pairwise(told) if after[1] != before[1])]


def played(rule: str) -> list[tuple[int, int]]:
    """Return what a rule such as CET-1CEST,M3.5.0,M10.5.0/3 makes of the years to 2040."""
    name, span, day = r"(?:<[^>]+>|[A-Za-z]+)", r"([+-]?[\d:]+)", r"M(\d+)\.(\d)\.(\d)(?:/([+-]?[\d:]+))?"
    match = re.fullmatch(f"{name}{span}(?:{name}{span}?,{day},{day})?", rule)
    assert match, f"teach the oracle to read {rule}"
    usual = -seconds_in(match[1])
    if match[3] is None:
        return []
    summer = usual + 3600 if match[2] is None else -seconds_in(match[2])
    found = []
    for year in range(1990, 2041):
        found.append((moment(year, *match.group(3, 4, 5, 6)) - usual, summer))
        found.append((moment(year, *match.group(7, 8, 9, 10)) - summer, usual))
    return sorted(found)


def seconds_in(text: str) -> int:
    parts = [int(part) for part in text.lstrip("+-").split(":")]
    return (-1 if text.startswith("-") else 1) * sum(part * unit for part, unit in zip(parts, (3600, 60, 1), strict=False))


def moment(year: int, month: str, week: str, weekday: str, at: str | None) -> int:
    """Return the wall second of the rule's day: the *week*-th *weekday* (Sunday is 0) of the month; 5 is the last."""
    days = [day for day in range(1, 32) if (day <= 28 or valid(year, int(month), day))]
    fit = [day for day in days if date(year, int(month), day).isoweekday() % 7 == int(weekday)]
    on = date(year, int(month), fit[min(int(week), len(fit)) - 1])
    return (on - date(1970, 1, 1)).days * 86_400 + seconds_in(at or "2")


def valid(year: int, month: int, day: int) -> bool:
    following = date(year + month // 12, month % 12 + 1, 1)
    return day <= (following - date(year, month, 1)).days


@cache
def clocks() -> list[tuple[str, list[tuple[int, int]]]]:
    """Return each clock once, under the first of its zones' names."""
    files: dict[bytes, str] = {}
    for zone in sorted(available_timezones() - {"localtime"}):
        files.setdefault(file_of(zone), zone)
    return [(zone, clock_of(content)) for content, zone in files.items()]


# --- the oracle's hours: minutes of a day, which may run into the next


class Plan:
    """Hours drawn at random, as the plainest of data."""

    def __init__(self, chance: Random, first: date, days: int, near: list[int]) -> None:
        self.near = near
        self.chance = chance
        draw = chance.choice([self.split, self.night, self.odd, self.narrow, self.whole, self.shifts])
        self.week = self.untangled([draw() if chance.random() < 0.85 else [] for _ in range(7)])
        self.breaks = self.untangled([self.narrow() if chance.random() < 0.3 else [] for _ in range(7)])
        self.dates: dict[date, list[tuple[int, int]]] = {}
        self.holidays = {first + timedelta(chance.randrange(days)) for _ in range(chance.choice([0, 0, 1, 2]))}
        self.entries: list[dict[str, object]] = []
        day = first + timedelta(chance.randrange(days))
        for length in chance.choice([(), (), (1,), (3,), (1, 2)]):
            other = (
                chance.choice([self.split, self.night, self.narrow, self.whole])()
                if length == 1 and chance.random() < 0.6
                else []
            )
            last = day + timedelta(length - 1)
            span = {"on": str(day)} if length == 1 else {"from": str(day), "to": str(last)}
            self.entries.append({**span, "open": texts(other)})
            for each in range(length):
                self.dates[day + timedelta(each)] = other
            day = last + timedelta(chance.randint(1, 2))

    def minute(self) -> int:
        """Return a minute of the day, mostly one near the transition."""
        if self.near and self.chance.random() < 0.7:
            return (
                self.chance.choice(self.near) + self.chance.choice([0, 0, -60, 60, -30, 30, self.chance.randint(-70, 70)])
            ) % DAY
        return self.chance.randrange(DAY)

    def split(self) -> list[tuple[int, int]]:
        a, b, c, d = sorted(self.chance.sample(range(0, DAY + 1, 30), 4))
        return [(a, b), (c, d)]

    def night(self) -> list[tuple[int, int]]:
        start = self.chance.randrange(DAY // 2, DAY)
        return [(start, start + self.chance.randrange(30, DAY))]

    def odd(self) -> list[tuple[int, int]]:
        cuts = sorted({self.minute() for _ in range(6)})
        return list(zip(cuts[::2], cuts[1::2], strict=False))

    def narrow(self) -> list[tuple[int, int]]:
        start = self.minute()
        return [(start, start + self.chance.randint(1, 59))]

    def whole(self) -> list[tuple[int, int]]:
        return [(0, DAY)]

    def shifts(self) -> list[tuple[int, int]]:
        return [(480, 1200), (1200, DAY + 480)]

    @staticmethod
    def untangled(week: list[list[tuple[int, int]]]) -> list[list[tuple[int, int]]]:
        """End each night where the next day's first interval begins."""
        for day in range(7):
            following = week[(day + 1) % 7]
            if week[day] and following:
                start, end = week[day][-1]
                week[day][-1] = (start, min(end, DAY + following[0][0]))
        return week

    def raw(self, zone: str) -> dict[str, object]:
        """Return the shape that a person would have written."""
        return {
            "zone": zone,
            "week": {name: texts(day) for name, day in zip(NAMES, self.week, strict=True)},
            "breaks": {name: texts(day) for name, day in zip(NAMES, self.breaks, strict=True)},
            "dates": self.entries,
            "holidays": ["XX"],
        }

    def intervals(self, day: date) -> list[tuple[int, int]]:
        if day in self.dates:
            return self.dates[day]
        return [] if day in self.holidays else self.week[day.weekday()]


def texts(day: list[tuple[int, int]]) -> list[str]:
    return [f"{a // 60:02}:{a % 60:02}-{(b if b <= DAY else b - DAY) // 60:02}:{b % 60:02}" for a, b in day]


def marked(plan: Plan, clock: list[tuple[int, int]], start: int, end: int) -> bytearray:
    """Return a byte for each minute of UTC from *start* to *end*: 1, it is open."""
    first = start // DAY - 3
    walls = bytearray((end // DAY + 4 - first) * DAY)
    margin = bytearray(DAY)
    walls += margin
    for mark, what in ((b"\1", plan.intervals), (b"\0", lambda day: plan.breaks[day.weekday()])):
        for number in range(len(walls) // DAY - 1):
            for a, b in what(date(1970, 1, 1) + timedelta(first + number)):
                walls[number * DAY + a : number * DAY + b] = mark * (b - a)
    minutes = bytearray()
    moments = [moment for moment, _ in clock]
    at = start
    while at < end:
        place = bisect_right(moments, at * 60) - 1
        until = min(end, clock[place + 1][0] // 60) if place + 1 < len(clock) else end
        ahead = clock[place][1] // 60 - first * DAY
        minutes += walls[at + ahead : until + ahead]
        at = until
    return minutes


# --- the comparison


def compare(zone: str, clock: list[tuple[int, int]], chance: Random, start: int, end: int, near: list[int]) -> int:
    """Compare all answers in the minutes from *start* to *end*; return how many changes there were."""
    first = date(1970, 1, 1) + timedelta(start // DAY - 1)
    plan = Plan(chance, first, (end - start) // DAY + 3, near)
    raw = plan.raw(zone)
    calendar = Calendar(hours_of(raw), lambda _, year: {day: "a holiday" for day in plan.holidays if day.year == year})
    minutes = marked(plan, clock, start, end + AHEAD)

    def instant(minute: int) -> datetime:
        return START + timedelta(minutes=start + minute)

    def following(minute: int, pattern: bytes) -> datetime | None:
        found = minutes.find(pattern, minute)
        return None if found < 0 else instant(found)

    within = bytes(minutes[: end - start])
    edges = [match.start() + 1 for match in re.finditer(b"(?s)\0(?=\1)|\1(?=\0)", within)]
    expected = tuple((instant(match.start()), instant(match.end())) for match in re.finditer(b"\1+", within))
    assert expected == calendar.openings(instant(0), instant(end - start)), (zone, raw, plan.holidays)

    probes = [instant(edge) + timedelta(seconds=by) for edge in edges for by in (-1, 0, 1)]
    probes += [instant(0) + timedelta(microseconds=chance.randrange((end - start) * 60_000_000)) for _ in range(5)]
    last = instant(len(minutes))
    for at in probes:
        minute = (at - instant(0)) // timedelta(minutes=1)
        is_open = minutes[minute] == 1
        assert is_open == calendar.is_open(at), (zone, raw, plan.holidays, at)
        opening = at if is_open else following(minute, b"\1")
        change = following(minute, b"\0" if is_open else b"\1")
        for wanted, answer in ((opening, calendar.next_opening(at)), (change, calendar.next_change(at))):
            if wanted is None:
                assert answer is None or answer >= last, (zone, raw, plan.holidays, at)
            else:
                assert wanted == answer, (zone, raw, plan.holidays, at)
    return len(edges)


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(SHARDS))
def test_agrees_with_marked_minutes(shard):
    """Openings, is_open, next_opening and next_change are the oracle's in every zone, around each transition and in a week a year."""
    windows = changes = 0
    for zone, clock in clocks()[shard::SHARDS]:
        chance = Random(f"calendar {zone}")
        for (_, before), (moment, offset) in pairwise(clock):
            if YEARS[0] <= (START + timedelta(seconds=max(moment, 0))).year <= YEARS[-1]:
                middle = moment // 60
                near = [(middle + before // 60) % DAY, (middle + offset // 60) % DAY]
                changes += compare(zone, clock, chance, middle - 2 * DAY, middle + 2 * DAY, near)
                windows += 1
        for year in YEARS:
            new_year = (date(year, 1, 1) - date(1970, 1, 1)).days * DAY
            begin = new_year + chance.randrange(358 * DAY)
            changes += compare(zone, clock, chance, begin, begin + 7 * DAY, [])
            windows += 1

    assert windows > 18 * len(clocks()[shard::SHARDS])
    assert changes > 3 * windows


def test_no_zone_is_left_out():
    """Each name of the database has a clock here, by itself or by a file that is the same to the byte."""
    seen = {file_of(zone) for zone, _ in clocks()}

    assert len(seen) == len(clocks())
    assert all(file_of(zone) in seen for zone in available_timezones() - {"localtime"})


def test_oracle_reads_what_is_known():
    """The oracle's clocks are those of decrees one can look up: Berlin's hour, Lord Howe's half, Nuuk's year of changing its mind."""
    found = dict(clocks())
    named = {file_of(zone): clock for zone, clock in found.items()}

    def offsets(zone: str, *moments: str) -> list[int]:
        clock = named[file_of(zone)]
        times = [(datetime.fromisoformat(moment) - START) // timedelta(seconds=1) for moment in moments]
        return [clock[bisect_right([moment for moment, _ in clock], at) - 1][1] // 60 for at in times]

    assert offsets("Europe/Berlin", "2030-03-31T00:59:59Z", "2030-03-31T01:00:00Z") == [60, 120]
    assert offsets("Australia/Lord_Howe", "2026-04-04T14:59:59Z", "2026-04-04T15:00:00Z") == [660, 630]
    assert offsets("America/Nuuk", "2023-03-25T21:59:59Z", "2023-03-26T01:00:00Z", "2024-03-31T01:00:00Z") == [-180, -120, -60]
    assert offsets("Asia/Kolkata", "2037-07-01T00:00:00Z") == [330]
