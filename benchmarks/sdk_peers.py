"""The peers of the SDK's benchmark, each in an environment of its own, kept outside the clone."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

PEERS: dict[str, tuple[str, ...]] = {
    # Without the instrumentations of some forty clients, which it loads only where they are there:
    # their releases ask for different ones of OpenTelemetry's. httpx is imported but not declared.
    "traceloop": (
        *("opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-grpc"),
        *("opentelemetry-exporter-otlp-proto-http", "opentelemetry-instrumentation-threading"),
        *("opentelemetry-instrumentation-logging", "opentelemetry-semantic-conventions-ai<0.6"),
        *(
            "aiohttp",
            "colorama",
            "cuid",
            "deprecated",
            "jinja2",
            "pydantic",
            "tenacity<10",
            "httpx",
        ),
    ),
    "openinference": ("openinference-instrumentation", "opentelemetry-sdk"),
    "langfuse": ("langfuse==5.0.4",),
    "logfire": ("logfire==4.41.0",),
    # mlflow-tracing alone records nothing over OTLP: it imports sqlparse without saying so
    "mlflow": ("mlflow-skinny==3.17.2", "pandas", "opentelemetry-exporter-otlp-proto-http"),
    "langsmith": ("langsmith[otel]==0.15.0", "opentelemetry-exporter-otlp-proto-http"),
}


WITHOUT_DEPENDENCIES = {"traceloop": ("traceloop-sdk==0.62.4",)}


def cache() -> Path:
    """Where the environments are kept."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "fidelity-otel" / "bench-sdk"


def environment(name: str) -> Path:
    """The interpreter of a peer's environment, which is made where it is not there yet.

    Raises:
        RuntimeError: it cannot be installed.
    """
    return made(name, PEERS[name], WITHOUT_DEPENDENCIES.get(name, ()))


def made(name: str, packages: tuple[str, ...], bare: tuple[str, ...] = ()) -> Path:
    """The interpreter of an environment with some packages, made once.

    Args:
        name: for people; the packages are what makes it another one.
        packages: requirements as pip takes them.
        bare: the same, installed without what they ask for.

    Raises:
        RuntimeError: they cannot be installed.
    """
    digest = hashlib.sha256("\n".join((sys.version, *packages, *bare)).encode()).hexdigest()[:12]
    home = cache() / f"{name}-{digest}"
    python = home / "bin" / "python"
    if (home / "ready").exists():
        return python
    shutil.rmtree(home, ignore_errors=True)
    home.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "-q"]
    for wanted in filter(None, (packages, bare and ("--no-deps", *bare))):
        ran = subprocess.run([*pip, *wanted], capture_output=True, text=True, check=False)
        if ran.returncode:
            raise RuntimeError(f"{name} cannot be installed: {ran.stderr.strip()[-300:]}")
    (home / "ready").touch()
    return python


if __name__ == "__main__":
    for peer in sys.argv[1:] or PEERS:
        print(environment(peer))
