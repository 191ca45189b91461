"""A pytest plugin that replays production cases against a new build.

    @pytest.mark.fidelity_cases("cases.jsonl")
    def test_answers(fidelity_case):
        assert my_app(fidelity_case.request) == fidelity_case.expected

The file is what `fidelity dataset export` writes. Each case is one test; at the end the weighted
share of cases that passed is printed, which is what the share in production would have been.

Loaded into every pytest run of everyone who has this package: it imports nothing but the standard
library and pytest, and does nothing until a test has the mark.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

__all__ = ["FidelityCase", "fidelity_case", "read_cases"]

MARK = "fidelity_cases"
FIXTURE = "fidelity_case"
_PROPERTY = "fidelity_weight"
_SHORT = 8


@dataclass(frozen=True)
class FidelityCase:
    """One reviewed production trace. `data` is the whole row of the export."""

    id: str
    request: str = ""
    answer: str = ""
    expected: str | None = None
    verdict: str = ""
    label: float | None = None
    weight: float | None = None
    correction: str | None = None
    workflow: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)
    documents: list[dict[str, Any]] = field(default_factory=list)
    tools: list[dict[str, Any]] = field(default_factory=list)
    data: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, row: dict[str, Any]) -> FidelityCase:
        """A case from a row; columns that this version does not know stay in `data`."""
        known: dict[str, Any] = {n: row[n] for n in cls.__dataclass_fields__ if n in row}
        known |= {"id": str(row.get("id", "")), "data": row}
        return cls(**known)


def read_cases(path: Path) -> list[FidelityCase]:
    """The cases in a JSON Lines file.

    Raises:
        ValueError: a line is not a JSON object; the message names it.
    """
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise ValueError(f"{path}:{number}: a JSON object is wanted")  # noqa: TRY004
        found.append(FidelityCase.of(row))
    return found


@pytest.fixture
def fidelity_case(request: pytest.FixtureRequest) -> FidelityCase:
    """The production case of this test; needs the mark `fidelity_cases`."""
    case: FidelityCase | None = getattr(request, "param", None)
    if case is None:
        pytest.fail(
            f'mark the test with @pytest.mark.{MARK}("cases.jsonl") to say which cases',
            pytrace=False,
        )
    request.node.user_properties.append((_PROPERTY, case.weight))
    return case


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers", f"{MARK}(file): run once for each production case of an exported file"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test a case, for tests that have the mark and ask for the fixture."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None or FIXTURE not in metafunc.fixturenames:
        return
    if len(mark.args) != 1:
        raise pytest.UsageError(
            f'{metafunc.definition.nodeid}: @pytest.mark.{MARK}("cases.jsonl") takes one file'
        )
    path = _find(str(mark.args[0]), metafunc)
    try:
        cases = read_cases(path)
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"{metafunc.definition.nodeid}: {error}") from None
    names = [f"{case.workflow or 'case'}-{case.id[:_SHORT]}" for case in cases]
    metafunc.parametrize(FIXTURE, cases, indirect=True, ids=names)


def _find(name: str, metafunc: pytest.Metafunc) -> Path:
    """The file beside the test, else under the root."""
    for folder in (Path(metafunc.definition.path).parent, Path(metafunc.config.rootpath)):
        if (folder / name).is_file():
            return folder / name
    raise pytest.UsageError(
        f"{metafunc.definition.nodeid}: no file {name} beside the test or in "
        f"{metafunc.config.rootpath}; `fidelity dataset export --output {name}` writes one"
    )


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Say what the results would mean in production."""
    passed = _weights(terminalreporter, "passed")
    failed = _weights(terminalreporter, "failed")
    if not passed and not failed:
        return
    weighed = [w for w in passed + failed if w is not None]
    text = f"{len(passed)} of {len(passed) + len(failed)} production cases passed"
    if sum(weighed) > 0:
        share = sum(w for w in passed if w is not None) / sum(weighed)
        text += f"; weighted, {share:.1%} of production"
    terminalreporter.write_sep("-", f"fidelity: {text}")


def _weights(reporter: TerminalReporter, outcome: str) -> list[float | None]:
    return [
        value
        for report in reporter.stats.get(outcome, [])
        for name, value in getattr(report, "user_properties", ())
        if name == _PROPERTY and getattr(report, "when", "") == "call"
    ]
