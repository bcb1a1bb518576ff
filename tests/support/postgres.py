"""A PostgreSQL server for tests, one a process, and migrated databases on it: made in 20 ms, or used again, emptied, in one."""

from __future__ import annotations

import atexit
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import psycopg

from broker.store.migrate import migrate_postgres
from broker.store.postgres import connect
from broker.store.tables import metadata

ROOT = Path(__file__).parents[2]
_NOBODY = "nobody"
_TABLES = ", ".join(metadata.tables)
_NUMBERED = [f"{table.name}_id_seq" for table in metadata.tables.values() if table.autoincrement_column is not None]
# Emptying by DELETE takes a millisecond and leaves plans as they are; TRUNCATE takes 16 ms and leaves no dead rows behind.
_EMPTY = "; ".join(
    [
        "RESET ALL",
        "BEGIN",
        "SET LOCAL session_replication_role = replica",  # no foreign key is looked after
        "DROP FUNCTION IF EXISTS disk_full CASCADE",
        *(f"DELETE FROM {table}" for table in metadata.tables),  # noqa: S608
        *(f"SELECT setval('{name}', 1, false)" for name in _NUMBERED),
        "COMMIT",
    ]
)
DISK_FULL = """
CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END$$
"""
"""Makes a function for triggers that answers as a full disk does."""
_EMPTY_ANEW = f"RESET ALL; TRUNCATE {_TABLES} RESTART IDENTITY"
_ANEW_AFTER = 50
"""Uses of a database before its dead rows are thrown away."""


@dataclass
class Database:
    """A migrated, empty database, and a connection to it as the store makes them, with what was prepared on it before."""

    url: str
    connection: psycopg.Connection[Any]
    uses: int = 0


@cache
def binaries() -> Path:
    """Return the folder of postgres, initdb and pg_ctl: of $OMNILINE_TEST_POSTGRES, or where tests/tools/server.sh finds or brings them."""
    found = os.environ.get("OMNILINE_TEST_POSTGRES")
    if not found:
        asked = subprocess.run(
            ["sh", str(ROOT / "tests/tools/server.sh"), "postgres"], stdout=subprocess.PIPE, text=True, check=True
        )
        found = asked.stdout.strip()
    return Path(found).resolve().parent


class Server:
    """A cluster of its own in a temporary folder; *durable* as in earnest, else without waiting for the disk."""

    def __init__(self, *, durable: bool = False, **settings: str) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="omniline-pg-", dir="/tmp"))
        # PostgreSQL refuses to run as root.
        self._as: dict[str, Any] = {"user": _NOBODY, "group": _group(), "extra_groups": []} if os.getuid() == 0 else {}
        if self._as:
            shutil.chown(self.folder, _NOBODY)
        self.folder.chmod(0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._run("initdb", "-D", "data", "-U", "omniline", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        told = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "max_connections": "200",
            "shared_buffers": "64MB",
            # The test's own data is small: what is left to the background would only disturb what is measured.
            "autovacuum": "off",
            "log_line_prefix": "%m [%p] ",
            **({} if durable else {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}),
            **settings,
        }
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in told.items())
        self._numbers = itertools.count(1)
        self._used: list[Database] = []
        atexit.register(self.remove)
        self.start()

    def _run(self, program: str, *arguments: str, check: bool = True) -> None:
        done = subprocess.run(
            [str(binaries() / program), *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={"PATH": os.environ["PATH"], "LC_ALL": "C", "TZ": "UTC"},
            **self._as,
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} failed:\n{done.stdout}")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self._run("pg_ctl", "-D", "data", "-w", "-l", "log", "start")

    def stop(self, mode: str = "fast") -> None:
        """Stop it: fast, or immediate, as a power cut does."""
        self._run("pg_ctl", "-D", "data", "-w", "-m", mode, "stop", check=False)

    def restart(self, mode: str = "immediate") -> None:
        """Stop it and start it again."""
        self.stop(mode)
        self.start()

    def pause(self, paused: bool = True) -> None:
        """Stop every process of the server where it stands, or let all go on."""
        postmaster = int((self.folder / "data" / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()
        for pid in (postmaster, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP if paused else signal.SIGCONT)

    def url(self, database: str = "postgres") -> str:
        """Return the address of a database, over TCP."""
        return f"postgresql://omniline@127.0.0.1:{self.port}/{database}"

    def socket_url(self, database: str = "postgres") -> str:
        """Return the address of a database, over the socket in its folder."""
        return f"postgresql://omniline@/{database}?host={self.folder}&port={self.port}"

    def run(self, statement: str, database: str = "postgres") -> list[Any]:
        """Run a statement by itself and return its rows."""
        with psycopg.connect(self.socket_url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description is not None else []

    def empty(self) -> str:
        """Make an empty database and return its name."""
        name = f"empty_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name}")
        return name

    @cache  # noqa: B019  (as long as the server itself)
    def _template(self) -> str:
        name = self.empty()
        migrate_postgres(self.socket_url(name), forced=True)
        return name

    def migrated(self) -> str:
        """Make a migrated, empty database and return its name."""
        template = self._template()
        name = f"test_{next(self._numbers)}"
        self.run(
            f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy"
            if self.version() >= 15
            else f"CREATE DATABASE {name} TEMPLATE {template}"
        )
        return name

    @cache  # noqa: B019
    def version(self) -> int:
        """Return PostgreSQL's, such as 15."""
        return int(self.run("SHOW server_version_num")[0][0]) // 10_000

    def drop(self, name: str) -> None:
        """Remove a database, whoever is connected."""
        self.run(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")

    def lend(self) -> Database:
        """Return a database for one test, to be given back; a connection that a test has broken is not used again."""
        while self._used:
            database = self._used.pop()
            with suppress(psycopg.Error):
                database.connection.rollback()
                database.connection.execute(_EMPTY_ANEW if database.uses % _ANEW_AFTER == 0 else _EMPTY, prepare=False)
                return database
        url = self.socket_url(self.migrated())
        return Database(url, connect(url, "test"))

    def take_back(self, database: Database) -> None:
        """Keep *database* for the next test."""
        database.uses += 1
        self._used.append(database)

    def remove(self) -> None:
        """Stop the server and remove its folder."""
        atexit.unregister(self.remove)
        with suppress(Exception):
            self.pause(paused=False)
        self.stop("immediate")
        shutil.rmtree(self.folder, ignore_errors=True)

    def keep(self) -> None:
        """Stop the server and leave its folder for who looks for a fault."""
        atexit.unregister(self.remove)
        self.stop("fast")


@cache
def server() -> Server:
    """Return the server of this process of tests."""
    return Server()


def _group() -> str:
    import grp
    import pwd

    return grp.getgrgid(pwd.getpwnam(_NOBODY).pw_gid).gr_name


def wait_until(true: Any, seconds: float = 20.0, every: float = 0.02) -> None:
    """Return when *true()* is; fail after *seconds*."""
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "it did not come true"
        time.sleep(every)
