"""`make chaos`: kill real servers in mid-traffic, count what was lost. The ledger is the last line of standard output."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from tests.chaos.checker import Fault, Ledger
from tests.chaos.cluster import Cluster
from tests.chaos.cluster import plan as cluster_plan
from tests.chaos.trials import Chaos, ServerFailed, plan

HOUSES: dict[str, tuple[int, Callable[[Path, int, int, int], Chaos | Cluster]]] = {
    "alone": (50, lambda folder, seed, kills, points: Chaos(folder, seed, plan(seed, kills, points), progress)),
    "cluster": (200, lambda folder, seed, kills, points: Cluster(folder, seed, cluster_plan(seed, kills, points), progress)),
}
"""Each house: how many random kills it suffers by default, and what makes its run."""


def main() -> int:
    """Run it; return 1 when anything was lost, doubled, reordered, stuck or left in doubt."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--house", choices=HOUSES, help="one process alone, or several on PostgreSQL and Redis (default: both)")
    parser.add_argument("--kills", type=int, default=None, help="kills at random moments (default: 50; of a cluster 200)")
    parser.add_argument("--points", type=int, default=5, help="kills at each named crash point; of a cluster, each other fault")
    parser.add_argument(
        "--seed", type=int, default=None, help="repeats a run's plan and its clients' choices (not the machine's pace)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the data folder of a sound run too")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    whole = Ledger(0)
    for house in [options.house] if options.house else HOUSES:
        ledger = _run(house, seed, options.kills, options.points, keep=options.keep)
        whole.trials += ledger.trials
        whole.faults += ledger.faults
    print(whole.line(), flush=True)
    return 0 if whole.ok else 1


def _run(house: str, seed: int, kills: int | None, points: int, *, keep: bool) -> Ledger:
    """Run one house and tell of it. A process that did what none may ends the run: nothing of it is called sound."""
    folder = Path(tempfile.mkdtemp(prefix="omniline-chaos-"))
    progress(f"{house}: seed {seed}, folder {folder}")
    began = time.monotonic()
    usual, make = HOUSES[house]
    chaos = make(folder, seed, kills or usual, points)
    try:
        ledger = asyncio.run(chaos.run())
    except Exception as error:  # whatever it is, the last line is a ledger, and no clean one
        if not isinstance(error, ServerFailed):
            traceback.print_exc()
        progress(f"{error}\nseed {seed}; the data is kept in {folder}")
        return Ledger(0, [Fault("stuck", str(error))])
    progress(f"{chaos.summary()}\ntook {time.monotonic() - began:.0f} s")
    if not ledger.ok:
        progress(f"{ledger.evidence()}\n{chaos.log_tail()}\nseed {seed}; the data is kept in {folder}")
    elif not keep:
        shutil.rmtree(folder)
    progress(f"{house}: {ledger.line()}")
    return ledger


def progress(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
