"""TLS of the OTLP ports, with or without certificates of the senders (mTLS)."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from fidelity_otel.errors import ConfigError

__all__ = ["Tls"]


@dataclass(frozen=True, slots=True)
class Tls:
    """Paths of PEM files. `client_ca` is empty where senders need no certificate."""

    cert: Path
    key: Path
    client_ca: Path | None

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Tls | None:
        """From settings by dotted name; None where there is no TLS.

        Raises:
            ConfigError: the files are missing, unreadable, or don't fit each other.
        """
        cert, key, ca = (str(settings.get(f"tls.{n}") or "") for n in ("cert", "key", "client_ca"))
        if not (cert or key or ca):
            return None
        if not cert or not key:
            missing = "tls.key" if cert else "tls.cert"
            raise ConfigError(f"{missing} is not set: TLS needs tls.cert and tls.key (PEM files)")
        made = cls(Path(cert), Path(key), Path(ca) if ca else None)
        made.for_http()
        return made

    def for_http(self) -> ssl.SSLContext:
        """The context of an HTTP server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.cert, self.key)
            if self.client_ca is not None:
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_REQUIRED
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"TLS cannot be set up from tls.cert = {self.cert}, tls.key = {self.key}, "
                f"tls.client_ca = {self.client_ca or ''}: {error}. Mend: PEM files that exist, can "
                "be read and belong together."
            ) from None
        return context

    def for_grpc(self) -> grpc.ServerCredentials:
        """The credentials of a gRPC server."""
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        ca = self.client_ca.read_bytes() if self.client_ca is not None else None
        return grpc.ssl_server_credentials(
            [pair], root_certificates=ca, require_client_auth=ca is not None
        )
