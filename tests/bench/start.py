"""How long a start takes: from the process's start to `/readyz` 200, on a database that exists."""

from __future__ import annotations

from tests.bench.measure import Report, median, progress
from tests.bench.product import ProductServer

OPERATORS = 20
ROUNDS = 5


def run(report: Report) -> None:
    """Report `start_seconds`."""
    server = ProductServer(OPERATORS)
    taken: list[float] = []
    try:
        for _ in range(ROUNDS):
            taken.append(server.start())
            server.end()
    finally:
        server.stop()
    progress("   started in " + ", ".join(f"{seconds:.2f}" for seconds in taken) + " s")
    report("start_seconds", median(taken), "s")
