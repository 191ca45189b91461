"""The pages made from code are fresh, and the tool says so when they are not."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def tool(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_docs", ROOT / "tools" / "make_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_are_fresh(tool: ModuleType) -> None:
    for name, make in tool.PAGES.items():
        path = ROOT / "docs" / name
        assert path.read_text() == make(), f"docs/{name} is stale: run tools/make_docs.py"


def test_it_writes_what_is_stale_and_checks_without_writing(
    tool: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(tool, "DOCS", tmp_path / "docs")
    assert tool.main(["--check"]) == 1
    assert not (tmp_path / "docs").exists()
    assert tool.main([]) == 0
    assert tool.main(["--check"]) == 0
    page = tmp_path / "docs" / "metrics.md"
    page.write_text(page.read_text() + "by hand\n")
    capsys.readouterr()
    assert tool.main(["--check"]) == 1
    assert capsys.readouterr().err == "docs/metrics.md: not fresh\n"


def test_every_row_is_on_its_page(tool: ModuleType) -> None:
    from fidelity_otel.cli import COMMANDS
    from fidelity_otel.processor.metrics_table import METRICS
    from fidelity_otel.settings import TABLE

    settings = tool.settings_page()
    assert all(f"`{s.name}`" in settings and f"`{s.variable}`" in settings for s in TABLE)
    metrics = tool.metrics_page()
    assert all(f"| `{m.exposed}` |" in metrics for m in METRICS)
    commands = tool.cli_page()
    assert all(f"## fidelity {name}\n" in commands for name in COMMANDS)


def test_a_command_that_is_not_there_is_shown_by_its_summary(tool: ModuleType) -> None:
    assert tool._command("nowhere", "Does nothing.") == ["Does nothing."]
