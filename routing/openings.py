"""When each line is open and each operator on shift, answered from their calendars and remembered until the next change.

A directory holds settings as text; here they are calendars. An answer holds for a stretch of time, so asking again within it costs a
comparison. A calendar that cannot be read (a zone that the machine's data no longer knows) counts as always open, and the log says so
once: a line that silently never opens again would lose customers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

import msgspec
import structlog

from broker.domain import Directory, LineId, OperatorId
from broker.errors import BadInput
from broker.hours import hours_of
from routing.calendar import Calendar
from routing.public_holidays import known, public_holidays
from routing.view import OPEN, HoursView

log = structlog.get_logger(__name__)

BACKLOG = timedelta(days=1)
"""For so long after an opening what has waited for it is paced."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """A time through which a calendar says the same: open or not, since when (None: long ago) and until when (None: for ever)."""

    open: bool
    since: datetime | None
    until: datetime | None
    opens_at: datetime | None
    """When it opens next; None while it is open, or when it never opens."""
    asked_at: datetime


ALWAYS = Stretch(True, None, None, None, datetime.min.replace(tzinfo=UTC))


class Openings:
    """The calendars of one directory."""

    def __init__(self, directory: Directory) -> None:
        self._lines = {
            id_: _text(line.settings.hours) for id_, line in directory.lines.items() if line.settings.hours is not None
        }
        self._people = {id_: _text(person.hours) for id_, person in directory.operators.items() if person.hours is not None}
        self._stretches: dict[str, Stretch] = {}
        """By the hours' text: who has the same shifts has the same answers."""

    def of_line(self, line_id: LineId, now: datetime) -> Stretch:
        """Return what holds for the line now."""
        hours = self._lines.get(line_id)
        return ALWAYS if hours is None else self._stretch(line_id, hours, now)

    def of_operator(self, operator_id: OperatorId, now: datetime) -> Stretch:
        """Return what holds for the operator's shifts now."""
        hours = self._people.get(operator_id)
        return ALWAYS if hours is None else self._stretch(operator_id, hours, now)

    def view(self, line_id: LineId, now: datetime) -> HoursView:
        """Return the line's hours as a decision may see them."""
        stretch = self.of_line(line_id, now)
        return OPEN if stretch.open else HoursView(open=False, opens_at=stretch.opens_at)

    def first_open(self, line_id: LineId, at: datetime) -> datetime:
        """Return when the line is open first, from *at* on; *at* itself when it never opens."""
        calendar = self.calendar(line_id)
        return at if calendar is None or calendar.is_open(at) else calendar.next_opening(at) or at

    def calendar(self, line_id: LineId) -> Calendar | None:
        """Return the line's calendar; None: always open."""
        hours = self._lines.get(line_id)
        calendar = None if hours is None else _calendar(hours)
        return calendar if isinstance(calendar, Calendar) else None

    def _stretch(self, id_: str, hours: str, now: datetime) -> Stretch:
        known = self._stretches.get(hours)
        # A clock that was set back asks about a time before the answer: it is asked anew.
        if known is not None and known.asked_at <= now and (known.until is None or now < known.until):
            return known
        calendar = _calendar(hours)
        if isinstance(calendar, Calendar):
            made = _stretch(calendar, now)
        else:
            log.error("hours_unreadable", of=id_, problem=calendar)
            made = ALWAYS
        self._stretches[hours] = made
        return made


def _text(hours: Mapping[str, Any]) -> str:
    return msgspec.json.encode(hours, order="deterministic").decode()


@lru_cache(maxsize=4_096)
def _calendar(hours: str) -> Calendar | str:
    """Return the calendar of *hours*, or why they cannot be read.

    Kept beyond a directory: each change of any setting makes a new one, and to read hours costs ten times what they answer.
    """
    try:
        read = hours_of(msgspec.json.decode(hours))
        dropped = [code for code in read.holidays if not known(code)]
        if dropped:
            # An update of the package has dropped it: a decision may not fail by it.
            log.error("holidays_unknown", codes=dropped)
            read = replace(read, holidays=tuple(code for code in read.holidays if code not in dropped))
        return Calendar(read, public_holidays)
    except BadInput as error:
        return str(error)


def _stretch(calendar: Calendar, now: datetime) -> Stretch:
    is_open = calendar.is_open(now)
    since = None
    if is_open:
        began = calendar.openings(now - BACKLOG, now + timedelta(microseconds=1))[-1][0]
        since = began if began > now - BACKLOG else None
    return Stretch(
        open=is_open,
        since=since,
        until=calendar.next_change(now),
        opens_at=None if is_open else calendar.next_opening(now),
        asked_at=now,
    )
