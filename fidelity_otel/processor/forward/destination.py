"""One OTLP/HTTP endpoint, and what it says to a request."""

from __future__ import annotations

import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from fidelity_otel.errors import ConfigError

__all__ = ["Answer", "Destination"]

_PATHS: Final = {"traces": "/v1/traces", "logs": "/v1/logs"}
_BAD: Final = frozenset({400, 413})
"""What OTLP says of data that can never be taken. All else may be mended: keep it and try again."""


class Answer(NamedTuple):
    """What became of a request: taken, refused for good, or to be sent again after some seconds."""

    end: Literal["taken", "refused", "later"]
    why: str = ""
    after: float = 0.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirected POST would arrive as a GET without its body, and look taken."""

    def redirect_request(self, *_args: object, **_more: object) -> None:
        return None


class Destination:
    """An endpoint.

    Args:
        url: without `/v1/traces`, as OTEL_EXPORTER_OTLP_ENDPOINT has it.
        headers: `name=value` texts that are sent along.
        seconds: how long an answer may take.

    Raises:
        ConfigError: not an HTTP URL, or a header without `=`.
    """

    def __init__(self, url: str, headers: Sequence[str] = (), *, seconds: float = 30.0) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(
                f"forward.to = {url!r} is not an OTLP/HTTP endpoint. Mend: write it like "
                "http://collector:4318."
            )
        self.url = url.rstrip("/")
        self.name = parts.netloc.rpartition("@")[2]
        self.key = re.sub(r"[^A-Za-z0-9.-]+", "_", self.url.partition("://")[2])
        self._headers = {"content-type": "application/x-protobuf", **_headers(headers)}
        self._seconds = seconds
        self._open = urllib.request.build_opener(_NoRedirect).open

    def send(self, signal: str, body: bytes) -> Answer:
        """POST a request and wait for the answer; never raises.

        Args:
            signal: traces or logs.
            body: an export request, protobuf.
        """
        request = urllib.request.Request(  # noqa: S310 (the scheme was checked)
            self.url + _PATHS[signal], body, self._headers, method="POST"
        )
        try:
            with self._open(request, timeout=self._seconds) as reply:
                reply.read()
                return Answer("taken")
        except urllib.error.HTTPError as error:
            with error:
                why = f"{self.name} answers {error.code}"
                if error.code in _BAD:
                    return Answer("refused", why)
                return Answer("later", why, _seconds(error.headers.get("retry-after")))
        except (OSError, http.client.HTTPException) as error:
            return Answer("later", f"{self.name} cannot be reached: {error}")


def _seconds(text: str | None) -> float:
    return min(float(text), 300.0) if text is not None and text.strip().isdigit() else 0.0


def _headers(given: Sequence[str]) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not equals or not name.strip() or "\n" in value or "\r" in value:
            raise ConfigError("forward.headers takes name=value texts, such as x-team=search")
        found[name.strip().lower()] = value.strip()
    return found
