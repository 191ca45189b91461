"""The stock Java exporters into a real service: HTTP and gRPC, plain and gzip."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.xdist_group("interop"), pytest.mark.parts]

HERE = Path(__file__).parent / "java"
WAYS = ["http-none", "http-gzip", "grpc-none", "grpc-gzip"]


def _build(folder: Path, mvn: str, javac: str) -> str:
    """Copy the jars and compile; returns what went wrong, nothing where all went well."""
    folder.mkdir(parents=True, exist_ok=True)
    jars, classes = folder / "lib", folder / "classes"
    commands = [
        [
            *[mvn, "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"],
            f"-DoutputDirectory={jars}",
        ],
        [
            javac,
            "-encoding",
            "UTF-8",
            "-cp",
            f"{jars}/*",
            "-d",
            str(classes),
            str(HERE / "Send.java"),
        ],
    ]
    for command in commands:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=170)
        if done.returncode:
            return (done.stdout + done.stderr).strip()[-800:]
    (folder / "complete").touch()
    return ""


@pytest.fixture(scope="module")
def sent(service: Any, missing: Any, cache: Any) -> dict[str, list[dict[str, Any]]]:
    """What the exporters were handed, by way."""
    java, javac, mvn = (shutil.which(name) for name in ("java", "javac", "mvn"))
    if java is None or javac is None or mvn is None:
        missing("a Java development kit with Maven")
    folder = cache("interop-java", [HERE / "pom.xml", HERE / "Send.java"])
    if not (folder / "complete").exists():
        problem = _build(folder, mvn, javac)
        assert "error:" not in problem, problem  # ours, not the machine's: Send.java is wrong
        if problem:
            missing(f"what Maven gets ({problem})")
    run = subprocess.run(
        [
            *[
                java,
                "-XX:TieredStopAtLevel=1",
                "-Xshare:auto",
                "-cp",
                f"{folder}/lib/*:{folder}/classes",
            ],
            *["Send", service.address("http"), service.address("grpc")],
        ],
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert run.returncode == 0, run.stderr[-3000:]
    out: dict[str, list[dict[str, Any]]] = json.loads(run.stdout)
    return out


@pytest.mark.parametrize("way", WAYS)
def test_stock_java_exporter(
    way: str, sent: dict[str, list[dict[str, Any]]], compare: Callable[[Any], None]
) -> None:
    spans = sent[way]
    assert len(spans) == 13
    strange = next(span for span in spans if span["name"] == "strange 😀")
    assert strange["attributes"]["int.most"] == {"i": str(2**63 - 1)}
    assert len(strange["attributes"]) == 25
    compare(spans)
