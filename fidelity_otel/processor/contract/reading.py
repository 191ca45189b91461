"""Contracts from YAML, with the line in every error."""

from __future__ import annotations

import difflib
from typing import Any, Final

import msgspec
import yaml

from fidelity_otel.errors import ConfigError
from fidelity_otel.processor.contract import rules_answer, rules_code, rules_course, rules_judge
from fidelity_otel.processor.contract.breach import Make
from fidelity_otel.processor.contract.cases import Case
from fidelity_otel.processor.contract.contracts import Contract, Rule
from fidelity_otel.processor.contract.given import GivenError

__all__ = ["KINDS", "read_contracts"]

KINDS: Final[dict[str, Make]] = {
    "must_contain": rules_answer.must_contain,
    "must_not_contain": rules_answer.must_not_contain,
    "json_schema": rules_answer.json_schema,
    "citations": rules_answer.citations,
    "numbers_from": rules_answer.numbers_from,
    "tools": rules_course.tools,
    "limits": rules_course.limits,
    "cel": rules_code.cel,
    "python": rules_code.python,
    "judge": rules_judge.judge,
}
"""The kinds of rules, by the key that stands in the file."""

_BESIDE: Final = ("name", "when")


def read_contracts(text: str, *, where: str) -> list[Contract]:
    """Read a file of contracts.

    Args:
        text: YAML: workflow → `rules` and `tests`.
        where: the file's name, for errors.

    Raises:
        ConfigError: it is not YAML or not contracts; says on which line and how to mend it.
    """
    loader = yaml.SafeLoader(text)
    try:
        top = loader.get_single_node()
        if top is None:
            return []
        found = [
            _contract(loader, _text(key, where), value, where)
            for key, value in _pairs(top, where, "workflow → rules and tests")
        ]
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}:{line}: not YAML: {problem}") from None
    finally:
        loader.dispose()
    return found


def _wrong(where: str, node: yaml.Node, said: object) -> ConfigError:
    return ConfigError(f"{where}:{node.start_mark.line + 1}: {said}")


def _pairs(node: yaml.Node, where: str, wanted: str) -> list[tuple[yaml.Node, yaml.Node]]:
    if not isinstance(node, yaml.MappingNode):
        raise _wrong(where, node, f"a mapping is wanted: {wanted}")
    return list(node.value)


def _text(node: yaml.Node, where: str) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise _wrong(where, node, "a name is wanted")
    return str(node.value)


def _items(node: yaml.Node, where: str, name: str) -> list[yaml.Node]:
    if not isinstance(node, yaml.SequenceNode):
        raise _wrong(where, node, f"{name}: a list is wanted")
    return list(node.value)


def _contract(loader: Any, workflow: str, node: yaml.Node, where: str) -> Contract:
    rules: list[Rule] = []
    cases: list[Case] = []
    for key, value in _pairs(node, where, "rules and tests"):
        name = _text(key, where)
        if name == "rules":
            rules = [_rule(loader, each, where) for each in _items(value, where, name)]
        elif name == "tests":
            cases = [_case(loader, each, where) for each in _items(value, where, name)]
        else:
            raise _wrong(where, key, f"{name!r} is not known here; known: rules, tests")
    names = [rule.name for rule in rules]
    for place, rule in enumerate(rules):
        if rule.name in names[:place]:
            raise ConfigError(f"{where}:{rule.line}: the rule {rule.name!r} is named twice")
    for case in cases:
        for name in case.breaks:
            if name not in names:
                raise ConfigError(
                    f"{where}:{case.line}: a test breaks the rule {name!r}, which "
                    f"{workflow} does not have; it has {', '.join(names) or 'none'}"
                )
    return Contract(workflow, tuple(rules), tuple(cases))


def _rule(loader: Any, node: yaml.Node, where: str) -> Rule:
    nodes = {
        _text(key, where): (key, value) for key, value in _pairs(node, where, "name and a rule")
    }
    for name, (key, _) in nodes.items():
        if name not in KINDS and name not in _BESIDE:
            near = difflib.get_close_matches(name, [*KINDS, *_BESIDE], 1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(KINDS)}"
            raise _wrong(where, key, f"{name!r} is no kind of rule; {hint}")
    kinds = [name for name in nodes if name in KINDS]
    if len(kinds) != 1:
        raise _wrong(where, node, f"one kind of rule is wanted, of: {', '.join(KINDS)}")
    (kind,) = kinds
    key, value = nodes[kind]
    try:
        check = KINDS[kind](loader.construct_object(value, deep=True))
    except GivenError as error:
        raise _wrong(where, value, f"{kind}: {error}") from None
    when = None
    if "when" in nodes:
        try:
            when = rules_code.condition(loader.construct_object(nodes["when"][1], deep=True))
        except GivenError as error:
            raise _wrong(where, nodes["when"][1], f"when: {error}") from None
    name = _text(nodes["name"][1], where) if "name" in nodes else kind
    return Rule(name, kind, check, when, key.start_mark.line + 1)


def _case(loader: Any, node: yaml.Node, where: str) -> Case:
    try:
        given = loader.construct_object(node, deep=True)
        if isinstance(given, dict):
            given = {**given, "line": node.start_mark.line + 1}
        return msgspec.convert(given, type=Case)
    except msgspec.ValidationError as error:
        hint = ". Write yes, no and numbers in quotes" if "Expected `str`" in str(error) else ""
        raise _wrong(where, node, f"tests: {error}{hint}") from None
