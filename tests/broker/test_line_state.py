"""How a line stands, as everybody but its calendar's keeper reads it."""

from __future__ import annotations

from broker.domain import LineId
from broker.store import line_state
from broker.store.line_state import NOT_LOOKED_AT, LineState
from broker.store.sql import insert_row
from broker.store.tables import line_state as table
from tests.support.house import add_line
from tests.support.store import MemoryStore

_SET = insert_row(table, "line_id open opens_us paced_until_us changed_us")


def test_a_line_nobody_has_looked_at_is_open():
    """By itself and among others; one that was looked at stands as it was found."""
    store = MemoryStore()
    shop, bar = (store.write(lambda tx: add_line(tx, slug)) for slug in ("shop", "bar"))  # noqa: B023
    store.write(lambda tx: tx.run(_SET, line_id=bar, open=0, opens_us=7, paced_until_us=8, changed_us=1))
    shut = LineState(open=False, opens_at_us=7, paced_until_us=8)

    assert (NOT_LOOKED_AT, shut) == tuple(store.write(lambda tx: line_state.of_line(tx, line)) for line in (shop, bar))  # noqa: B023
    assert {shop: NOT_LOOKED_AT, bar: shut} == store.write(lambda tx: line_state.of_lines(tx, (shop, bar)))
    assert [LineId("gone"), shop] == list(store.write(lambda tx: line_state.of_lines(tx, (LineId("gone"), shop))))
    assert NOT_LOOKED_AT.open
