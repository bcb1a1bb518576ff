"""Calls: where people's phones are, how many calls somebody has, and what became of each call."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

OPEN = sa.text("ended_us IS NULL")


def upgrade() -> None:
    binary: dict[str, Any] = {"collation": "C"} if op.get_bind().dialect.name == "postgresql" else {}
    id_, words = sa.String(length=36, **binary), sa.Text(**binary)
    op.add_column("operators", sa.Column("phone", words, server_default="", nullable=False))
    op.add_column("budgets", sa.Column("calls", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "calls",
        sa.Column("conversation_id", id_, nullable=False),
        sa.Column("channel_id", id_, nullable=False),
        sa.Column("number", words, server_default="", nullable=False),
        sa.Column("called", words, server_default="", nullable=False),
        sa.Column("leg", words, server_default="", nullable=False),
        sa.Column("process_id", id_, nullable=True),
        sa.Column("attempt", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("rung", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("operator_id", id_, nullable=True),
        sa.Column("came_us", sa.BigInteger(), nullable=False),
        sa.Column("talk_us", sa.BigInteger(), nullable=True),
        sa.Column("talk_ended_us", sa.BigInteger(), nullable=True),
        sa.Column("ended_us", sa.BigInteger(), nullable=True),
        sa.Column("recording", words, server_default="", nullable=False),
        sa.Column("voicemail", words, server_default="", nullable=False),
        sa.Column("problem", words, server_default="", nullable=False),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name=op.f("fk_calls_conversation_id")),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name=op.f("fk_calls_channel_id")),
        sa.PrimaryKeyConstraint("conversation_id", name=op.f("pk_calls")),
    )
    op.create_index("ix_calls_open", "calls", ["channel_id", "came_us"], sqlite_where=OPEN, postgresql_where=OPEN)
