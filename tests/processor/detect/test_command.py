"""`fidelity detect`: files in, one JSON line a trace out; what is broken is named, the rest read."""

from __future__ import annotations

import gzip
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from fidelity_otel import cli
from fidelity_otel.processor.wire import from_json


def span(
    trace: str, number: int, name: str, parent: int | None = 1, **attributes: Any
) -> dict[str, Any]:
    def value(v: Any) -> dict[str, Any]:
        return {"stringValue": v} if isinstance(v, str) else {"intValue": str(v)}

    return {
        "traceId": trace * 16,
        "spanId": f"{number:016x}",
        **({} if parent is None else {"parentSpanId": f"{parent:016x}"}),
        "name": name,
        "startTimeUnixNano": str(number * 10**9),
        "endTimeUnixNano": str(number * 10**9 + 5),
        "attributes": [{"key": k, "value": value(v)} for k, v in attributes.items()],
    }


def request(*spans: dict[str, Any]) -> dict[str, Any]:
    return {
        "resourceSpans": [{"resource": {}, "scopeSpans": [{"scope": {}, "spans": list(spans)}]}]
    }


def root(trace: str) -> dict[str, Any]:
    return span(trace, 1, "answer", None, **{"gen_ai.workflow.name": "support.answer"})


def failing(trace: str) -> dict[str, Any]:
    return span(
        trace,
        2,
        "execute_tool get",
        **{
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "get",
            "gen_ai.tool.call.result": "Error: 429 Too Many Requests",
        },
    )


def run(*arguments: str, stdin: bytes = b"", monkeypatch: pytest.MonkeyPatch | None = None) -> int:
    if monkeypatch is not None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    with pytest.raises(SystemExit) as ended:
        cli.main(["detect", *arguments])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture
def forms(tmp_path: Path) -> dict[str, Path]:
    """The same two traces in every form; one of them is spread over two lines."""
    first, second = request(root("ab"), root("cd")), request(failing("ab"))
    whole = request(root("ab"), failing("ab"), root("cd"))
    contents = {
        "lines": (json.dumps(first) + "\n\n" + json.dumps(second) + "\n").encode(),
        "pretty": json.dumps(whole, indent=2).encode(),
        "list": json.dumps([first, second]).encode(),
        "protobuf": from_json(json.dumps(whole).encode()),
        "framed": b"".join(
            len(p).to_bytes(4, "big") + p
            for p in (from_json(json.dumps(r).encode()) for r in (first, second))
        ),
        "gzip": gzip.compress(json.dumps(whole).encode()),
    }
    out = {}
    for name, content in contents.items():
        out[name] = tmp_path / name
        out[name].write_bytes(content)
    return out


@pytest.mark.parametrize("form", ["lines", "pretty", "list", "protobuf", "framed", "gzip"])
def test_every_form_gives_the_same(
    form: str, forms: dict[str, Path], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run(str(forms[form])) == 0
    printed = capfd.readouterr()
    rows = lines(printed.out)
    assert printed.err == ""
    assert [row["trace_id"] for row in rows] == ["ab" * 16, "cd" * 16]
    assert rows[0]["workflow"] == "support.answer"
    assert [(f["mode"], f["state"], f["span_id"]) for f in rows[0]["findings"]] == [
        ("rate_limited", "unrecovered", f"{2:016x}"),
        ("swallowed_error", "unrecovered", f"{2:016x}"),
    ]
    assert all(set(f) == {"mode", "state", "span_id", "evidence"} for f in rows[0]["findings"])
    assert rows[1]["findings"] == []
    assert 0 < rows[1]["risk"] < rows[0]["risk"] < 1


def test_standard_input(
    forms: dict[str, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("-", stdin=forms["lines"].read_bytes(), monkeypatch=monkeypatch) == 0
    assert len(lines(capfd.readouterr().out)) == 2


def test_broken_lines_are_named_and_the_rest_is_read(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    broken = {**root("ef"), "traceId": "short"}
    content = [json.dumps(request(root("ab"))), "{oops", '{"a": 1}', json.dumps(request(broken))]
    path = tmp_path / "mixed.jsonl"
    path.write_text("\n".join([*content, json.dumps(request(root("cd")))]))
    assert run(str(path), str(tmp_path / "absent")) == 2
    printed = capfd.readouterr()
    assert [row["trace_id"][:2] for row in lines(printed.out)] == ["ab", "cd"]
    for place in ("mixed.jsonl:2:", "mixed.jsonl:3:", "mixed.jsonl:4:", "absent:"):
        assert place in printed.err
    assert "mixed.jsonl:1:" not in printed.err
    assert printed.err.splitlines()[-1].startswith("error: 4 of the inputs")


def test_a_table_for_people(forms: dict[str, Path], capfd: pytest.CaptureFixture[str]) -> None:
    assert run("--format", "text", str(forms["lines"])) == 0
    out = capfd.readouterr().out
    assert "support.answer" in out
    assert "rate_limited" in out
    assert "2 traces, 1 with findings" in out


def test_outcome_carriers_are_not_traces(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "carrier.json"
    path.write_text(json.dumps(request(span("ab", 1, "fidelity.outcome", None))))
    assert run(str(path)) == 0
    assert capfd.readouterr().out == ""


def test_settings_come_from_options_and_environment(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(number: int) -> dict[str, Any]:
        return span(
            "ab",
            number,
            "execute_tool look",
            **{
                "gen_ai.operation.name": "execute_tool",
                "gen_ai.tool.name": "look",
                "gen_ai.tool.call.result": "nothing new",
            },
        )

    path = tmp_path / "loop.json"
    path.write_text(json.dumps(request(root("ab"), call(2), call(3))))

    def modes(*arguments: str) -> list[str]:
        assert run(*arguments, str(path)) == 0
        return [f["mode"] for f in lines(capfd.readouterr().out)[0]["findings"]]

    assert modes() == []
    assert modes("--loop-calls", "2") == ["loop"]
    monkeypatch.setenv("FIDELITY_DETECT_LOOP_CALLS", "2")
    assert modes() == ["loop"]
    monkeypatch.setenv("FIDELITY_DETECT_LOOP_CALLS", "many")
    assert run(str(path)) == 2
    assert "FIDELITY_DETECT_LOOP_CALLS" in capfd.readouterr().err
