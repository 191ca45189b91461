"""All SQL: traces, decisions, the review queue, outcomes. SQLite by default, PostgreSQL by URL."""

from __future__ import annotations

from fidelity_otel.store.audit import AuditRow
from fidelity_otel.store.counts import Counts
from fidelity_otel.store.decisions import Drawn, StratumHistory, Threshold, WindowCandidate
from fidelity_otel.store.erase import Erased
from fidelity_otel.store.folds import Fold, WindowState
from fidelity_otel.store.followup import DoubleReview, Followup, Recheck
from fidelity_otel.store.frame import ArmMark, FramePart, FrameRow, ReviewMark
from fidelity_otel.store.leases import Item, Lease
from fidelity_otel.store.outcomes import OutcomeCounts
from fidelity_otel.store.pages import FoundTrace, Pages, Traffic
from fidelity_otel.store.progress import Progress, ReviewerProgress
from fidelity_otel.store.records import StoredTrace, TraceRow
from fidelity_otel.store.retention import Pruned
from fidelity_otel.store.store import Store, open_store
from fidelity_otel.store.traces import Added

__all__ = [
    "Added",
    "ArmMark",
    "AuditRow",
    "Counts",
    "DoubleReview",
    "Drawn",
    "Erased",
    "Fold",
    "Followup",
    "FoundTrace",
    "FramePart",
    "FrameRow",
    "Item",
    "Lease",
    "OutcomeCounts",
    "Pages",
    "Progress",
    "Pruned",
    "Recheck",
    "ReviewMark",
    "ReviewerProgress",
    "Store",
    "StoredTrace",
    "StratumHistory",
    "Threshold",
    "TraceRow",
    "Traffic",
    "WindowCandidate",
    "WindowState",
    "open_store",
]
