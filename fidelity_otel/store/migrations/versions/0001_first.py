"""The first schema."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    op.create_table(
        "arms",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("window", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("stratum", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("selected", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("probability", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("size", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("threshold", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id", "arm"),
    )
    op.create_table(
        "audit",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("at_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("actor", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("item_id", sa.Text(), nullable=True),
        sa.Column("lease_id", sa.Text(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=sa.text("'{}'"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("audit_at", "audit", ["at_ns"], unique=False)
    op.create_index("audit_trace", "audit", ["trace_id"], unique=False)
    op.create_table(
        "bodies",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("otlp", sa.LargeBinary(), nullable=False),
        sa.Column("stored_bytes", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("start_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("lot", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id"),
    )
    op.create_index("bodies_lot", "bodies", ["lot"], unique=False)
    op.create_table(
        "draws",
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), nullable=False),
        sa.Column("stratum", sa.Text(), nullable=False),
        sa.Column("threshold", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("selected", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("candidates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("window", "arm", "stratum"),
    )
    op.create_table(
        "erased",
        sa.Column("mark", sa.Text(), nullable=False),
        sa.Column("at_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("mark"),
    )
    op.create_table(
        "items",
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("workflow", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("arm", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("shuffle", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("needed", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("judged", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("hand_picked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("closed", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("due_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("enqueued_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("item_id"),
    )
    op.create_index("items_open", "items", ["closed", "due_ns"], unique=False)
    op.create_index("items_trace", "items", ["trace_id", "phase"], unique=True)
    op.create_table(
        "keys",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", "value", "trace_id"),
    )
    op.create_index("keys_trace", "keys", ["trace_id"], unique=False)
    op.create_table(
        "leases",
        sa.Column("lease_id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("granted_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("expires_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("ending", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("reason", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("lease_id"),
    )
    op.create_index("leases_item", "leases", ["item_id", "ending"], unique=False)
    op.create_index("leases_live", "leases", ["ending", "expires_ns"], unique=False)
    op.create_index("leases_reviewer", "leases", ["reviewer", "ending"], unique=False)
    op.create_table(
        "meta",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "outcomes",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=True),
        sa.Column("ref_trace_id", sa.Text(), nullable=True),
        sa.Column("ref_span_id", sa.Text(), nullable=True),
        sa.Column("ref_response_id", sa.Text(), nullable=True),
        sa.Column("ref_key_name", sa.Text(), nullable=True),
        sa.Column("ref_key_value", sa.Text(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=True),
        sa.Column("label", sa.Text(), nullable=True),
        sa.Column("source", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("observed_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("received_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("supersedes", sa.Text(), nullable=True),
        sa.Column("superseded", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("explanation", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("outcomes_ref_key", "outcomes", ["ref_key_name", "ref_key_value"], unique=False)
    op.create_index("outcomes_ref_response", "outcomes", ["ref_response_id"], unique=False)
    op.create_index("outcomes_ref_trace", "outcomes", ["ref_trace_id"], unique=False)
    op.create_index("outcomes_supersedes", "outcomes", ["supersedes"], unique=False)
    op.create_index("outcomes_trace", "outcomes", ["trace_id"], unique=False)
    op.create_table(
        "response_ids",
        sa.Column("response_id", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("response_id", "trace_id"),
    )
    op.create_index("response_ids_trace", "response_ids", ["trace_id"], unique=False)
    op.create_table(
        "reviews",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("item_id", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("reviewer", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("arm", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("mode", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("correction", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("started_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("finished_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("hand_picked", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("reviews_finished", "reviews", ["finished_ns"], unique=False)
    op.create_index("reviews_item", "reviews", ["item_id", "reviewer"], unique=True)
    op.create_index("reviews_trace", "reviews", ["trace_id"], unique=False)
    op.create_table(
        "traces",
        sa.Column("trace_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("workflow", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("service", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("release", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("conversation_id", sa.Text(), nullable=True),
        sa.Column("user_id", sa.Text(), nullable=True),
        sa.Column("start_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("end_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("span_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("byte_count", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("reported_success", sa.Boolean(), server_default=sa.true(), nullable=False),
        sa.Column("incomplete", sa.Text(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("request", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("answer", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("unread", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("findings", sa.Text(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column("marks", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("stratum", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("window", sa.Text(), server_default=sa.text("''"), nullable=False),
        sa.Column("randomness", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("size", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("risk", sa.Double(), server_default=sa.text("0"), nullable=False),
        sa.Column("flagged", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("retention", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("upstream", sa.Double(), server_default=sa.text("1"), nullable=False),
        sa.Column("reasons", sa.Text(), server_default=sa.text("'[]'"), nullable=False),
        sa.Column(
            "decision_revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False
        ),
        sa.Column("decided_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("erased_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("trace_id"),
    )
    op.create_index("traces_conversation", "traces", ["conversation_id"], unique=False)
    op.create_index("traces_start", "traces", ["start_ns"], unique=False)
    op.create_index("traces_user", "traces", ["user_id"], unique=False)
    op.create_index("traces_window", "traces", ["window"], unique=False)
    op.create_index("traces_workflow", "traces", ["workflow", "start_ns"], unique=False)
    op.create_table(
        "windows",
        sa.Column("window", sa.Text(), nullable=False),
        sa.Column("first_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("drawn_ns", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("candidates", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("window"),
    )
