"""Builds the native scanner into the wheel where a C compiler is there; without one, a pure wheel.

`python hatch_build.py` builds it beside its source, for an editable install. Set
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
from pathlib import Path
from typing import Any

SOURCE = Path("fidelity_otel") / "processor" / "_scan.c"


def compile_scan(root: Path, into: Path) -> Path | None:
    """Compile the scanner; None, and a word on stderr, where that cannot be done.

    Args:
        root: the folder of the project.
        into: the folder for the extension module.
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
    made = into / f"_scan{sysconfig.get_config_var('EXT_SUFFIX')}"
    shared = (
        ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
    )
    include = f"-I{sysconfig.get_paths()['include']}"
    command = [*compiler, "-O2", "-DNDEBUG", "-fPIC", *shared, include, str(root / SOURCE)]
    try:
        done = subprocess.run(  # noqa: S603 - the compiler of this Python, or the one asked for
            [*command, "-o", str(made)], capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return _without(str(error))
    if done.returncode:
        return _without(f"the compiler said: {done.stderr.strip()[-600:]}")
    return made


def _without(why: str) -> None:
    print(f"without the native scanner, which is slower and does the same: {why}", file=sys.stderr)


def main() -> None:
    """Build the scanner beside its source."""
    root = Path(__file__).resolve().parent
    compile_scan(root, root / SOURCE.parent)


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run as a script, where hatchling is not installed
    pass
else:

    class NativeScan(BuildHookInterface[Any]):
        """Puts the compiled scanner into wheels that are not editable."""

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile, and say that the wheel is for this platform."""
            if version == "editable":
                return
            self._folder = tempfile.TemporaryDirectory()
            made = compile_scan(Path(self.root), Path(self._folder.name))
            if made is not None:
                build_data["force_include"][str(made)] = str(SOURCE.parent / made.name)
                build_data["pure_python"] = False
                build_data["infer_tag"] = True

        def finalize(self, *_: object) -> None:
            """Remove what was compiled."""
            folder = getattr(self, "_folder", None)
            if folder is not None:
                folder.cleanup()


if __name__ == "__main__":
    main()
