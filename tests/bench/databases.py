"""What stands under several processes: a PostgreSQL that waits for its disk, and a Redis, both of the bench's own.

Both are reached over TCP, as from another host or container; everything that PostgreSQL has not been told here is at its default.
"""

from __future__ import annotations

import atexit
import itertools
import tempfile
from pathlib import Path

import psycopg

from broker.errors import OmnilineError
from broker.store.folder import DataFolder
from broker.store.postgres import refuse_unsafe
from tests.bench.measure import BenchError
from tests.support.postgres import Server as PostgresServer
from tests.support.redis import RedisServer

SETTINGS = {
    "shared_buffers": "256MB",
    # The tests' server does without; in earnest it is on.
    "autovacuum": "on",
}


class Databases:
    """Both servers, running from the beginning until `stop`. Raises BenchError when PostgreSQL would forget what it has committed."""

    def __init__(self, **settings: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="omniline-bench-", dir="/tmp")
        self.postgres = PostgresServer(durable=True, **{**SETTINGS, **settings})
        self._redis = RedisServer(Path(self._folder.name))
        self._numbers = itertools.count()
        try:
            self._redis.start()
            self._refuse_forgetful()
        except BaseException:
            self.stop()
            raise
        self.pids = {"PostgreSQL": self._postmaster(), "Redis": int(self._redis.ask("INFO", "server")["process_id"])}
        """Of both servers."""

    def new_house(self) -> tuple[str, str]:
        """Make an empty database; return its address, and that of a part of Redis that no other house has."""
        return self.postgres.url(self.postgres.empty()), f"{self._redis.url.rpartition('/')[0]}/{next(self._numbers)}"

    def stop(self) -> None:
        """End both and remove what they kept."""
        self._redis.kill()
        self.postgres.remove()
        atexit.unregister(self.postgres.remove)
        self._folder.cleanup()

    def _postmaster(self) -> int:
        return int((self.postgres.folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    def _refuse_forgetful(self) -> None:
        try:
            with psycopg.connect(self.postgres.url(), autocommit=True) as connection:
                refuse_unsafe(connection)
            DataFolder(self.postgres.folder).refuse_unsafe_disk(forced=False)
        except OmnilineError as error:
            raise BenchError(f"PostgreSQL's commits would not be durable: {error}") from error
