"""What `reconcile` costs PostgreSQL as a conversation grows: the rows it goes through are counted, so no clock has a say."""

from __future__ import annotations

from typing import Any, cast

from broker.ports import Row, RowsStatement, Statement, Tx
from broker.store.postgres import PostgresTx, connect
from broker.store.reconcile import reconcile
from broker.store.sql import POSTGRESQL, RowsSql, Sql, insert_row
from broker.store.tables import counters
from tests.crm_bridge.house import House
from tests.support.store import PostgresMemory

FEW, MANY = 150, 600
MOST = 5
"""What MANY may cost of what FEW cost: four times as much, and a quarter to spare."""


class CountingTx(PostgresTx):
    """A `Tx` that counts, for each statement, the rows that its plan has gone through."""

    __slots__ = ("went_through",)

    def __init__(self, memory: PostgresMemory) -> None:
        # As a command connects: planned for what is there, by whatever way is the cheapest.
        super().__init__(connect(memory.database.url, "test", patient=True).cursor(), memory.clock.now(), memory.ids)
        self.went_through: dict[str, int] = {}

    def all(self, statement: Statement, /, **values: object) -> list[Row]:
        text, fixed = cast(Sql, statement).text(POSTGRESQL)
        self._explain(text, {**fixed, **values})
        return super().all(statement, **values)

    def each(self, statement: RowsStatement, rows: Any, /) -> list[Row]:
        if rows:
            self._explain(cast(RowsSql, statement).over_arrays(), [list(column) for column in zip(*rows, strict=True)])
        return super().each(statement, rows)

    def close(self) -> None:
        self._cursor.connection.close()

    def _explain(self, text: str, values: Any) -> None:
        found = self._cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}".encode(), values or None).fetchone()
        assert found is not None
        key = " ".join(text.split())
        self.went_through[key] = self.went_through.get(key, 0) + rows_of(found[0][0]["Plan"])


def rows_of(node: dict[str, Any]) -> int:
    """Return how many rows *node* and what is below it made or threw away."""
    thrown = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return int((node["Actual Rows"] + thrown) * node["Actual Loops"]) + sum(map(rows_of, node.get("Plans", ())))


def went_through(messages: int) -> dict[str, int]:
    """Return the rows that each statement goes through in a house with one conversation of *messages* and a few others."""
    house = House(cast(Any, PostgresMemory))
    house.do(lambda tx: tx.run(insert_row(counters, "name value"), name="fence", value=1))
    shop = house.line("shop")
    site = house.channel(shop, "site")
    ann = house.operator("ann", shop)
    for other in range(5):
        house.say(site, f"other {other}", "hello")
    conversation = house.say(site, "long", "hello")
    house.settle()
    house.take(conversation, ann)
    for number in range(messages // 2):
        house.say(site, "long", f"word {number}")
        house.reply(conversation, ann, f"answer {number}")
    house.settle()
    store = cast(PostgresMemory, house.store)
    store.database.connection.execute("ANALYZE")
    tx = CountingTx(store)
    report = reconcile(cast(Tx, tx))
    tx.close()
    store.database.connection.close()  # nobody else is to have it: other tests' plans are those of tables that were never analysed
    assert report.ok, report.text()
    return tx.went_through


def test_no_statement_goes_through_a_long_conversation_for_each_of_its_words():
    """Four times the words cost four times the rows, not sixteen times."""
    few, many = went_through(FEW), went_through(MANY)

    assert few.keys() == many.keys()
    assert {text: (few[text], many[text]) for text in few if many[text] > MOST * few[text] + MANY} == {}
    assert sum(many.values()) > 2 * sum(few.values())
