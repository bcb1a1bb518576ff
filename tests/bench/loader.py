"""The widget's loader: its size on the wire."""

from __future__ import annotations

from tests.bench.measure import Report
from tests.bench.sizes import report_size


def run(report: Report) -> None:
    """Report `loader_gzip_kb`."""
    report_size(report, "loader_gzip_kb")
