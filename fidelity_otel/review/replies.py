"""Answers over HTTP: JSON, errors with their mend, and the pages' templates."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from starlette.responses import HTMLResponse, RedirectResponse, Response

from fidelity_otel.errors import (
    FidelityError,
    InputError,
    LeaseError,
    NotAllowed,
    NotFound,
    StoreBusy,
)
from fidelity_otel.review import shapes
from fidelity_otel.review.messages import Failure

__all__ = [
    "failure_of",
    "failure_response",
    "json_response",
    "page",
    "sign_in_response",
]

_encoder = msgspec.json.Encoder(enc_hook=str)


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON; lone surrogates in it become escapes."""
    try:
        content = _encoder.encode(value)
    except UnicodeEncodeError:
        content = json.dumps(msgspec.to_builtins(value), default=str).encode()
    return Response(content, status, media_type="application/json")


def failure_response(status: int, error: str, where: str, mend: str) -> Response:
    """An error as JSON."""
    response = json_response(Failure(error, where, mend), status)
    if status == 401:  # noqa: PLR2004
        response.headers["www-authenticate"] = "Bearer"
    if status == 503:  # noqa: PLR2004
        response.headers["retry-after"] = "1"
    return response


def failure_of(error: FidelityError, where: str) -> tuple[int, Failure]:
    """Status and body of an error of ours."""
    status = 500
    for kind, code in (
        (NotAllowed, 403),
        (LeaseError, 409),
        (NotFound, 404),
        (InputError, 400),
        (StoreBusy, 503),
    ):
        if isinstance(error, kind):
            status = code
            break
    what, _, mend = str(error).partition("Mend: ")
    return status, Failure(
        what.strip().rstrip("."), where, mend.strip() or "look into the service's log."
    )


def sign_in_response(path: str) -> Response:
    """To the page that asks for the token."""
    return RedirectResponse(f"/sign-in?then={quote(path)}", 303)


def page(template: str, status: int = 200, **values: Any) -> Response:
    """A rendered page."""
    content = _environment().get_template(template).render(**values)
    # What a prompt or an answer holds may be text that is no Unicode.
    body = content.encode("utf-8", "replace")
    return HTMLResponse(body, status, headers={"cache-control": "no-store"})


@lru_cache(1)
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("fidelity_otel.review"),
        autoescape=select_autoescape(("html",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        name: getattr(shapes, name) for name in shapes.__all__
    }
    environment.filters.update(filters)
    return environment
