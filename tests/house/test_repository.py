"""What must never be committed, and what every command owes its user."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def committed() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in committed():
        try:
            found.append((path, path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue
    return found


def test_lock_files_have_hashes_and_no_addresses() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text, path
        pinned = re.findall(r"^[A-Za-z0-9._-]+==\S+", text, re.M)
        assert pinned, path
        assert text.count("--hash=sha256:") >= len(pinned), path


def test_no_registry_address_in_configuration() -> None:
    pattern = re.compile(
        r"(index-url|registry\s*[=:]|\"resolved\"\s*:|GOPROXY\s*=)\s*\S*https?://", re.I
    )
    assert not [
        str(p)
        for p, text in texts()
        if p.suffix != ".md" and p != Path(__file__) and pattern.search(text)
    ]


def test_no_copyleft_dependency() -> None:
    from importlib.metadata import distribution

    core = re.findall(r"^([A-Za-z0-9._-]+)==", (ROOT / "requirements/core.txt").read_text(), re.M)
    assert core
    for name in core:
        meta = distribution(name).metadata
        licence = " ".join(
            [
                meta.get("License-Expression") or "",
                meta.get("License") or "",
                *(meta.get_all("Classifier") or []),
            ]
        )
        assert not re.search(r"\b(A?GPL)", licence.replace("LGPL", "")), (name, licence[:200])
