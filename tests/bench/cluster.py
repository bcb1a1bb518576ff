"""The product as several processes on PostgreSQL and Redis, and the floor that is built the same way: each a `Subject`.

    visitors, consoles ── web ─┬─ PostgreSQL ─┬─ router, sender, crm
                               └─── Redis ────┘

The house, the clients and the traffic are those of the product that is one process (tests/bench/product.py).
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import psycopg

from tests.bench.databases import Databases
from tests.bench.measure import BenchError, Server, bench_folder
from tests.bench.product import Product, ProductSubject, apply, house, omniline, refuse_own_settings
from tests.bench.subject import FloorSubject

WEB, BACK = "web", "router,sender,crm"


class ClusterServer:
    """One house in a PostgreSQL of its own, and the processes that serve it, one for each of *roles*; the first serves the web.

    The databases run from the beginning until `stop`.
    """

    def __init__(self, text: str, roles: Sequence[str] = (WEB, BACK), databases: Databases | None = None) -> None:
        """*text*: the house as `omniline apply` reads it. *databases*: those of another house too, which stops them."""
        refuse_own_settings()
        self._folder = tempfile.TemporaryDirectory(prefix="cluster-", dir=bench_folder(), ignore_cleanup_errors=True)
        self._config = Path(self._folder.name) / "omniline.toml"
        self._config.touch()  # nobody else's settings
        self._roles = roles
        self._servers: dict[str, Server] = {}
        self._others = databases
        self.databases = databases or Databases()
        self.url, self.redis_url = self.databases.new_house()
        self._environment = {"OMNILINE_DATABASE_URL": self.url, "OMNILINE_REDIS_URL": self.redis_url}
        try:
            omniline("migrate", config=self._config, environment=self._environment)
            apply(text, self._config, self._environment)
        except BaseException:
            self.stop()
            raise

    @property
    def running(self) -> Server:
        """The process that serves the web, once started; BenchError before."""
        if self._roles[0] not in self._servers:
            raise BenchError("the cluster has not been started")
        return self._servers[self._roles[0]]

    @property
    def pids(self) -> Mapping[str, int]:
        """The processes by their roles."""
        return {name: server.pid for name, server in self._servers.items()}

    def start(self) -> float:
        """Start the processes one after another; return the seconds that the first took to its first 200. Raises ServerFailed."""
        for roles in self._roles:
            self.add(roles)
        return self.running.start_seconds

    def add(self, roles: str, name: str = "") -> Server:
        """Start one more process; *name* tells it from others of the same roles. Raises ServerFailed."""
        command = [sys.executable, "-m", "omniline", "--config", str(self._config), "serve", "--role", roles]
        server = self._servers[name or roles] = Server(
            command, environment={**self._environment, "OMNILINE_LISTEN": "{host}:{port}"}
        )
        server.start()
        return server

    def look_at_tables(self) -> None:
        """Have PostgreSQL learn what the house's tables hold."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("ANALYZE")

    def end(self, name: str) -> None:
        """End one process."""
        self._servers.pop(name).stop()

    def stop(self) -> None:
        """End the processes and the databases, unless those are another's."""
        for name in list(self._servers):
            self.end(name)
        if self._others is None:
            self.databases.stop()
        self._folder.cleanup()


class ClusterSubject(ProductSubject):
    """The product as two processes; *lines* of its house share its operators."""

    name = "cluster"
    lines = 1
    # Of two at one moment one may be told to wait, on PostgreSQL: what the first has written is later than when the second began.
    logins_at_once = 1
    roles: Sequence[str] = (WEB, BACK)

    @property
    def cluster(self) -> ClusterServer:
        """The processes, once started."""
        assert isinstance(self.product, ClusterServer)
        return self.product

    @property
    def pids(self) -> Mapping[str, int]:
        return self.cluster.pids

    @property
    def database_pids(self) -> Mapping[str, int]:
        return self.cluster.databases.pids

    def make(self) -> Product:
        return ClusterServer(house(self.operators, self.lines), self.roles)

    async def settled(self) -> None:
        await super().settled()
        # As autovacuum does within a new house's first minute: until then PostgreSQL plans for empty tables.
        await asyncio.to_thread(self.cluster.look_at_tables)


class FloorPairSubject(FloorSubject):
    """The floor of two processes: see floor_pair.py."""

    name = "floor of two"

    def __init__(self) -> None:
        super().__init__()
        self._databases: Databases | None = None

    @property
    def pids(self) -> Mapping[str, int]:
        return dict(zip(("visitors", "operators"), (server.pid for server in self._servers), strict=True))

    @property
    def database_pids(self) -> Mapping[str, int]:
        return self._databases.pids if self._databases is not None else {}

    async def start(self) -> None:
        databases = self._databases = await asyncio.to_thread(Databases)
        database, redis = databases.new_house()
        await self._start("tests.bench.floor_pair", "visitors", "--redis", redis, "--database", database)
        await self._start("tests.bench.floor_pair", "operators", "--redis", redis)

    async def stop(self) -> None:
        await super().stop()
        if self._databases is not None:
            await asyncio.to_thread(self._databases.stop)
