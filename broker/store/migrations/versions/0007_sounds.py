"""Sounds of our own that callers hear; calls by their number."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    binary: dict[str, Any] = {"collation": "C"} if op.get_bind().dialect.name == "postgresql" else {}
    words = sa.Text(**binary)
    op.create_index("ix_calls_number", "calls", ["number", "came_us"])
    op.create_table(
        "sounds",
        sa.Column("slug", words, nullable=False),
        sa.Column("digest", words, nullable=False),
        sa.Column("milliseconds", sa.BigInteger(), nullable=False),
        sa.Column("music", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.Column("wav", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("slug", name="pk_sounds"),
    )
