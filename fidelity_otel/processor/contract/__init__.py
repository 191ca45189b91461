r"""Contracts: what correct means in a workflow, written down in YAML and checked on every trace.

    support.answer:
      rules:
        - name: no-promises
          must_not_contain: [guaranteed, /\b100 ?%/]
        - name: look-up-before-refund
          tools: {order: [order_lookup, refund]}
      tests:
        - {answer: This is guaranteed., breaks: [no-promises]}

`read_contracts` reads a file and says on which line it is wrong; `Contracts.check` gives what a
trace breaks; `Contracts.findings` the same as findings of the mode `instruction_violation`. Each
kind of rule is a function in one of `rules_*.py`.
"""

from fidelity_otel.processor.contract.breach import Breach, RuleFailed
from fidelity_otel.processor.contract.cases import Case, Outcome, run_cases
from fidelity_otel.processor.contract.contracts import Contract, Contracts, Rule, load_contracts
from fidelity_otel.processor.contract.reading import KINDS, read_contracts

__all__ = [
    "KINDS",
    "Breach",
    "Case",
    "Contract",
    "Contracts",
    "Outcome",
    "Rule",
    "RuleFailed",
    "load_contracts",
    "read_contracts",
    "run_cases",
]
