"""The native parts are built where they can be, and an install never fails for want of it."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from fidelity_otel.processor import native

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


LEFT_OUT = {
    "FIDELITY_BUILD_NATIVE says so": ("FIDELITY_BUILD_NATIVE", "0"),
    "the compiler said": ("CC", "false"),
    "there is no C compiler": ("PATH", "/nowhere"),
}


@pytest.mark.parametrize("why", LEFT_OUT)
def test_what_cannot_be_built_is_left_out_with_a_word(
    hook: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    why: str,
) -> None:
    monkeypatch.setenv(*LEFT_OUT[why])
    assert hook.compile_parts(ROOT, tmp_path) == []
    assert why in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_what_was_built_reads_spans(hook: ModuleType, tmp_path: Path) -> None:
    made = hook.compile_parts(ROOT, tmp_path)
    assert [each.name.partition(".")[0] for each in made] == list(native.PARTS)
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import _scan; "
        r"print(_scan.decode(b'\n\x06\x12\x04\x12\x02*\x00', tuple, tuple, tuple))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    # `tuple` takes no 17 arguments: the scanner came as far as making the span.
    assert "tuple expected at most 1 argument, got 17" in done.stderr


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")
def test_one_part_that_cannot_be_built_leaves_none(
    hook: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hook, "PARTS", (*hook.PARTS, "_of_no_source"))
    assert hook.compile_parts(ROOT, tmp_path) == []
    assert not list(tmp_path.iterdir())
