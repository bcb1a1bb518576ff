"""What came in and could not be read or decided: kept raw, shown to administrators without the raw itself."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, select

from broker.domain import from_us
from broker.errors import NotFound
from broker.ports import Tx
from broker.store.sql import cols, sql
from broker.store.tables import inputs

PAGE = 100
_AFTER_ALL = "~"  # sorts behind every id
_LETTER = sql(
    select(*cols(inputs, "origin external_id conversation_id raw")).where(
        inputs.c.id == bindparam("letter"), inputs.c.dead.is_not(None)
    )
)
_PAGE = sql(
    select(*cols(inputs, "id origin external_id conversation_id at_us dead"), func.length(inputs.c.raw))
    .where(inputs.c.dead.is_not(None), inputs.c.id < bindparam("before"))
    .order_by(inputs.c.id.desc())
    .limit(PAGE + 1)
)


class Letter(NamedTuple):
    """One of them, with what came in."""

    origin: str
    external_id: str
    conversation_id: str | None
    raw: bytes

    @property
    def replayable(self) -> bool:
        """Return whether nobody could read it; what could be read has its place in a conversation, and keeps it."""
        return self.conversation_id is None


def find(tx: Tx, letter_id: str) -> Letter:
    """Return one of them. Raises NotFound."""
    row = tx.one(_LETTER, letter=letter_id)
    if row is None:
        raise NotFound("there is no such dead letter; it may have been read by now")
    return Letter(row[0], row[1], row[2], bytes(row[3]))


def page(tx: Tx, cursor: str | None) -> tuple[list[dict[str, Any]], str | None]:
    """Return dead letters, the newest first, and where the next page begins."""
    rows = tx.all(_PAGE, before=cursor or _AFTER_ALL)
    found = [_as_dict(*row) for row in rows[:PAGE]]
    return found, found[-1]["id"] if len(rows) > PAGE else None


def _as_dict(
    id_: str, origin: str, external_id: str, conversation: str | None, at_us: int, dead: str, size: int
) -> dict[str, Any]:
    return {
        "id": id_,
        "origin": origin,
        "external_id": external_id,
        "conversation_id": conversation,
        "at": from_us(at_us),
        "reason": dead,
        "bytes": size,
        "replayable": conversation is None,
    }
