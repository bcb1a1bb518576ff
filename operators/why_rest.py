"""REST of "Why me?": who was offered a session, who got it and why, from the journal. `/api/v1/sessions/{id}/routing`.

A session's rows stand together in its conversation's, in their order, so a page is found by index: from where the next session
begins, downwards, SPAN rows at a time and SPANS_MAX times at most. A page of a session in which much was said may so be short, or
empty, and still have a next one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field
from sqlalchemy import and_, bindparam, case, func, literal, select

from broker.access.authorize import Action, Actor
from broker.domain import Directory, LineId, Status, from_us
from broker.ports import Tx
from broker.store import line_state
from broker.store.journal import distribution_of
from broker.store.sql import cols, one_of, page, sql
from broker.store.tables import conversations, journal, offers, sessions
from broker.web.wiring import May, StoreOf
from operators import threads, why_rows
from operators.cards import Watched
from operators.why import SAID, TOLD, LineNow, Offered, RoutingDecision, Teller
from operators.why_rows import Distribution, Record, Side

PAGE = 30
"""Decisions of a page."""
SEATS_MAX = 2_000
"""With so many seats a page is full, however few its decisions."""
SPAN = 500
"""Rows of a conversation looked through at once."""
SPANS_MAX = 20

_SESSION = sql(
    select(*cols(sessions, "first_seq state"), conversations.c.journal_seq)
    .join_from(sessions, conversations, conversations.c.id == sessions.c.conversation_id)
    .where(sessions.c.id == bindparam("session"))
)
_NEXT = sql(
    select(journal.c.seq, sessions.c.first_seq)
    .join_from(journal, sessions, sessions.c.id == journal.c.session_id)
    .where(journal.c.conversation_id == bindparam("conversation"), journal.c.seq >= bindparam("seq"))
    .order_by(journal.c.seq)
    .limit(1)
)
_STATUS_BEFORE = func.lag(journal.c.status).over(order_by=journal.c.seq)
_ROWS = page(
    select(
        *cols(journal, "id seq at_us"),
        # Most of what is said moves nothing: its body, the greatest part of a row, is not fetched.
        case((and_(one_of(journal.c.kind, *SAID), journal.c.status == _STATUS_BEFORE), literal("")), else_=journal.c.body),
    )
    .where(
        journal.c.conversation_id == bindparam("conversation"),
        journal.c.seq < bindparam("before"),
        journal.c.seq >= bindparam("down_to"),
        journal.c.session_id == bindparam("session"),
        one_of(journal.c.kind, *TOLD),
    )
    .order_by(journal.c.seq.desc())
)
_OFFERS = page(
    select(*cols(offers, "operator_id state ended_us distribution_id"))
    .where(offers.c.session_id == bindparam("session"), offers.c.offer_no == bindparam("number"))
    .order_by(offers.c.operator_id)
)
_BODY = sql(select(journal.c.body).where(journal.c.id == bindparam("row")))


class Routing(BaseModel):
    """A session's story."""

    decisions: Annotated[
        list[RoutingDecision],
        Field(description="The latest first. While the session waits, the first page begins with what holds it now: `waits`."),
    ]
    next_cursor: int | None


def routes(directory: Callable[[], Directory]) -> APIRouter:
    """Return the routes; *directory* is that of this moment: people are named as they are now."""
    router = APIRouter(prefix="/api/v1", tags=["sessions"])

    @router.get("/sessions/{session_id}/routing")
    async def read_routing(
        session_id: UUID,
        store: StoreOf,
        actor: Annotated[Actor, May(Action.READ_SESSIONS)],
        cursor: Annotated[int | None, Query(ge=0, le=2**53, description="The `next_cursor` of the page before.")] = None,
        language: Annotated[
            str | None, Query(max_length=35, description="Of the sentences: `en`, `ru`. Without it your own.")
        ] = None,
    ) -> Routing:
        """Who was offered it, who got it, and why: each decision in your language, with every seat that was considered."""
        reader = replace(actor, language=language) if language else actor
        known = directory()
        return await store.read(lambda tx: routing_of(tx, reader, known, str(session_id), cursor))

    return router


def routing_of(tx: Tx, actor: Actor, directory: Directory, session_id: str, cursor: int | None = None) -> Routing:
    """Return a page of the session's story as *actor* reads it. Raises NotFound also for one that they may not see."""
    return _Reading(tx, Teller(directory, actor.language), threads.seen_session(tx, actor, session_id)).page(cursor)


class _Reading:
    """One page in the making."""

    def __init__(self, tx: Tx, teller: Teller, watched: Watched) -> None:
        self._tx = tx
        self._session = watched.session
        self._conversation = watched.conversation
        self._current = watched.current
        self._teller = teller
        self._known: dict[int, Distribution | None] = {}

    def page(self, cursor: int | None) -> Routing:
        row = self._tx.one(_SESSION, session=self._session)
        assert row is not None
        first_seq, state, journal_seq = row
        before = cursor if cursor is not None else journal_seq + 1 if self._current else self._end(first_seq, journal_seq)
        told, following = self._told(before)
        waits = self._waits(state) if cursor is None else []
        return Routing(decisions=[*waits, *told], next_cursor=following)

    def _end(self, first_seq: int, journal_seq: int) -> int:
        """Return where the rows of the session after this one begin; *first_seq* grows from session to session."""
        low, high = 1, journal_seq + 1
        while low < high:
            middle = (low + high) // 2
            row = self._tx.one(_NEXT, conversation=self._conversation, seq=middle)
            if row is not None and row[1] <= first_seq:
                low = row[0] + 1
            else:
                high = middle
        return low

    def _told(self, before: int) -> tuple[list[RoutingDecision], int | None]:
        """Return a page of what the rows before *before* tell, the latest first, and where the next one begins."""
        told: list[RoutingDecision] = []
        seats = 0
        for _ in range(SPANS_MAX):
            down_to = before - SPAN
            for id_, seq, at_us, body in self._tx.all(
                _ROWS, conversation=self._conversation, session=self._session, before=before, down_to=down_to
            ):
                if not body:
                    continue
                made = why_rows.record(body)
                decision = self._decision(id_, at_us, made)
                if decision is not None:
                    told.append(decision)
                    seats += len(decision.seats)
                if made is not None and made.opens(self._session):
                    return told, None
                if len(told) == PAGE or seats >= SEATS_MAX:
                    return told, seq
            before = down_to
            if before <= 1:
                return told, None
        return told, before

    def _decision(self, id_: int, at_us: int, made: Record | None) -> RoutingDecision | None:
        by: Distribution | None = None
        made_offers: list[Offered] = []
        if made is not None and isinstance(made.after, Side):
            if made.event.type == "held":
                # Of nobody there is no distribution: it found no seat that is fit; and a closed line is not distributed.
                by = None if made.event.why in ("nobody", "hours") else self._distribution(distribution_of(self._tx, id_, at_us))
            elif made.event.type in ("offered", "transfer"):
                rows = self._tx.all(_OFFERS, session=self._session, number=made.after.offer_no)
                made_offers = [Offered(operator, state, _maybe(ended_us)) for operator, state, ended_us, _ in rows]
                # Who passes a session on distributes nothing; the number may be that of the offer before.
                by = self._distribution(rows[0][3]) if rows and made.event.type == "offered" else None
        return self._teller.decision(self._session, from_us(at_us), made, by, made_offers)

    def _distribution(self, id_: int | None) -> Distribution | None:
        if id_ is None:
            return None
        if id_ not in self._known:
            row = self._tx.one(_BODY, row=id_)
            self._known[id_] = why_rows.distribution(row[0]) if row is not None else None
        return self._known[id_]

    def _waits(self, state: str) -> list[RoutingDecision]:
        session = why_rows.state(state)
        if session.status != Status.QUEUED.value:
            return []
        line = line_state.of_line(self._tx, LineId(session.line_id))
        now = LineNow(line.open, _maybe(line.opens_at_us), _maybe(line.paced_until_us))
        return [self._teller.waits(self._tx.now, session, now)]


def _maybe(us: int | None) -> datetime | None:
    return from_us(us) if us is not None else None
