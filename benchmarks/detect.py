"""The figures of detection on data that we did not write: `make bench-detect`.

    python benchmarks/detect.py              all; writes benchmarks/detection/results.json
    python benchmarks/detect.py tau cost     some; leaves the other results as they are

The data sets are looked for in $FIDELITY_DATA_SETS, else in ../shared/data; where they are absent,
only `cost` runs. `docs/detection.md` is made from the results by tools/make_docs.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.detection import figures  # noqa: E402

RESULTS = ROOT / "benchmarks" / "detection" / "results.json"
PARTS = {
    "tau": figures.tau,
    "who_and_when": figures.who_and_when,
    "toolbench": figures.toolbench,
    "halueval": figures.halueval,
    "cost": figures.cost,
}


def data_sets() -> Path | None:
    """The folder of the published data sets, where there is one."""
    named = os.environ.get("FIDELITY_DATA_SETS")
    for folder in [*([Path(named)] if named else []), ROOT.parent / "shared" / "data"]:
        if (folder / "tau_bench").is_dir():
            return folder
    return None


def main() -> int:
    """Run what the command line names and write the results."""
    parser = argparse.ArgumentParser(description="Figures of detection on published data.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(PARTS))
    given = parser.parse_args()
    unknown = set(given.parts) - set(PARTS)
    if unknown:
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    folder = data_sets()
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in given.parts or PARTS:
        if folder is None and name != "cost":
            print(
                f"{name}: skipped, the data sets are absent (FIDELITY_DATA_SETS)", file=sys.stderr
            )
            continue
        results[name] = _rounded(PARTS[name](folder))  # type: ignore[arg-type]
        print(json.dumps({name: results[name]}, indent=2))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    return 0


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 4)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    return value


if __name__ == "__main__":
    raise SystemExit(main())
