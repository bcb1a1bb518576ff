"""Messages with files and what else is not words; the providers' names of messages; how channels are."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    binary: dict[str, Any] = {"collation": "C"} if op.get_bind().dialect.name == "postgresql" else {}
    words = sa.Text(**binary)
    id_ = sa.String(36, **binary)
    empty = sa.text("''")
    nought = sa.text("0")
    op.add_column("contacts", sa.Column("avatar", words, server_default=empty, nullable=False))
    op.add_column("conversations", sa.Column("unreachable", words, server_default=empty, nullable=False))
    op.add_column("messages", sa.Column("extra", words, nullable=True))
    op.add_column("files", sa.Column("kind", words, server_default=sa.text("'document'"), nullable=False))
    op.add_column("files", sa.Column("preview", words, server_default=empty, nullable=False))
    op.add_column("files", sa.Column("width", sa.BigInteger(), server_default=nought, nullable=False))
    op.add_column("files", sa.Column("height", sa.BigInteger(), server_default=nought, nullable=False))
    op.add_column("files", sa.Column("operator_id", id_, nullable=True))
    op.add_column("outbox", sa.Column("does", words, server_default=sa.text("'send'"), nullable=False))
    op.add_column("outbox", sa.Column("target_seq", sa.BigInteger(), nullable=True))
    op.create_table(
        "message_refs",
        sa.Column("channel_id", id_, nullable=False),
        sa.Column("ref", words, nullable=False),
        sa.Column("conversation_id", id_, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name="fk_message_refs_channel_id"),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_message_refs_conversation_id"),
        sa.PrimaryKeyConstraint("channel_id", "ref", name="pk_message_refs"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "fetches",
        sa.Column("id", id_, nullable=False),
        sa.Column("channel_id", id_, nullable=False),
        sa.Column("conversation_id", id_, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("no", sa.BigInteger(), server_default=nought, nullable=False),
        sa.Column("ref", words, nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default=nought, nullable=False),
        sa.Column("due_us", sa.BigInteger(), nullable=False),
        sa.Column("problem", words, server_default=empty, nullable=False),
        sa.Column("created_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name="fk_fetches_channel_id"),
        sa.ForeignKeyConstraint(["conversation_id"], ["conversations.id"], name="fk_fetches_conversation_id"),
        sa.PrimaryKeyConstraint("id", name="pk_fetches"),
    )
    op.create_index("ix_fetches_due", "fetches", ["due_us"])
    op.create_index("ix_fetches_message", "fetches", ["conversation_id", "seq"])
    op.create_table(
        "duplicates",
        sa.Column("contact_id", id_, nullable=False),
        sa.Column("other_id", id_, nullable=False),
        sa.Column("kind", words, nullable=False),
        sa.Column("value", words, nullable=False),
        sa.Column("evidence", words, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("dismissed_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["contact_id"], ["contacts.id"], name="fk_duplicates_contact_id"),
        sa.ForeignKeyConstraint(["other_id"], ["contacts.id"], name="fk_duplicates_other_id"),
        sa.PrimaryKeyConstraint("contact_id", "other_id", "kind", "value", name="pk_duplicates"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_duplicates_other", "duplicates", ["other_id"])
    op.create_table(
        "channel_health",
        sa.Column("channel_id", id_, nullable=False),
        sa.Column("state", words, nullable=False),
        sa.Column("code", words, server_default=empty, nullable=False),
        sa.Column("problem", words, server_default=empty, nullable=False),
        sa.Column("since_us", sa.BigInteger(), nullable=False),
        sa.Column("well_us", sa.BigInteger(), nullable=True),
        sa.Column("came_us", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["channel_id"], ["channels.id"], name="fk_channel_health_channel_id"),
        sa.PrimaryKeyConstraint("channel_id", name="pk_channel_health"),
    )
