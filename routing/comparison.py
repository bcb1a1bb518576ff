"""What happened beside what would have: the figures of `omniline what-if`, for people and for programs.

    comparison = compare(read, house, changed, line_id, since, until, seed=1)
    print(comparison.text())

Three columns: what happened, by the tables; the same time played under the settings of today; and played under the changed ones. How
far the second is from the first says how much to trust the difference between the second and the third.
"""

from __future__ import annotations

import math
import random
import textwrap
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timedelta
from functools import partial

import msgspec

from broker.domain import EPOCH, Directory, LineId, LineSettings, LoadKind, OperatorId, PresenceState
from broker.errors import BadInput
from routing import erlang
from routing.openings import Openings
from routing.replaying import Read, printable
from routing.traffic import Found, Kept, Remarks, arranged, gather
from routing.what_if import Arrangement, Ending, Outcome, Person, Stretch, Wait, simulate

ANSWERED_SHARE = 0.8
USUAL_WITHIN_SECONDS = 60
"""Of a line that promises no time to a first answer."""
AROUND = 2
NAME_WIDTH, WIDTH = 34, 22
"""Of the first column and of the others: together no more than 100."""
HOUR = timedelta(hours=1)

_PLAYED = frozenset(
    "distribution offer_seconds rounds priority hours outside outside_calls opening_pace_seconds responsible_first responsible_seconds "
    "skills match_language skill_seconds load_counts weights reopen_seconds".split()
)
"""The settings that the play reads."""

Presence = Mapping[OperatorId, tuple[tuple[datetime, PresenceState], ...]]


# --- figures


class Spread(msgspec.Struct, frozen=True):
    """Seconds: the middle one, that which 95 of 100 do not exceed, and the longest; None: there are none."""

    median: float | None
    percentile_95: float | None
    longest: float | None


class Load(msgspec.Struct, frozen=True):
    """An operator's part. *busy*: of what their budget could bear while they were there and on shift; None: they never were."""

    sessions: int
    busy: float | None
    ran_out: int


class Figures(msgspec.Struct, frozen=True):
    """What became of the line's sessions; the operators' part is of all the lines that share them."""

    sessions: int
    outside: int
    """Written outside the hours."""
    wait_seconds: Spread
    """To the first taking, counted from the opening for those."""
    from_writing_seconds: Spread
    missed: int
    late: int
    never_taken: int
    shut: int
    given_up: int
    offers: int
    declined: int
    ran_out: int
    operators: dict[str, Load]


class StaffingRow(msgspec.Struct, frozen=True):
    """See routing.erlang; *mean_wait_seconds* None: the queue grows without end."""

    operators: int
    meets_target: bool
    occupancy: float
    within: float
    mean_wait_seconds: float | None
    abandoned: float


class Staffing(msgspec.Struct, frozen=True):
    """How many operators an hour needs, by Erlang's formulas."""

    hour: str
    arrivals: float
    handling_seconds: float
    at_once: int
    within_seconds: int
    patience_seconds: float | None
    rows: tuple[StaffingRow, ...]


class Distance(msgspec.Struct, frozen=True):
    """How far the play of what was is from what happened. Shares are of all sessions, 0 to 1."""

    median_seconds: float | None
    percentile_95_seconds: float | None
    missed_share: float
    moved_share: float
    """Of the sessions taken by another operator than really, as far as the counts tell."""


class Comparison(msgspec.Struct, frozen=True):
    """Everything that is said."""

    line: str
    since: datetime
    until: datetime
    seed: int
    late_after_seconds: int
    happened: Figures
    played: Figures
    changed: Figures
    distance: Distance
    staffing: tuple[Staffing, ...]
    notes: tuple[str, ...]

    def json(self) -> str:
        """Return it as one line for a program."""
        return msgspec.json.encode(self).decode()

    def text(self) -> str:
        """Return it as lines for a terminal, no wider than 100."""
        return "\n".join(_text(self))


def compare(
    read: Read,
    house: Kept,
    changed: Kept,
    line_id: LineId,
    since: datetime,
    until: datetime,
    *,
    seed: int = 1,
    patience_seconds: float | None = None,
) -> Comparison:
    """Play the line's time from *since* until before *until* as *house* is and as *changed* would be.

    *changed* may seat people whom *house* does not know: they are there all the time. Raises BadInput when nobody wrote.
    """
    if patience_seconds is not None and not erlang.LEAST_SECONDS <= patience_seconds <= erlang.MOST_SECONDS:
        raise BadInput(f"patience: {patience_seconds} is not a number of seconds; leave it out for customers who wait for ever")
    until = min(until, house.now)
    line = house.directory.lines[line_id]
    pools = (*house.directory.pools[line_id], *changed.directory.pools[line_id])
    lines = tuple(one for one in dict.fromkeys(pools) if house.directory.lines[one].active)
    if since >= until or line_id not in lines:
        raise BadInput(_nobody(line.slug, since, until) if line.active else f"the line {line.slug} is switched off")
    found = gather(read, house, lines, since, until)
    if not any(wait.line_id == line_id for wait in found.actual.waits):
        raise BadInput(_nobody(line.slug, since, until))
    as_it_was = arranged(house.directory, house.budgets, lines, found.presence)
    presence = _presence(house.directory, changed.directory, found.presence, since, until)
    as_changed = arranged(changed.directory, changed.budgets, lines, presence)
    late_after = line.settings.no_answer_seconds

    def figures(outcome: Outcome, arrangement: Arrangement) -> Figures:
        names = {**_names(house.directory), **_names(changed.directory)}
        return _figures(outcome, arrangement, line_id, since, until, late_after, names)

    happened = figures(found.actual, as_it_was)
    # S311: chance of a play, to be had again by its seed; nothing is kept secret by it.
    played = figures(simulate(found.traffic, as_it_was, random.Random(seed)), as_it_was)  # noqa: S311
    what_if = figures(simulate(found.traffic, as_changed, random.Random(seed)), as_changed)  # noqa: S311
    staffing, staffing_notes = _staffing(found, as_it_was, line_id, patience_seconds)
    return Comparison(
        line=line.slug,
        since=since,
        until=until,
        seed=seed,
        late_after_seconds=late_after,
        happened=happened,
        played=played,
        changed=what_if,
        distance=_distance(happened, played),
        staffing=staffing,
        notes=(*_notes(found.remarks, house, changed, as_it_was, as_changed, line_id), *staffing_notes),
    )


def _nobody(slug: str, since: datetime, until: datetime) -> str:
    return f"nobody wrote to {slug} between {since.isoformat()} and {until.isoformat()}; take another time"


def _names(house: Directory) -> dict[OperatorId, str]:
    return {id_: person.login for id_, person in house.operators.items()}


# --- who would be there


def _presence(house: Directory, changed: Directory, was: Presence, since: datetime, until: datetime) -> Presence:
    """Return where people would be: as they were; in hours that they did not have before, and if they were not of the house, there."""
    before = Openings(house)
    presence: dict[OperatorId, tuple[tuple[datetime, PresenceState], ...]] = {}
    for id_, person in changed.operators.items():
        known = house.operators.get(id_)
        if known is None or not known.active:
            presence[id_] = ((since, PresenceState.ONLINE),)
        elif known.hours == person.hours:
            presence[id_] = was.get(id_, ())
        else:
            shifts = _open_spans(partial(before.of_operator, id_), since, until) if known.hours else []
            presence[id_] = _there_outside(shifts, Person(presence=was.get(id_, ())), since)
    return presence


def _there_outside(
    shifts: Sequence[tuple[datetime, datetime]], person: Person, since: datetime
) -> tuple[tuple[datetime, PresenceState], ...]:
    """Return the presence of *person* within *shifts*, and ONLINE around them."""
    changes = [(since, PresenceState.ONLINE)]
    for start, end in shifts:
        changes.append((start, person.state_at(start)))
        changes += (change for change in person.presence if start < change[0] < end)
        changes.append((end, PresenceState.ONLINE))
    return tuple(changes)


def _open_spans(ask: Callable[[datetime], Stretch], since: datetime, until: datetime) -> list[tuple[datetime, datetime]]:
    """Return the times between *since* and *until* in which the calendar that *ask* asks is open."""
    spans = []
    at = since
    while at < until:
        stretch = ask(at)
        end = min(stretch.until or until, until)
        if stretch.open:
            spans.append((at, end))
        at = end
    return spans


def _available(person: Person, shifts: Sequence[tuple[datetime, datetime]], until: datetime) -> list[tuple[datetime, datetime]]:
    """Return when the person could be offered something."""
    if not person.active:
        return []
    ends = [*(at for at, _ in person.presence[1:]), until]
    there = [
        (at, end) for (at, state), end in zip(person.presence, ends, strict=False) if state is PresenceState.ONLINE and at < end
    ]
    return [(max(a, c), min(b, d)) for a, b in there for c, d in shifts if max(a, c) < min(b, d)]


# --- what became of it


def _figures(
    outcome: Outcome,
    house: Arrangement,
    line_id: LineId,
    since: datetime,
    until: datetime,
    late_after: int,
    names: Mapping[OperatorId, str],
) -> Figures:
    waits = [wait for wait in outcome.waits if wait.line_id == line_id]
    asked = [wait for wait in waits if wait.ending in (Ending.TAKEN, Ending.WAITING)]
    endings = Counter(wait.ending for wait in waits)
    late = sum(
        1 for wait in waits if late_after and wait.ending in (Ending.TAKEN, Ending.GIVEN_UP) and _seconds(wait) > late_after
    )
    offers: Counter[str] = Counter()
    ran_out: Counter[OperatorId] = Counter()
    for (line, who), counts in outcome.offers.items():
        ran_out[who] += counts.get("ran_out", 0)
        if line == line_id:
            offers.update(counts)
    taken = Counter(wait.taken_by for wait in outcome.waits if wait.taken_by is not None)
    busy = _busy(outcome, house, since, until)
    people = sorted({*house.seats.get(line_id, ()), *taken}, key=lambda who: names.get(who, who))
    return Figures(
        sessions=len(waits),
        outside=sum(wait.counted_from > wait.began_at or wait.ending is Ending.SHUT for wait in waits),
        wait_seconds=_spread([_seconds(wait) for wait in asked]),
        from_writing_seconds=_spread([(wait.ended_at - wait.began_at).total_seconds() for wait in asked]),
        missed=late + endings[Ending.WAITING] + endings[Ending.SHUT],
        late=late,
        never_taken=endings[Ending.WAITING],
        shut=endings[Ending.SHUT],
        given_up=endings[Ending.GIVEN_UP],
        offers=offers["made"],
        declined=offers["declined"],
        ran_out=offers["ran_out"],
        operators={names.get(who, who): Load(taken[who], busy.get(who), ran_out[who]) for who in people},
    )


def _seconds(wait: Wait) -> float:
    return max(0.0, (wait.ended_at - wait.counted_from).total_seconds())


def _spread(seconds: list[float]) -> Spread:
    if not seconds:
        return Spread(None, None, None)
    seconds.sort()

    def least(share: float) -> float:
        return seconds[max(0, math.ceil(share * len(seconds)) - 1)]

    return Spread(least(0.5), least(0.95), seconds[-1])


def _busy(outcome: Outcome, house: Arrangement, since: datetime, until: datetime) -> dict[OperatorId, float]:
    """Return which part of their budgets people's sessions took while they were there."""
    shifts = {who: _open_spans(partial(house.calendars.of_operator, who), since, until) for who in house.people}
    there = {who: _available(person, shifts[who], until) for who, person in house.people.items()}
    taken: defaultdict[OperatorId, float] = defaultdict(float)
    for hold in outcome.holds:
        spans = there.get(hold.operator_id, [])
        for place in range(max(0, bisect_right(spans, hold.start, key=lambda span: span[0]) - 1), len(spans)):
            start, end = spans[place]
            if start >= hold.end:
                break
            taken[hold.operator_id] += hold.weight * max(0.0, (min(end, hold.end) - max(start, hold.start)).total_seconds())
    busy = {}
    for who, spans in there.items():
        could = house.people[who].budget * sum((end - start).total_seconds() for start, end in spans)
        if could:
            busy[who] = taken[who] / could
    return busy


def _distance(happened: Figures, played: Figures) -> Distance:
    def apart(one: float | None, other: float | None) -> float | None:
        return other - one if one is not None and other is not None else None

    everybody = {*happened.operators, *played.operators}
    nothing = Load(0, None, 0)
    moved = sum(
        abs(happened.operators.get(who, nothing).sessions - played.operators.get(who, nothing).sessions) for who in everybody
    )
    of_all = sum(load.sessions for load in happened.operators.values())
    return Distance(
        median_seconds=apart(happened.wait_seconds.median, played.wait_seconds.median),
        percentile_95_seconds=apart(happened.wait_seconds.percentile_95, played.wait_seconds.percentile_95),
        missed_share=(played.missed - happened.missed) / happened.sessions,
        moved_share=moved / 2 / of_all if of_all else 0.0,
    )


# --- Erlang


def _staffing(
    found: Found, house: Arrangement, line_id: LineId, patience_seconds: float | None
) -> tuple[tuple[Staffing, ...], list[str]]:
    """Return tables for the busiest hour and for the average open hour, with what must be known of them."""
    since, until = found.traffic.since, found.traffic.until
    inside = [wait for wait in found.actual.waits if wait.line_id == line_id and wait.counted_from == wait.began_at]
    inside = [wait for wait in inside if wait.ending is not Ending.SHUT]
    kinds = Counter(
        lived.conversation.load for lived in found.traffic.sessions if lived.counts and lived.conversation.line_id == line_id
    )
    kind, of_kind = kinds.most_common(1)[0]
    handling = found.traffic.handling.get((line_id, kind), ())
    open_hours = sum(
        (end - start) / HOUR for start, end in _open_spans(lambda at: house.calendars.of_line(line_id, at), since, until)
    )
    if not inside or not handling or not open_hours:
        return (), ["No staffing table: too little was begun and closed within the hours to know a handling time."]
    hours = Counter((wait.began_at - EPOCH) // HOUR for wait in inside)
    busiest, most = max(hours.items(), key=lambda hour: (hour[1], -hour[0]))
    at = (EPOCH + busiest * HOUR).strftime("%Y-%m-%d %H:%M UTC")
    seconds = sum(handling) / len(handling)
    at_once = _at_once(house, line_id, kind)
    within = house.lines[line_id].no_answer_seconds or USUAL_WITHIN_SECONDS
    tables = []
    notes = []
    for hour, arrivals in ((f"the busiest hour, {at}", float(most)), ("the average open hour", len(inside) / open_hours)):
        try:
            rows = erlang.staffing(
                arrivals,
                max(seconds, erlang.LEAST_SECONDS),
                answer_within_seconds=within,
                target=ANSWERED_SHARE,
                patience_seconds=patience_seconds,
                at_once=at_once,
                around=AROUND,
            )
        except BadInput as error:
            notes.append(f"No staffing table for {hour}: {error}.")
            continue
        tables.append(Staffing(hour, arrivals, seconds, at_once, within, patience_seconds, tuple(_row(row) for row in rows)))
    notes.append(
        f"The staffing table knows one kind of session ({kind.value}, {of_kind} of {kinds.total()}), steady arrivals, and operators who "
        f"serve {at_once} side by side, each as fast as alone; no breaks, no offers that run out, no other lines."
    )
    if patience_seconds is None:
        notes.append("It is Erlang C: nobody leaves. Chats do not tell who gave up; --patience SECONDS assumes it (Erlang A).")
    return tuple(tables), notes


def _at_once(house: Arrangement, line_id: LineId, kind: LoadKind) -> int:
    """Return how many sessions of *kind* an operator of the line can have side by side: the middle one of its people."""
    weight = house.lines[line_id].weights.of(kind)
    budgets = sorted(house.people[who].budget for who in house.seats[line_id] if house.people[who].active) or [100]
    return min(erlang.MOST_AT_ONCE, max(1, budgets[len(budgets) // 2] // weight)) if weight else erlang.MOST_AT_ONCE


def _row(row: erlang.StaffingRow) -> StaffingRow:
    wait = row.mean_wait_seconds if math.isfinite(row.mean_wait_seconds) else None
    return StaffingRow(row.operators, row.meets_target, row.occupancy, row.within, wait, row.abandoned)


# --- what must be known of it


def _notes(remarks: Remarks, house: Kept, changed: Kept, was: Arrangement, would: Arrangement, line_id: LineId) -> list[str]:
    line, other = house.directory.lines[line_id].settings, changed.directory.lines[line_id].settings
    counted = (
        (remarks.carried, "were open when the time began: they take their part of the budgets, and are not counted."),
        (remarks.started, "were begun by an operator: they take their part, and are not counted, for they never waited."),
        (remarks.from_list, "were taken from the list. The play knows offers alone, so there they wait for one."),
        (
            remarks.by_name,
            "times a colleague took one over or was passed it by name. In the play it stays with who took it first.",
        ),
        (remarks.unfinished, "were not closed yet: as long as they have taken so far is how long they take."),
        (remarks.other_settings, "were begun under other settings than today's, with which what was is played."),
        (
            remarks.guessed_presence,
            "people are taken to have been online before the first time that they are known to have left.",
        ),
    )
    notes = [f"{count} {told}" for count, told in counted if count]
    if len(was.lines) > 1:
        others = sorted(house.directory.lines[id_].slug for id_ in was.lines if id_ != line_id)
        notes.append(f"Played together with {_some(others)}, for they share people; the operators' columns are of all of them.")
    notes += _unplayed(house.directory, changed.directory, was, would)
    if line.hours != other.hours:
        notes.append("The line's hours are changed, and nobody's presence with them: give its people shifts to have them there.")
    if (line.no_answer_seconds or 0) == 0:
        notes.append("no_answer_seconds is 0: nobody who was taken counts as missed, however late.")
    elif line.no_answer_seconds != other.no_answer_seconds:
        notes.append(f"Missed is counted by {line.no_answer_seconds} s in all columns, so that they can be compared.")
    if _moved_shifts(house.directory, changed.directory):
        notes.append("Who has other shifts is online in the hours that they did not have before, and as they were in the others.")
    notes.append("How long an operator has a session does not depend on who has it, or on how many they have beside it.")
    notes.append("Who gave up waiting is not known of chats: everybody is taken to wait until they are taken.")
    return notes


def _unplayed(house: Directory, changed: Directory, was: Arrangement, would: Arrangement) -> Iterator[str]:
    """Tell what was changed and changes nothing here."""
    apart = sorted(
        [
            *(house.lines[id_].slug for id_, line in changed.lines.items() if line != house.lines[id_] and id_ not in was.lines),
            *(
                person.login
                for id_, person in changed.operators.items()
                if person != house.operators.get(id_) and id_ not in would.people and id_ not in was.people
            ),
        ]
    )
    if apart:
        yield f"Changed, and has no part in this line: {_some(apart)}."
    names = {field.name for field in fields(LineSettings)}
    unplayed = sorted(
        name
        for name in names - _PLAYED
        if any(getattr(would.lines[id_], name) != getattr(line, name) for id_, line in was.lines.items())
    )
    if unplayed:
        yield f"Changed, and no part of the play: {_some(unplayed)}."
    shifts = any(house.operators[id_].hours != changed.operators[id_].hours for id_ in was.people)
    if (was.lines, was.seats, was.people) == (would.lines, would.seats, would.people) and not shifts:
        yield "Nothing is changed for this line: the two plays are the same."


def _moved_shifts(house: Directory, changed: Directory) -> bool:
    known = house.operators
    return any(id_ in known and known[id_].hours != person.hours for id_, person in changed.operators.items())


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


# --- how it reads


def _text(made: Comparison) -> Iterator[str]:
    columns = (made.happened, made.played, made.changed)
    whole = tuple(one.sessions or 1 for one in columns)
    yield f"{made.line}, from {_moment(made.since)} to {_moment(made.until)}, seed {made.seed}"
    yield ""
    yield _cells("", ["what happened", "played as it was", "played as changed"])
    yield _numbers("sessions", columns, lambda one: one.sessions)
    yield _numbers("  written outside the hours", columns, lambda one: one.outside)
    yield "first taken after (outside the hours: after the opening)"
    yield from _spreads(columns, lambda one: one.wait_seconds)
    yield "first taken after the writing"
    yield from _spreads(columns, lambda one: one.from_writing_seconds)
    missed = [f"{one.missed:,} ({_share(one.missed / of)})" for one, of in zip(columns, whole, strict=True)]
    yield _cells("missed", missed)
    late = f"  later than {made.late_after_seconds} s" if made.late_after_seconds else "  later (never said)"
    yield _numbers(late, columns, lambda one: one.late)
    yield _numbers("  not taken by the end", columns, lambda one: one.never_taken)
    yield _numbers("  closed outside the hours", columns, lambda one: one.shut)
    yield _numbers("closed while they waited", columns, lambda one: one.given_up)
    yield _numbers("offers", columns, lambda one: one.offers)
    yield _numbers("  declined", columns, lambda one: one.declined)
    yield _numbers("  run out", columns, lambda one: one.ran_out)
    yield ""
    yield _cells("operator", ["taken  busy  out"] * 3)
    for name in dict.fromkeys(name for one in columns for name in one.operators):
        yield _cells(name, [_load(one.operators.get(name)) for one in columns])
    yield ""
    yield from _paragraph(_distance_told(made.distance))
    for table in made.staffing:
        yield ""
        yield from _table(table)
    yield ""
    for note in made.notes:
        yield from _paragraph(note, "- ")


def _moment(at: datetime) -> str:
    return at.isoformat(sep=" ", timespec="minutes")


def _cells(label: str, cells: Sequence[str]) -> str:
    shown = label if len(label) <= NAME_WIDTH else f"{label[: NAME_WIDTH - 1]}…"
    return f"{printable(shown):<{NAME_WIDTH}}{''.join(f'{cell:>{WIDTH}}' for cell in cells)}".rstrip()


def _numbers(label: str, columns: Sequence[Figures], of: Callable[[Figures], int]) -> str:
    return _cells(label, [f"{of(one):,}" for one in columns])


def _spreads(columns: Sequence[Figures], of: Callable[[Figures], Spread]) -> Iterator[str]:
    yield _cells("  median", [_time(of(one).median) for one in columns])
    yield _cells("  95 of 100 within", [_time(of(one).percentile_95) for one in columns])
    yield _cells("  longest", [_time(of(one).longest) for one in columns])


def _load(load: Load | None) -> str:
    if load is None:
        return "-"
    return f"{load.sessions:>5}{_share(load.busy) if load.busy is not None else '-':>6}{load.ran_out:>5}"


def _share(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.1 or not share else f"{share * 100:.1f} %"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"


def _distance_told(distance: Distance) -> str:
    median, most = (
        "not to be said" if apart is None else f"{'+' if apart >= 0 else '-'}{_time(abs(apart))}"
        for apart in (distance.median_seconds, distance.percentile_95_seconds)
    )
    return (
        f"How far the play of what was is from what happened: the median wait {median}, that of 95 of 100 {most}, missed "
        f"{distance.missed_share * 100:+.1f} % of the sessions; {_share(distance.moved_share)} of them went to somebody else. "
        "A change that makes no more difference than that says nothing."
    )


def _table(table: Staffing) -> Iterator[str]:
    formula = f"Erlang A, patience {table.patience_seconds:g} s" if table.patience_seconds is not None else "Erlang C"
    yield f"Staff for {table.hour}, by {formula}:"
    yield (
        f"{table.arrivals:.1f} sessions an hour of {_time(table.handling_seconds)}, {table.at_once} at once; "
        f"{ANSWERED_SHARE:.0%} within {table.within_seconds} s"
    )
    yield f"{'operators':>11}{'busy':>9}{f'within {table.within_seconds} s':>16}{'mean wait':>14}{'gone':>9}"
    for row in table.rows:
        wait = "grows" if row.mean_wait_seconds is None else _time(row.mean_wait_seconds)
        mark = "  enough" if row.meets_target else ""
        yield (
            f"{row.operators:>11}{_share(row.occupancy):>9}{_share(row.within):>16}{wait:>14}"
            f"{_share(row.abandoned) if table.patience_seconds is not None else '-':>9}{mark}"
        )


def _paragraph(text: str, bullet: str = "") -> Iterator[str]:
    yield from textwrap.wrap(text, 100, initial_indent=bullet, subsequent_indent=" " * len(bullet))
