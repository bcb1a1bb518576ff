"""The console's first load: its size on the wire."""

from __future__ import annotations

from tests.bench.measure import Report
from tests.bench.sizes import report_size


def run(report: Report) -> None:
    """Report `console_gzip_kb`."""
    report_size(report, "console_gzip_kb")
