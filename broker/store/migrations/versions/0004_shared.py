"""What several processes on one database need: journal rows name their transaction, and who runs and holds which lease is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    connection = op.get_bind()
    op.add_column("journal", sa.Column("xid", sa.BigInteger(), nullable=True))
    if connection.dialect.name == "postgresql":
        op.execute("ALTER TABLE journal ALTER COLUMN xid SET DEFAULT (pg_current_xact_id()::text::bigint)")
        op.create_index("ix_journal_xid", "journal", ["xid"])
    op.add_column("readers", sa.Column("under_way", sa.Text(), server_default="", nullable=False))
    op.create_table(
        "processes",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.BigInteger(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("started_us", sa.BigInteger(), nullable=False),
        sa.Column("seen_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_processes")),
    )
    op.create_table(
        "secrets",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_secrets")),
    )
    op.create_table(
        "leases",
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("holder", sa.String(length=36), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.Column("until_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_leases")),
    )
    op.create_table(
        "consoles",
        sa.Column("operator_id", sa.String(length=36), nullable=False),
        sa.Column("process_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_consoles_operator_id")),
        sa.PrimaryKeyConstraint("operator_id", "process_id", name=op.f("pk_consoles")),
    )
    op.create_index("ix_consoles_process", "consoles", ["process_id"], unique=False)
    if connection.dialect.name == "postgresql":
        _order_byte_by_byte(connection)


def _order_byte_by_byte(connection: sa.Connection) -> None:
    """Let all text be ordered as on SQLite: the order of locks and pages is the same whatever the database's language."""
    columns = connection.execute(
        sa.text(
            "SELECT table_name, column_name, format_type(atttypid, atttypmod) FROM information_schema.columns "
            "JOIN pg_attribute ON attrelid = format('%I.%I', table_schema, table_name)::regclass AND attname = column_name "
            "WHERE table_schema = current_schema() AND data_type IN ('text', 'character varying') AND table_name <> 'alembic_version'"
        )
    ).all()
    for table, column, kind in columns:
        op.execute(f'ALTER TABLE {table} ALTER COLUMN "{column}" TYPE {kind} COLLATE "C"')
