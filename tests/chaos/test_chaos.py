"""Killed in mid-traffic, the server loses, doubles, reorders and forgets nothing. The short pass; `make chaos` is the long one."""

from __future__ import annotations

import asyncio

import pytest

from tests.chaos.server import POINTS
from tests.chaos.trials import Chaos, plan

SEED = 20261123


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_killed_server_loses_doubles_and_reorders_nothing(tmp_path):
    """After kills at random moments and at every named crash point, clients and server agree on every message."""
    trials = plan(SEED, kills=8, points=1)
    chaos = Chaos(tmp_path, SEED, trials, lambda _: None)
    ledger = asyncio.run(chaos.run())

    assert f"lost 0 doubled 0 reordered 0 stuck 0 unconfirmed 0 trials {len(trials)}" == ledger.line(), (
        f"{ledger.evidence()}\n{chaos.summary()}\n{chaos.server.log_tail()}"
    )
    assert chaos.traffic.said >= 100
    assert set(POINTS) <= set(chaos.ends)
