"""A trace's response ids and business keys in its own row; tables that only find traces by them.

Both tables had an index by trace besides, and on SQLite a row id: of what a stored trace costs a
busy store, pages that are touched at random are the largest part after its compressed body.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_COLUMNS = {"response_ids": ("response_id", "trace_id"), "keys": ("name", "value", "trace_id")}
_FILL = {
    "sqlite": {
        "response_ids": "SELECT json_group_array(response_id) FROM "
        "(SELECT response_id FROM response_ids AS x WHERE x.trace_id = traces.trace_id "
        "ORDER BY response_id)",
        "keys": "SELECT json_group_array(json_array(name, value)) FROM "
        "(SELECT name, value FROM keys AS x WHERE x.trace_id = traces.trace_id "
        "ORDER BY name, value)",
    },
    "postgresql": {
        "response_ids": "SELECT json_agg(response_id ORDER BY response_id)::text "
        "FROM response_ids AS x WHERE x.trace_id = traces.trace_id",
        "keys": "SELECT json_agg(json_build_array(name, value) ORDER BY name, value)::text "
        "FROM keys AS x WHERE x.trace_id = traces.trace_id",
    },
}


def upgrade() -> None:
    """Write into the rows what the tables say of them, then make the tables lean."""
    dialect = op.get_bind().dialect.name
    for name, columns in _COLUMNS.items():
        op.add_column(
            "traces", sa.Column(name, sa.Text(), server_default=sa.text("'[]'"), nullable=False)
        )
        op.execute(
            f"UPDATE traces SET {name} = ({_FILL[dialect][name]}) "  # noqa: S608 (our own names)
            f"WHERE trace_id IN (SELECT trace_id FROM {name})"
        )
        op.drop_index(f"{name}_trace", name)
        if dialect == "sqlite":
            _without_row_ids(name, columns)


def _without_row_ids(name: str, columns: tuple[str, ...]) -> None:
    listed = ", ".join(columns)
    op.create_table(
        f"{name}_lean",
        *(sa.Column(column, sa.Text(), nullable=False) for column in columns),
        sa.PrimaryKeyConstraint(*columns),
        sqlite_with_rowid=False,
    )
    op.execute(
        f"INSERT INTO {name}_lean ({listed}) "  # noqa: S608 (our own names)
        f"SELECT {listed} FROM {name} ORDER BY {listed}"
    )
    op.drop_table(name)
    op.rename_table(f"{name}_lean", name)
