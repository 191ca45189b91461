"""The dashboard's rows on activity and on the service's own health."""

from __future__ import annotations

from panels import Panel, course, quantile, rate


def activity() -> list[Panel]:
    """What ordinary dashboards show."""
    return [
        course(
            "Requests by workflow",
            "Decided traces per second.",
            "reqps",
            (rate("fidelity_traces_total", "workflow"), "{{workflow}}"),
            stacked=True,
            exemplars=True,
        ),
        course(
            "Duration",
            "Of a trace; a point is an exemplar and leads to its trace.",
            "s",
            (quantile(0.5, "fidelity_trace_duration_seconds"), "median"),
            (quantile(0.95, "fidelity_trace_duration_seconds"), "95th percentile"),
            exemplars=True,
        ),
    ]


def service() -> list[Panel]:
    """The service's own health."""
    return [
        course(
            "Spans received",
            "By protocol and status.",
            "short",
            (
                rate("fidelity_received_spans_total", "protocol", "status"),
                "{{protocol}} {{status}}",
            ),
            wide=8,
        ),
        course(
            "Bytes received",
            "After decompression.",
            "Bps",
            (
                rate("fidelity_received_bytes_total", "protocol"),
                "{{protocol}}",
            ),
            wide=8,
        ),
        course(
            "Requests by status",
            "Refused ones are asked to come back later.",
            "reqps",
            (
                rate("fidelity_received_requests_total", "protocol", "status"),
                "{{protocol}} {{status}}",
            ),
            wide=8,
        ),
        course(
            "Journal",
            "Bytes on disk, its budget, and what undecided traces hold of it.",
            "bytes",
            ("max by (instance) (fidelity_journal_bytes)", "used {{instance}}"),
            ("max by (instance) (fidelity_journal_limit_bytes)", "budget {{instance}}"),
            ("max by (instance) (fidelity_journal_lag_bytes)", "undecided {{instance}}"),
            wide=8,
        ),
        course(
            "Journal sync, 99th percentile",
            "Each ack waits for it.",
            "s",
            (quantile(0.99, "fidelity_journal_fsync_seconds", "instance"), "{{instance}}"),
            wide=8,
        ),
        course(
            "Oldest undecided span",
            "Age.",
            "s",
            ("max by (instance) (fidelity_journal_lag_seconds)", "{{instance}}"),
            wide=8,
        ),
        course(
            "Waiting",
            "Traces and spans that wait for their decision.",
            "short",
            ("sum(fidelity_waiting_traces)", "traces"),
            ("sum(fidelity_waiting_spans)", "spans"),
            wide=8,
        ),
        course(
            "Decisions by reason",
            "Why a trace was decided when it was.",
            "short",
            (
                rate("fidelity_decided_traces_total", "reason"),
                "{{reason}}",
            ),
            stacked=True,
            wide=8,
        ),
        course(
            "Decision latency, 95th percentile",
            "From the end of a trace's last span to its decision.",
            "s",
            (quantile(0.95, "fidelity_decision_seconds"), "95th percentile"),
            wide=8,
        ),
        course(
            "Late and lost",
            "Late spans become revisions; a lost trace biases the estimates.",
            "short",
            ("sum(increase(fidelity_late_spans_total[1h]))", "late spans an hour"),
            (
                "sum by (reason) (increase(fidelity_lost_traces_total[1h]))",
                "lost traces: {{reason}}",
            ),
            ("sum(increase(fidelity_detection_errors_total[1h]))", "detector failures"),
            ("sum(increase(fidelity_worker_deaths_total[1h]))", "worker deaths"),
            wide=8,
        ),
        course(
            "Store",
            "Compressed bodies.",
            "bytes",
            ("max(fidelity_store_bytes)", "bodies"),
            wide=8,
        ),
        course(
            "Stored share",
            "Of traces in which nothing was found; each that is stored stands for 1/share.",
            "percentunit",
            ("min(fidelity_keep_share_ratio)", "sample.keep_share"),
            wide=8,
        ),
        course(
            "Store errors an hour",
            "Decided traces wait in the journal meanwhile.",
            "short",
            ("sum by (operation) (increase(fidelity_store_errors_total[1h]))", "{{operation}}"),
            wide=8,
        ),
        course(
            "Sent on",
            "Spans a second, by destination; refused ones are never sent again.",
            "short",
            (rate("fidelity_forwarded_spans_total", "destination"), "{{destination}}"),
            (
                rate("fidelity_forward_refused_spans_total", "destination"),
                "refused by {{destination}}",
            ),
            wide=8,
        ),
        course(
            "Waiting to be sent on",
            "What a destination has not taken yet; the journal keeps it.",
            "bytes",
            ("max by (destination) (fidelity_forward_lag_bytes)", "{{destination}}"),
            wide=8,
        ),
    ]
