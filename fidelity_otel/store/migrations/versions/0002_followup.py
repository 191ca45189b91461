"""Second phases: the probability of a recheck, and when a verdict was amended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the columns; what is there was no second phase, and was never amended."""
    op.add_column(
        "items", sa.Column("probability", sa.Double(), server_default=sa.text("1"), nullable=False)
    )
    op.add_column(
        "reviews",
        sa.Column("amended_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
    )
