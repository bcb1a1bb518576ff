"""What the browser loads, gzipped: written by the web build, only read here."""

from __future__ import annotations

import json

from tests.bench.measure import ROOT, BenchError, Report

SIZES = ROOT / "broker" / "web" / "static" / "sizes.json"


def report_size(report: Report, name: str) -> None:
    """Report the size *name*, in kilobytes of 1,000 bytes as the build counts them; BenchError when the build left none."""
    shown = SIZES.relative_to(ROOT)
    try:
        sizes: object = json.loads(SIZES.read_text())
    except FileNotFoundError:
        raise BenchError(f"{name}: {shown} is missing; build the browser side first") from None
    except ValueError as error:
        raise BenchError(f"{name}: {shown} is not JSON ({error}); build the browser side again") from None
    size = sizes.get(name) if isinstance(sizes, dict) else None
    if isinstance(size, bool) or not isinstance(size, int | float):
        raise BenchError(f"{name}: {shown} holds no number of that name; build the browser side again")
    report(name, float(size), "KB")
