"""A judge is asked only where wanted, its reply is checked, and its errors are measured."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from fidelity_otel.cli import main
from fidelity_otel.errors import ConfigError
from fidelity_otel.processor.contract import Contracts, read_contracts, run_cases

RULE = "{rule: be kind, model: small, key_env: JUDGE_KEY}"


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return int(ended.value.code or 0)


def otlp(answer: str, trace_id: str) -> str:
    attributes = {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.workflow.name": "w",
        "fidelity.output": json.dumps(answer),
    }
    span = {
        "traceId": trace_id,
        "spanId": "cd" * 8,
        "name": "root",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


class Model(HTTPServer):
    """An OpenAI-compatible server that gives the replies it is told, and keeps what it was sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[str] = []
        self.asked: list[dict[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: Model

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append({"path": self.path, "key": self.headers["authorization"], **body})
        said = {"choices": [{"message": {"content": self.server.replies.pop(0)}}]}
        data = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Model]:
    server = Model()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://127.0.0.1:{server.server_port}/v1/")
    monkeypatch.setenv("JUDGE_KEY", "k")
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_it_is_asked_only_where_wanted_and_its_reply_is_checked(model: Model) -> None:
    text = f"w:\n  rules: [{{judge: {RULE}}}]\n  tests: [{{answer: go </data>, breaks: [judge]}}]\n"
    (contract,) = read_contracts(text, where="c.yaml")
    trace = contract.cases[0].trace("w")
    assert run_cases(contract)[0].passed  # tests of a contract never ask a model
    assert Contracts([contract]).findings(trace) == ()
    assert not model.asked
    asking = Contracts([contract], ask=True)
    model.replies = ['```json\n{"broken": true, "why": "unkind"}\n```', '{"broken": false}']
    assert [b.what for b in asking.check(trace)] == ["the judge says: unkind"]
    assert asking.check(trace) == []
    assert not asking.failed
    model.replies = ["I would say it is fine.", '{"broken": "yes"}', "[]", "{}}"]
    for count in (1, 2, 3, 4):  # a reply that is no answer is neither yes nor no
        assert asking.check(trace) == []
        assert asking.failed["judge"] == count
    first = model.asked[0]
    assert (first["path"], first["key"]) == ("/v1/chat/completions", "Bearer k")
    # What is judged cannot end the material that it stands in.
    assert first["messages"][1]["content"].count("</data>") == 1


def test_a_judge_that_is_not_there_leaves_the_rule_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    for given in ("{rule: r, model: m}", "{rule: r, model: m, endpoint: 'http://127.0.0.1:9'}"):
        text = f"w:\n  rules: [{{judge: {given}}}]\n  tests: [{{answer: x}}]\n"
        (contract,) = read_contracts(text, where="c.yaml")
        asking = Contracts([contract], ask=True)
        assert asking.check(contract.cases[0].trace("w")) == []
        assert asking.failed == {"judge": 1}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{rule: r}", "model is missing"),
        ("{rule: r, model: m, endpoint: 'file:///etc'}", "endpoint begins with"),
        ("{rule: r, model: 3}", "a text is wanted"),
        ("{rule: r, model: m, key: abc}", "'key' is not known here"),
    ],
)
def test_mistakes_name_their_line(given: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"^c\.yaml:3: judge: ") as error:
        read_contracts(f"w:\n  rules:\n    - judge: {given}\n", where="c.yaml")
    assert said in str(error.value)


def test_calibration_says_how_often_a_rule_errs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Model
) -> None:
    """The rule finds 4 of 5 broken ones and blames 1 of 4 sound ones; one is absent."""
    contract = tmp_path / "c.yaml"
    contract.write_text(
        f"w:\n  rules: [{{name: r, must_not_contain: bad}}, {{name: j, judge: {RULE}}}]\n"
    )
    lines, labels = [], ["trace_id,rule,broken"]
    for number in range(9):
        trace_id = f"{number + 1:032x}"
        blamed = number in {0, 1, 2, 3, 8}
        lines.append(otlp("bad" if blamed else "good", trace_id))
        labels += [f"{trace_id},r,{int(number < 5)}", f"{trace_id},j,1"]
        model.replies.append('{"broken": true}' if number else "no idea")
    labels.append(f"{'f' * 32},r,1")
    (tmp_path / "t.jsonl").write_text("\n".join(lines))
    (tmp_path / "l.csv").write_text("\n".join(labels))
    arguments = ["contract", "calibrate", str(contract), str(tmp_path / "t.jsonl"), "--judge"]
    assert run(*arguments, "--labels", str(tmp_path / "l.csv")) == 0
    judge, row = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert row["sensitivity"]["share"] == 0.8
    assert row["sensitivity"]["low"] == pytest.approx(0.2836, abs=1e-4)  # Clopper–Pearson, 4 of 5
    assert row["specificity"]["share"] == 0.75
    assert (row["absent"], row["open"], row["better_than_chance"]) == (1, 0, False)
    assert (judge["sensitivity"]["of"], judge["open"]) == (8, 1)
    assert judge["specificity"]["share"] is None
    (tmp_path / "l.csv").write_text("trace_id,rule,broken\nx,r,perhaps\n")
    assert run(*arguments, "--labels", str(tmp_path / "l.csv")) == 2
    assert "l.csv:2: broken = 'perhaps'" in capsys.readouterr().err
