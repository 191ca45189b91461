"""TLS, tokens, and reading the configuration again while the service runs."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from otlp import request, span
from serving import FIDELITY, Serving, clean_environment
from test_service import refused

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
BODY = request(span(1, 1, parent=None))
pytestmark = pytest.mark.xdist_group("service")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cert.pem (its own CA) and key.pem for 127.0.0.1."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificates of this test, and is not here")
    folder = tmp_path_factory.mktemp("pem")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def test_mutual_tls_and_a_token_on_both_protocols(pem: Path, tmp_path: Path) -> None:
    settings = {
        "FIDELITY_TLS_CERT": str(pem / "cert.pem"),
        "FIDELITY_TLS_KEY": str(pem / "key.pem"),
        "FIDELITY_TLS_CLIENT_CA": str(pem / "cert.pem"),
        "FIDELITY_RECEIVE_TOKEN": "s3cret",
    }
    with Serving(tmp_path / "data", **settings) as service:
        url = f"https://127.0.0.1:{service.ports['otlp_http']}/v1/traces"
        good = ssl.create_default_context(cafile=pem / "cert.pem")
        headers = {"content-type": "application/x-protobuf", "authorization": "Bearer s3cret"}
        asked = urllib.request.Request(url, BODY, headers)
        with pytest.raises((urllib.error.URLError, ssl.SSLError, ConnectionError)):
            urllib.request.urlopen(asked, context=good, timeout=10).read()  # no certificate
        good.load_cert_chain(pem / "cert.pem", pem / "key.pem")
        assert urllib.request.urlopen(asked, context=good, timeout=10).status == 200
        del headers["authorization"]
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(
                urllib.request.Request(url, BODY, headers), context=good, timeout=10
            )
        cert, key = ((pem / n).read_bytes() for n in ("cert.pem", "key.pem"))
        address = f"127.0.0.1:{service.ports['otlp_grpc']}"
        known = grpc.ssl_channel_credentials(cert, key, cert)
        with grpc.secure_channel(address, known) as channel:
            metadata = (("authorization", "Bearer s3cret"),)
            assert channel.unary_unary(EXPORT)(BODY, timeout=10, metadata=metadata) == b""
        for other in (
            grpc.secure_channel(address, grpc.ssl_channel_credentials(cert)),
            grpc.insecure_channel(address),
        ):
            with other as channel, pytest.raises(grpc.RpcError):
                channel.unary_unary(EXPORT)(BODY, timeout=5)
        service.until(lambda: service.trace(f"{1:032x}"))


def test_doctor_knows_tls_and_token(pem: Path, tmp_path: Path) -> None:
    settings = {
        "FIDELITY_TLS_CERT": str(pem / "cert.pem"),
        "FIDELITY_TLS_KEY": str(pem / "key.pem"),
        "FIDELITY_RECEIVE_TOKEN": "s3cret",
        "FIDELITY_REVIEW_TOKEN": "other",
    }
    with Serving(tmp_path / "data", **settings) as service:

        def doctor(**more: str) -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                [FIDELITY, "doctor", "--data", str(service.data)],
                capture_output=True, text=True, check=False, timeout=60,
                env=clean_environment(**settings | more),
            )  # fmt: skip

        assert doctor().returncode == 0
        wrong = doctor(FIDELITY_RECEIVE_TOKEN="wrong")
        assert wrong.returncode == 1
        assert "FAIL receive" in wrong.stdout
        assert "401" in wrong.stdout


def test_wrong_tls_files_are_said(tmp_path: Path) -> None:
    said = refused("--data", str(tmp_path), FIDELITY_TLS_CERT="here.pem")
    assert "tls.key is not set" in said
    said = refused(
        "--data", str(tmp_path), FIDELITY_TLS_CERT="here.pem", FIDELITY_TLS_KEY="there.pem"
    )
    assert "tls.cert = here.pem" in said


def test_sighup_takes_what_can_be_reloaded_and_nothing_of_a_wrong_file(tmp_path: Path) -> None:
    path = tmp_path / "fidelity.yaml"
    path.write_text("sample: {reviews_per_day: 0}\n")
    with Serving(tmp_path / "data", "--config", str(path)) as service:
        assert service.process is not None

        def hup(said: str) -> None:
            service.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
            service.until(lambda: said in service.said())

        path.write_text("sample: {reviews_per_dya: 9}\n")
        hup("Did you mean `sample.reviews_per_day`?")
        path.write_text("sample: {discovery_share: 7}\n")
        hup("is not a share")
        path.write_text("sample: {reviews_per_day: 100000000}\nhost: 0.0.0.0\n")
        hup("changed: sample.reviews_per_day")
        assert "`host` takes effect after a restart" in service.said()
        contract = tmp_path / "contract.yaml"
        path.write_text(f"sample: {{reviews_per_day: 100000000}}\ncontracts: [{contract}]\n")
        contract.write_text('"*":\n  rules:\n    - {name: never, cel: "1 +"}\n')
        hup("cel: it is not CEL")
        contract.write_text('"*":\n  rules:\n    - {name: never, cel: "false"}\n')
        hup("changed: contracts")
        assert service.send(BODY) == 200
        service.until(lambda: service.trace(f"{1:032x}"))
        assert b"instruction_violation" in service.ask(f"/api/v1/traces/{1:032x}")[1]
        assert b'"enqueued":1' in service.ask("/api/v1/windows/close", {})[1]
