"""`make chaos`: kill real servers in mid-traffic, count what was lost. The ledger is the last line of standard output."""

from __future__ import annotations

import argparse
import asyncio
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.cluster import Cluster
from tests.chaos.cluster import plan as cluster_plan
from tests.chaos.trials import Chaos, ServerFailed, plan


def main() -> int:
    """Run it; return 1 when anything was lost, doubled, reordered, stuck or left in doubt."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--cluster", action="store_true", help="several processes on PostgreSQL and Redis, instead of one alone")
    parser.add_argument("--kills", type=int, default=None, help="kills at random moments (default: 50; of a cluster 200)")
    parser.add_argument("--points", type=int, default=5, help="kills at each named crash point; of a cluster, each other fault")
    parser.add_argument(
        "--seed", type=int, default=None, help="repeats a run's plan and its clients' choices (not the machine's pace)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the data folder of a sound run too")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(1_000_000)
    folder = Path(tempfile.mkdtemp(prefix="omniline-chaos-"))
    progress(f"seed {seed}, folder {folder}")
    began = time.monotonic()
    chaos: Chaos | Cluster
    if options.cluster:
        chaos = Cluster(folder, seed, cluster_plan(seed, options.kills or 200, options.points), progress)
    else:
        chaos = Chaos(folder, seed, plan(seed, options.kills or 50, options.points), progress)
    try:
        ledger = asyncio.run(chaos.run())
    except ServerFailed as error:
        progress(f"{error}\nseed {seed}; the data is kept in {folder}")
        return 1
    progress(f"{chaos.summary()}\ntook {time.monotonic() - began:.0f} s")
    if not ledger.ok:
        progress(f"{ledger.evidence()}\n{chaos.log_tail()}\nseed {seed}; the data is kept in {folder}")
    elif not options.keep:
        shutil.rmtree(folder)
    print(ledger.line(), flush=True)
    return 0 if ledger.ok else 1


def progress(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
