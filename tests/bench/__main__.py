"""``python -m tests.bench [--only GROUP]``: take the measures of BENCH.md, one ``name value unit`` a line.

A group is what stands before the first ``_`` of a measure's name: `pipeline` takes `pipeline_rate_ratio` and all its kind.
It is the module of that name in this folder, with ``run(report)``; a new group is a new module and its name in GROUPS.
Standard output carries the measures and nothing else; progress and errors go to standard error.
The exit status is 1 when a measure could not be taken and 2 for a wrong command line.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import importlib
import sys
from collections.abc import Callable

from tests.bench.measure import BenchError, Report, measure_line, progress

GROUPS = (
    "pipeline",
    "visitor",
    "start",
    "idle",
    "list",
    "routing",
    "scale",
    "backlog",
    "soak",
    "call",
    "telegram",
    "vk",
    "mail",
    "loader",
    "widget",
    "console",
)
"""In the order they run."""


def main() -> int:
    """Run the groups asked for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Take the measures of BENCH.md.")
    parser.add_argument("--only", metavar="GROUP", help=f"one of: {', '.join(GROUPS)}")
    only: str | None = parser.parse_args().only
    if only and only not in GROUPS:
        near = difflib.get_close_matches(only.partition("_")[0], GROUPS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"the groups are {', '.join(GROUPS)}"
        parser.error(f"there is no group {only!r}: {hint}")

    output = sys.stdout

    def print_measure(name: str, value: float, unit: str) -> None:
        print(measure_line(name, value, unit), file=output, flush=True)

    status = 0
    with contextlib.redirect_stdout(sys.stderr):  # whatever a library prints is not a measure
        for group in [only] if only else GROUPS:
            progress(f"-- {group}")
            try:
                load(group)(print_measure)
            except BenchError as error:
                progress(f"{group}: {error}")
                status = 1
    return status


def load(group: str) -> Callable[[Report], None]:
    """Return the ``run`` of the module *group*."""
    run: Callable[[Report], None] = importlib.import_module(f"tests.bench.{group}").run
    return run


if __name__ == "__main__":
    sys.exit(main())
