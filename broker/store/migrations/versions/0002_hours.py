"""Working hours, shifts and skills; the queue's order by age and priority together; pins, reviews, who joined a session."""

import json
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AGE_MICROSECONDS = 600_000_000
"""What a point of priority is worth in waiting, as this revision found it."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
"""What `due_us` counts from."""


def upgrade() -> None:
    op.add_column("operators", sa.Column("hours", sa.Text(), nullable=True))
    op.add_column("operators", sa.Column("languages", sa.Text(), server_default="[]", nullable=False))
    op.add_column("operators", sa.Column("skills", sa.Text(), server_default="[]", nullable=False))
    op.add_column("contacts", sa.Column("banned_us", sa.BigInteger(), nullable=True))
    op.add_column("turns", sa.Column("paced_until_us", sa.BigInteger(), nullable=True))
    op.add_column("pool_marks", sa.Column("session_id", sa.String(length=36), nullable=True))
    op.add_column("outbox", sa.Column("buttons", sa.Text(), nullable=True))
    op.create_table(
        "line_state",
        sa.Column("line_id", sa.String(length=36), nullable=False),
        sa.Column("open", sa.SmallInteger(), server_default=sa.text("1"), nullable=False),
        sa.Column("opens_us", sa.BigInteger(), nullable=True),
        sa.Column("paced_until_us", sa.BigInteger(), nullable=True),
        sa.Column("changed_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["line_id"], ["lines.id"], name=op.f("fk_line_state_line_id")),
        sa.PrimaryKeyConstraint("line_id", name=op.f("pk_line_state")),
    )
    op.create_table(
        "pins",
        sa.Column("operator_id", sa.String(length=36), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("pinned_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_pins_operator_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_pins_session_id")),
        sa.PrimaryKeyConstraint("operator_id", "session_id", name=op.f("pk_pins")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "reviews",
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.Column("operator_id", sa.String(length=36), nullable=False),
        sa.Column("stars", sa.BigInteger(), nullable=False),
        sa.Column("comment", sa.Text(), server_default="", nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_reviews_operator_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_reviews_session_id")),
        sa.PrimaryKeyConstraint("session_id", name=op.f("pk_reviews")),
    )
    op.create_table(
        "session_members",
        sa.Column("operator_id", sa.String(length=36), nullable=False),
        sa.Column("session_id", sa.String(length=36), nullable=False),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.id"], name=op.f("fk_session_members_operator_id")),
        sa.ForeignKeyConstraint(["session_id"], ["sessions.id"], name=op.f("fk_session_members_session_id")),
        sa.PrimaryKeyConstraint("operator_id", "session_id", name=op.f("pk_session_members")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_offers_passed",
        "offers",
        ["ended_us", "operator_id", "state"],
        unique=False,
        sqlite_where=sa.text("state = 'declined' OR state = 'ran_out'"),
        postgresql_where=sa.text("state = 'declined' OR state = 'ran_out'"),
    )
    sessions = sa.table("sessions", *(sa.column(name) for name in ("id", "status", "rank", "queued_us", "state")))
    connection = op.get_bind()
    # Until now the rank was minus the priority, kept for closed sessions too.
    waiting = connection.execute(
        sa.select(sessions.c.id, sessions.c.rank, sessions.c.queued_us, sessions.c.state).where(sessions.c.queued_us.is_not(None))
    ).all()
    connection.execute(sa.update(sessions).values(rank=0).where(sessions.c.queued_us.is_(None)))
    for id_, rank, queued_us, body in waiting:
        state = json.loads(body)
        held = state.pop("next_round_at", None)
        if held is not None:
            state |= {"held_until": held, "held_why": "round"}
        elif state.get("rounds_over"):
            state["held_why"] = "rounds_over"
        connection.execute(
            sa.update(sessions)
            .values(
                rank=queued_us + rank * AGE_MICROSECONDS,
                state=json.dumps(state, ensure_ascii=False, sort_keys=True, separators=(",", ":")),
            )
            .where(sessions.c.id == id_)
        )
    _note_answers_due(connection)


def _note_answers_due(connection: sa.Connection) -> None:
    """Write into each session when its no-answer timer is due: from now on the session says so."""
    timers = sa.table("timers", *(sa.column(name) for name in ("owner_kind", "owner_id", "name", "due_us")))
    sessions = sa.table("sessions", *(sa.column(name) for name in ("id", "conversation_id", "status", "state")))
    due = connection.execute(
        sa.select(sessions.c.id, sessions.c.state, timers.c.due_us)
        .join_from(timers, sessions, sessions.c.conversation_id == timers.c.owner_id)
        .where(timers.c.owner_kind == "conversation", timers.c.name == "no_answer", sessions.c.status != "closed")
    ).all()
    for id_, body, due_us in due:
        state = json.loads(body) | {"answer_due": (EPOCH + timedelta(microseconds=due_us)).isoformat()}
        connection.execute(
            sa.update(sessions)
            .values(state=json.dumps(state, ensure_ascii=False, sort_keys=True, separators=(",", ":")))
            .where(sessions.c.id == id_)
        )
