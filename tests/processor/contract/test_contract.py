"""Contracts: each kind of rule, both ways; errors that name the line; the command; the service."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fidelity_otel import cli
from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Document, Span, Trace
from fidelity_otel.processor.contract import Contracts, load_contracts, read_contracts, run_cases
from fidelity_otel.processor.contract.cases import Case

HERE = Path(__file__).parent
DOCS = HERE.parents[2] / "docs" / "contracts.md"


def broken(rule: str, **case: object) -> list[str]:
    """What one rule says of one small trace."""
    (contract,) = read_contracts(f"w:\n  rules:\n    - {rule}\n", where="f")
    trace = msgspec.convert(case, type=Case).trace("w")
    contracts = Contracts([contract])
    found = [breach.what for breach in contracts.check(trace)]
    assert not contracts.failed
    return found


TOOLS = [{"name": "look", "result": {"price": 1200.5}}, {"name": "refund", "arguments": {"n": 3}}]
PAPER = [{"id": "returns", "content": "for 30 days"}]


@pytest.mark.parametrize(
    ("rule", "case", "said"),
    [
        ("must_contain: [Desk, now]", {"answer": "the desk"}, ["does not contain 'now'"]),
        ("must_contain: /d.sk/", {"answer": "the DESK"}, []),
        ("must_not_contain: [sorry]", {"answer": "SORRY, no"}, ["contains 'sorry'"]),
        ("must_not_contain: '/\\d{4}/'", {"answer": "in 2026"}, ["contains '2026'"]),
        ("must_not_contain: [sorry]", {"answer": "fine"}, []),
        ("json_schema: {type: object, required: [a]}", {"answer": '{"a": 1}'}, []),
        ("json_schema: {required: [a]}", {"answer": '```json\n{"a": 1}\n```'}, []),
        ("json_schema: {required: [a]}", {"answer": '{"b": 1}'}, ["$: 'a' is a required"]),
        ("json_schema: {}", {"answer": "hello"}, ["is not JSON"]),
        ("citations: {}", {"answer": "see [returns]", "documents": PAPER}, []),
        ("citations: {}", {"answer": "see", "documents": PAPER}, ["cites 0"]),
        ("citations: {}", {"answer": "[returns] [x]", "documents": PAPER}, ["cites 'x'"]),
        ("citations: {pattern: '<(.+?)>'}", {"answer": "<returns>", "documents": PAPER}, []),
        ("numbers_from: tools", {"answer": "It is 1,200.50 €.", "tools": TOOLS}, []),
        ("numbers_from: tools", {"answer": "It is 1201.", "tools": TOOLS}, ["1201 is not in"]),
        ("numbers_from: tools", {"answer": "1. look\n2. wait", "tools": TOOLS}, []),
        ("numbers_from: documents", {"answer": "30", "documents": PAPER}, []),
        ("numbers_from: request", {"answer": "order 7", "request": "where is 7?"}, []),
        ("numbers_from: request", {"answer": "order 8", "request": "where is 7?"}, ["8 is not"]),
        ("tools: {required: [look]}", {"tools": TOOLS}, []),
        ("tools: {required: [pay]}", {"tools": TOOLS}, ["pay was not called"]),
        ("tools: {forbidden: [refund]}", {"tools": TOOLS}, ["refund was called"]),
        ("tools: {order: [look, refund]}", {"tools": TOOLS}, []),
        ("tools: {order: [refund, look]}", {"tools": TOOLS}, ["look was called without refund"]),
        ("tools: {order: [pay, refund]}", {"tools": TOOLS}, ["refund was called without pay"]),
        ("tools: {order: [look, pay]}", {"tools": TOOLS}, []),
        ("tools: {arguments: {refund: {required: [n]}}}", {"tools": TOOLS}, []),
        ("tools: {arguments: {refund: {required: [m]}}}", {"tools": TOOLS}, ["'m' is a required"]),
        ("tools: {at_most: {look: 1}}", {"tools": TOOLS}, []),
        ("tools: {at_most: {look: 1}}", {"tools": TOOLS * 2}, ["look was called 2 times"]),
        ("limits: {seconds: 2}", {"seconds": 2}, []),
        ("limits: {seconds: 2}", {"seconds": 2.5}, ["seconds: 2.5, not at most 2"]),
        ("limits: {tool_calls: 1, model_calls: 1}", {"tools": TOOLS}, ["tool calls: 2"]),
        ("cel: size(answer) < 3", {"answer": "ab"}, []),
        ("cel: size(answer) < 3", {"answer": "abc"}, ["not true"]),
        ("cel: 'tools.exists(t, t.name == \"look\")'", {"tools": TOOLS}, []),
        ("cel: tool_calls == 2.0 && !success", {"tools": TOOLS}, ["not true"]),
        ("{cel: 'false', when: seconds > 9.0}", {"seconds": 1}, []),
        ("{cel: 'false', when: seconds > 9.0}", {"seconds": 10}, ["not true"]),
    ],
)  # fmt: skip
def test_rules(rule: str, case: dict[str, object], said: list[str]) -> None:
    found = broken(rule, **case)
    assert len(found) == len(said), found
    for words, text in zip(said, found, strict=True):
        assert words in text


def short(trace: Trace) -> object:
    return {"yes": True, "no": False, "why": "too rude", "low": 0.2, "high": 0.9}[trace.answer]


def test_python_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "my_checks", sys.modules[__name__])
    rule = "python: my_checks:short"
    for answer, said in (("yes", []), ("high", []), ("why", ["too rude"])):
        assert broken(rule, answer=answer) == said
    assert "says no" in broken(rule, answer="no")[0]
    assert "gives 0.20" in broken(rule, answer="low")[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a:\n  rules:\n    - must_contian: x\n", "f:3: 'must_contian' is no kind of rule; did you mean 'must_contain'?"),
        ("a:\n  rulez: []\n", "f:2: 'rulez' is not known here"),
        ("a:\n  rules:\n    - name: x\n", "f:3: one kind of rule is wanted"),
        ("a:\n  rules:\n    - {cel: 'true', limits: {seconds: 1}}\n", "f:3: one kind of rule is wanted"),
        ("a:\n  rules:\n    - name: x\n      cel: '1 +'\n", "f:4: cel: it is not CEL"),
        ("a:\n  rules:\n    - must_contain: /(/\n", "f:3: must_contain: /(/ is not a regular expression"),
        ("a:\n  rules:\n    - tools:\n        orders: [a]\n", "f:4: tools: 'orders' is not known here; did you mean 'order'?"),
        ("a:\n  rules:\n    - limits: {seconds: -1}\n", "f:3: limits: seconds: a number from 0 on"),
        ("a:\n  rules:\n    - json_schema: {type: 7}\n", "f:3: json_schema: it is not a JSON Schema"),
        ("a:\n  rules:\n    - python: nowhere:f\n", "f:3: python: nowhere:f cannot be imported"),
        ("a:\n  rules:\n    - python: unheard\n", "f:3: python: no evaluator 'unheard'"),
        ("a:\n  rules:\n    - citations: {pattern: abc}\n", "f:3: citations: pattern needs a group"),
        ("a:\n  rules:\n    - cel: 'true'\n    - cel: 'false'\n", "f:4: the rule 'cel' is named twice"),
        ("a:\n  tests:\n    - {breaks: [gone]}\n", "f:3: a test breaks the rule 'gone'"),
        ("a:\n  tests:\n    - {anwser: x}\n", "f:3: tests: Object contains unknown field `anwser`"),
        ("a:\n  tests:\n    - {answer: no}\n", "f:3: tests: Expected `str`, got `bool` - at `$.answer`. Write yes, no"),
        ("a: [1]\n", "f:1: a mapping is wanted"),
        ("a:\n  - {\n", "f:"),
        ("numbers_from: x\n", "f:1: a mapping is wanted"),
    ],
)  # fmt: skip
def test_errors_name_the_line(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_contracts(text, where="f")
    assert str(caught.value).startswith(said)


def test_a_schema_fetches_nothing() -> None:
    rule = 'json_schema: {$ref: "http://127.0.0.1:9/schema.json"}'
    (contract,) = read_contracts(f"w:\n  rules:\n    - {rule}\n", where="f")
    contracts = Contracts([contract])
    assert contracts.check(Case(answer="{}").trace("w")) == []
    assert contracts.failed == {"json_schema": 1}


def test_a_rule_that_fails_costs_neither_the_trace_nor_the_others() -> None:
    text = "w:\n  rules:\n    - {name: odd, cel: answer + 1 > 2}\n    - must_contain: x\n"
    contracts = Contracts(read_contracts(text, where="f"))
    for _ in range(3):
        (found,) = contracts.findings(Case(answer="abc").trace("w"))
        assert found.mode == "instruction_violation"
        assert found.state == "unrecovered"
        assert found.evidence == "must_contain: the answer does not contain 'x'"
    assert contracts.failed == {"odd": 3}


def test_whose_rules_hold() -> None:
    text = '"*":\n  rules: [{name: all, cel: "false"}]\na:\n  rules: [{name: own, cel: "false"}]\n'
    contracts = Contracts(read_contracts(text, where="f"))
    assert [r.name for r in contracts.rules_of("a")] == ["all", "own"]
    assert [r.name for r in contracts.rules_of("a~candidate")] == ["all", "own"]
    assert [r.name for r in contracts.rules_of("b")] == ["all"]
    assert Contracts().findings(Case().trace("a")) == ()


@given(
    answer=st.text(max_size=60),
    attributes=st.dictionaries(st.text(max_size=4), st.integers() | st.text() | st.none()),
    number=st.integers(),
)
def test_any_trace_can_be_checked(answer: str, attributes: dict[str, object], number: int) -> None:
    page = "".join(re.findall(r"^```yaml\n(.*?)^```$", DOCS.read_text(), re.M | re.S))
    contracts = Contracts(read_contracts(page, where="docs"))
    tool = {"name": "refund", "arguments": attributes, "result": [number, None, attributes]}
    trace = msgspec.convert({"answer": answer, "tools": [tool]}, type=Case).trace("support.answer")
    odd = Span("t", "x", "s", operation="retrieval", documents=(Document(),))
    for each in (trace, msgspec.structs.replace(trace, spans=(*trace.spans, odd), root_id=None)):
        contracts.findings(each)
    assert not contracts.failed


def test_the_contract_of_the_documentation_passes_its_tests() -> None:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", DOCS.read_text(), re.M | re.S)
    contracts = [c for block in blocks for c in read_contracts(block, where="docs")]
    assert {rule.kind for c in contracts for rule in c.rules} >= {"cel", "judge"}
    outcomes = [outcome for contract in contracts for outcome in run_cases(contract)]
    assert len(outcomes) == 5
    assert all(o.passed for o in outcomes), outcomes


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main(["contract", "check", *arguments])
    return int(end.value.code or 0)


def test_the_command_runs_tests_and_checks_traces(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = tmp_path / "c.yaml"
    contract.write_text(
        "support.answer:\n  rules:\n    - {name: kind, must_contain: please}\n"
        "  tests:\n    - {answer: please, breaks: [kind]}\n    - {answer: never, breaks: [kind]}\n"
    )
    assert run(str(contract)) == 1
    said = capsys.readouterr().err
    assert "c.yaml:5: support.answer: 'please' should break kind and does not" in said
    assert "2 tests, 1 failed" in said
    contract.write_text("support.answer:\n  rules:\n    - {name: kind, must_contain: please}\n")
    traces = tmp_path / "t.jsonl"
    attributes = {"gen_ai.workflow.name": "support.answer", "fidelity.output": "no"}
    span = {
        "traceId": "ab" * 16,
        "spanId": "cd" * 8,
        "name": "answer",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "attributes": [{"key": k, "value": {"stringValue": v}} for k, v in attributes.items()],
    }
    request = {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}
    traces.write_text(json.dumps(request) + "\n")
    assert run(str(contract), str(traces), "--format", "json") == 1
    (row,) = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (row["rule"], row["trace_id"]) == ("kind", "ab" * 16)
    assert run(str(contract), str(traces)) == 1
    assert "kind: 1 traces" in capsys.readouterr().out
    cli_detect = ["detect", "--contracts", str(contract), str(traces), "--format", "json"]
    with pytest.raises(SystemExit):
        cli.main(cli_detect)
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert (found["mode"], found["span_id"]) == ("instruction_violation", "cd" * 8)
    assert run(str(tmp_path / "absent.yaml")) == 2
    with pytest.raises(ConfigError, match="cannot be read"):
        load_contracts([tmp_path / "absent.yaml"])
