"""The tables. `migrations/` makes them; a test holds the two together.

Ids are text, times are nanoseconds since the epoch, JSON is text (it may hold an escaped NUL, which
PostgreSQL's own JSON type refuses). A trace's body lies apart from its row, so that the frame (all
traces, a few columns) is scanned without reading gigabytes. The tables
`response_ids` and `keys` only find traces by such names; which ones a trace has says its row.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    false,
    text,
    true,
)

__all__ = [
    "arms",
    "audit",
    "bodies",
    "draws",
    "erased",
    "folds",
    "items",
    "keys",
    "leases",
    "meta",
    "metadata",
    "outcomes",
    "response_ids",
    "reviews",
    "traces",
    "windows",
]

metadata = MetaData()
_EMPTY = text("''")
_ZERO = text("0")
_ONE = text("1")
_LIST = text("'[]'")
_AUTO = BigInteger().with_variant(Integer(), "sqlite")


def _text(name: str, **more: object) -> Column[str]:
    return Column(name, Text, nullable=False, server_default=_EMPTY, **more)  # type: ignore[arg-type]


def _int(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=_ZERO)


def _float(name: str, default: object = _ZERO) -> Column[float]:
    return Column(name, Double, nullable=False, server_default=default)  # type: ignore[arg-type]


def _bool(name: str, *, default: bool = False) -> Column[bool]:
    given = true() if default else false()
    return Column(name, Boolean, nullable=False, server_default=given)


meta = Table("meta", metadata, Column("name", Text, primary_key=True), _text("value"))

traces = Table(
    "traces",
    metadata,
    Column("trace_id", Text, primary_key=True),
    _int("revision"),
    _text("workflow"),
    _text("service"),
    _text("release"),
    Column("conversation_id", Text),
    Column("user_id", Text),
    _int("start_ns"),
    _int("end_ns"),
    _int("span_count"),
    _int("byte_count"),
    _bool("reported_success", default=True),
    Column("incomplete", Text, nullable=False, server_default=_LIST),
    _text("request"),
    _text("answer"),
    _int("unread"),
    Column("response_ids", Text, nullable=False, server_default=_LIST),
    Column("keys", Text, nullable=False, server_default=_LIST),  # [[name, value], …]
    Column("findings", Text, nullable=False, server_default=_LIST),
    _text("marks"),  # "mode:state mode:state", what the frame needs of the findings
    _text("stratum"),
    _text("window"),
    _int("randomness"),
    _float("size", _ONE),
    _float("risk"),
    _bool("flagged"),
    _float("retention", _ONE),
    _float("upstream", _ONE),
    Column("reasons", Text, nullable=False, server_default=_LIST),
    _int("decision_revision"),
    _int("decided_ns"),
    _int("erased_ns"),
    Index("traces_window", "window"),
    Index("traces_start", "start_ns"),
    Index("traces_workflow", "workflow", "start_ns"),
    Index("traces_conversation", "conversation_id"),
    Index("traces_user", "user_id"),
)

bodies = Table(
    "bodies",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("otlp", LargeBinary, nullable=False),  # zstd
    _int("stored_bytes"),
    _int("start_ns"),
    _int("lot"),  # 0 … 2^31-1, independent of the draw: decides which bodies a byte budget keeps
)

response_ids = Table(
    "response_ids",
    metadata,
    Column("response_id", Text, primary_key=True),
    Column("trace_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)

keys = Table(
    "keys",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", Text, primary_key=True),
    Column("trace_id", Text, primary_key=True),
    sqlite_with_rowid=False,
)

windows = Table(
    "windows",
    metadata,
    Column("window", Text, primary_key=True),
    _int("first_ns"),  # when its first trace was decided
    _int("drawn_ns"),  # 0 while open
    _int("candidates"),
    _bool("folded"),  # whether its fold counts all of its traces as they are
)

folds = Table(
    "folds",
    metadata,
    Column("window", Text, primary_key=True),
    _int("first_ns"),
    _int("last_ns"),
    Column("tally", LargeBinary, nullable=False),  # zstd
)

draws = Table(
    "draws",
    metadata,
    Column("window", Text, primary_key=True),
    Column("arm", Text, primary_key=True),
    Column("stratum", Text, primary_key=True),
    _float("threshold"),
    _int("selected"),
    _int("candidates"),
)

arms = Table(
    "arms",
    metadata,
    Column("trace_id", Text, primary_key=True),
    Column("arm", Text, primary_key=True),
    _text("window"),
    _text("stratum"),
    _bool("selected"),
    _float("probability"),
    _float("size", _ONE),
    _float("threshold"),
    _text("reason"),
)

items = Table(
    "items",
    metadata,
    Column("item_id", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("phase", Text, nullable=False),
    _text("workflow"),
    _text("arm"),
    _int("shuffle"),  # 1 … 2^31-2
    Column("needed", Integer, nullable=False, server_default=_ONE),
    Column("judged", Integer, nullable=False, server_default=_ZERO),
    _bool("hand_picked"),
    _bool("closed"),
    _int("due_ns"),
    _int("enqueued_ns"),
    _float("probability", _ONE),  # of a second phase, given the first
    Index("items_trace", "trace_id", "phase", unique=True),
    Index("items_open", "closed", "due_ns"),
)

leases = Table(
    "leases",
    metadata,
    Column("lease_id", Text, primary_key=True),
    Column("item_id", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    _int("granted_ns"),
    _int("expires_ns"),
    _int("ended_ns"),
    _text("ending"),  # "" while held; verdict, skip, release, timeout
    _text("reason"),
    Index("leases_item", "item_id", "ending"),
    Index("leases_reviewer", "reviewer", "ending"),
    Index("leases_live", "ending", "expires_ns"),
)

reviews = Table(
    "reviews",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trace_id", Text, nullable=False),
    Column("item_id", Text, nullable=False),
    Column("phase", Text, nullable=False),
    Column("reviewer", Text, nullable=False),
    Column("verdict", Text, nullable=False),
    _text("arm"),
    Column("mode", Text),
    _text("note"),
    _text("correction"),
    _int("started_ns"),
    _int("finished_ns"),
    _bool("hand_picked"),
    _int("amended_ns"),
    Index("reviews_trace", "trace_id"),
    Index("reviews_item", "item_id", "reviewer", unique=True),
    Index("reviews_finished", "finished_ns"),
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("id", Text, primary_key=True),
    Column("trace_id", Text),  # once joined
    Column("ref_trace_id", Text),
    Column("ref_span_id", Text),
    Column("ref_response_id", Text),
    Column("ref_key_name", Text),
    Column("ref_key_value", Text),
    Column("name", Text, nullable=False),
    Column("value", Double),
    Column("label", Text),
    _text("source"),
    _int("observed_ns"),
    _int("received_ns"),
    Column("supersedes", Text),
    _bool("superseded"),
    Column("explanation", Text),
    Index("outcomes_trace", "trace_id"),
    Index("outcomes_ref_trace", "ref_trace_id"),
    Index("outcomes_ref_response", "ref_response_id"),
    Index("outcomes_ref_key", "ref_key_name", "ref_key_value"),
    Index("outcomes_supersedes", "supersedes"),
)

audit = Table(
    "audit",
    metadata,
    Column("id", _AUTO, primary_key=True, autoincrement=True),
    _int("at_ns"),
    _text("actor"),
    Column("action", Text, nullable=False),
    Column("trace_id", Text),
    Column("item_id", Text),
    Column("lease_id", Text),
    Column("detail", Text, nullable=False, server_default=text("'{}'")),
    Index("audit_trace", "trace_id"),
    Index("audit_at", "at_ns"),
)

erased = Table(
    "erased",
    metadata,
    Column("mark", Text, primary_key=True),  # keyed hash of the trace id: late spans stay out
    _int("at_ns"),
)
