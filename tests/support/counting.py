"""What the program's own numbers say, and what its statements go through: no clock has a say in either."""

from __future__ import annotations

from typing import Any

import psycopg

from broker.metrics import REGISTRY


def counted(name: str, **labels: str) -> float:
    """Return the number *name* with *labels* as `/metrics` would show it now; 0: it has not been counted yet."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


class CountingCursor(psycopg.Cursor[Any]):
    """A cursor that counts, for each statement, the rows that its plan goes through: it is tried beforehand, and undone."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection)
        self.went_through: dict[str, int] = {}

    def execute(self, query: Any, params: Any = None, *, prepare: bool | None = None, binary: bool | None = None) -> Any:
        """Count, then execute."""
        text = query.decode() if isinstance(query, bytes) else str(query)
        if not text.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            key = " ".join(text.split())
            self.went_through[key] = self.went_through.get(key, 0) + self._tried(text, params)
        return super().execute(query, params, prepare=prepare, binary=binary)

    def _tried(self, text: str, values: Any) -> int:
        with self.connection.transaction(force_rollback=True):
            found = self.connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {text}".encode(), values).fetchone()
        assert found is not None
        return _rows_of(found[0][0]["Plan"])


def _rows_of(node: dict[str, Any]) -> int:
    """Return how many rows *node* and what is below it made or threw away."""
    thrown = sum(count for name, count in node.items() if name.startswith("Rows Removed by"))
    return int((node["Actual Rows"] + thrown) * node["Actual Loops"]) + sum(map(_rows_of, node.get("Plans", ())))
