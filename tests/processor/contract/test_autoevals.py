"""The example adapter: scorers of a real evaluator library as rules of a contract."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fidelity_otel.processor.contract import Contracts, read_contracts

FOLDER = Path(__file__).resolve().parents[3] / "examples" / "evaluators"
RULE = "w:\n  rules: [{name: r, python: 'autoevals_rules:%s'}]\n  tests: [%s]\n"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(FOLDER))


def broken(function: str, case: str) -> bool:
    (contract,) = read_contracts(RULE % (function, case), where="c.yaml")
    contracts = Contracts([contract])
    found = contracts.check(contract.cases[0].trace("w"))
    assert not contracts.failed
    return bool(found)


@pytest.mark.parametrize(("score", "held"), [(0.9, True), (0.1, False), (0, False), (None, True)])
def test_a_score_below_one_half_breaks_the_rule(
    monkeypatch: pytest.MonkeyPatch, score: Any, held: bool
) -> None:
    import autoevals_rules  # type: ignore[import-not-found]

    given: list[Any] = []

    class Scorer:
        def eval(self, output: str, expected: Any = None, **more: Any) -> Any:
            given.append((output, expected, more))
            return SimpleNamespace(score=score)

    rule = autoevals_rules.scored(Scorer(), lambda trace: trace.workflow)
    monkeypatch.setattr(autoevals_rules, "valid_json", rule)
    assert broken("valid_json", "{answer: a, request: q}") is not held
    assert given == [("a", "w", {"input": "q"})]


def test_with_the_library_itself() -> None:
    pytest.importorskip("autoevals", reason="autoevals is not installed")
    assert not broken("valid_json", "{answer: '{\"a\": 1}'}")
    assert broken("valid_json", "{answer: 'Sure! {'}")
    tools = "tools: [{name: t, result: forty two euros}]"
    assert not broken("last_tool_result_verbatim", f"{{answer: forty-two euros, {tools}}}")
    assert broken("last_tool_result_verbatim", f"{{answer: something else entirely, {tools}}}")
    assert not broken("last_tool_result_verbatim", "{answer: no tool was called}")
