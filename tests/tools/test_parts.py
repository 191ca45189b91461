"""The script that gets the real parts: where it looks, what it says, when it builds again."""

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "parts.py"

COMPONENTS = {
    "receivers": {"otlp"},
    "processors": {
        "batch",
        "filter",
        "groupbytrace",
        "memory_limiter",
        "redaction",
        "tail_sampling",
        "transform",
    },
    "connectors": {"routing", "span_metrics"},
    "exporters": {"debug", "file", "kafka", "nop", "otlp_grpc", "otlp_http", "prometheus"},
    "extensions": {"file_storage", "health_check"},
    "providers": {"env", "file", "yaml"},
}


def load_script():
    spec = importlib.util.spec_from_file_location("parts_under_test", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def parts(monkeypatch, tmp_path):
    """The script as a module, on a machine that has nothing: no program and an empty cache."""
    module = load_script()
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.setenv("PATH", str(empty))
    monkeypatch.setenv("FIDELITY_PARTS_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "DEBIAN_POSTGRES", empty)
    monkeypatch.setattr(module, "GO_FALLBACK", empty / "go")
    return module


def program(path, text="exit 0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def modules(text):
    return set(re.findall(r"(?m)(\S+\.\S+/\S+) (v[0-9]\S*)", text))


def run_script(*arguments, **env):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *arguments],
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestKey:
    @pytest.fixture
    def build_dir(self, parts, tmp_path):
        return Path(shutil.copytree(parts.BUILD_DIR, tmp_path / "build"))

    def test_a_second_clone_has_the_same_key(self, parts, build_dir):
        assert parts.collector_key(build_dir) == parts.collector_key()

    @pytest.mark.parametrize("name", ["manifest.yaml", "go.mod", "go.sum"])
    def test_each_file_changes_it(self, parts, build_dir, name):
        with (build_dir / name).open("a") as file:
            file.write("\n")
        assert parts.collector_key(build_dir) != parts.collector_key()

    def test_text_that_moves_from_one_file_to_the_next_changes_it(self, parts, build_dir):
        whole = (build_dir / "go.mod").read_bytes()
        (build_dir / "go.mod").write_bytes(whole[:-10])
        (build_dir / "go.sum").write_bytes(whole[-10:] + (build_dir / "go.sum").read_bytes())
        assert parts.collector_key(build_dir) != parts.collector_key()

    def test_the_builder_changes_it(self, parts, monkeypatch):
        before = parts.collector_key()
        monkeypatch.setattr(parts, "BUILDER_VERSION", "v0.0.1")
        assert parts.collector_key() != before


class TestManifest:
    def test_its_modules_are_pinned_in_go_mod(self, parts):
        manifest = modules((parts.BUILD_DIR / "manifest.yaml").read_text())
        pinned = modules((parts.BUILD_DIR / "go.mod").read_text())
        assert manifest
        assert manifest <= pinned

    def test_every_module_has_its_hash(self, parts):
        pinned = modules((parts.BUILD_DIR / "go.mod").read_text())
        hashed = modules((parts.BUILD_DIR / "go.sum").read_text())
        assert {(name, f"{version}/go.mod") for name, version in pinned} <= hashed

    def test_the_build_writes_where_it_looks(self, parts, tmp_path):
        # A builder that does what the manifest says, in the directory it is started in.
        builder = program(
            tmp_path / "builder",
            'out=$(/bin/sed -n "s/^ *output_path: *\\([^ ]*\\).*/\\1/p" "$2"); /bin/mkdir -p "$out"',
        )
        work = tmp_path / "work"
        work.mkdir()
        sources = parts._sources(builder, work)
        assert sorted(path.name for path in sources.iterdir()) == ["go.mod", "go.sum"]


class TestFind:
    def test_an_empty_machine_has_nothing(self, parts):
        assert [name for name in parts.PARTS if parts.find(name)] == []

    def test_a_program_on_path(self, parts, tmp_path):
        made = program(tmp_path / "empty" / "promtool")
        assert parts.find("promtool") == made

    def test_the_collector_of_this_manifest_only(self, parts, tmp_path):
        program(tmp_path / "cache" / "otelcol" / "0123456789abcdef" / "otelcol")
        assert parts.find("otelcol") is None
        made = program(parts.collector_path())
        assert made.is_relative_to(tmp_path / "cache")
        assert parts.find("collector") == parts.find("otelcol") == made

    def test_a_collector_that_cannot_run_does_not_count(self, parts):
        program(parts.collector_path()).chmod(0o644)
        assert parts.find("otelcol") is None

    def test_the_newest_whole_postgres(self, parts, tmp_path):
        for version in ("9.6", "13", "15"):
            for name in ("initdb", "pg_ctl", "postgres"):
                program(tmp_path / "empty" / version / "bin" / name)
        program(tmp_path / "empty" / "17" / "bin" / "initdb")
        assert parts.find("postgresql") == tmp_path / "empty" / "15" / "bin"

    def test_a_name_that_no_part_has(self, parts):
        with pytest.raises(ValueError, match=r"'kaffka'.*otelcol"):
            parts.find("kaffka")

    def test_the_cache_is_outside_the_clone(self, parts, monkeypatch, tmp_path):
        monkeypatch.delenv("FIDELITY_PARTS_DIR")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert parts.cache_dir() == tmp_path / ".cache" / "fidelity-otel"


class TestGet:
    def test_does_nothing_for_what_is_there(self, parts, monkeypatch, tmp_path):
        monkeypatch.setattr(parts, "_install", lambda packages: pytest.fail(f"installs {packages}"))
        made = program(tmp_path / "empty" / "chromium")
        assert parts.get("chromium") == made
        assert not (tmp_path / "cache").exists()

    def test_without_go(self, parts):
        with pytest.raises(parts.PartMissingError, match=r"no `go` is on PATH\n.*get otelcol"):
            parts.get("collector")

    def test_without_apt(self, parts):
        with pytest.raises(parts.PartMissingError, match="no apt-get"):
            parts.get("promtool")

    def test_without_root(self, parts, monkeypatch, tmp_path):
        program(tmp_path / "empty" / "apt-get", "exit 99")
        monkeypatch.setattr(parts.os, "geteuid", lambda: 1000)
        with pytest.raises(parts.PartMissingError, match="sudo apt-get install chromium"):
            parts.get("chromium")

    def test_one_install_for_all_packages(self, parts, monkeypatch, tmp_path):
        asked = []

        def install(packages):
            asked.append(list(packages))
            program(tmp_path / "empty" / "prometheus")
            program(tmp_path / "empty" / "promtool")

        monkeypatch.setattr(parts, "_install", install)
        failures = parts.get_all(["prometheus", "promtool", "chromium"])
        assert asked == [["prometheus", "chromium", "fonts-liberation"]]
        assert list(failures) == ["chromium"]

    def test_one_part_that_fails_does_not_stop_the_others(self, parts, monkeypatch):
        def install(packages):
            raise parts.PartMissingError("no packages today")

        monkeypatch.setattr(parts, "_install", install)
        monkeypatch.setattr(parts, "_build_collector", lambda: program(parts.collector_path()))
        assert parts.get_all(["promtool", "otelcol"]) == {"promtool": "no packages today"}
        assert parts.find("otelcol")

    def test_a_build_that_fails_leaves_nothing_but_its_log(self, parts, tmp_path):
        program(tmp_path / "empty" / "go", "echo the registry is away; exit 3")
        with pytest.raises(parts.PartMissingError, match=r"(?s)exited 3.*the registry is away"):
            parts.get("otelcol")
        left = {path.name for path in (tmp_path / "cache").iterdir()}
        assert left == {"lock", "log"}

    def test_the_second_call_waits_and_does_not_build_again(self, parts, tmp_path):
        cache = tmp_path / "cache"
        cache.mkdir()
        script = f"import sys; sys.argv[1:] = ['get', 'otelcol']; {RUN_SCRIPT}"
        with (cache / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            waiting = subprocess.Popen(
                [sys.executable, "-c", script], stderr=subprocess.PIPE, text=True
            )
            try:
                said = waiting.stderr.readline()
                time.sleep(0.2)
                assert "another call is getting parts" in said
                assert waiting.poll() is None
                program(parts.collector_path())
                fcntl.flock(lock, fcntl.LOCK_UN)
                assert waiting.communicate(timeout=30) == (None, "")
                assert waiting.returncode == 0
            finally:
                waiting.kill()
                waiting.wait()


RUN_SCRIPT = f"import runpy; runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"


class TestApt:
    @pytest.fixture
    def apt(self, parts, monkeypatch, tmp_path):
        """An apt-get that writes down its arguments and then does what the test says."""
        monkeypatch.setenv("PATH", f"{tmp_path / 'empty'}:/usr/bin:/bin")
        monkeypatch.setattr(parts, "POLICY", tmp_path / "policy-rc.d")
        monkeypatch.setattr(parts, "_root_prefix", list)
        monkeypatch.setattr(parts, "APT_WAIT_SECONDS", 0)
        log = tmp_path / "calls"

        def behave(text):
            program(tmp_path / "empty" / "apt-get", f'echo "$@" >> {log}\n{text}')
            return log

        return behave

    def test_updates_once_then_installs_with_the_guard_up(self, parts, apt, tmp_path):
        log = apt(f"test -x {parts.POLICY} || exit 9; ! {parts.POLICY}")
        parts._install(["promtool-x", "chromium-x"])
        calls = log.read_text().splitlines()
        assert [call.split()[2] for call in calls] == ["update", "install"]
        assert calls[1].endswith("promtool-x chromium-x")
        assert not parts.POLICY.exists()

    def test_takes_the_guard_away_when_it_fails(self, parts, apt):
        apt('test "$3" = update || exit 100')
        with pytest.raises(parts.PartMissingError, match="exited 100"):
            parts._install(["promtool-x"])
        assert not parts.POLICY.exists()

    def test_leaves_a_guard_of_the_machine_alone(self, parts, apt):
        parts.POLICY.write_text("#!/bin/sh\nexit 101\n")
        apt("exit 0")
        parts._install(["promtool-x"])
        assert parts.POLICY.read_text() == "#!/bin/sh\nexit 101\n"

    def test_goes_on_with_old_lists(self, parts, apt, capsys):
        log = apt('test "$3" != update || exit 100')
        parts._install(["promtool-x"])
        assert len(log.read_text().splitlines()) == 2
        assert "going on with the old ones" in capsys.readouterr().err

    def test_tries_again_while_another_apt_get_is_at_work(self, parts, apt, tmp_path):
        log = apt(
            f"test $(wc -l < {tmp_path / 'calls'}) -gt 2 && exit 0\n"
            "echo E: Could not get lock /var/lib/apt/lists/lock; exit 100"
        )
        parts._apt([], "update")
        assert len(log.read_text().splitlines()) == 3

    def test_does_not_try_again_for_another_reason(self, parts, apt):
        log = apt("echo E: Unable to locate package; exit 100")
        with pytest.raises(parts.PartMissingError, match="Unable to locate"):
            parts._apt([], "install", "x")
        assert len(log.read_text().splitlines()) == 1

    def test_stops_only_the_service_that_the_package_started(
        self, parts, apt, monkeypatch, tmp_path
    ):
        old, new = (subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) for _ in "ab")
        seen = iter([{old.pid}, {old.pid, new.pid}])
        monkeypatch.setattr(parts, "_daemons", lambda name: next(seen))
        apt("exit 0")
        try:
            parts._install(["prometheus"])
            assert new.wait(timeout=10) == -15
            assert old.poll() is None
        finally:
            for process in (old, new):
                process.kill()
                process.communicate()

    def test_a_prometheus_of_a_person_is_no_service(self, parts, monkeypatch):
        process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1)
        try:
            comm = Path(f"/proc/{process.pid}/comm").read_text().strip()
            mine = os.geteuid()
            assert parts._is_daemon(Path(f"/proc/{process.pid}"), comm, mine)
            assert not parts._is_daemon(Path(f"/proc/{process.pid}"), comm, mine + 1)
            assert not parts._is_daemon(Path(f"/proc/{process.pid}"), "prometheus", mine)
        finally:
            process.kill()
            process.communicate()
        assert not parts._is_daemon(Path(f"/proc/{process.pid}"), comm, mine)


class TestCommandLine:
    @pytest.mark.parametrize("name", ["otelcol", "collector", "prometheus", "promtool", "chromium"])
    def test_where_says_how_to_mend_a_missing_part(self, tmp_path, name):
        done = run_script("where", name, PATH=str(tmp_path), FIDELITY_PARTS_DIR=str(tmp_path))
        assert done.returncode == 1
        assert done.stdout == ""
        real = "otelcol" if name == "collector" else name
        assert f"{real} is missing" in done.stderr
        assert f"python3 tools/parts.py get {real}" in done.stderr

    def test_where_prints_the_path_and_nothing_else(self, tmp_path):
        made = program(tmp_path / "promtool")
        done = run_script("where", "promtool", PATH=str(tmp_path))
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{made}\n", "")

    @pytest.mark.parametrize("arguments", [["where", "nothing"], ["get", "nothing"], ["where"], []])
    def test_wrong_use(self, tmp_path, arguments):
        done = run_script(*arguments, PATH=str(tmp_path), FIDELITY_PARTS_DIR=str(tmp_path))
        assert done.returncode == 2
        assert "usage:" in done.stderr

    def test_list_has_one_line_a_part(self, tmp_path):
        made = program(tmp_path / "promtool")
        done = run_script("list", PATH=str(tmp_path), FIDELITY_PARTS_DIR=str(tmp_path))
        assert done.returncode == 0
        rows = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()}
        assert list(rows) == ["otelcol", "prometheus", "promtool", "chromium", "postgres"]
        assert rows["promtool"] == ["there", str(made)]
        assert rows["chromium"][0] == "missing"
        assert "tools/parts.py get chromium" in rows["chromium"][1]

    def test_get_says_what_failed_and_exits_1(self, tmp_path, parts, capsys):
        assert parts.main(["get", "otelcol", "promtool"]) == 1
        said = capsys.readouterr().err
        assert "otelcol is missing: it is built with Go" in said
        assert "promtool is missing: there is no apt-get" in said


@pytest.mark.parts
def test_the_built_collector_has_every_component():
    binary = load_script().find("otelcol")
    if binary is None:
        assert os.environ.get("CI") != "true", "the Collector is missing"
        pytest.skip("the Collector is missing: python3 tools/parts.py get collector")
    text = subprocess.run([binary, "components"], capture_output=True, text=True, check=True).stdout
    found = {}
    for line in text.splitlines():
        if heading := re.fullmatch(r"(\w+):", line):
            names = found.setdefault(heading[1], set())
        elif name := re.fullmatch(r"    - name: (\S+)|    - scheme: (\S+)", line):
            names.add(name[1] or name[2])
    assert {kind: found.get(kind) for kind in COMPONENTS} == COMPONENTS
