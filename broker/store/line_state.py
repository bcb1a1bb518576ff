"""How each line stands now: its hours and its pace. Routing writes it; whoever else needs it reads it here, and no calendar."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import bindparam, select

from broker.domain import LineId
from broker.ports import Tx
from broker.store.sql import cols, page, sql
from broker.store.tables import line_state

_ONE = sql(select(*cols(line_state, "open opens_us paced_until_us")).where(line_state.c.line_id == bindparam("line")))
# All of them: there are as many rows as lines.
_ALL = page(select(*cols(line_state, "line_id open opens_us paced_until_us")))


class LineState(NamedTuple):
    """How a line stands; times in microseconds since 1970."""

    open: bool
    opens_at_us: int | None
    """When it opens next; None: it is open, or never opens."""
    paced_until_us: int | None
    """Until when the rest of those who waited for the opening is kept back."""


NOT_LOOKED_AT = LineState(open=True, opens_at_us=None, paced_until_us=None)
"""A line whose calendar nobody has looked at yet is open, as it is to the distributor until then."""


def of_line(tx: Tx, line_id: LineId) -> LineState:
    """Return how the line stands."""
    row = tx.one(_ONE, line=line_id)
    return _state(*row) if row is not None else NOT_LOOKED_AT


def of_lines(tx: Tx, line_ids: Iterable[LineId]) -> dict[LineId, LineState]:
    """Return how each of the lines stands, in their order."""
    found = {line: _state(*row) for line, *row in tx.all(_ALL)}
    return {line: found.get(line, NOT_LOOKED_AT) for line in line_ids}


def _state(is_open: int, opens_us: int | None, paced_until_us: int | None) -> LineState:
    return LineState(bool(is_open), opens_us, paced_until_us)
