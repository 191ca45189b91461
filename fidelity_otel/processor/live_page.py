"""`/live`: what goes in, waits and comes out now; numbers only, nothing of what traces say."""

from __future__ import annotations

import html
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

__all__ = ["LivePage"]

_NS: Final = 10**9
_LOOK_BACK: Final = 30 * _NS
_RATED: Final = ("requests", "spans in", "spans out", "traces out")
_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="2">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><title>Live · fidelity</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
<link rel="stylesheet" href="/static/app.css"></head>
<body class="plain"><main id="main"><h1>Live</h1>{problems}{tables}
<p>Read anew every two seconds. The same as JSON: <a href="/live?format=json">/live?format=json</a>.
Over time: /metrics.</p></main></body></html>
"""


class LivePage:
    """Answers `/live`, as a page or (`?format=json`) as JSON.

    Args:
        read: the counters and gauges of now, by section and name.
        problems: what is wrong now, by part.
        clock: ns since the epoch.
    """

    def __init__(
        self,
        read: Callable[[], Mapping[str, Mapping[str, float]]],
        problems: Callable[[], Mapping[str, str]],
        clock: Callable[[], int],
    ) -> None:
        self._read = read
        self._problems = problems
        self._clock = clock
        self._seen: deque[tuple[int, dict[str, float]]] = deque()

    def route(self) -> Route:
        """The route, to be put before the review page's."""
        return Route("/live", self._answer, methods=["GET"])

    async def _answer(self, request: Request) -> Response:
        found = self.now()
        headers = {"cache-control": "no-store"}
        if request.query_params.get("format") == "json":
            return JSONResponse(found, headers=headers)
        return HTMLResponse(_page(found), headers=headers)

    def now(self) -> dict[str, object]:
        """Everything that the page shows. Rates are over the last half minute of looking."""
        sections = {name: dict(values) for name, values in self._read().items()}
        counted = {
            name: value
            for values in sections.values()
            for name, value in values.items()
            if name in _RATED
        }
        return {
            "problems": dict(self._problems()),
            "per second": self._rates(self._clock(), counted),
            **sections,
        }

    def _rates(self, now: int, counted: dict[str, float]) -> dict[str, float]:
        self._seen.append((now, counted))
        while len(self._seen) > 2 and self._seen[0][0] < now - _LOOK_BACK:  # noqa: PLR2004
            self._seen.popleft()
        then, before = self._seen[0]
        seconds = (now - then) / _NS
        if seconds <= 0:
            return {}
        return {
            name: round((value - before.get(name, 0)) / seconds, 1)
            for name, value in counted.items()
        }


def _page(found: Mapping[str, object]) -> str:
    tables: list[str] = []
    problems = found["problems"]
    assert isinstance(problems, dict)
    for title, values in found.items():
        if title == "problems" or not isinstance(values, dict) or not values:
            continue
        rows = "".join(
            f'<tr><th scope="row">{html.escape(name)}</th><td>{value:,}</td></tr>'
            for name, value in values.items()
        )
        tables.append(f"<h2>{html.escape(title)}</h2><table>{rows}</table>")
    told = "".join(
        f"<li>{html.escape(part)}: {html.escape(what)}</li>" for part, what in problems.items()
    )
    said = f'<ul role="alert">{told}</ul>' if told else "<p>Nothing is wrong.</p>"
    return _PAGE.format(problems=said, tables="".join(tables))
