"""What `reconcile` costs PostgreSQL as a conversation grows: the rows it goes through are counted, so no clock has a say."""

from __future__ import annotations

from typing import Any, cast

from broker.ports import Tx
from broker.store.postgres import PostgresTx, connect
from broker.store.reconcile import reconcile
from broker.store.sql import insert_row
from broker.store.tables import counters
from tests.crm_bridge.house import House
from tests.support.counting import CountingCursor
from tests.support.store import PostgresMemory

FEW, MANY = 150, 600
MOST = 5
"""What MANY may cost of what FEW cost: four times as much, and a quarter to spare."""


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
    # As a command connects: planned for what is there, by whatever way is the cheapest.
    with connect(store.database.url, "test", patient=True) as connection:
        cursor = CountingCursor(connection)
        report = reconcile(cast(Tx, PostgresTx(cursor, store.clock.now(), store.ids)))
    store.database.connection.close()  # nobody else is to have it: other tests' plans are those of tables that were never analysed
    assert report.ok, report.text()
    return cursor.went_through


def test_no_statement_goes_through_a_long_conversation_for_each_of_its_words():
    """Four times the words cost four times the rows, not sixteen times."""
    few, many = went_through(FEW), went_through(MANY)

    assert few.keys() == many.keys()
    assert {text: (few[text], many[text]) for text in few if many[text] > MOST * few[text] + MANY} == {}
    assert sum(many.values()) > 2 * sum(few.values())
