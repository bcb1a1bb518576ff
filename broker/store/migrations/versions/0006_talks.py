"""Talks: whose channels speak with a caller, wait while they are on hold, or are asked about the call; calls that we make."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SOUNDS = sa.text("recording <> '' OR voicemail <> ''")


def upgrade() -> None:
    binary: dict[str, Any] = {"collation": "C"} if op.get_bind().dialect.name == "postgresql" else {}
    words = sa.Text(**binary)
    for name in ("talk_leg", "consult_leg", "uniqueid"):
        op.add_column("calls", sa.Column(name, words, server_default="", nullable=False))
    for name in ("consult_rung", "parked", "listened"):
        op.add_column("calls", sa.Column(name, sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.create_index("ix_calls_sounds", "calls", ["ended_us"], sqlite_where=SOUNDS, postgresql_where=SOUNDS)
    op.add_column("calls", sa.Column("outgoing", sa.SmallInteger(), server_default=sa.text("0"), nullable=False))
