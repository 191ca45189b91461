"""One table of all settings: name, environment variable, type, default, help.

The application side (`sdk.*`) reads environment variables and arguments of `init`; the service also
reads one YAML file, whose nesting is the dotted name (`ports.http` is `ports: {http: …}`). The page
`docs/settings.md` is generated from this table.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from fidelity_otel.setting import Setting, parse_value

__all__ = ["TABLE", "Setting", "by_name", "parse_value", "read_env"]


def _row(name: str, type: str, default: Any, help: str, **more: Any) -> Setting:  # noqa: A002
    return Setting(name=name, type=type, default=default, help=help, **more)


TABLE: tuple[Setting, ...] = (
    # --- the application side ----------------------------------------------------------------
    _row("sdk.enabled", "bool", True, "Off makes every decorator and helper a no-op."),
    _row("sdk.service", "str", "", "Name of the service; OTEL_SERVICE_NAME where empty."),
    _row("sdk.release", "str", "", "Release of the application, on every trace."),
    _row("sdk.endpoint", "str", "", "OTLP/HTTP endpoint; OTEL_EXPORTER_OTLP_ENDPOINT where empty."),
    _row("sdk.capture", "bool", True, "Record inputs, outputs and messages."),
    _row("sdk.max_value_bytes", "bytes", 16_384, "Longest captured value.", minimum=64),
    _row("sdk.max_span_bytes", "bytes", 262_144, "Most captured bytes on one span.", minimum=256),
    _row(
        "sdk.redact",
        "list",
        ("secrets",),
        "Built-in redaction kinds: secrets, email, phone, card, iban, ip; empty for none.",
    ),
    _row("sdk.lean", "bool", True, "Record spans directly where nobody else looks at them."),
    _row("sdk.instrument", "list", ("auto",), "Integrations to turn on; auto = all present."),
    # --- the service: addresses and files ----------------------------------------------------
    _row(
        "workers",
        "int",
        1,
        "Processes that decide traces; with 1 the one that receives and stores does it itself.",
        minimum=1,
    ),
    _row("data", "path", "fidelity-data", "Folder of the journal, the store and ports.json."),
    _row("host", "str", "127.0.0.1", "Address to listen on; 0.0.0.0 for all."),
    _row(
        "ports.otlp_grpc",
        "port",
        4317,
        "OTLP gRPC; 0 = any free one.",
        env="FIDELITY_OTLP_GRPC_PORT",
    ),
    _row(
        "ports.otlp_http",
        "port",
        4318,
        "OTLP HTTP; 0 = any free one.",
        env="FIDELITY_OTLP_HTTP_PORT",
    ),
    _row(
        "ports.http", "port", 8318, "Review page, API, metrics, health.", env="FIDELITY_HTTP_PORT"
    ),
    _row(
        "log.format",
        "str",
        "text",
        "The service's log on stderr: text for people, json for machines, an object a line.",
        choices=("text", "json"),
    ),
    _row(
        "telemetry.traces",
        "str",
        "",
        "OTLP/HTTP endpoint of the service's own spans (receive, commit, decide, store), such as "
        "http://tempo:4318; none where empty. Never itself.",
    ),
    # --- the service: receive and journal ----------------------------------------------------
    _row(
        "receive.max_request_bytes",
        "bytes",
        64 << 20,
        "Largest request, after decompression.",
        minimum=1024,
    ),
    _row(
        "receive.max_in_flight_bytes",
        "bytes",
        256 << 20,
        "Bytes admitted and not yet durable.",
        minimum=1024,
    ),
    _row(
        "receive.wait_seconds",
        "float",
        2.0,
        "How long a request waits for room in a full journal before its sender has to come again; "
        "shorter than senders' time-outs.",
        minimum=0,
    ),
    _row(
        "receive.native",
        "bool",
        True,
        "Read and look at spans with the native parts, where they were built; off = pure Python.",
    ),
    _row("receive.token", "secret", "", "Bearer token that OTLP senders must show; none if empty."),
    _row("tls.cert", "path", "", "Certificate (PEM) of the OTLP ports; plain text where empty."),
    _row("tls.key", "path", "", "Its private key (PEM)."),
    _row("tls.client_ca", "path", "", "CA (PEM) that senders' certificates must come from (mTLS)."),
    _row(
        "journal.max_bytes",
        "bytes",
        8 << 30,
        "Disk budget of the journal; full = senders retry.",
        minimum=1 << 16,
    ),
    _row(
        "journal.segment_bytes",
        "bytes",
        64 << 20,
        "Size at which a segment is closed.",
        minimum=1 << 12,
    ),
    _row(
        "journal.commit_ms",
        "float",
        5.0,
        "Longest wait of a group commit, milliseconds.",
        minimum=0,
    ),
    # --- the service: forwarding -------------------------------------------------------------
    _row(
        "forward.to",
        "list",
        (),
        "OTLP/HTTP endpoints that every span is sent on to, unchanged: https://tempo:4318, …",
    ),
    _row(
        "forward.headers",
        "secrets",
        (),
        "Headers of what is sent on, for all destinations: authorization=Bearer …",
    ),
    _row(
        "forward.findings",
        "str",
        "none",
        "Send findings on as well: as log events, or as a span with events beside the trace.",
        choices=("none", "logs", "spans"),
    ),
    # --- the service: assembly ---------------------------------------------------------------
    _row(
        "assemble.settle_seconds",
        "float",
        2.0,
        "Wait after the root ended for stragglers.",
        minimum=0,
    ),
    _row(
        "assemble.idle_seconds",
        "float",
        300.0,
        "Decide a rootless trace after this silence.",
        minimum=0,
    ),
    _row(
        "assemble.max_age_seconds",
        "float",
        86_400.0,
        "Decide whatever is there after this age.",
        minimum=1,
    ),
    _row("assemble.max_spans", "int", 100_000, "Decide a trace at this many spans.", minimum=1),
    _row(
        "assemble.max_trace_bytes",
        "bytes",
        256 << 20,
        "Decide a trace at this many bytes.",
        minimum=1024,
    ),
    # --- the service: detection --------------------------------------------------------------
    _row(
        "detect.stale_days",
        "float",
        180.0,
        "A document older than this is stale.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "detect.loop_calls",
        "int",
        3,
        "Identical calls that make a loop.",
        minimum=2,
        reloadable=True,
    ),
    _row(
        "detect.max_seconds",
        "float",
        0.0,
        "A request that takes longer is over budget; 0 = no limit.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "detect.max_tokens",
        "int",
        0,
        "A request that uses more tokens is over budget; 0 = no limit.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "detect.max_cost_usd",
        "float",
        0.0,
        "A request that costs more is over budget; 0 = no limit.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "contracts", "list", (), "Contract files: what correct means per workflow.", reloadable=True
    ),
    # --- the service: sampling for review ----------------------------------------------------
    _row(
        "sample.reviews_per_day",
        "float",
        50.0,
        "The reviewers' budget.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "sample.window_seconds",
        "float",
        3600.0,
        "A sample is drawn this often.",
        minimum=1,
        reloadable=True,
    ),
    _row(
        "sample.discovery_share",
        "float",
        0.3,
        "Share of the budget for rare modes.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "sample.uniform_share",
        "float",
        0.3,
        "ε: floor of a trace's size, 0.05–1.",
        minimum=0.05,
        reloadable=True,
    ),
    _row(
        "sample.stratum_floor",
        "int",
        5,
        "Reviews per stratum before the rest is split.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "sample.keep_share",
        "float",
        1.0,
        "Of traces without findings, the share that is stored; each counts for 1/share.",
        minimum=1e-6,
        reloadable=True,
    ),
    _row(
        "sample.salt", "secret", "", "Secret of the draw; made and kept in the store where empty."
    ),
    _row("retain.days", "float", 30.0, "Outcome window: unselected bodies are kept.", minimum=0),
    _row("retain.max_bytes", "bytes", 2 << 30, "Byte budget of those bodies.", minimum=0),
    _row(
        "retain.all_days",
        "float",
        0.0,
        "Erase what traces of this age said, judged or not; counts stay. 0 for never.",
        minimum=0,
    ),
    # --- the service: store, review, report --------------------------------------------------
    _row("store.url", "str", "", "SQLAlchemy URL of the store; SQLite under `data` where empty."),
    _row(
        "review.lease_seconds",
        "float",
        900.0,
        "A reviewer's lease on an item.",
        minimum=1,
        reloadable=True,
    ),
    _row(
        "review.double_share",
        "float",
        0.15,
        "Share of items that two people judge.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "review.token", "secret", "", "Bearer token for page and API; open on loopback where empty."
    ),
    _row(
        "review.people",
        "secrets",
        (),
        "People with a token of their own: NAME:ROLE:TOKEN, role reviewer, developer or lead.",
        reloadable=True,
    ),
    _row(
        "review.rubric",
        "str",
        "",
        "YAML file of rubrics: question, hints and failure modes per workflow.",
        reloadable=True,
    ),
    _row(
        "review.recheck_days",
        "list",
        (),
        "Look again at judged answers after so many days, like 1, 7, 42; empty for never.",
        reloadable=True,
    ),
    _row(
        "review.recheck_share",
        "float",
        0.2,
        "Share of the judged answers that are looked at again.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "report.level",
        "float",
        0.95,
        "Confidence level of intervals.",
        minimum=0.5,
        reloadable=True,
    ),
    _row(
        "report.minimum_n",
        "int",
        10,
        "Fewer reviews than this: insufficient data.",
        minimum=1,
        reloadable=True,
    ),
    _row(
        "report.refresh_seconds",
        "float",
        15.0,
        "How often estimates are computed anew.",
        minimum=0.1,
    ),
    _row(
        "report.benchmark",
        "float",
        None,
        "The benchmark score to set beside, 0–1.",
        reloadable=True,
    ),
    _row(
        "report.objective",
        "float",
        None,
        "The fidelity that is aimed at, 0–1: a line in the report, a bound in the alerts.",
        minimum=0,
        reloadable=True,
    ),
    _row(
        "report.outcomes",
        "list",
        (),
        "Late outcomes as good as a verdict: below .5 = wrong. Others only sharpen estimates.",
        reloadable=True,
    ),
    _row(
        "report.max_workflows",
        "int",
        50,
        "Workflows, modes or outcomes with a label of their own in the metrics; the rest is other.",
        minimum=1,
    ),
)


def by_name() -> dict[str, Setting]:
    """The table, keyed by dotted name."""
    return {setting.name: setting for setting in TABLE}


def read_env(environ: Mapping[str, str] | None = None, *, prefix: str = "") -> dict[str, Any]:
    """The settings that the environment gives, by dotted name.

    Args:
        environ: the environment; the process's own by default.
        prefix: only settings whose name starts with it ("sdk.").

    Raises:
        ConfigError: a variable's text is not of its setting's type.
    """
    env = os.environ if environ is None else environ
    return {
        s.name: parse_value(s, env[s.variable], where=s.variable)
        for s in TABLE
        if s.name.startswith(prefix) and env.get(s.variable, "") != ""
    }
