"""The pages made from code are fresh, and the tool says so when they are not."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ENDS = ("oldest", "newest")
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


def test_every_integration_is_in_the_readme_and_has_its_extra(tool: ModuleType) -> None:
    """A reader finds it, can install it by name, and the oldest release is the same everywhere."""
    from fidelity_otel.integrations import BUILTIN

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = {name for held in project["optional-dependencies"].values() for name in held}
    versions = tomllib.loads((ROOT / "tests/integrations/versions.toml").read_text())
    tool.readme()
    from docs_integrations import described

    assert {one.name for one in described()} == set(BUILTIN)
    for one in described():
        if one.library:
            assert f"- `{one.name}`: {one.summary}" in tool.readme()
            library, oldest = one.library.split(" ≥ ")
            assert f"{library}>={oldest}" in extras, f"no extra installs {one.library}"
            tested = [re.sub(r"\[.*?\]", "", versions[one.name][end][0]) for end in ENDS]
            assert tested[0].startswith(f"{library}=={oldest}"), one.name
            assert tested[1] == library


def test_a_page_without_a_place_is_an_error(tool: ModuleType, tmp_path: Path) -> None:
    tool.readme()
    from docs_integrations import filled

    page = tmp_path / "page.md"
    page.write_text("# nothing\n")
    with pytest.raises(ValueError, match="no place"):
        filled(page, "")


def test_a_command_that_is_not_there_is_shown_by_its_summary(tool: ModuleType) -> None:
    assert tool._command("nowhere", "Does nothing.") == ["Does nothing."]
