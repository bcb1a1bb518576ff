"""A real `omniline serve` with a telephone, in a folder of its own; and consoles that are open at it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import httpx
import websockets

from broker.ports import Tx
from broker.store import postgres
from broker.store.sqlite import read_once
from tests.support.asterisk import free_port
from tests.support.store import plain

T = TypeVar("T")
SECRET = "s3cret-of.the_exchange"
PASSWORD = "a password of the tests"
WAIT_SECONDS = 60.0


class Broker:
    """A process of ours."""

    def __init__(
        self,
        folder: Path,
        pbx_folder: Path,
        agi: int,
        *,
        database: str = "",
        redis: str = "",
        manager: int = 0,
        managed_by: str = "",
    ) -> None:
        """Its folder is *folder*; its store there, unless *database* and *redis* name servers that it shares.

        *manager* is the port of Asterisk's manager interface, *managed_by* the secret of its user omniline.
        """
        self.folder = folder
        self._database = database
        self.port = free_port(socket.SOCK_STREAM)
        # (The tests' PostgreSQL does not wait for the disk.)
        shared = {"OMNILINE_DATABASE_URL": database, "OMNILINE_REDIS_URL": redis, "OMNILINE_ALLOW_UNSAFE_DISK": "true"}
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("OMNILINE_")} | {
            **(shared if database else {"OMNILINE_DATA": str(folder / "var")}),
            "OMNILINE_LISTEN": f"127.0.0.1:{self.port}",
            "OMNILINE_TELEPHONE__LISTEN": f"127.0.0.1:{agi}",
            "OMNILINE_TELEPHONE__SECRET": SECRET,
            "OMNILINE_TELEPHONE__RECORDINGS": str(pbx_folder / "recordings"),
            "OMNILINE_PRESENCE_GRACE_SECONDS": "300",
            "PHONE_PASSWORD": PASSWORD,
        }
        if manager:
            self._environment |= {
                "OMNILINE_TELEPHONE__MANAGER": f"127.0.0.1:{manager}",
                "OMNILINE_TELEPHONE__MANAGER_SECRET": managed_by,
            }
        self._process: subprocess.Popen[str] | None = None

    def command(self, *arguments: str) -> None:
        """Run a command of ours to its end."""
        command = [sys.executable, "-m", "omniline", *arguments]
        done = subprocess.run(command, cwd=self.folder, env=self._environment, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

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

    @property
    def pid(self) -> int:
        """The process."""
        assert self._process is not None
        return self._process.pid

    def end(self, how: signal.Signals) -> None:
        """End it."""
        assert self._process is not None
        self._process.send_signal(how)
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def find(self, text: str) -> list[Any]:
        """Return what a plain query finds, beside the process."""
        return self.read(lambda tx: list(plain(tx, text).fetchall()))

    def read(self, work: Callable[[Tx], T]) -> T:
        """Return what *work* finds, beside the process."""
        return postgres.read_once(self._database, work) if self._database else read_once(self.folder / "var/omniline.db", work)

    async def until(self, text: str, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        """Return what a plain query finds once it is *wanted*; who looks from beside hears no bells."""
        async with asyncio.timeout(WAIT_SECONDS):
            while not wanted(found := await asyncio.to_thread(self.find, text)):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
            return found


async def come_online(broker: Broker, login: str, stack: AsyncExitStack) -> str:
    """Open a console for *login*, who is at work from then on; return the cookie of their login."""
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
    return cookie
