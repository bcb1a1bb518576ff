"""A redis-server of a test's own: on a free port and a socket in a temporary folder, keeping nothing, stopped whatever happens."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import redis

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 20


class RedisServer:
    """One server; it comes back at the same address, and empty."""

    def __init__(self, folder: Path, *options: str, password: str = "") -> None:
        self._folder = folder
        self._options = options
        self._password = password
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens, with the password it was started with."""
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        """The same server by its socket."""
        return f"unix://:{self._password}@{self._folder / 'redis.sock'}"

    def start(self) -> None:
        """Start it, and return when it answers."""
        places = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self._folder / "redis.sock")]
        keeping = ["--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        entering = ["--requirepass", self._password] if self._password else []
        with (self._folder / "redis.log").open("ab") as output:
            command = [redis_server(), *places, *keeping, *entering, *self._options]
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        # Its input ends when this process does, in whatever way: a killed test leaves no server behind.
        guard = ["sh", "-c", 'cat; kill -9 "$0"', str(self._process.pid)]
        self._guard = subprocess.Popen(guard, stdin=subprocess.PIPE, start_new_session=True)
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"redis-server did not start: {(self._folder / 'redis.log').read_text()}")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as a power cut would: no goodbye, nothing kept."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Ask it to end, and wait until it has."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """Let it stand still: connections stay open and nothing is answered."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def ask(self, *command: str | bytes | int, password: str | None = None) -> Any:
        """Return the answer to one command, on a connection of its own; *password* when it is another than at the start."""
        with redis.Redis(port=self.port, password=password or self._password or None, socket_timeout=10, protocol=2) as client:
            return client.execute_command(*command)

    def _answers(self) -> bool:
        try:
            return bool(self.ask("PING"))
        except redis.RedisError:
            return False

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._guard is not None:
            self._guard.kill()
            self._guard.communicate()
            self._guard = None
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(10)
        self._process = None


@contextmanager
def running_redis(*options: str, password: str = "") -> Iterator[RedisServer]:
    """Give a server that runs, with further *options* of its command line."""
    # In /tmp: the path of a socket has at most a hundred characters, which a test's own folder may exceed.
    with tempfile.TemporaryDirectory(prefix="omniline-redis-", dir="/tmp") as folder:
        server = RedisServer(Path(folder), *options, password=password)
        try:
            server.start()
            yield server
        finally:
            server.kill()


async def until(done: Callable[[], bool], seconds: float = 10) -> None:
    """Return when *done*; raise TimeoutError when it does not come about."""
    async with asyncio.timeout(seconds):
        while not done():  # noqa: ASYNC110 -- what a server does sets no event
            await asyncio.sleep(0.001)


def free_port() -> int:
    """Return a port of 127.0.0.1 where nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@cache
def redis_server() -> str:
    """Return the path of the program; install it when there is none."""
    lock = ROOT / ".cache" / "server.lock"
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # two workers must not install at once
        found = subprocess.run(
            ["sh", ROOT / "tests" / "tools" / "server.sh", "redis-server"],
            stdout=subprocess.PIPE,
            check=True,
            text=True,
            env=os.environ,
        )
    return found.stdout.strip()
