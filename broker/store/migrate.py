"""Bringing a database to this version's schema, and refusing one that is ahead of us.

Alembic is imported only when there is something to migrate: it costs a third of a second at each start otherwise.
"""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from broker.errors import StoreTooNew
from broker.store.migrations import CHAIN, HEAD
from broker.store.sqlite import connect, driver


def migrate_sqlite(path: Path) -> bool:
    """Create or upgrade the database at *path*; True when something changed. Raises StoreTooNew, SqliteTooOld."""
    with closing(connect(path)) as connection:
        version = _version(connection)
    if version == HEAD:
        return False
    if version is not None and version not in CHAIN:
        raise StoreTooNew(
            f"{path} was written by a newer Omniline (schema {version}, this one knows up to {HEAD}); "
            "start the newer version, or restore a backup made before the upgrade"
        )
    _upgrade(path)
    return True


def _version(connection: Any) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(row[0]) if row else None


def _upgrade(path: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    engine = create_engine("sqlite://", module=driver(), creator=lambda: connect(path), poolclass=NullPool)

    @event.listens_for(engine, "begin")
    def begin(connection: Any) -> None:
        # The driver is in autocommit mode: a half-done migration must not stay.
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, HEAD)
    engine.dispose()
