"""Redaction: finds what it says it finds, leaves ordinary text alone, keeps JSON valid."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fidelity_otel as fidelity
from fidelity_otel.errors import ConfigError
from fidelity_otel.sdk import redact
from fidelity_otel.sdk.redact import KINDS, Redactor
from fidelity_otel.testing import record

ALL = Redactor(KINDS)

FOUND = [
    ("secrets", "my key is sk-proj-Abc123def456ghi789jkl ok", "my key is [secrets] ok"),
    ("secrets", "sk-ant-api03-aaaabbbbccccdddd1111", "[secrets]"),
    ("secrets", "token ghp_0123456789abcdef0123456789abcdef0123", "token [secrets]"),
    ("secrets", "AKIAIOSFODNN7EXAMPLE", "[secrets]"),
    ("secrets", "AIzaSyA-1234567890abcdefghijklmnopqrstu", "[secrets]"),
    ("secrets", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc-def", "[secrets]"),
    ("secrets", "Authorization: Bearer abcdef0123456789abcdef", "Authorization: Bearer [secrets]"),
    ("secrets", '{"password": "two words"}', '{"password": "[secrets]"}'),
    ("secrets", r'{"body":"{\"api_key\": \"abc\"}"}', r'{"body":"{\"api_key\": \"[secrets]\"}"}'),
    ("secrets", "password=hunter22 and more", "password=[secrets] and more"),
    ("secrets", "postgres://user:pa55@host/db", "postgres://user:[secrets]@host/db"),
    (
        "secrets",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----",
        "[secrets]",
    ),
    ("email", "write to ann.b+c@mail.example.com.", "write to [email]."),
    ("card", "card 4111 1111 1111 1111 please", "card [card] please"),
    ("card", "5500-0000-0000-0004", "[card]"),
    ("iban", "IBAN DE89 3704 0044 0532 0130 00.", "IBAN [iban]."),
    ("iban", "GB82WEST12345698765432", "[iban]"),
    ("phone", "call +49 30 1234567 now", "call [phone] now"),
    ("phone", "call (555) 123-4567", "call [phone]"),
    ("phone", "555-123-4567", "[phone]"),
    ("ip", "from 192.168.0.1 today", "from [ip] today"),
]

ORDINARY = [
    "The order 1234567890123 was shipped on 2026-01-05 at 12:30:45.",
    "version 1.2.3.4567 and 10.15 %, 3.14159265358979",
    "ask-me-anything-about-our-products",
    "the password: please reset it in your account",
    "task-0001 risk-based disk-usage-report",
    "secret: nobody knows",
    "Use the token: it is on the back of your card.",
    "https://example.com/a/b?c=1#d",
    "1111 1111 1111 1112",  # no Luhn
    "0000000000000000",
    "DE00 1234 5678 9012 3456 78",  # no mod 97
    "call 112",
    "id=550e8400-e29b-41d4-a716-446655440000",
    '{"trace_id":"0af7651916cd43dd8448eb211c80319c","n":1700000000000000000}',
    "256.300.1.2",
    '{"keyboard": "mechanical", "monkey": "business"}',
    '{"tokens": 12, "input_tokens": 5}',
]


@pytest.mark.parametrize(("kind", "text", "expected"), FOUND)
def test_found(kind: str, text: str, expected: str) -> None:
    assert Redactor([kind])(text) == expected
    assert ALL(text) != text


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert ALL(text) is text


@pytest.mark.data
def test_false_positives_on_ordinary_text_are_measured(data_sets: Path) -> None:
    """Real conversations with tools (tau-bench) and answers of chat models (HaluEval).

    The figures are those of docs/sdk/capture.md. All that is found was looked at: it is what it is
    called, but for a list of subnet masks.
    """
    texts: set[str] = set()
    for name in ("tau_bench/gpt-4o-airline.json.gz", "halueval/general_data.json.gz"):
        raw = gzip.decompress((data_sets / name).read_bytes()).decode()
        values = (
            [json.loads(raw)] if raw.lstrip().startswith("[") else map(json.loads, raw.splitlines())
        )
        texts |= {text for value in values for text in strings(value)}
    assert len(texts) == 18_292
    found = {}
    for kind in KINDS:
        redact = Redactor([kind])
        found[kind] = [t for t in texts if redact(t) is not t]
    counts = {kind: len(hits) for kind, hits in found.items()}
    assert counts == {"secrets": 3, "email": 47, "iban": 0, "card": 0, "phone": 3, "ip": 2}
    assert all("password" in text.lower() for text in found["secrets"])
    assert all("@" in text for text in found["email"])
    assert ["subnet mask" in text for text in found["ip"]].count(True) == 1


def strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [s for v in value.values() for s in strings(v)]
    return [s for v in value for s in strings(v)] if isinstance(value, list) else []


@given(
    st.recursive(
        st.one_of(st.text(max_size=20), st.sampled_from([t for _, t, _ in FOUND])),
        lambda inner: st.one_of(
            st.lists(inner, max_size=4),
            st.dictionaries(st.sampled_from(["password", "a", "token"]), inner),
        ),
    )
)
def test_json_stays_valid(value: object) -> None:
    json.loads(ALL(json.dumps(value)))


@given(st.text(max_size=200))
def test_any_text_is_survived_and_a_second_time_changes_nothing(text: str) -> None:
    once = ALL(text)
    assert ALL(once) == once


def test_unknown_kinds_are_said() -> None:
    with pytest.raises(ConfigError, match="nonsense"):
        Redactor(["nonsense"])


def test_secrets_never_leave_by_default() -> None:
    with record() as recorded:

        @fidelity.observe("f")
        def f(key: str) -> str:
            raise ValueError(f"bad key {key}")

        with pytest.raises(ValueError):
            f("sk-abcdefghij0123456789")
    span = recorded.one("f")
    assert "sk-abc" not in repr(span.attributes)
    assert "sk-abc" not in repr([dict(e.attributes) for e in span.span.events])
    assert "sk-abc" not in str(span.span.status.description)
    assert "masked:fidelity.input" in span.losses


def test_a_mask_sees_every_text_and_decides() -> None:
    seen: dict[str, str] = {}

    def mask(key: str, text: str) -> str | None:
        seen[key] = text
        return None if key == "fidelity.input" else text.replace("Ann", "[name]")

    with record(mask=mask, redact=False) as recorded:

        @fidelity.observe("f")
        def f(name: str) -> str:
            return f"hello {name}, sk-abcdefghij0123456789"

        f("Ann")
    span = recorded.one("f")
    assert span["fidelity.input"] == "[masked]"
    assert span.value("fidelity.output") == "hello [name], sk-abcdefghij0123456789"
    assert seen["fidelity.input"] == '{"name":"Ann"}'


def test_a_mask_may_take_the_text_alone() -> None:
    with record(mask=lambda text: text.replace("Ann", "[name]")) as recorded:
        fidelity.observe("f")(lambda a: a)("Ann")
    assert recorded.one("f").value("fidelity.output") == "[name]"
    with record(mask=str.upper) as recorded:
        fidelity.observe("f")(lambda a: a)("Ann")
    assert recorded.one("f").value("fidelity.output") == "ANN"


def test_a_mask_that_raises_hides_and_never_breaks(caplog: pytest.LogCaptureFixture) -> None:
    def mask(key: str, text: str) -> str:
        raise RuntimeError("mask is broken")

    with record(mask=mask) as recorded:
        assert fidelity.observe("f")(lambda a: a)("Ann") == "Ann"
    assert recorded.one("f")["fidelity.input"] == "[mask failed]"
    assert "Ann" not in repr(recorded.one("f").attributes)
    assert "mask raised RuntimeError" in caplog.text


def test_other_libraries_spans_are_masked_too() -> None:
    """langfuse#15372: the mask silently skips third-party spans."""
    from opentelemetry.trace import Link, SpanContext, get_current_span

    with record(redact="secrets,email") as recorded:
        from fidelity_otel.sdk.state import STATE

        assert STATE.pipeline is not None
        other = STATE.pipeline.provider.get_tracer("someone.else")
        link = Link(SpanContext(1, 2, is_remote=False), {"who": "x@example.com"})
        with other.start_as_current_span(
            "their span", attributes={"llm.input": "I am a@example.com", "n": 1}, links=[link]
        ):
            get_current_span().add_event("e", {"list": ["b@example.com", "fine"]})
    span = recorded.one("their span")
    assert span["llm.input"] == "I am [email]"
    assert span["n"] == 1
    assert span.events("e")[0]["list"] == ("[email]", "fine")
    assert span.span.links[0].attributes == {"who": "[email]"}
    assert span.losses == {"masked:llm.input"}


def test_on_a_joined_provider_everything_is_clean_before_other_exporters_see_it() -> None:
    """Masking that was asked for holds for every exporter of the process."""
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    provider, memory = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    fidelity.init(tracer_provider=provider, redact="email", instrument=False)
    try:
        with provider.get_tracer("theirs").start_as_current_span("their span") as span:
            span.set_attribute("llm.input", "I am a@example.com")
            span.add_event("e", {"from": "b@example.com"})
            fidelity.observe("ours")(lambda text: text)("c@example.com")
    finally:
        fidelity.shutdown()
    found = {s.name: s for s in memory.get_finished_spans()}
    assert found["their span"].attributes == {"llm.input": "I am [email]"}
    assert found["their span"].events[0].attributes == {"from": "[email]"}
    assert "@example.com" not in str(found["ours"].attributes)


WORDS = st.sampled_from(
    [
        *("password", "Passwd", "PASSPHRASE", "secret", "api_key", "API-Key", "access_token"),
        *("auth-token", "session_token", "authorization", "key", "token", "word", "hunter22"),
        *("sk-abcdefghij0123456789", "AKIAIOSFODNN7EXAMPLE", "Bearer abcdef0123456789abcdef"),
        *("://", "@", "user:", "host", '"', '\\"', "\\\\", ":", "=", " ", " " * 40, "\n\t", ","),
        *("-----BEGIN PRIVATE KEY-----", "ordinary text without any of it, and long enough "),
    ]
)


@given(st.lists(WORDS, max_size=24).map("".join), st.sampled_from([1, 64, 10**9]))
def test_gates_spare_time_and_change_nothing(text: str, per_mark: int) -> None:
    """Whatever way is taken to see that a rule need not be tried."""
    wanted = text
    for rule in redact.RULES:
        if rule.kind == "secrets":
            wanted = redact._apply(rule, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(redact, "_PER_MARK", per_mark)
        assert Redactor(("secrets",))(text) == wanted
