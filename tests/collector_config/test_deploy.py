"""The compose and Kubernetes files: what they name exists, and fits the settings' defaults."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from running import CONFIG, ROOT

from fidelity_otel.settings import TABLE, by_name

COMPOSE = CONFIG / "compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text())[
    "services"
]
MANIFESTS = list(yaml.safe_load_all((CONFIG / "k8s" / "fidelity.yaml").read_text()))
VARIABLES = {setting.variable for setting in TABLE}
PORTS = {
    name: by_name()[name].default for name in ("ports.otlp_grpc", "ports.otlp_http", "ports.http")
}


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [m for m in MANIFESTS if m["kind"] == kind]
    return dict(found)


@pytest.mark.parametrize("name", SERVICES)
def test_mounted_files_exist_and_ports_stay_on_this_machine(name: str) -> None:
    service = SERVICES[name]
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (COMPOSE / source).resolve().is_file(), source
            assert volume.endswith(":ro")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")
    image = service.get("image", "")
    assert not image or re.search(r":v?\d+\.\d+\.\d+$", image), "an image without its version"
    for other in service.get("depends_on", []):
        assert other in SERVICES


def test_the_service_is_built_from_what_is_here() -> None:
    build = SERVICES["fidelity"]["build"]
    assert (COMPOSE / build["context"]).resolve() == ROOT
    text = (ROOT / build["dockerfile"]).read_text()
    for source in re.findall(r"^COPY (\S+) ", text, re.M):
        assert (ROOT / source).exists()
    exposed = next(line for line in text.splitlines() if line.startswith("EXPOSE"))
    assert {int(p) for p in exposed.split()[1:]} == set(PORTS.values())
    assert "--require-hashes" in text
    assert "USER fidelity" in text


def test_variables_are_settings() -> None:
    given = set(SERVICES["fidelity"]["environment"])
    container = of_kind("StatefulSet")["spec"]["template"]["spec"]["containers"][0]
    given |= {each["name"] for each in container["env"]}
    assert given <= VARIABLES


def test_the_collector_s_variables_are_those_of_its_file() -> None:
    text = (CONFIG / "otelcol" / "tee.yaml").read_text()
    known = set(re.findall(r"\$\{env:(\w+)", text))
    assert set(SERVICES["collector"]["environment"]) <= known
    target = SERVICES["collector"]["environment"]["FIDELITY_ENDPOINT"]
    assert target == f"fidelity:{PORTS['ports.otlp_grpc']}"


def test_compose_scrapes_the_service_with_our_rules() -> None:
    ours = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())
    plain = yaml.safe_load((CONFIG / "prometheus" / "prometheus.yaml").read_text())
    assert ours["rule_files"] == plain["rule_files"]
    ours["scrape_configs"][0]["static_configs"] = plain["scrape_configs"][0]["static_configs"]
    assert ours == plain


def test_the_collector_of_compose_is_the_one_that_the_tests_run() -> None:
    manifest = yaml.safe_load((CONFIG / "otelcol" / "build" / "manifest.yaml").read_text())
    assert SERVICES["collector"]["image"].endswith(f":{manifest['dist']['version']}")


def test_kubernetes_ports_probes_and_selectors_fit() -> None:
    service, workload = of_kind("Service"), of_kind("StatefulSet")
    pod = workload["spec"]["template"]
    container = pod["spec"]["containers"][0]
    ports = {p["name"]: p["containerPort"] for p in container["ports"]}
    assert set(ports.values()) == set(PORTS.values())
    for port in service["spec"]["ports"]:
        assert ports[port["targetPort"]] == port["port"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert service["spec"]["selector"] == pod["metadata"]["labels"]
    assert workload["spec"]["selector"]["matchLabels"] == pod["metadata"]["labels"]
    assert workload["spec"]["replicas"] == 1
    mounted = {m["name"] for m in container["volumeMounts"]}
    claimed = {c["metadata"]["name"] for c in workload["spec"]["volumeClaimTemplates"]}
    assert mounted == claimed | {v["name"] for v in pod["spec"]["volumes"]}
    version = (ROOT / "pyproject.toml").read_text().split('version = "')[1].split('"')[0]
    assert container["image"].endswith(f":{version}")


def test_every_file_of_collector_config_is_named_by_a_test() -> None:
    """A configuration that nothing runs or checks is a claim without a proof."""
    tests = "".join(p.read_text() for p in Path(__file__).parent.glob("*.py"))
    tests += (ROOT / "tests/tools/test_parts.py").read_text() + (
        ROOT / "tools/parts.py"
    ).read_text()
    mounts = (COMPOSE / "compose.yaml").read_text()
    for path in CONFIG.rglob("*"):
        if (
            path.is_file()
            and not any(p.startswith((".", "__")) for p in path.relative_to(CONFIG).parts)
            and path.suffix not in {".py", ".md"}
        ):
            assert path.name in tests or path.name in mounts, path
