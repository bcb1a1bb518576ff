"""Reviews: what a supervisor thinks of how a session was served, 1 to 5 stars and a comment. One a session, the last word counts."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import msgspec
from sqlalchemy import bindparam, select

from broker.access.authorize import Action, Actor, Thing, authorize
from broker.domain import LineId, OperatorId, from_us, to_us
from broker.errors import NotFound
from broker.ports import Tx
from broker.store import journal
from broker.store.sql import cols, sql, upsert
from broker.store.tables import operators, reviews
from operators import threads
from operators.cards import Watched
from operators.deeds import Refusal

KIND = "review"
"""Of its rows in the journal, which have the stars and not the comment."""
COMMENT_MAX = 2_000
"""Characters."""

_FIND = sql(
    select(*cols(reviews, "stars comment operator_id"), operators.c.name, reviews.c.at_us)
    .join_from(reviews, operators, operators.c.id == reviews.c.operator_id)
    .where(reviews.c.session_id == bindparam("session"))
)
_PUT = upsert(reviews, "session_id operator_id stars comment at_us", "session_id", "operator_id stars comment at_us")


@dataclass(frozen=True, slots=True)
class Review:
    """What was thought of a session, *by* whom (an operator's id)."""

    stars: int
    comment: str
    by: str
    by_name: str
    at: datetime


def find(tx: Tx, actor: Actor, session_id: str) -> Review:
    """Return the session's review. Raises NotFound."""
    _seen(tx, actor, session_id)
    found = _find(tx, session_id)
    if found is None:
        raise NotFound("nobody has reviewed this session yet")
    return found


def put(tx: Tx, actor: Actor, session_id: str, stars: int, comment: str) -> Review:
    """Write the session's review in place of an earlier one. Raises NotFound, Refusal: own_review."""
    if _seen(tx, actor, session_id).where.operator_id == actor.operator_id:
        raise Refusal("own_review")
    before = _find(tx, session_id)
    comment = comment.replace("\x00", "").strip()
    tx.run(_PUT, session_id=session_id, operator_id=actor.operator_id, stars=stars, comment=comment, at_us=to_us(tx.now))
    told = {"session": session_id, "stars": stars, "before": before.stars if before is not None else None}
    journal.append(tx, KIND, msgspec.json.encode(told).decode(), operator_id=actor.operator_id)
    return Review(stars, comment, actor.operator_id, actor.name, tx.now)


def _seen(tx: Tx, actor: Actor, session_id: str) -> Watched:
    watched = threads.seen_session(tx, actor, session_id)
    holder = watched.where.operator_id
    thing = Thing(LineId(watched.where.line_id), OperatorId(holder) if holder is not None else None)
    authorize(actor, Action.REVIEW_SESSION, thing)
    return watched


def _find(tx: Tx, session_id: str) -> Review | None:
    row = tx.one(_FIND, session=session_id)
    if row is None:
        return None
    stars, comment, by, by_name, at_us = row
    return Review(stars, comment, by, by_name, from_us(at_us))
