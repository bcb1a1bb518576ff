"""The chain of migrations and the tables are one schema."""

from __future__ import annotations

import re
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine

from broker.errors import StoreTooNew
from broker.store import migrations
from broker.store.migrate import migrate_sqlite
from broker.store.migrations import CHAIN, HEAD
from broker.store.sqlite import connect, driver
from broker.store.tables import metadata
from tests.support.store import on_disk

SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND name <> 'alembic_version' ORDER BY name"


def test_the_chain_names_every_file_in_order():
    """CHAIN is what the folder holds: start-up needs neither to search it nor to import Alembic."""
    files = sorted(path.name for path in (Path(migrations.__file__).parent / "versions").glob("[0-9]*.py"))

    assert [name.split("_")[0] for name in files] == list(CHAIN)


def test_a_migrated_database_is_what_the_tables_say(tmp_path: Path):
    """Alembic finds nothing to add, drop or change."""
    engine = create_engine(f"sqlite:///{on_disk(tmp_path)}", module=driver())
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "target_metadata": metadata})
        differences = compare_metadata(context, metadata)
    engine.dispose()

    assert differences == []


def test_migrations_and_tables_write_the_same_schema(tmp_path: Path):
    """To the letter: partial indexes' conditions and tables without rowid, which Alembic does not compare."""
    engine = create_engine(f"sqlite:///{tmp_path / 'tables.db'}", module=driver())
    metadata.create_all(engine)
    engine.dispose()

    def in_words(text: str) -> list[str]:
        # Foreign keys may stand in another order, a default in brackets.
        plain = re.sub(r"DEFAULT \((\S+)\)", r"DEFAULT \1", " ".join(text.replace('"', "").split()))
        return sorted(plain.replace(" )", "").replace(" WITHOUT ROWID", ", WITHOUT ROWID").split(", "))

    with closing(connect(tmp_path / "tables.db")) as made, closing(connect(on_disk(tmp_path))) as migrated:
        wanted, found = (
            [(*row[:3], in_words(row[3] or "")) for row in connection.execute(SCHEMA).fetchall()]
            for connection in (made, migrated)
        )
    assert found == wanted


def test_migrating_again_changes_nothing(tmp_path: Path):
    """A database of this version is left alone."""
    path = tmp_path / "omniline.db"

    assert (migrate_sqlite(path), migrate_sqlite(path)) == (True, False)


def test_a_database_from_a_newer_version_is_refused(tmp_path: Path):
    """And says what to do; nothing of it is changed."""
    path = on_disk(tmp_path)
    with closing(connect(path)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(StoreTooNew, match=f"schema 9999, this one knows up to {HEAD}"):
        migrate_sqlite(path)
