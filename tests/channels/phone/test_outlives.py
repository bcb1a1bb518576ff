"""Calls outlive us: a real `omniline serve` is killed with fifty callers waiting and five talking, and started again."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import websockets

from broker.store.reconcile import reconcile
from broker.store.sqlite import read_once
from channels.phone import dialplan
from tests.channels.phone.exchange import OURS, SECRET
from tests.support.asterisk import Asterisk, free_port
from tests.support.store import plain

pytestmark = [pytest.mark.asterisk, pytest.mark.xdist_group("asterisk"), pytest.mark.slow, pytest.mark.timeout(240)]
WAITING, TALKING = 50, 5
PASSWORD = "a password of the tests"
WAIT_SECONDS = 60.0
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


class Broker:
    """A process of ours."""

    def __init__(self, folder: Path, pbx_folder: Path, agi: int) -> None:
        self.folder = folder
        self.port = free_port(socket.SOCK_STREAM)
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")} | {
            "OMNILINE_DATA": str(folder / "var"),
            "OMNILINE_LISTEN": f"127.0.0.1:{self.port}",
            "OMNILINE_TELEPHONE__LISTEN": f"127.0.0.1:{agi}",
            "OMNILINE_TELEPHONE__SECRET": SECRET,
            "OMNILINE_TELEPHONE__RECORDINGS": str(pbx_folder / "recordings"),
            "OMNILINE_PRESENCE_GRACE_SECONDS": "300",
            "PHONE_PASSWORD": PASSWORD,
        }
        self._process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> None:
        """Run a command of ours to its end."""
        command = [sys.executable, "-m", "omniline", *arguments]
        subprocess.run(command, cwd=self.folder, env=self._environment, check=True, capture_output=True)

    def start(self) -> None:
        """Start, and return when it serves."""
        with (self.folder / "log").open("a") as log:
            command = [sys.executable, "-m", "omniline", "serve"]
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self._environment, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if "Omniline serves" in line:
                return
        raise AssertionError((self.folder / "log").read_text())

    def end(self, how: signal.Signals) -> None:
        """End it."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def find(self, text: str) -> list[Any]:
        """Return what a plain query finds, beside the process."""
        return read_once(self.folder / "var/omniline.db", lambda tx: list(plain(tx, text).fetchall()))

    async def until(self, text: str, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        """Return what a plain query finds once it is *wanted*; who looks from beside hears no bells."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not wanted(found := await asyncio.to_thread(self.find, text)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            return found


async def come_online(broker: Broker, login: str, stack: AsyncExitStack) -> None:
    """Open a console for *login*, who is at work from then on."""
    origin = f"http://127.0.0.1:{broker.port}"
    async with httpx.AsyncClient(trust_env=False) as http:
        answer = await http.post(f"{origin}/api/v1/login", json={"login": login, "password": PASSWORD})
        answer.raise_for_status()
        cookie = answer.headers["set-cookie"].partition(";")[0]
    url = f"ws://127.0.0.1:{broker.port}/ws/operator"
    console = await stack.enter_async_context(
        websockets.connect(url, origin=origin, additional_headers={"Cookie": cookie}, max_size=None, compression=None)  # type: ignore[arg-type]
    )
    await console.send('{"t": "hello"}')
    await console.recv()
    await console.send('{"t": "presence", "state": "online"}')


STATUSES = "SELECT status, count(*) FROM sessions GROUP BY status"


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
        report = read_once(tmp_path / "var/omniline.db", reconcile)
        assert report.ok, report.text()
        assert broker.find("SELECT count(*) FROM calls WHERE ended_us IS NULL") == [(0,)]
        assert broker.find("SELECT sum(reserved), sum(calls) FROM budgets") == [(0, 0)]


async def _play(pbx: Asterisk, broker: Broker) -> None:
    async with AsyncExitStack() as stack:
        for login in PEOPLE:
            await come_online(broker, login, stack)
        talkers = pbx.call("100", "caller-hangs-up.xml", "-d", "20000", "-r", "5", calls=TALKING)
        await broker.until(STATUSES, lambda found: dict(found) == {"active": TALKING})
        waiters = pbx.call("100", "caller.xml", "-r", "25", "-l", "100", calls=WAITING)
        await broker.until(STATUSES, lambda found: dict(found) == {"active": TALKING, "queued": WAITING})
        offers = broker.find("SELECT count(*) FROM offers")

        broker.end(signal.SIGKILL)
        broker.start()
        # Each of those who wait has asked again: nobody was let go, and nobody of those who talk was disturbed.
        await broker.until("SELECT count(*) FROM calls WHERE attempt >= 2", lambda found: found == [(WAITING,)])
        assert dict(broker.find(STATUSES)) == {"active": TALKING, "queued": WAITING}
        assert broker.find("SELECT count(*) FROM offers") == offers
        assert broker.find("SELECT count(*) FROM calls WHERE talk_us IS NOT NULL AND talk_ended_us IS NULL") == [(TALKING,)]

        # The talks end by themselves, while we listen again; then those who waited longest are rung for, and answered.
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
