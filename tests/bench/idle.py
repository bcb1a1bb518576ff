"""The idle process: its resident memory with the demo data, all roles, nobody there.

The first start makes the data and hashes a password, which is not what a process does all day: the second one is measured.
"""

from __future__ import annotations

import time

from tests.bench.measure import Report, progress, rss_kib
from tests.bench.product import ProductServer

IDLE_SECONDS = 5.0


def run(report: Report) -> None:
    """Report `idle_mib`."""
    server = ProductServer(arguments=["--demo"])
    try:
        first = mib_after_start(server)
        server.end()
        again = mib_after_start(server)
    finally:
        server.stop()
    progress(f"   {first:.1f} MiB in the first process, which made the data")
    report("idle_mib", again, "MiB")


def mib_after_start(server: ProductServer) -> float:
    """Start *server* and return its resident memory once it has been idle for a while."""
    server.start()
    time.sleep(IDLE_SECONDS)
    return rss_kib(server.running.pid) / 1024
