"""Hours as somebody sees them: `/api/v1/.../hours`, whether it is open now and how a month looks. And what hours are checked by.

What is answered follows from the hours alone: who is present, and whether a line is switched off, is not asked.
"""

from __future__ import annotations

import asyncio
import re
from datetime import date, datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from sqlalchemy import bindparam, select

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, LineSettings, OperatorId
from broker.errors import BadHours, BadInput, Conflict, NotFound
from broker.hours import hours_of, raw_of
from broker.ports import Tx
from broker.store.sql import sql
from broker.store.tables import lines, operators
from broker.web.wiring import May, PartsOf, current_actor
from routing.calendar import Calendar, DayPreview, Why, check
from routing.public_holidays import codes, public_holidays

_LINE = sql(select(lines.c.settings).where(lines.c.id == bindparam("line")))
_OPERATOR = sql(select(operators.c.hours).where(operators.c.id == bindparam("operator")))
_MONTH = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")

Month = Annotated[
    str | None,
    Query(max_length=20, description="As `2026-12`; left out: the month that it is now, by the hours' own clock."),
]


class OpenTime(BaseModel):
    """An open time within one day; *start* and *end* are what the wall clock shows then, as `09:00` and `24:00`."""

    start: str
    end: str
    starts_at: datetime
    ends_at: datetime


class Day(BaseModel):
    """One day; a night is cut at midnight, and its rest is the next day's."""

    day: date
    why: Annotated[Why, Field(description="What decided the times that begin on it: an own date, a public holiday, the weekday.")]
    reason: Annotated[str, Field(description="The holiday's or the date's name.")]
    open: list[OpenTime]
    minutes: Annotated[int, Field(description="For how long it is open.")]
    clock_shift_minutes: Annotated[int, Field(description="By how much the clock is put forward on it; negative: back.")]


class HoursOut(BaseModel):
    """What hours come to."""

    always_open: Annotated[bool, Field(description="There are no hours: `zone` and `month` are null, `days` is empty.")]
    zone: str | None
    hours: Annotated[dict[str, Any] | None, Field(description="The hours themselves, in the one spelling they are kept in.")]
    open_now: bool
    opens_at: Annotated[datetime | None, Field(description="Null: it is open, or never opens.")]
    closes_at: Annotated[datetime | None, Field(description="Null: it is closed, or never closes.")]
    month: str | None
    days: list[Day]


class HoursIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hours: Annotated[
        Any,
        WithJsonSchema({"type": ["object", "null"]}),
        Field(description="In the shape of docs/integrators.md; null: always open."),
    ]


routes = APIRouter(prefix="/api/v1", tags=["hours"])


@routes.get("/lines/{line_id}/hours")
async def read_line_hours(
    line_id: UUID, parts: PartsOf, actor: Annotated[Actor, May(Action.READ_LINES)], month: Month = None
) -> HoursOut:
    """Whether a line is open now, and its month. `409` for hours whose zone this machine no longer knows."""
    authorize(actor, Action.READ_LINES, Thing(line_id=LineId(str(line_id))))
    asked = _month_of(month)
    hours = await parts.store.read(lambda tx: _of_line(tx, str(line_id)))
    return await _kept(hours, asked, parts.clock.now(), actor.language)


@routes.get("/operators/{operator_id}/hours")
async def read_operator_hours(
    operator_id: UUID, parts: PartsOf, actor: Annotated[Actor, Depends(current_actor)], month: Month = None
) -> HoursOut:
    """Whether somebody is on shift now, and their month; everybody may see their own."""
    is_self = str(operator_id) == actor.operator_id
    authorize(actor, Action.READ_SELF if is_self else Action.READ_OPERATORS, Thing(operator_id=OperatorId(str(operator_id))))
    asked = _month_of(month)
    hours = await parts.store.read(lambda tx: _of_operator(tx, str(operator_id)))
    return await _kept(hours, asked, parts.clock.now(), actor.language)


@routes.post("/hours/preview")
async def preview_hours(
    wanted: HoursIn, parts: PartsOf, actor: Annotated[Actor, May(Action.CHANGE_LINES)], month: Month = None
) -> HoursOut:
    """The same of hours that nobody has saved; what is wrong with them is named as it is when they are saved."""
    asked = _month_of(month)
    try:
        return await asyncio.to_thread(_answer, wanted.hours, asked, parts.clock.now(), actor.language)
    except BadHours as fault:
        raise fault.at("hours") from None


def _of_line(tx: Tx, line_id: str) -> object:
    row = tx.one(_LINE, line=line_id)
    if row is None:
        raise NotFound(f"there is no line {line_id}")
    return msgspec.json.decode(row[0], type=LineSettings).hours


def _of_operator(tx: Tx, operator_id: str) -> object:
    row = tx.one(_OPERATOR, operator=operator_id)
    if row is None:
        raise NotFound(f"there is no person {operator_id}")
    return msgspec.json.decode(row[0]) if row[0] is not None else None


def _month_of(written: str | None) -> tuple[int, int] | None:
    """Return year and month. Raises BadInput; which years can be shown is the calendar's to say."""
    if written is None:
        return None
    match = _MONTH.fullmatch(written)
    if match is None or not int(match[1]):
        raise BadInput(f"month: {written!r} is not a month; write it as 2026-12", field="month")
    return int(match[1]), int(match[2])


async def _kept(raw: object, month: tuple[int, int] | None, now: datetime, language: str) -> HoursOut:
    # Off the loop: holidays of a country that nobody has asked for take their time.
    try:
        return await asyncio.to_thread(_answer, raw, month, now, language)
    except BadHours as fault:
        # They were checked before they were kept: the machine's zones have changed since.
        raise Conflict(f"hours.{fault}; until they are corrected they count as always open", code="unreadable_hours") from None


def _answer(raw: object, month: tuple[int, int] | None, now: datetime, language: str) -> HoursOut:
    """Return what the hours *raw* come to. Raises BadHours."""
    if raw is None:
        return HoursOut(
            always_open=True, zone=None, hours=None, open_now=True, opens_at=None, closes_at=None, month=None, days=[]
        )
    hours = hours_of(raw)
    check(hours, codes)
    calendar = Calendar(hours, partial(public_holidays, language=language))
    local = calendar.local(now)
    year, number = month or (local.year, local.month)
    is_open = calendar.is_open(now)
    return HoursOut(
        always_open=False,
        zone=hours.zone,
        hours=raw_of(hours),
        open_now=is_open,
        opens_at=None if is_open else calendar.next_opening(now),
        closes_at=calendar.next_change(now) if is_open else None,
        month=f"{year:04}-{number:02}",
        days=[_day(each) for each in calendar.preview(year, number)],
    )


def _day(shown: DayPreview) -> Day:
    return Day(
        day=shown.day,
        why=shown.why,
        reason=shown.reason,
        open=[
            OpenTime(start=each.start_wall, end=each.end_wall, starts_at=each.start, ends_at=each.end) for each in shown.stretches
        ],
        minutes=shown.minutes,
        clock_shift_minutes=shown.shift,
    )
