"""What came in and could not be read or decided: kept raw, shown to administrators without the raw itself."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, func, select

from broker.domain import from_us
from broker.ports import Tx
from broker.store.sql import cols, sql
from broker.store.tables import inputs

PAGE = 100
_AFTER_ALL = "~"  # sorts behind every id
_PAGE = sql(
    select(*cols(inputs, "id origin external_id conversation_id at_us dead"), func.length(inputs.c.raw))
    .where(inputs.c.dead.is_not(None), inputs.c.id < bindparam("before"))
    .order_by(inputs.c.id.desc())
    .limit(PAGE + 1)
)


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
    }
