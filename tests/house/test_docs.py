"""Documentation cannot rot: its Python runs, its commands exist, its links lead somewhere.

A block is run as it stands, in an empty folder. Where that cannot be, a comment `<!-- not run: why -->`
on the line before says so. `<!-- continues -->` runs a block together with the one before it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- (?P<note>[^>]*?) -->\n)?^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S
)


def blocks(language: str) -> list[tuple[str, str]]:
    """(where, code) of every block to run, with the blocks that continue it appended."""
    found: list[tuple[str, str]] = []
    for page in PAGES:
        text = page.read_text()
        for match in BLOCK.finditer(text):
            note = match["note"] or ""
            if match["language"] != language or note.startswith("not run"):
                continue
            where = f"{page.relative_to(ROOT)}:{text.count(chr(10), 0, match.start('code'))}"
            if note.startswith("continues") and found:
                found[-1] = (found[-1][0], found[-1][1] + match["code"])
            else:
                found.append((where, match["code"]))
    return found


@pytest.mark.parametrize(("where", "code"), blocks("python"), ids=[w for w, _ in blocks("python")])
def test_python_blocks_run(where: str, code: str, tmp_path: Path) -> None:
    env = {
        **os.environ,
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "FIDELITY_DATA": str(tmp_path / "data"),
    }
    if "def test_" in code:
        (tmp_path / "test_snippet.py").write_text(code)
        command = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "test_snippet.py",
        ]
    else:
        command = [sys.executable, "-W", "error::SyntaxWarning", "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env, timeout=60)
    assert ran.returncode == 0, f"{where}\n{ran.stdout[-2000:]}\n{ran.stderr[-3000:]}"


def test_commands_in_the_documentation_exist() -> None:
    from fidelity_otel.cli import COMMANDS

    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        text = page.read_text()
        shell = "\n".join(
            m["code"] for m in BLOCK.finditer(text) if m["language"] in {"sh", "console", "bash"}
        )
        for name in re.findall(r"^\s*(?:\$ )?(?:\.venv/bin/)?fidelity ([a-z]+)", shell, re.M):
            assert name in COMMANDS, f"{page.name}: fidelity {name}"
        for line in re.findall(r"^\s*(?:\$ )?make ((?:[a-z-]+ ?)+)", shell, re.M):
            for name in line.split():
                assert name in targets, f"{page.name}: make {name}"


def test_every_command_is_documented() -> None:
    from fidelity_otel.cli import COMMANDS

    everything = "\n".join(page.read_text() for page in PAGES)
    assert not [name for name in COMMANDS if f"fidelity {name}" not in everything]


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target and not target.startswith("mailto:"):
                assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} → {target}"
