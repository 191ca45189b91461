"""`fidelity trace` and `fidelity outcome`, as run by a user, on real OTLP."""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from review_traces import START

from fidelity_otel.cli import main
from fidelity_otel.errors import InputError
from fidelity_otel.model import Decision, OutcomeRef, TraceRecord
from fidelity_otel.processor.read import read_otlp
from fidelity_otel.processor.wire_json import from_json
from fidelity_otel.review.outcome_file import read_outcomes, read_value
from fidelity_otel.review.refs import parse_ref, ref_text
from fidelity_otel.store import open_store

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTLP = {
    "resourceSpans": [
        {
            "resource": {
                "attributes": [{"key": "service.name", "value": {"stringValue": "support-bot"}}]
            },
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": TRACE,
                            "spanId": "00f067aa0ba902b7",
                            "name": "support.answer",
                            "startTimeUnixNano": str(START),
                            "endTimeUnixNano": str(START + 10**9),
                            "attributes": [
                                {
                                    "key": "gen_ai.operation.name",
                                    "value": {"stringValue": "invoke_workflow"},
                                },
                                {
                                    "key": "fidelity.input",
                                    "value": {"stringValue": '{"question": "where is my parcel"}'},
                                },
                                {
                                    "key": "fidelity.output",
                                    "value": {"stringValue": '"It left on Monday."'},
                                },
                            ],
                        }
                    ]
                }
            ],
        }
    ]
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder whose store holds one trace that came as OTLP."""
    otlp = from_json(json.dumps(OTLP).encode())
    trace = read_otlp(otlp)
    record = TraceRecord(
        TRACE,
        otlp,
        Decision(TRACE, "support.answer||quiet", "w", 1, 1.0, 0.25, False, decided_ns=START),
        workflow=trace.workflow,
        service=trace.service,
        start_ns=trace.start_ns,
        end_ns=trace.end_ns,
        span_count=1,
        request=trace.request,
        answer=trace.answer,
        keys=(("ticket", "T-42"),),
        response_ids=("chatcmpl-1",),
    )
    with open_store(tmp_path) as store:
        store.add_traces([record])
    return tmp_path


class Done(NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


def fidelity(*arguments: str, data: Path, typed: str = "") -> Done:
    """Run a command in this process, as the `fidelity` script does."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    patch = pytest.MonkeyPatch()
    patch.setenv("FIDELITY_DATA", str(data))
    patch.setenv("COLUMNS", "100")
    patch.setattr(sys, "stdin", io.StringIO(typed))
    with patch.context(), redirect_stdout(out), redirect_stderr(err):
        try:
            main(list(arguments))
            code = 0
        except SystemExit as stop:
            code = int(stop.code or 0)
    patch.undo()
    texts = []
    for stream in (out, err):
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())  # type: ignore[attr-defined]
    return Done(code, *texts)


def outcomes_of(data: Path) -> list[tuple[str, float | None, str | None, str]]:
    with open_store(data) as store:
        found = store.trace(TRACE)
        assert found is not None
        return [(o.name, o.value, o.label, o.source) for o in found.outcomes]


def test_a_trace_as_text_json_and_otlp(data: Path) -> None:
    text = fidelity("trace", TRACE, data=data)
    assert text.returncode == 0, text.stderr
    for shown in (TRACE, "where is my parcel", "It left on Monday.", "risk 0.250", "Findings"):
        assert shown in text.stdout
    found = json.loads(fidelity("trace", TRACE, "--format", "json", data=data).stdout)
    assert found["record"]["workflow"] == "support.answer"
    assert found["conversation"]["answer"] == "It left on Monday."
    line = fidelity("trace", TRACE, "--format", "otlp", data=data).stdout
    assert line.count("\n") == 1
    assert read_otlp(from_json(line.encode())).answer == "It left on Monday."


@pytest.mark.parametrize(
    "ref", ["key:ticket=T-42", "response:chatcmpl-1", f"00-{TRACE}-{'1' * 16}-01"]
)
def test_a_trace_is_found_by_any_reference(data: Path, ref: str) -> None:
    assert TRACE in fidelity("trace", ref, data=data).stdout


def test_a_trace_that_is_not_there(data: Path) -> None:
    missing = fidelity("trace", "f" * 32, data=data)
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "no trace" in missing.stderr
    assert "Mend" in missing.stderr
    odd = fidelity("trace", "what", data=data)
    assert odd.returncode == 2
    assert "32 hex digits" in odd.stderr
    assert fidelity("trace", "key:ticket=T-1", data=data).returncode == 1


def test_an_outcome_is_joined_once(data: Path) -> None:
    given = ("outcome", "key:ticket=T-42", "resolved", "no", "--source", "tickets")
    first = fidelity(*given, data=data)
    assert first.returncode == 0, first.stderr
    assert "1 added (1 joined" in first.stderr
    assert first.stdout == ""
    assert "1 known before" in fidelity(*given, data=data).stderr
    assert outcomes_of(data) == [("resolved", 0.0, "no", "tickets")]


def test_several_outcomes_of_one_trace(data: Path) -> None:
    done = fidelity("outcome", TRACE, "resolved", "1", "thumb", "down", data=data)
    assert done.returncode == 0, done.stderr
    assert sorted(outcomes_of(data), key=lambda o: o[0]) == [
        ("resolved", 1.0, None, "command"),
        ("thumb", None, "down", "command"),
    ]


def test_an_unknown_reference_is_parked_and_said(data: Path) -> None:
    done = fidelity("outcome", "key:ticket=T-99", "resolved", "1", data=data)
    assert done.returncode == 0
    assert "1 parked" in done.stderr
    assert "joined when it comes" in done.stderr
    with open_store(data) as store:
        assert store.orphan_count() == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("outcome",), "REF NAME VALUE"),
        (("outcome", TRACE), "REF NAME VALUE"),
        (("outcome", TRACE, "a", "1", "b"), "REF NAME VALUE"),
        (("outcome", "T-42", "resolved", "1"), "key:NAME=VALUE"),
        (("outcome", TRACE, "a", "nan"), "finite"),
        (("outcome", TRACE, "a", "1", "--observed-at", "soon"), "observed_at"),
        (("outcome", "--csv", "missing.csv"), "missing.csv"),
        (("outcome", "--csv", "x.csv", TRACE), "leave the rest out"),
    ],
)
def test_wrong_use_is_exit_code_2(data: Path, given: tuple[str, ...], said: str) -> None:
    done = fidelity(*given, data=data)
    assert done.returncode == 2, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_csv_file_of_outcomes(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "tickets.csv"
    path.write_text(
        "\ufeffref,name,value,label,observed_at,explanation\r\n"
        'key:ticket=T-42,resolved,0,reopened,2026-11-03,"said ""no"",\ntwice"\r\n'
        "response:chatcmpl-1,thumb,up,,,\r\n"
        "\r\n"
        "key:ticket=T-77,resolved,yes,,,\r\n",
        encoding="utf-8",
    )
    done = fidelity("outcome", "--csv", str(path), "--source", "tickets", data=data)
    assert done.returncode == 0, done.stderr
    assert "3 added (2 joined to a trace, 1 parked)" in done.stderr
    assert (
        "3 known before"
        in fidelity("outcome", "--csv", str(path), "--source", "tickets", data=data).stderr
    )
    stdin = fidelity("outcome", "--csv", "-", data=data, typed="ref,name\nkey:a=b,seen\n")
    assert "1 added" in stdin.stderr


def test_a_csv_file_with_faults_stores_nothing_and_names_the_lines(
    data: Path, tmp_path: Path
) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("ref,name,value\nkey:a=b,ok,1\nnonsense,x,1\nkey:a=b,,1\nkey:a=b,x,1,2\n")
    done = fidelity("outcome", "--csv", str(path), data=data)
    assert done.returncode == 2
    for line in (3, 4, 5):
        assert f"bad.csv:{line}:" in done.stderr
    assert "bad.csv:2:" not in done.stderr
    with open_store(data) as store:
        assert store.orphan_count() == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ref,nam,value\n", "unknown column 'nam'"),
        ("name,value\n", "what each outcome is about"),
        ("", "what each outcome is about"),
        ('ref,name\n"unclosed', "not CSV"),
    ],
)
def test_a_csv_file_that_is_none(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_outcomes(text.splitlines(keepends=True), where="f.csv")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", (1.0, None)),
        ("0.5", (0.5, None)),
        ("Yes", (1.0, "Yes")),
        ("failed", (0.0, "failed")),
        ("reopened", (None, "reopened")),
        (" ", (None, None)),
    ],
)
def test_values_as_people_write_them(text: str, expected: Any) -> None:
    assert read_value(text) == expected


@pytest.mark.parametrize(
    "text", [TRACE, f"{TRACE}:00f067aa0ba902b7", "response:r:1", "key:a=b=c", "key:a= b"]
)
def test_references_are_read_back(text: str) -> None:
    ref = parse_ref(text)
    assert parse_ref(ref_text(ref)) == ref


def test_a_handle_is_a_reference() -> None:
    assert parse_ref(f"00-{TRACE}-00f067aa0ba902b7-01") == OutcomeRef(
        trace_id=TRACE, span_id="00f067aa0ba902b7"
    )
