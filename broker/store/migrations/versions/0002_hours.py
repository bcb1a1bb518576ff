"""Working hours, shifts and skills; the queue's order by age and priority together."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

AGE_MICROSECONDS = 600_000_000
"""What a point of priority is worth in waiting, as this revision found it."""


def upgrade() -> None:
    op.add_column("operators", sa.Column("hours", sa.Text(), nullable=True))
    op.add_column("operators", sa.Column("languages", sa.Text(), server_default="[]", nullable=False))
    op.add_column("operators", sa.Column("skills", sa.Text(), server_default="[]", nullable=False))
    op.add_column("turns", sa.Column("paced_until_us", sa.BigInteger(), nullable=True))
    op.add_column("pool_marks", sa.Column("session_id", sa.String(length=36), nullable=True))
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
