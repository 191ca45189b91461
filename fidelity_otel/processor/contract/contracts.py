"""Contracts by workflow, and what a trace breaks of them."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.contract.breach import Breach, Check, RuleFailed, Subject
from fidelity_otel.semconv import SHADOW_SEPARATOR

if TYPE_CHECKING:
    from fidelity_otel.processor.contract.cases import Case

__all__ = ["MODE", "Contract", "Contracts", "Rule", "load_contracts"]

MODE: Final = "instruction_violation"
_ALL: Final = "*"
_JUDGE: Final = "judge"
_MOST: Final = 100

_log = logging.getLogger(__name__)


class Rule(NamedTuple):
    """One rule: checked where `when` holds. `line` is where it stands in its file."""

    name: str
    kind: str
    check: Check
    when: Callable[[Subject], bool] | None = None
    line: int = 0


class Contract(NamedTuple):
    """What correct means in a workflow, and the cases that show it."""

    workflow: str
    rules: tuple[Rule, ...]
    cases: tuple[Case, ...] = ()


class Contracts:
    """All contracts in force.

    Args:
        contracts: those of the workflow "*" hold for all workflows, beside their own.
        ask: whether rules that ask a model (`judge`) are checked; without it they are left out.

    `failed` counts, by rule, the traces on which it could not be evaluated.
    """

    def __init__(self, contracts: Iterable[Contract] = (), *, ask: bool = False) -> None:
        self.ask = ask
        self.by_workflow: dict[str, list[Contract]] = {}
        for contract in contracts:
            self.by_workflow.setdefault(contract.workflow, []).append(contract)
        self.failed: Counter[str] = Counter()

    def __bool__(self) -> bool:
        """Whether there is any."""
        return bool(self.by_workflow)

    def rules_of(self, workflow: str) -> list[Rule]:
        """The rules for a workflow; a shadow candidate's are those of its incumbent."""
        held = self.by_workflow
        own = held.get(workflow) or held.get(workflow.partition(SHADOW_SEPARATOR)[0], [])
        rules = [rule for c in (*held.get(_ALL, []), *own) for rule in c.rules]
        return rules if self.ask else [rule for rule in rules if rule.kind != _JUDGE]

    def check(self, trace: Trace) -> list[Breach]:
        """What a trace breaks, in the order of the rules; rules that fail are counted and left."""
        subject = Subject(trace)
        found: list[Breach] = []
        for rule in self.rules_of(trace.workflow):
            try:
                if rule.when is not None and not rule.when(subject):
                    continue
                found.extend(Breach(rule.name, what, span) for what, span in rule.check(subject))
            except RuleFailed as error:
                self._tell(rule, str(error))
            except Exception as error:  # noqa: BLE001 - a rule must not cost the trace
                self._tell(rule, f"{type(error).__name__}: {error}")
        return found[:_MOST]

    def findings(self, trace: Trace) -> tuple[Finding, ...]:
        """What a trace breaks, as findings; each rule once."""
        if not self.by_workflow or not trace.spans:
            return ()
        by_rule: dict[str, list[Breach]] = {}
        for breach in self.check(trace):
            by_rule.setdefault(breach.rule, []).append(breach)
        root = trace.root_id or trace.spans[0].span_id
        made = []
        for name, each in by_rule.items():
            more = f" (and {len(each) - 1} more)" if len(each) > 1 else ""
            spans = tuple(dict.fromkeys(b.span_id for b in each if b.span_id))
            made.append(
                Finding(
                    mode=MODE,
                    state="unrecovered",
                    span_id=each[0].span_id or root,
                    evidence=f"{name}: {each[0].what}{more}",
                    span_ids=spans,
                )
            )
        return tuple(made)

    def _tell(self, rule: Rule, why: str) -> None:
        self.failed[rule.name] += 1
        if self.failed[rule.name] == 1:
            _log.error("the rule %s could not be evaluated: %s", rule.name, why)


def load_contracts(paths: Iterable[str | Path], *, ask: bool = False) -> Contracts:
    """Contracts from files.

    Raises:
        ConfigError: a file cannot be read or is wrong; names file and line.
    """
    from fidelity_otel.processor.contract.reading import read_contracts

    found: list[Contract] = []
    for path in paths:
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the contract file {path} cannot be read: {error}") from None
        found.extend(read_contracts(text, where=str(path)))
    return Contracts(found, ask=ask)
