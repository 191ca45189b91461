"""No index by lot: its pages were touched at random by every trace, and pruning does without it.

Pruning reads the sizes of all bodies anyway: in the table's order, then, not in the index's.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Drop the index; what it said is in the table."""
    op.drop_index("bodies_lot", "bodies")
