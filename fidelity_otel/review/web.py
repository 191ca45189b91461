"""The web application: the API's routes and the pages, guarded, over one store."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route as WebRoute

from fidelity_otel.errors import FidelityError
from fidelity_otel.model import Trace
from fidelity_otel.review import openapi
from fidelity_otel.review.api import ROUTES
from fidelity_otel.review.desk import Desk
from fidelity_otel.review.guard import COOKIE, Guard, person_of
from fidelity_otel.review.pages import NAME_COOKIE, Pages, Visitor
from fidelity_otel.review.people import cookie_value
from fidelity_otel.review.replies import failure_of, failure_response, json_response, page
from fidelity_otel.review.routes import Call, Hooks, Route, allow
from fidelity_otel.store import Store

__all__ = ["Hooks", "create_app"]

_log = logging.getLogger("fidelity_otel.review")
_MOST_BYTES = 16 << 20
_STATIC = {
    "app.css": "text/css; charset=utf-8",
    "review.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
Endpoint = Callable[[Request], Awaitable[Response]]


def create_app(
    store: Store,
    read_otlp: Callable[[bytes], Trace],
    *,
    settings: Mapping[str, Any],
    now: Callable[[], int],
    hooks: Hooks | None = None,
) -> Starlette:
    """The review page, the developers' pages and the API.

    Args:
        store: what they show and change.
        read_otlp: reads a stored body into a `Trace`; must not raise.
        settings: all settings by dotted name; a mapping that changes takes effect.
        now: nanoseconds since the epoch.
        hooks: what other rooms lend: drawing windows, reports.
    """
    desk = Desk(store, read_otlp, settings=settings, now=now)
    desk.rubric("")  # a faulty file of rubrics, or of people, is told at the start
    lent = hooks or Hooks()
    app = Starlette(
        routes=[
            *(_api_route(r, desk, lent) for r in ROUTES),
            WebRoute("/api/v1/openapi.json", _openapi(desk), methods=["GET"]),
            *_page_routes(Pages(desk), desk, lent),
            WebRoute("/static/{name}", _static, methods=["GET"]),
        ],
        middleware=[Middleware(Guard, people=lambda: desk.settings.people)],
        exception_handlers={HTTPException: _http_error, FidelityError: _our_error},
    )
    app.state.desk = desk
    return app


def _api_route(route: Route, desk: Desk, hooks: Hooks) -> WebRoute:
    async def endpoint(request: Request) -> Response:
        person = person_of(request.scope)
        allow(person, route.right, route.summary.partition(",")[0].lower())
        body = None
        if route.method != "GET":
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            raw = await _body(request)
            # A form of another site can't send this type: it needs no token to be kept out.
            if kind != "application/json" and (raw or kind):
                return failure_response(
                    415,
                    f"the content type {kind or 'of the body'} is not known here",
                    request.url.path,
                    "send JSON with the header Content-Type: application/json.",
                )
            body = route.read(raw)
        call = Call(desk, hooks, request.path_params, dict(request.query_params), body, person)
        reply = await run_in_threadpool(route.handler, call)
        if reply.content is not None:
            return Response(reply.content, reply.status, media_type=reply.media_type)
        if reply.status == 204:  # noqa: PLR2004
            return Response(status_code=204)
        return json_response(reply.value, reply.status)

    return WebRoute(route.path, endpoint, methods=[route.method], name=route.summary)


async def _body(request: Request) -> bytes:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BYTES:
            raise HTTPException(413, f"the body is longer than {_MOST_BYTES >> 20} MiB")
        parts.append(part)
    return b"".join(parts)


def _openapi(desk: Desk) -> Endpoint:
    @lru_cache(2)
    def made(secured: bool) -> dict[str, Any]:
        try:
            ours = version("fidelity-otel")
        except PackageNotFoundError:
            ours = "0"
        return openapi.document(ROUTES, version=ours, secured=secured)

    async def endpoint(request: Request) -> Response:  # noqa: ARG001
        return json_response(made(not desk.settings.people.open))

    return endpoint


def _page_routes(pages: Pages, desk: Desk, hooks: Hooks) -> list[WebRoute]:
    def show(path: str, right: str, make: Callable[[Visitor, Request], Response]) -> WebRoute:
        async def endpoint(request: Request) -> Response:
            visitor = _visitor(request)
            allow(visitor.person, right, f"the page {path}")
            return await run_in_threadpool(make, visitor, request)

        return WebRoute(path, endpoint, methods=["GET"])

    def act(path: str, right: str, make: Callable[[Visitor, Request, Any], Response]) -> WebRoute:
        async def endpoint(request: Request) -> Response:
            visitor = _visitor(request)
            allow(visitor.person, right, f"the page {path}")
            form = await request.form(max_files=0, max_fields=20)
            return await run_in_threadpool(make, visitor, request, form)

        return WebRoute(path, endpoint, methods=["POST"])

    def report(visitor: Visitor, request: Request) -> Response:  # noqa: ARG001
        if hooks.report_page is None:
            return failure_response(
                404, "this server makes no reports", "/report", "run `fidelity report`."
            )
        html = hooks.report_page(dict(request.query_params))
        # The report is one file that also works alone: its style is inside it.
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"
        return Response(
            html,
            media_type="text/html; charset=utf-8",
            headers={"content-security-policy": policy, "cache-control": "no-store"},
        )

    def sign_in(visitor: Visitor, request: Request) -> Response:
        then = _inside(request.query_params.get("then", "/"))
        return page("signin.html", then=then, wrong=False, visitor=visitor)

    def signed_in(visitor: Visitor, request: Request, form: Any) -> Response:  # noqa: ARG001
        token, then = str(form.get("token", "")), _inside(str(form.get("then", "/")))
        if desk.settings.people.with_token(token) is None:
            return page("signin.html", 401, then=then, wrong=True, visitor=visitor)
        response = RedirectResponse(then, 303)
        response.set_cookie(COOKIE, cookie_value(token), httponly=True, samesite="strict")
        return response

    def leave(visitor: Visitor, request: Request, form: Any) -> Response:  # noqa: ARG001
        response = pages.leave(visitor)
        response.delete_cookie(COOKIE)
        return response

    return [
        show("/", "", lambda v, r: pages.review(v, r.query_params)),
        act("/who", "judge", lambda _v, _r, form: pages.who(form)),
        act("/leave", "", leave),
        act("/verdict", "judge", lambda v, _, form: pages.verdict(v, form)),
        act("/skip", "judge", lambda v, _, form: pages.skip(v, form)),
        show("/mine/{review_id}", "judge", lambda v, r: pages.mine(v, r.path_params["review_id"])),
        act(
            "/mine/{review_id}",
            "judge",
            lambda v, r, form: pages.amend(v, r.path_params["review_id"], form),
        ),
        show("/traces", "see", lambda v, r: pages.traces(v, r.query_params)),
        show("/traces/{trace_id}", "see", lambda v, r: pages.trace(v, r.path_params["trace_id"])),
        act(
            "/traces/{trace_id}/pick",
            "pick",
            lambda v, r, _: pages.pick(v, r.path_params["trace_id"]),
        ),
        show("/agreement", "settle", lambda v, _: pages.agreement(v)),
        show("/audit", "manage", lambda v, r: pages.audit(v, r.query_params)),
        show("/report", "see", report),
        show("/sign-in", "", sign_in),
        act("/sign-in", "", signed_in),
    ]


def _visitor(request: Request) -> Visitor:
    person = person_of(request.scope)
    named = unquote(request.cookies.get(NAME_COOKIE, ""), errors="replace")
    return Visitor(person.name or named, person)


def _inside(path: str) -> str:
    """A path on this server, never an address elsewhere."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404)
    content = _file(name)
    return Response(content, media_type=_STATIC[name], headers={"cache-control": "max-age=300"})


@lru_cache(len(_STATIC))
def _file(name: str) -> bytes:
    return (files("fidelity_otel.review") / "static" / name).read_bytes()


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    mend = {
        404: "see /api/v1/openapi.json for what there is.",
        405: "see /api/v1/openapi.json for the method.",
        413: "send fewer at a time.",
    }.get(error.status_code, "see /api/v1/openapi.json.")
    return _failed(request, error.status_code, str(error.detail), path, mend)


async def _our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, FidelityError)
    status, failure = failure_of(error, request.url.path)
    if status >= 500:  # noqa: PLR2004
        _log.error("%s %s: %s", request.method, request.url.path, error)
    return _failed(request, status, failure.error, failure.where, failure.mend)


def _failed(request: Request, status: int, error: str, where: str, mend: str) -> Response:
    if where.startswith("/api/") or "text/html" not in request.headers.get("accept", ""):
        return failure_response(status, error, where, mend)
    visitor = _visitor(request)
    return page("error.html", status, error=error, where=where, mend=mend, visitor=visitor)
