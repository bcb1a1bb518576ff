"""Calls outlive us: a real `omniline serve` is killed with callers who wait and talk, and started again, or another one has them."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from broker.store.reconcile import reconcile
from channels.phone import dialplan
from tests.channels.phone.exchange import OURS, SECRET
from tests.support import postgres
from tests.support.asterisk import Asterisk, free_port
from tests.support.broker import WAIT_SECONDS, Broker, come_online
from tests.support.redis import running_redis

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk"), pytest.mark.slow, pytest.mark.timeout(240)]
WAITING, TALKING = 50, 5
PEOPLE = [f"op{number}" for number in range(1, TALKING + 1)]
HOUSE = (
    "".join(
        f'[operators.{login}]\nname = "{login}"\npassword_env = "PHONE_PASSWORD"\nphone = "PJSIP/10{number}"\n'
        for number, login in enumerate(PEOPLE, start=1)
    )
    + f"""
[lines.shop]
operators = {json.dumps(PEOPLE)}
settings = {{ calls = {{ no_answer_does = "wait", position_seconds = 0 }} }}

[channels.number]
kind = "phone"
line = "shop"
"""
)


STATUSES = "SELECT status, count(*) FROM sessions GROUP BY status"
TALKS = "SELECT leg FROM calls WHERE talk_us IS NOT NULL AND talk_ended_us IS NULL"


def test_callers_and_talks_outlive_us(tmp_path: Path):
    """Fifty of fifty are kept, five talks go on, nobody is rung twice, and every record is whole in the end."""
    agi = free_port(socket.SOCK_STREAM)
    with Asterisk(OURS + dialplan.ours() + dialplan.local([f"127.0.0.1:{agi}"], SECRET)) as pbx:
        for number in range(1, TALKING + 1):
            pbx.phone(f"10{number}", "phone-answers.xml", "-d", "100")
        broker = Broker(tmp_path, pbx.folder, agi)
        (tmp_path / "house.toml").write_text(HOUSE)
        broker.command("apply", "house.toml")
        broker.start()
        try:
            asyncio.run(_play(pbx, broker))
        finally:
            broker.end(signal.SIGTERM)
        assert broker.find("SELECT status, count(*) FROM sessions GROUP BY status") == [("closed", WAITING + TALKING)]
        report = broker.read(reconcile)
        assert report.ok, report.text()
        assert broker.find("SELECT count(*) FROM calls WHERE ended_us IS NULL") == [(0,)]
        assert broker.find("SELECT sum(reserved), sum(calls) FROM budgets") == [(0, 0)]


async def _play(pbx: Asterisk, broker: Broker) -> None:
    async with AsyncExitStack() as stack:
        for login in PEOPLE:
            await come_online(broker, login, stack)
        talkers = pbx.call("100", "caller.xml", "-r", "5", "-l", "100", calls=TALKING)
        await broker.until(STATUSES, lambda found: dict(found) == {"active": TALKING})
        waiters = pbx.call("100", "caller.xml", "-r", "25", "-l", "100", calls=WAITING)
        await broker.until(STATUSES, lambda found: dict(found) == {"active": TALKING, "queued": WAITING})
        await _answered(pbx, WAITING + 2 * TALKING)
        offers = broker.find("SELECT count(*) FROM offers")
        ((impatient,),) = broker.find("SELECT leg FROM calls WHERE talk_us IS NULL ORDER BY came_us DESC LIMIT 1")

        broker.end(signal.SIGKILL)
        # One of them has waited long enough, and hangs up while nobody is there to be told.
        await asyncio.to_thread(pbx.cli, f"channel request hangup {impatient}")
        async with asyncio.timeout(WAIT_SECONDS):
            while impatient in await asyncio.to_thread(pbx.cli, "core show channels concise"):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        broker.start()
        # Each of those who wait has asked again: nobody was let go, and nobody of those who talk was disturbed.
        await broker.until("SELECT count(*) FROM calls WHERE attempt >= 2", lambda found: found == [(WAITING - 1,)])
        await broker.until(STATUSES, lambda found: dict(found) == {"active": TALKING, "queued": WAITING - 1, "closed": 1})
        assert broker.find(f"SELECT count(*) FROM calls WHERE leg = '{impatient}' AND ended_us IS NULL") == [(0,)]  # noqa: S608
        assert broker.find("SELECT count(*) FROM offers") == offers
        assert len(broker.find(TALKS)) == TALKING

        # The talks end while we listen again; then those who waited longest are rung for, and answered.
        await _leave(pbx, broker)
        assert await asyncio.to_thread(talkers.wait, WAIT_SECONDS) == 0
        await broker.until(
            "SELECT count(*) FROM calls WHERE talk_ended_us IS NOT NULL AND recording <> ''", lambda found: found[0][0] >= TALKING
        )
        async with AsyncExitStack() as again:
            for login in PEOPLE:
                await come_online(broker, login, again)
            await broker.until("SELECT count(*) FROM calls WHERE talk_us IS NOT NULL", lambda found: found[0][0] >= 2 * TALKING)
            await asyncio.to_thread(pbx.cli, "channel request hangup all")
            assert await asyncio.to_thread(waiters.wait, WAIT_SECONDS) == 0
            await broker.until("SELECT count(*) FROM calls WHERE ended_us IS NULL", lambda found: found == [(0,)])
            await broker.until(STATUSES, lambda found: dict(found) == {"closed": TALKING + WAITING})


async def _answered(pbx: Asterisk, count: int) -> None:
    """Wait until so many channels, all that there are, have been answered: by an operator, or by music."""
    async with asyncio.timeout(WAIT_SECONDS):
        while [one.state for one in await asyncio.to_thread(pbx.channels)] != ["Up"] * count:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def _leave(pbx: Asterisk, broker: Broker) -> None:
    """Let everybody who talks be gone."""
    for (leg,) in broker.find(TALKS):
        await asyncio.to_thread(pbx.cli, f"channel request hangup {leg}")


def test_another_broker_has_the_calls_of_one_that_dies(tmp_path: Path):
    """Two on one store and one exchange: the first is killed and stays away; its callers wait on, its talks end, at the second."""
    doors = [free_port(socket.SOCK_STREAM) for _ in range(2)]
    brokers = [f"127.0.0.1:{door}" for door in doors]
    server = postgres.server()
    name = server.migrated()
    with running_redis() as redis, Asterisk(OURS + dialplan.ours() + dialplan.local(brokers, SECRET)) as pbx:
        for number in range(1, TALKING + 1):
            pbx.phone(f"10{number}", "phone-answers.xml", "-d", "100")
        folders = [tmp_path / "first", tmp_path / "second"]
        for folder in folders:
            folder.mkdir()
        first, second = (
            Broker(folder, pbx.folder, door, database=server.url(name), redis=redis.url)
            for folder, door in zip(folders, doors, strict=True)
        )
        (folders[0] / "house.toml").write_text(HOUSE)
        first.command("apply", "house.toml")
        first.start()
        second.start()
        try:
            asyncio.run(_play_two(pbx, first, second))
        finally:
            second.end(signal.SIGTERM)
        report = second.read(reconcile)
        assert report.ok, report.text()
        assert second.find("SELECT sum(reserved), sum(calls) FROM budgets") == [(0, 0)]
    server.drop(name)


async def _play_two(pbx: Asterisk, first: Broker, second: Broker) -> None:
    async with AsyncExitStack() as stack:
        for login in PEOPLE:
            await come_online(second, login, stack)
        talkers = pbx.call("100", "caller.xml", "-r", "5", "-l", "100", calls=TALKING)
        await second.until(STATUSES, lambda found: dict(found) == {"active": TALKING})
        waiters = pbx.call("100", "caller.xml", "-r", "25", "-l", "100", calls=TALKING)
        await second.until(STATUSES, lambda found: dict(found) == {"active": TALKING, "queued": TALKING})
        await _answered(pbx, 3 * TALKING)
        offers = second.find("SELECT count(*) FROM offers")

        first.end(signal.SIGKILL)
        await second.until("SELECT count(*) FROM calls WHERE attempt >= 2", lambda found: found == [(TALKING,)])
        assert second.find("SELECT count(*) FROM offers") == offers
        assert len(second.find(TALKS)) == TALKING

        # The talks end, and then those who wait are rung for; nobody of both is rung twice.
        await _leave(pbx, second)
        assert await asyncio.to_thread(talkers.wait, WAIT_SECONDS) == 0
        await second.until("SELECT count(*) FROM calls WHERE talk_us IS NOT NULL", lambda found: found == [(2 * TALKING,)])
        assert second.find("SELECT count(*) FROM calls WHERE recording = ''") == [(0,)]
        await asyncio.to_thread(pbx.cli, "channel request hangup all")
        assert await asyncio.to_thread(waiters.wait, WAIT_SECONDS) == 0
        await second.until(STATUSES, lambda found: dict(found) == {"closed": 2 * TALKING})
        assert second.find("SELECT count(*) FROM offers") == [(2 * TALKING,)]
