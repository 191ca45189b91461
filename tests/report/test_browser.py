"""The page in the real Chromium: nothing fetched, nothing cut off, no label over another."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from report_frames import NOW_NS, FakeStore, World, world

from fidelity_otel.report.html import render_html
from fidelity_otel.report.numbers import summary

ROOT = Path(__file__).resolve().parents[2]
pytestmark = [pytest.mark.parts, pytest.mark.xdist_group("chromium")]

OVERLAPS = """() => [...document.querySelectorAll('svg.chart:not(.cell)')].flatMap(svg => {
  const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  const found = [];
  texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
    const across = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const down = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (across > 1 && down > 4) found.push(`${a} / ${b}`);
  }));
  return found;
})"""
OUTSIDE = """() => [...document.querySelectorAll('svg.chart text')].filter(t => {
  const box = t.getBoundingClientRect(), page = document.querySelector('main').getBoundingClientRect();
  return box.left < page.left - 1 || box.right > page.right + 1;
}).map(t => t.textContent)"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    spec = importlib.util.spec_from_file_location("parts_tool", ROOT / "tools" / "parts.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    binary = tool.find("chromium")
    if binary is None:
        said = f"chromium is not on this machine: {tool.mend('chromium')}"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(said)
        pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=str(binary), args=["--no-sandbox"])
        yield running
        running.close()


def close_to_each_other() -> World:
    """Benchmark, objective, reported success and fidelity within a few points."""
    made = world(traces=900)
    made.store.rows[:] = [
        r._replace(
            reported_success=k % 12 != 0,
            reviews=tuple(m._replace(verdict="right" if k % 11 else "wrong") for m in r.reviews),
        )
        for k, r in enumerate(made.store.rows)
    ]
    return made


STATES: dict[str, tuple[Any, dict[str, Any]]] = {
    "full": (lambda: world().store, {"report.benchmark": 0.92, "report.objective": 0.9}),
    "close": (
        lambda: close_to_each_other().store,
        {"report.benchmark": 0.91, "report.objective": 0.9},
    ),
    "perfect": (
        lambda: FakeStore(
            [
                r._replace(reviews=tuple(m._replace(verdict="right") for m in r.reviews))
                for r in world(traces=500).store.rows
            ]
        ),
        {"report.benchmark": 1.0, "report.objective": 0.99},
    ),
    "hour": (lambda: world(traces=400, days=0.05).store, {"report.benchmark": 0.3}),
    "nothing": (lambda: FakeStore([]), {"report.benchmark": 0.9, "report.objective": 0.9}),
}


@pytest.mark.parametrize("width", [1280, 900, 420])
@pytest.mark.parametrize("state", STATES)
def test_the_page_holds_together(browser: Any, tmp_path: Path, state: str, width: int) -> None:
    make, settings = STATES[state]
    store = make()
    store.meta["report.truth"] = json.dumps({"fidelity": 0.8, "silent_failure": 0.1})
    file = tmp_path / "page.html"
    file.write_text(render_html(summary(store, now_ns=NOW_NS, settings=settings)))
    page = browser.new_page(viewport={"width": width, "height": 900})
    asked: list[str] = []
    said: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(file.as_uri())
    try:
        assert asked == [file.as_uri()]
        assert said == []
        assert page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        ), "the page scrolls sideways"
        assert page.evaluate(OVERLAPS) == []
        if width >= 900:
            assert page.evaluate(OUTSIDE) == []
    finally:
        page.close()
