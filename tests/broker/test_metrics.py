"""The numbers as a whole: what the alarms rely on."""

from __future__ import annotations

import re
from pathlib import Path

from broker import metrics

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [
    ROOT / "omniline.py",
    *(path for wing in ("broker", "channels", "routing", "operators", "crm_bridge") for path in (ROOT / wing).rglob("*.py")),
]
TRACEBACK = re.compile(r"log\.exception\(|exc_info=(?!True)")
COUNTED = re.compile(r"metrics\.(unexpected_errors|receiver_failures)_total\b|\bbury\(tx\b")
"""Who buries an input counts it in the same transaction."""
NEAR = 5
"""Lines."""


def test_every_error_that_nobody_foresaw_is_counted():
    """Beside each traceback in a log is a number that grows: by it the administrator is woken."""
    found, uncounted = 0, []
    for path in SOURCES:
        lines = path.read_text().splitlines()
        for number, line in enumerate(lines):
            if TRACEBACK.search(line):
                found += 1
                if not any(COUNTED.search(one) for one in lines[max(0, number - NEAR) : number + NEAR]):
                    uncounted.append(f"{path.relative_to(ROOT)}:{number + 1}")

    assert uncounted == []
    assert found > 15


def test_a_place_of_errors_is_shown_before_its_first():
    """Prometheus sees no growth in a row that begins with its first error."""
    named = {where for path in SOURCES for where in re.findall(r'unexpected_errors_total\.labels\("(\w+)"\)', path.read_text())}
    shown = {sample.labels["where"] for family in metrics.unexpected_errors_total.collect() for sample in family.samples}

    assert named <= shown
    assert named
