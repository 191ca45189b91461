#!/usr/bin/env python3
"""Gets the real parts that the tests need, and says where they are.

    python3 tools/parts.py get [PART ...]     all of them by default; does nothing for what is there
    python3 tools/parts.py where PART         prints the path, or says what is missing and exits 1
    python3 tools/parts.py list               a table of what is there and what is not

The parts are the OpenTelemetry Collector (`otelcol`, built by the OpenTelemetry builder with Go
from `collector-config/otelcol/build/`), `prometheus` and `promtool`, `chromium`, and `postgres`
(a directory: the PostgreSQL server's programs). `collector` and `postgresql` are other names for
the first and the last.

What is built lies in `~/.cache/fidelity-otel/`, or in the directory that FIDELITY_PARTS_DIR names,
under a hash of what it is built from, so a second clone finds it there. The others are Debian
packages, installed with apt-get when the program is missing and this user may do so; their
services are not started.

Tests call `find(part)` and `get(part)`. Only the standard library is used.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import platform
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

BUILD_DIR = Path(__file__).resolve().parents[1] / "collector-config" / "otelcol" / "build"
BUILD_FILES = ("manifest.yaml", "go.mod", "go.sum")
BUILDER = "go.opentelemetry.io/collector/cmd/builder"
BUILDER_VERSION = "v0.165.0"
GO_NEEDED = "1.26"
GO_FALLBACK = Path("/usr/local/go/bin/go")

DEBIAN_POSTGRES = Path("/usr/lib/postgresql")
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_MARK = "fidelity_otel tools/parts.py"
POLICY_TEXT = f"#!/bin/sh\n# {POLICY_MARK} removes this when it has installed.\nexit 101\n"

APT_BUSY = ("get lock", "unable to lock", "frontend lock")
APT_TRIES = 6
APT_WAIT_SECONDS = 10


class PartMissingError(RuntimeError):
    """A part is not there; the message says why."""


class Part(NamedTuple):
    """One thing that the tests need."""

    find: Callable[[], Path | None]
    """Where it is, if it is there."""
    packages: tuple[str, ...]
    """The Debian packages that bring it; none for what is built here."""
    what: str
    """A few words for people."""


def say(text: str) -> None:
    """Tell the person at the terminal how far we are."""
    print(f"parts: {text}", file=sys.stderr, flush=True)


# Where things are


def cache_dir() -> Path:
    """The directory for everything that is built, outside the clone."""
    named = os.environ.get("FIDELITY_PARTS_DIR")
    if named:
        return Path(named).expanduser().absolute()
    return Path.home() / ".cache" / "fidelity-otel"


def collector_key(build_dir: Path = BUILD_DIR) -> str:
    """A short hash of all that decides what the built Collector is."""
    digest = hashlib.sha256()
    digest.update(f"{BUILDER_VERSION} {platform.system()} {platform.machine()}\n".encode())
    for name in BUILD_FILES:
        content = (build_dir / name).read_bytes()
        digest.update(f"{name} {len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


def collector_path() -> Path:
    """Where the Collector of this clone is, or will be."""
    return cache_dir() / "otelcol" / collector_key() / "otelcol"


def _runnable(path: Path) -> Path | None:
    return path if path.is_file() and os.access(path, os.X_OK) else None


def _on_path(*names: str) -> Path | None:
    hits = (shutil.which(name) for name in names)
    return next((Path(hit).absolute() for hit in hits if hit), None)


def _postgres_bin() -> Path | None:
    """The directory of the newest PostgreSQL server: Debian keeps it off PATH."""
    packaged = sorted(DEBIAN_POSTGRES.glob("[0-9]*/bin"), key=lambda path: float(path.parent.name))
    on_path = shutil.which("initdb")
    others = [Path(on_path).resolve().parent] if on_path else []
    return next(filter(_is_postgres_bin, [*reversed(packaged), *others]), None)


def _is_postgres_bin(directory: Path) -> bool:
    return all(_runnable(directory / name) for name in ("initdb", "pg_ctl", "postgres"))


PARTS: Mapping[str, Part] = {
    "otelcol": Part(lambda: _runnable(collector_path()), (), "the OpenTelemetry Collector"),
    "prometheus": Part(lambda: _on_path("prometheus"), ("prometheus",), "the Prometheus server"),
    "promtool": Part(lambda: _on_path("promtool"), ("prometheus",), "Prometheus's rule checker"),
    "chromium": Part(
        lambda: _on_path("chromium", "chromium-browser", "google-chrome"),
        ("chromium", "fonts-liberation"),
        "a browser",
    ),
    "postgres": Part(_postgres_bin, ("postgresql",), "the PostgreSQL server's programs"),
}
ALIASES: Mapping[str, str] = {"collector": "otelcol", "postgresql": "postgres"}


def _name(part: str) -> str:
    name = ALIASES.get(part, part)
    if name not in PARTS:
        raise ValueError(f"no part is called {part!r}; there are {', '.join([*PARTS, *ALIASES])}")
    return name


def find(part: str) -> Path | None:
    """Where a part is, or None when this machine does not have it."""
    return PARTS[_name(part)].find()


def mend(part: str) -> str:
    """What a person can do about a missing part, in one sentence."""
    name = _name(part)
    command = f"python3 tools/parts.py get {name}"
    packages = PARTS[name].packages
    if not packages:
        return f"run `{command}` (needs Go {GO_NEEDED} or newer, takes some minutes once)"
    return f"run `{command}` (needs Debian and root or sudo), or install {packages[0]} yourself"


def _missing(name: str, why: str) -> str:
    return f"{name} is missing: {why}\nTo mend it: {mend(name)}."


# Running other programs


def _run(log_name: str, command: Sequence[str], cwd: Path, **env: str) -> None:
    """Run a program with its output in a log file; raise with the end of that log when it fails."""
    log = cache_dir() / "log" / f"{log_name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as sink:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **env},
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        end = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
        said = "\n  ".join([f"its output is in {log} and ends with", *end])
        raise PartMissingError(f"`{' '.join(command)}` exited {done.returncode}; {said}")


@contextmanager
def _locked() -> Iterator[None]:
    """Hold the cache's lock: one call at a time gets things."""
    cache_dir().mkdir(parents=True, exist_ok=True)
    with (cache_dir() / "lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another call is getting parts; waiting for it")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# The Collector


def _go() -> str:
    found = _on_path("go") or _runnable(GO_FALLBACK)
    if found is None:
        raise PartMissingError(f"it is built with Go {GO_NEEDED} or newer, and no `go` is on PATH")
    return str(found)


def _publish(made: Path, target: Path) -> None:
    """Put a finished file in its place in one step, so that nobody ever finds half of it."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)


def _builder(go: str, work: Path) -> Path:
    """The OpenTelemetry builder, installed once per version."""
    target = cache_dir() / "builder" / BUILDER_VERSION / "builder"
    if not _runnable(target):
        say(f"installing the OpenTelemetry builder {BUILDER_VERSION}")
        command = [go, "install", f"{BUILDER}@{BUILDER_VERSION}"]
        _run("builder", command, work, GOBIN=str(work / "bin"), GOWORK="off", CGO_ENABLED="0")
        _publish(work / "bin" / "builder", target)
    return target


def _sources(builder: Path, work: Path) -> Path:
    """The Collector's Go sources: generated from the manifest, with the pinned modules added."""
    sources = work / "sources"  # the manifest's output_path
    manifest = str(BUILD_DIR / "manifest.yaml")
    command = [str(builder), "--config", manifest, "--skip-get-modules", "--skip-compilation"]
    _run("generate", command, work)
    for name in ("go.mod", "go.sum"):
        shutil.copyfile(BUILD_DIR / name, sources / name)
    return sources


def _build_collector() -> None:
    """Build the Collector in a temporary directory and put it into the cache, which is locked."""
    go, target, began = _go(), collector_path(), time.monotonic()
    for leftover in cache_dir().glob("build-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache_dir()) as name:
        work = Path(name)
        sources = _sources(_builder(go, work), work)
        say("building the Collector: 3 to 5 minutes on two cores, once")
        options = ["-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w"]
        command = [go, "build", *options, "-o", "otelcol", "."]
        _run("build", command, sources, GOWORK="off", CGO_ENABLED="0")
        _run("components", [str(sources / "otelcol"), "components"], work)
        _publish(sources / "otelcol", target)
    say(f"built {target} in {time.monotonic() - began:.0f} s")


# Debian packages


def _root_prefix() -> list[str] | None:
    """What to put before a command to run it as root; None when this user can't."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    allowed = subprocess.run([sudo, "-n", "true"], capture_output=True, check=False)
    return None if allowed.returncode else [sudo, "-n"]


def _apt(root: Sequence[str], *arguments: str) -> None:
    """Run apt-get, again when another apt-get holds a lock at this moment."""
    quiet = ["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "LC_ALL=C"]
    command = [*root, "env", *quiet, "apt-get", "-o", "DPkg::Lock::Timeout=600", *arguments]
    for left in reversed(range(APT_TRIES)):
        try:
            _run(f"apt-{arguments[0]}", command, Path("/"))
            break
        except PartMissingError as error:
            if not left or not any(sign in str(error).lower() for sign in APT_BUSY):
                raise
            say("another apt-get is at work; waiting for it")
            time.sleep(APT_WAIT_SECONDS)


@contextmanager
def _no_services(root: Sequence[str]) -> Iterator[None]:
    """Tell Debian's packages not to start their services, unless the machine says so already."""
    if POLICY.exists() and POLICY_MARK not in POLICY.read_text(encoding="utf-8", errors="replace"):
        yield
        return
    with tempfile.NamedTemporaryFile("w", prefix="policy-rc.d-") as text:
        text.write(POLICY_TEXT)
        text.flush()
        subprocess.run([*root, "install", "-m", "755", text.name, str(POLICY)], check=True)
    try:
        yield
    finally:
        subprocess.run([*root, "rm", "-f", str(POLICY)], check=False)


def _daemons(name: str) -> set[int]:
    """The processes with this program's name that run as the system user of the same name."""
    try:
        uid = pwd.getpwnam(name).pw_uid
    except KeyError:
        return set()
    processes = Path("/proc").glob("[0-9]*")
    return {int(process.name) for process in processes if _is_daemon(process, name, uid)}


def _is_daemon(process: Path, name: str, uid: int) -> bool:
    try:
        return process.stat().st_uid == uid and (process / "comm").read_text().strip() == name
    except OSError:  # it ended while we looked
        return False


def _install(packages: Sequence[str]) -> None:
    """Install Debian packages and leave no service of theirs running; the cache is locked."""
    if shutil.which("apt-get") is None:
        raise PartMissingError("there is no apt-get here; install the programs as this system does")
    root = _root_prefix()
    if root is None:
        command = f"sudo apt-get install {' '.join(packages)}"
        raise PartMissingError(f"only root may install packages; `{command}` does it by hand")
    began, before = time.monotonic(), _daemons("prometheus")
    say(f"installing {', '.join(packages)} with apt-get")
    with _no_services(root):
        try:
            _apt(root, "update")
        except PartMissingError as error:
            say(f"the package lists could not be renewed; going on with the old ones: {error}")
        _apt(root, "install", "-y", "--no-install-recommends", *packages)
    if "prometheus" in packages:
        for pid in sorted(_daemons("prometheus") - before):
            say(f"stopping the Prometheus service that the package has started (process {pid})")
            subprocess.run([*root, "kill", str(pid)], check=False)
    say(f"installed {', '.join(packages)} in {time.monotonic() - began:.0f} s")


# Getting


def get_all(parts: Iterable[str]) -> dict[str, str]:
    """Get parts, one process at a time; returns, for each that can't be had, why."""
    names = list(dict.fromkeys(_name(part) for part in parts))
    if all(find(name) for name in names):
        return {}
    with _locked():
        missing = [name for name in names if not find(name)]
        built = [name for name in missing if not PARTS[name].packages]
        packaged = [name for name in missing if PARTS[name].packages]
        packages = list(dict.fromkeys(each for name in packaged for each in PARTS[name].packages))
        failures = _attempt(packaged, lambda: _install(packages))
        return failures | _attempt(built, _build_collector)


def _attempt(names: Sequence[str], step: Callable[[], None]) -> dict[str, str]:
    """Take the step that brings these parts; returns why those that are still missing are."""
    if not names:
        return {}
    why = "all steps went well, and yet it is not to be found"
    try:
        step()
    except (PartMissingError, OSError, subprocess.SubprocessError) as error:
        why = str(error)
    return {name: why for name in names if not find(name)}


def get(part: str) -> Path:
    """Get one part if it is missing; returns its path.

    Raises:
        PartMissingError: It can't be had here; the message says why and what to do.
    """
    name = _name(part)
    failures = get_all([name])
    path = find(name)
    if path is None:
        raise PartMissingError(_missing(name, failures.get(name, "it is gone again")))
    return path


# The command line


def _command_get(parts: Sequence[str]) -> int:
    failures = get_all(parts or PARTS)
    for name, why in failures.items():
        say(_missing(name, why))
    return 1 if failures else 0


def _command_where(part: str) -> int:
    name = _name(part)
    path = find(name)
    if path is None:
        say(_missing(name, f"this machine does not have {PARTS[name].what}"))
        return 1
    print(path)
    return 0


def _command_list() -> int:
    for name, part in PARTS.items():
        path = part.find()
        state, detail = ("there", str(path)) if path else ("missing", mend(name))
        print(f"{name:<12}{state:<9}{detail}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Gets the real parts that the tests need.")
    commands = parser.add_subparsers(dest="command", required=True)
    names = ", ".join([*PARTS, *ALIASES])
    getting = commands.add_parser("get", help="get the parts that are missing, all by default")
    getting.add_argument("parts", nargs="*", metavar="PART", help=names)
    where = commands.add_parser("where", help="print where a part is; exit 1 when it is missing")
    where.add_argument("part", metavar="PART", help=names)
    commands.add_parser("list", help="print what is there and what is not")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code: 0 done, 1 something is missing, 2 wrong use."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        if options.command == "get":
            return _command_get(options.parts)
        return _command_where(options.part) if options.command == "where" else _command_list()
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    sys.exit(main())
