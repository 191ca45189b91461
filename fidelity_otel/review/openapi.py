"""The OpenAPI document, made from the routes and the types of their bodies."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from fidelity_otel.review.messages import Failure
from fidelity_otel.review.routes import Route

__all__ = ["document"]

_REF = "#/components/schemas/{name}"


def document(routes: Sequence[Route], *, version: str, secured: bool) -> dict[str, Any]:
    """The document (OpenAPI 3.1) of these routes.

    Args:
        routes: the operations.
        version: of this package.
        secured: whether a bearer token is wanted.
    """
    types = [t for r in routes for t in (r.takes, r.gives) if t is not None]
    shapes, components = msgspec.json.schema_components([*types, Failure], ref_template=_REF)
    shape_of = {id(t): s for t, s in zip([*types, Failure], shapes, strict=True)}
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        operation = _operation(route, shape_of, shapes[-1])
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {
            "title": "fidelity_otel",
            "version": version,
            "description": "Review queue, traces and late outcomes. Errors say what is wrong, "
            "where, and how to mend it.",
        },
        "paths": paths,
        "components": {"schemas": components},
    }
    if secured:
        made["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"token": []}]
    return made


def _operation(route: Route, shape_of: dict[int, Any], failure: Any) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    if route.gives is not None:
        responses["200"] = _body("Done", shape_of[id(route.gives)])
    if route.empty:
        responses["204"] = {"description": route.empty}
    responses["4XX"] = _body("Not done, and why", failure)
    responses["5XX"] = _body("The store cannot be used now; retry", failure)
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": _name(route),
        **({"x-right": route.right} if route.right else {}),
        "responses": responses,
        "parameters": [
            {"name": n, "in": "path", "required": True, "schema": {"type": "string"}}
            for n in re.findall(r"{(\w+)}", route.path)
        ]
        + [
            {"name": n, "in": "query", "description": text, "schema": {"type": "string"}}
            for n, text in route.query.items()
        ],
    }
    if route.takes is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": shape_of[id(route.takes)]}},
        }
    return operation


def _body(description: str, schema: Any) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _name(route: Route) -> str:
    words = re.findall(r"[a-z]+", re.sub(r"{\w+}|/api/v1", "", route.path))
    return "_".join([route.method.lower(), *words]) + ("_one" if route.path.endswith("}") else "")
