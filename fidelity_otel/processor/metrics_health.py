"""The rows of the table that tell how the service itself is."""

from __future__ import annotations

from fidelity_otel.processor.metrics_kinds import FSYNC, LATENCY, Metric, counter, gauge, seconds

__all__ = ["HEALTH"]

_RECEIVED = tuple((p, s) for p in ("grpc", "http") for s in ("accepted", "rejected", "refused"))

HEALTH: tuple[Metric, ...] = (
    # --- receiving and the journal ---------------------------------------------------------------
    counter(
        "receive",
        "fidelity_received_spans",
        "Spans received, by protocol (grpc, http) and status: accepted, rejected, refused.",
        "protocol",
        "status",
        unit="spans",
        starts=_RECEIVED,
    ),
    counter(
        "receive",
        "fidelity_received_bytes",
        "Bytes received after decompression.",
        "protocol",
        unit="bytes",
    ),
    counter(
        "receive",
        "fidelity_received_requests",
        "Export requests by protocol and status: ok, partial, invalid, refused, too_large, error.",
        "protocol",
        "status",
        unit="requests",
        starts=(*((p, s) for p in ("grpc", "http") for s in ("ok", "refused")),),
    ),
    gauge(
        "receive", "fidelity_in_flight_bytes", "Bytes admitted and not yet durable.", unit="bytes"
    ),
    gauge(
        "receive",
        "fidelity_in_flight_limit_bytes",
        "Bytes that are admitted at most (receive.max_in_flight_bytes).",
        unit="bytes",
    ),
    gauge("receive", "fidelity_journal_bytes", "Bytes the journal uses on disk.", unit="bytes"),
    gauge(
        "receive",
        "fidelity_journal_limit_bytes",
        "Its disk budget (journal.max_bytes).",
        unit="bytes",
    ),
    seconds(
        "receive", "fidelity_journal_fsync_seconds", "Duration of a group commit's sync.", FSYNC
    ),
    gauge(
        "receive",
        "fidelity_journal_lag_seconds",
        "Age of the oldest span that is not yet part of a decided trace.",
        unit="seconds",
    ),
    gauge(
        "receive",
        "fidelity_journal_lag_bytes",
        "Journal bytes that hold spans of undecided traces.",
        unit="bytes",
    ),
    # --- sending on ------------------------------------------------------------------------------
    counter(
        "forward",
        "fidelity_forwarded_spans",
        "Spans that a destination of forward.to has taken.",
        "destination",
        unit="spans",
        tally="forward_sent",
    ),
    counter(
        "forward",
        "fidelity_forward_refused_spans",
        "Spans that a destination refused for good; it lacks them.",
        "destination",
        unit="spans",
        tally="forward_refused",
    ),
    gauge(
        "forward",
        "fidelity_forward_lag_bytes",
        "Journal bytes that a destination has not taken yet.",
        "destination",
        unit="bytes",
    ),
    # --- assembling, deciding, storing -----------------------------------------------------------
    gauge("decide", "fidelity_waiting_traces", "Traces that wait to be decided.", unit="traces"),
    gauge(
        "decide", "fidelity_waiting_spans", "Spans of traces that wait to be decided.", unit="spans"
    ),
    counter(
        "decide",
        "fidelity_decided_traces",
        "Traces decided, by why then: root, complete, late; or cut short: idle, max_age, ….",
        "reason",
        unit="traces",
        tally="traces_decided",
    ),
    counter(
        "decide",
        "fidelity_ended_traces",
        "What became of decided traces: decided, revised, thinned, duplicate, ….",
        "end",
        unit="traces",
        tally="traces_ended",
    ),
    gauge(
        "decide",
        "fidelity_keep_share_ratio",
        "Of traces without findings, the share that is stored (sample.keep_share).",
        unit="ratio",
    ),
    counter(
        "decide",
        "fidelity_lost_traces",
        "Traces that could not be stored, by reason. Any is a bias of the estimates.",
        "reason",
        unit="traces",
        tally="traces_lost",
        starts=(("refused",),),
    ),
    counter(
        "decide",
        "fidelity_stored_traces",
        "Traces written to the store: new, revised, known, erased.",
        "kind",
        unit="traces",
        tally="traces_stored",
    ),
    counter(
        "decide",
        "fidelity_stored_outcomes",
        "Outcomes written to the store: added, known, refused.",
        "kind",
        tally="outcomes_received",
    ),
    counter(
        "decide",
        "fidelity_late_spans",
        "Spans that came after their trace was decided: a revision, or thinned as it was.",
        unit="spans",
        tally="spans_late",
    ),
    counter(
        "decide",
        "fidelity_decided_spans",
        "Spans of decided traces.",
        unit="spans",
        tally="spans_decided",
    ),
    counter(
        "decide",
        "fidelity_detection_errors",
        "Traces that a detector failed on; they are stored without findings.",
        tally="detection_failed",
    ),
    counter(
        "decide",
        "fidelity_worker_deaths",
        "Worker processes that ended by themselves; their traces were decided by the next one.",
        tally="worker_deaths",
    ),
    seconds(
        "decide",
        "fidelity_decision_seconds",
        "From the end of a trace's last span to its decision.",
        LATENCY,
    ),
    counter(
        "decide",
        "fidelity_store_errors",
        "Failed operations of the store.",
        "operation",
        starts=(("write",), ("read",)),
    ),
    gauge("decide", "fidelity_store_bytes", "Compressed bodies in the store.", unit="bytes"),
    gauge(
        "decide",
        "fidelity_risk_wrong_ratio",
        "Wrong answers among those reviewed since the risk was fitted: as the reviewers said "
        "(observed), as the risk had said (predicted). Far apart, it has drifted.",
        "kind",
        unit="ratio",
    ),
    gauge(
        "decide",
        "fidelity_build_info",
        "1, with the version and the scanner of OTLP's bytes (native or python) as labels.",
        "version",
        "scanner",
    ),
)
