"""Bringing a database to this version's schema, and refusing one that is ahead of us.

Alembic is imported only when there is something to migrate: it costs a third of a second at each start otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from broker.errors import ConfigError, StoreBusy, StoreTooNew
from broker.store.migrations import CHAIN, HEAD, OLDEST
from broker.store.sqlite import connect, driver

if TYPE_CHECKING:
    import psycopg


def migrate_sqlite(path: Path) -> bool:
    """Create or upgrade the database at *path*; True when something changed. Raises StoreTooNew, SqliteTooOld."""
    with closing(connect(path)) as connection:
        row = _version(connection)
    if as_ours(row, str(path), "start the newer version, or restore a backup made before the upgrade") == HEAD:
        return False
    _upgrade(path)
    return True


def migrate_postgres(url: str, *, forced: bool = False) -> bool:
    """Create or upgrade the schema at *url*; True when something changed. Raises StoreTooNew, ConfigError, StoreBusy.

    Of several that try at once one does it and the others wait. *forced* accepts a server that may forget what it committed.
    """
    import psycopg

    from broker.store.postgres import connect, refuse_unsafe

    try:
        with closing(connect(url, "migrate")) as connection:
            refuse_unsafe(connection, forced=forced)
            if schema_of(connection) == HEAD:
                return _forget_transactions(connection)
        changed = _upgrade_postgres(url)
        with closing(connect(url, "migrate")) as connection:
            return _forget_transactions(connection) or changed
    except psycopg.OperationalError as error:
        raise StoreBusy(f"the database of database_url cannot be used ({' '.join(str(error).split())})") from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise ConfigError(
            f"database_url: its user may not make tables ({error.diag.message_primary}); let it own the database or the schema"
        ) from error
    except psycopg.errors.DuplicateTable as error:
        raise ConfigError(
            f"database_url: the database has somebody else's tables ({error.diag.message_primary}); give Omniline one of its own"
        ) from error


def check_postgres(url: str, *, forced: bool = False) -> None:
    """Return when the database at *url* is of this version. Raises StoreTooNew, ConfigError, StoreBusy."""
    import psycopg

    from broker.store.postgres import connect, refuse_unsafe

    try:
        with closing(connect(url, "check")) as connection:
            refuse_unsafe(connection, forced=forced)
            version = schema_of(connection)
            is_restored = version == HEAD and _is_of_another_server(connection)
    except psycopg.OperationalError as error:
        raise StoreBusy(f"the database of database_url cannot be used ({' '.join(str(error).split())})") from error
    if version != HEAD:
        raise ConfigError(
            f"database_url: the database has the schema {version or 'of nobody'}, this version needs {HEAD}; run: omniline migrate"
        )
    if is_restored:
        raise ConfigError("database_url: the database was restored from a backup of another server; run: omniline migrate")


def _is_of_another_server(connection: psycopg.Connection[Any]) -> bool:
    # No row that can be seen is of a transaction to come, but where a backup was restored: its transactions were another server's.
    later = "SELECT 1 FROM journal WHERE xid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint LIMIT 1"
    return connection.execute(later).fetchone() is not None


def _forget_transactions(connection: psycopg.Connection[Any]) -> bool:
    """Forget another server's transactions, which this one would take for its own to come; True when there were any."""
    if not _is_of_another_server(connection):
        return False
    with connection.transaction():
        # Every row of the journal: in a large house that takes longer than any statement of the store may.
        connection.execute("SET LOCAL statement_timeout = 0")
        connection.execute("UPDATE journal SET xid = NULL")
        connection.execute("UPDATE readers SET under_way = ''")
    return True


def schema_of(connection: psycopg.Connection[Any]) -> str | None:
    """Return the revision of the schema on PostgreSQL, None when there is none; HEAD also for a newer one that serves this version.

    Raises StoreTooNew when it is newer and does not.
    """
    if connection.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,):
        return None
    return as_ours(connection.execute("SELECT * FROM alembic_version").fetchone(), "the database", "start the newer version")


def as_ours(row: Sequence[Any] | None, what: str, remedy: str) -> str | None:
    """Return the schema that Alembic's *row* names, or HEAD for a newer one that serves this version too; None without a row.

    The row is the version and, since there is one, the schema of the oldest code that goes on with it. Raises StoreTooNew for a newer
    one that does not serve this version; *what* and *remedy* are words of the sentence.
    """
    version, serves = (str(row[0]), row[1] if len(row) > 1 else None) if row else (None, None)
    if version is None or version in CHAIN:
        return version
    if serves in CHAIN:
        return HEAD
    raise StoreTooNew(f"{what} was written by a newer Omniline (schema {version}, this one knows up to {HEAD}); {remedy}")


def _upgrade_postgres(url: str) -> bool:
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import NullPool

    from broker.store.postgres import connect

    def dial() -> psycopg.Connection[Any]:
        # As everybody connects: to the one of several hosts that takes writings.
        connection = connect(url, "migrate", patient=True)
        connection.autocommit = False
        return connection

    engine = create_engine("postgresql+psycopg://", creator=dial, poolclass=NullPool)
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ONE_AT_A_TIME})")
            # A change of a table waits for whoever uses it, and everybody else then waits behind it: rather not for long.
            connection.exec_driver_sql("SET LOCAL lock_timeout = '5s'")
            made: Any = connection.connection.driver_connection
            if schema_of(made) == HEAD:
                return False
            _run(connection)
    except DBAPIError as error:
        raise error.orig or error from None
    finally:
        engine.dispose()
    return True


_ONE_AT_A_TIME = 7_266_100_001
"""The number of the lock that whoever migrates holds; nobody else's, we hope."""


def _run(connection: Any) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import text

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    command.upgrade(config, HEAD)
    # Alembic's own table, in its transaction: whoever reads the version knows whom it serves.
    if len(connection.exec_driver_sql("SELECT * FROM alembic_version").one()) == 1:
        connection.exec_driver_sql("ALTER TABLE alembic_version ADD COLUMN serves VARCHAR(32)")
    connection.execute(text("UPDATE alembic_version SET serves = :oldest"), {"oldest": OLDEST})


def _version(connection: Any) -> Sequence[Any] | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    row: Sequence[Any] | None = connection.execute("SELECT * FROM alembic_version").fetchone()
    return row


def _upgrade(path: Path) -> None:
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", module=driver(), creator=lambda: connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # The driver is in autocommit mode: a half-done migration must not stay.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    with engine.begin() as connection:
        _run(connection)
    engine.dispose()
