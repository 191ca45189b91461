"""The configuration: one file, environment, command line; every mistake is named with its place."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serving import FIDELITY, clean_environment

from fidelity_otel.errors import ConfigError
from fidelity_otel.processor.config import load
from fidelity_otel.settings import TABLE


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "fidelity.yaml"


def test_precedence_and_sources(path: Path) -> None:
    path.write_text("host: 0.0.0.0\nports:\n  http: 1\n  otlp_http: 2\n  otlp_grpc: 3\n")
    config = load(
        path,
        environ={"FIDELITY_OTLP_HTTP_PORT": "20", "FIDELITY_HTTP_PORT": "10"},
        given={"ports.http": ("--port", "100"), "data": ("--data", None)},
    )
    assert [config[f"ports.{n}"] for n in ("http", "otlp_http", "otlp_grpc")] == [100, 20, 3]
    assert config.sources["ports.http"] == "--port"
    assert config.sources["ports.otlp_http"] == "FIDELITY_OTLP_HTTP_PORT"
    assert config.sources["ports.otlp_grpc"] == f"{path}:5"
    assert config.sources["data"] == "default"


def test_every_setting_of_the_service_has_a_value_and_the_application_s_have_none() -> None:
    config = load(environ={})
    assert set(config.values) == {s.name for s in TABLE if not s.name.startswith("sdk.")}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ports:\n  htpp: 1\n", r":2: no setting is called `ports\.htpp`\. Did you mean `ports\.http`\?"),
        ("idle_seconds: 1\n", r":1: .* Did you mean `assemble\.idle_seconds`\?"),
        ("nonsense: 1\n", r":1: no setting is called `nonsense`\. See docs/settings\.md"),
        ("sample: 7\n", r":1: `sample` holds settings by name"),
        ("- a\n", r":1: the file holds settings by name"),
        ("host: [a, b]\n", r":1: `host` takes one value, not a list"),
        ("host: {a: b}\n", r":1: `host` takes a plain value"),
        ("\nports:\n  http: 70000\n", r":3: ports\.http = '70000' is not a valid port"),
        ("assemble: {max_spans: 0}\n", r":1: assemble\.max_spans = '0' is below its minimum 1"),
        ("host: a\nhost: b\n", r":2: `host` is given twice, first in .*:1"),
        ("sdk:\n  enabled: no\n", r":2: `sdk\.enabled` is a setting of the application"),
        ("host: ${NOWHERE}\n", r":1: the environment has no NOWHERE"),
        ("host: 'a\n", r":\d: not YAML"),
        ("a: b: c\n", r":1: not YAML"),
        ("? [a]\n: b\n", r":1: a setting's name is wanted"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_file_and_line(path: Path, text: str, message: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"fidelity\.yaml{message}"):
        load(path, environ={})


def test_values(path: Path) -> None:
    path.write_text(
        "journal: {max_bytes: 2 GiB}\ncontracts: [a.yaml, '${ROOM:-here}/b.yaml']\n"
        "host: ${env:WHERE}\nassemble:\nreport:\n  benchmark:\nsample: {salt: ''}\n"
    )
    config = load(path, environ={"WHERE": "::1"})
    assert config["journal.max_bytes"] == 2 << 30
    assert config["contracts"] == ("a.yaml", "here/b.yaml")
    assert config["host"] == "::1"
    assert config["report.benchmark"] is None


def test_absent_unreadable_and_binary_files(tmp_path: Path, path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no such file.*--config"):
        load(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError):
        load(path)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f.yaml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            load(path, environ={})
        except ConfigError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_the_command_prints_values_with_sources_and_hides_secrets(path: Path) -> None:
    path.write_text("review: {token: hunter2}\nports: {http: 99}\n")

    def run(*options: str) -> str:
        done = subprocess.run(
            [FIDELITY, "config", "--config", str(path), *options],
            capture_output=True, text=True, check=True, timeout=60,
            env=clean_environment() | {"FIDELITY_HTTP_PORT": ""},
        )  # fmt: skip
        return done.stdout

    shown = json.loads(run("--format", "json"))
    assert shown["ports.http"] == {"value": 99, "source": f"{path}:2"}
    assert shown["review.token"]["value"] == "(hidden)"
    assert "hunter2" not in run()
    assert "settle_seconds" in run("--changed")  # given in the environment
    assert "max_age" not in run("--changed")
