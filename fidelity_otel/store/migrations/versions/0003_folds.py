"""Folds: windows whose traces are counted once and for all."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the table and the mark; no window is folded yet."""
    op.create_table(
        "folds",
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tally", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("window"),
    )
    op.add_column(
        "windows", sa.Column("folded", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
