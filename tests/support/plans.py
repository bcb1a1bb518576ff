"""How a database would find the rows of a statement, asked of both: which tables would it walk from end to end?"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from broker.store.journal import Following
from broker.store.sql import POSTGRESQL, SQLITE, RowsSql, Sql
from tests.support import postgres
from tests.support.store import SqliteMemory


def statements(module: Any) -> dict[str, Sql | RowsSql]:
    """Return the statements of *module*, by name; those that read on in the journal have several."""
    found: dict[str, Sql | RowsSql] = {}
    for name, value in vars(module).items():
        match value:
            case Sql() | RowsSql():
                found[name] = value
            case Following():
                found |= {f"{name}._new": value._new, f"{name}._late": value._late}
    return found


# --- SQLite


def sqlite_scans(statement: Sql | RowsSql) -> list[str]:
    """Return the steps of SQLite's plan that walk something, as it words them."""
    memory = _sqlite()
    found: list[str] = []
    for text, values in _sqlite_texts(statement):
        plan = [row[3] for row in memory.connection.execute(f"EXPLAIN QUERY PLAN {text}", values).fetchall()]
        found += [step for step in plan if step.startswith("SCAN")]
    return found


@cache
def _sqlite() -> SqliteMemory:
    return SqliteMemory()


def _sqlite_texts(statement: Sql | RowsSql) -> Iterator[tuple[str, Any]]:
    if isinstance(statement, RowsSql):
        for size, text in statement.texts():
            yield text, [None] * size * len(statement.empty)
    elif statement.everywhere:
        text, _ = statement.text(SQLITE)
        yield text, dict.fromkeys(re.findall(r":(\w+)", text), 1)


# --- PostgreSQL


def postgres_scans(statement: Sql | RowsSql) -> list[str]:
    """Return "table" or "table by index" for each that PostgreSQL walks: every row of it, or every entry of the index."""
    text = statement.over_arrays() if isinstance(statement, RowsSql) else statement.text(POSTGRESQL)[0]
    connection = _postgres()
    try:
        numbered, count = _numbered(text)
        connection.execute(f"PREPARE looked_at AS {numbered}".encode(), prepare=False)
        values = f"({', '.join(['NULL'] * count)})" if count else ""
        ((plan,),) = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE looked_at{values}".encode(), prepare=False)
    finally:
        connection.execute("DEALLOCATE ALL", prepare=False)
    return list(_walks(json.loads(plan)[0]["Plan"] if isinstance(plan, str) else plan[0]["Plan"]))


@cache
def _postgres() -> Any:
    # As the store connects: by its settings what is walked is walked for want of an index.
    return postgres.server().lend().connection


def _numbered(text: str) -> tuple[str, int]:
    """Return *text* with the driver's marks as PostgreSQL numbers them, and how many there are."""
    numbers: dict[str, int] = {}

    def number(mark: re.Match[str]) -> str:
        if mark[0] == "%%":
            return "%"
        return f"${numbers.setdefault(mark[1] or f'#{len(numbers)}', len(numbers) + 1)}"

    return re.sub(r"%%|%s|%\((\w+)\)s", number, text), len(numbers)


def _walks(node: dict[str, Any]) -> Iterator[str]:
    match node["Node Type"]:
        case "Seq Scan":
            yield node["Relation Name"]
        case "Index Scan" | "Index Only Scan" if "Index Cond" not in node:
            yield f"{node['Relation Name']} by {node['Index Name']}"
        case "Bitmap Index Scan" if "Index Cond" not in node:
            yield f"all by {node['Index Name']}"
    for inner in node.get("Plans", ()):
        yield from _walks(inner)
