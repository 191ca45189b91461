"""The stock JavaScript exporters into a real service: protobuf, JSON and gRPC, plain and gzip."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.parts]

HERE = Path(__file__).parent / "js"
WAYS = [f"{name}-{packing}" for name in ("proto", "json", "grpc") for packing in ("none", "gzip")]
INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--omit-lockfile-registry-resolved"]


@pytest.fixture(scope="module")
def sent(service: Any, missing: Any, cache: Any) -> dict[str, list[dict[str, Any]]]:
    """What the exporters were handed, by way."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        missing("Node.js with npm")
    folder = cache("interop-js", [HERE / "package.json", HERE / "package-lock.json"])
    if not (folder / "complete").exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder / name)
        done = subprocess.run([npm, *INSTALL], cwd=folder, capture_output=True, text=True)
        if done.returncode:
            missing(f"what `npm ci` installs ({done.stderr.strip()[-500:]})")
        (folder / "complete").touch()
    # Modules are looked up beside the script, so it runs where they are.
    script = folder / "send.mjs"
    shutil.copy(HERE / "send.mjs", script)
    where = {"http": service.address("http"), "grpc": service.address("grpc")}
    run = subprocess.run(
        [node, str(script), json.dumps(where)], capture_output=True, text=True, timeout=90
    )
    assert run.returncode == 0, run.stderr[-3000:]
    out: dict[str, list[dict[str, Any]]] = json.loads(run.stdout)
    return out


@pytest.mark.parametrize("way", WAYS)
def test_stock_javascript_exporter(
    way: str, sent: dict[str, list[dict[str, Any]]], compare: Callable[[Any], None]
) -> None:
    spans = sent[way]
    assert len(spans) == 12
    strange = next(span for span in spans if span["name"] == "strange 😀")
    assert strange["attributes"]["int.most_safe"] == {"i": str(2**53 - 1)}
    assert len(strange["attributes"]) >= 19
    compare(spans)
