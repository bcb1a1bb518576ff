"""How often a line's pool has changed: sessions whose rounds are over begin again at a later count than theirs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    # A session whose rounds are over has counted no change yet: the first that comes renews it.
    op.add_column("line_state", sa.Column("changes", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
