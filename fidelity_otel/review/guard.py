"""Who may talk to the review part: token, hosts, origins.

Without a token everything is open, so nothing but this machine's own programs may get in: a page
from elsewhere that a browser has open must not (neither by forms, nor by a name that resolves to
127.0.0.1).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fidelity_otel.review.people import EVERYBODY, People, Person
from fidelity_otel.review.replies import failure_response, sign_in_response

__all__ = ["COOKIE", "PERSON", "Guard", "person_of", "trusted_host"]

COOKIE = "fidelity_session"
PERSON = "fidelity.person"  # in the ASGI scope
_SAFE = {"GET", "HEAD", "OPTIONS"}
# Health and metrics hold counts only, and are read by programs that know no token.
_OPEN_PATHS = {"/healthz", "/readyz", "/metrics", "/favicon.ico"}
_POLICY = (
    b"default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; "
    b"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = (
    (b"content-security-policy", _POLICY),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
)


def trusted_host(host: str) -> bool:
    """Whether a Host header can only mean this machine or its network, not a domain of somebody."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    name = name.strip("[]").lower().rstrip(".")
    if "." not in name and ":" not in name:
        return True
    if name.endswith(".localhost"):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def person_of(scope: Scope) -> Person:
    """Who sends a request that the guard let through."""
    found: Person = scope.get(PERSON, EVERYBODY)
    return found


class Guard:
    """ASGI middleware in front of pages and API.

    Args:
        app: what is guarded.
        people: gives everybody with a token at this moment.
    """

    def __init__(self, app: ASGIApp, people: Callable[[], People]) -> None:
        self._app = app
        self._people = people

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request through with who sends it, or say why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        headers = Headers(scope=scope)
        found = self._admit(path, scope["method"], headers)
        if isinstance(found, tuple):
            status, error, mend = found
            if status == 401 and not path.startswith("/api/") and scope["method"] == "GET":  # noqa: PLR2004
                await sign_in_response(path)(scope, receive, send)
            else:
                await failure_response(status, error, path, mend)(scope, receive, send)
            return
        scope[PERSON] = found

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = message.setdefault("headers", [])
                own = {name for name, _ in given}
                given.extend(pair for pair in _HEADERS if pair[0] not in own)
            await send(message)

        await self._app(scope, receive, with_headers)

    def _admit(self, path: str, method: str, headers: Headers) -> Person | tuple[int, str, str]:
        if path in _OPEN_PATHS or path.startswith("/static/"):
            return EVERYBODY
        host, people = headers.get("host", ""), self._people()
        if people.open and not trusted_host(host):
            return (
                403,
                f"the host {host!r} is not served without a token",
                "set review.token, or use an IP address or localhost.",
            )
        if method not in _SAFE and not _same_origin(headers, host):
            return 403, "another site sent this request", "send it from the page itself."
        if people.open or path == "/sign-in":
            return EVERYBODY
        known = _known(headers, people)
        return known or (
            401,
            "a token is needed",
            "send the header Authorization: Bearer <review.token>.",
        )


def _same_origin(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is not None:
        return urlsplit(origin).netloc == host
    return headers.get("sec-fetch-site", "none") in {"none", "same-origin"}


def _known(headers: Headers, people: People) -> Person | None:
    kind, _, given = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return people.with_token(given.strip())
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return people.with_cookie(cookie.value) if cookie is not None else None
