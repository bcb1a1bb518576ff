"""Killed in mid-traffic, the server loses, doubles, reorders and forgets nothing. The short pass; `make chaos` is the long one."""

from __future__ import annotations

import asyncio
import signal

import pytest

from tests.chaos.cluster import OF_POSTGRES, OF_REDIS, Cluster, Member, demand, demand_running
from tests.chaos.cluster import plan as cluster_plan
from tests.chaos.provider import TROUBLES
from tests.chaos.server import POINTS
from tests.chaos.trials import Chaos, ServerFailed, plan

SEED = 20261123


def test_a_process_that_ends_by_itself_ends_the_run(tmp_path):
    """Nobody asked it to: it is noticed where all are to be running, and not taken for one that was killed or stopped."""

    async def live() -> Member:
        member = Member("web-1", "web", tmp_path, {"OMNILINE_DATABASE_URL": "no address of a database"})
        await member.start()
        assert not await member.ready()
        return member

    member = asyncio.run(live())
    with pytest.raises(ServerFailed, match="web-1 has ended by itself"):
        demand_running([member], "kill router-1")
    for wanted in (0, -signal.SIGKILL):
        with pytest.raises(ServerFailed, match=f"not with {wanted}"):
            demand(wanted, member.status, member, "all")


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
    assert {*POINTS, "full", "clock"} <= set(chaos.ends)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_house_of_several_processes_loses_nothing_whatever_becomes_of_them_and_of_what_they_stand_on(tmp_path):
    """Every process killed, and one at each crash point; PostgreSQL and Redis crashed, cut off, emptied, standing still."""
    said: list[str] = []
    trials = cluster_plan(SEED, kills=12, faults=1)
    cluster = Cluster(tmp_path, SEED, trials, said.append, crowd=200)
    ledger = asyncio.run(cluster.run())

    assert f"lost 0 doubled 0 reordered 0 stuck 0 unconfirmed 0 trials {len(trials)}" == ledger.line(), (
        f"{ledger.evidence()}\n{cluster.summary()}\n{said[-1]}\n{cluster.log_tail()}"
    )
    assert cluster.traffic is not None
    assert cluster.traffic.said >= 100
    assert {*POINTS, *OF_POSTGRES, *OF_REDIS, "freeze", "clock", "vanish", "crowd", "term", "all"} <= set(cluster.ends)
    assert all(provider.sent for provider in cluster.providers)
    assert set(TROUBLES) <= set(cluster.provider.troubles)
    assert all(cluster.taken_over.values())
    assert {"timers", "crm"} <= set(cluster.taken_over)
