"""Builds the native parts into the wheel where a C compiler is there; without one, a pure wheel.

`python hatch_build.py` builds them beside their sources, for an editable install. Set
FIDELITY_BUILD_NATIVE=0 for a pure wheel whatever is there. Nothing here makes an install fail.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

FOLDER = Path("fidelity_otel") / "processor"
PARTS = ("_scan", "_journal", "_read", "_words", "_sift")


def compile_parts(root: Path, into: Path) -> list[Path]:
    """Compile the native parts; none, and a word on stderr, where that cannot be done.

    Args:
        root: the folder of the project.
        into: the folder for the extension modules.

    Returns:
        The extension modules: all of them or none, as they are used together.
    """
    if os.environ.get("FIDELITY_BUILD_NATIVE", "1").lower() in {"0", "off", "false", "no"}:
        return _without("FIDELITY_BUILD_NATIVE says so")
    if sys.implementation.name != "cpython" or os.name != "posix":
        return _without("it is for CPython on Linux and macOS")
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(compiler[0]) is None:
        compiler = ["cc"]
    if shutil.which(compiler[0]) is None:
        return _without("there is no C compiler")
    shared = (
        ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    )
    include = f"-I{sysconfig.get_paths()['include']}"
    command = [*compiler, "-O3", "-DNDEBUG", "-fPIC", *shared, include]
    made: list[Path] = []
    for name in PARTS:
        made.append(into / f"{name}{sysconfig.get_config_var('EXT_SUFFIX')}")
        files = [str(root / FOLDER / f"{name}.c"), "-o", str(made[-1])]
        try:
            done = subprocess.run(  # noqa: S603 - the compiler of this Python, or the one asked for
                [*command, *files], capture_output=True, text=True, timeout=120, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return _without(str(error), made)
        if done.returncode:
            return _without(f"the compiler said: {done.stderr.strip()[-600:]}", made)
    return made


def _without(why: str, made: Iterable[Path] = ()) -> list[Path]:
    print(f"without the native parts, which is slower and does the same: {why}", file=sys.stderr)
    for each in made:
        each.unlink(missing_ok=True)
    return []


def main() -> None:
    """Build the native parts beside their sources."""
    root = Path(__file__).resolve().parent
    compile_parts(root, root / FOLDER)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, where hatchling is not installed
    pass
else:

    class NativeParts(BuildHookInterface[Any]):
        """Puts the compiled parts into wheels that are not editable."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile, and say that the wheel is for this platform."""
            if version == "editable":
                return
            self._folder = tempfile.TemporaryDirectory()
            made = compile_parts(Path(self.root), Path(self._folder.name))
            for each in made:
                build_data["force_include"][str(each)] = str(FOLDER / each.name)
            if made:
                build_data["pure_python"] = False
                build_data["infer_tag"] = True

        def finalize(self, *_: object) -> None:
            """Remove what was compiled."""
            folder = getattr(self, "_folder", None)
            if folder is not None:
                folder.cleanup()


if __name__ == "__main__":
    main()
