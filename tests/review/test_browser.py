"""A real Chromium: a reviewer works by keyboard alone."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parts
import pytest
from review_traces import Clock, fill, read_fake, record_of, support_trace
from test_pages import hostile_trace

from fidelity_otel.review.web import create_app
from fidelity_otel.store import Store

pytestmark = [pytest.mark.parts, pytest.mark.xdist_group("browser")]

ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = os.environ.get("FIDELITY_SCREENSHOTS")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = parts.find("chromium")
    if path is None:
        said = f"Chromium is absent: {parts.mend('chromium')}"
        if os.environ.get("CI") == "true":
            pytest.fail(said)
        pytest.skip(said)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=str(path), args=ARGS)
        yield started
        started.close()


@pytest.fixture
def address(store: Store, clock: Clock) -> Iterator[str]:
    """The web application on a free port."""
    import uvicorn

    app = create_app(store, read_fake, settings={"review.lease_seconds": 600.0}, now=clock)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(10)
    listening.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page that fails the test on any error of a script or of the content policy."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    opened = context.new_page()
    opened.set_default_timeout(15_000)
    said: list[str] = []
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
    yield opened
    context.close()
    assert not [s for s in said if "409" not in s]


def shoot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"))


def wait_for_item(page: Any, other_than: str = "") -> str:
    page.wait_for_function(
        "old => { const f = document.getElementById('judge');"
        " return document.readyState === 'complete' && f && f.dataset.item !== old; }",
        arg=other_than,
    )
    found: str = page.evaluate("document.getElementById('judge').dataset.item")
    return found


def start(page: Any, address: str, name: str = "ann") -> str:
    page.goto(address)
    page.wait_for_function("document.activeElement.id === 'reviewer'")  # autofocus comes late
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    return wait_for_item(page)


def test_five_traces_are_judged_by_keyboard_alone(
    store: Store, address: str, page: Any, clock: Clock
) -> None:
    fill(store, [support_trace(n) for n in range(6)])
    item = start(page, address)
    shoot(page, "review")
    turns = [
        ("1", "", "", ""),
        ("2", "b", "The 2026 page says 30 days.", "You have 30 days."),
        ("3", "g", "", "Add the costs."),
        ("4", "", "I would have to see the order.", ""),
        ("2", "a", "", ""),
    ]
    for verdict, mode, note, correction in turns:
        page.keyboard.press(verdict)
        if mode:
            page.keyboard.press("f")
            page.keyboard.press(mode)
        for key, words in (("n", note), ("c", correction)):
            if words:
                page.keyboard.press(key)
                page.keyboard.type(words)
                page.keyboard.press("Escape")
        clock.pass_seconds(20)
        page.keyboard.press("Enter")
        item = wait_for_item(page, item)
    assert "Recorded: wrong" in page.inner_text("#status")
    assert "5 judged by you" in page.inner_text(".progress")
    reviews = store.reviews()
    assert [(r.verdict, r.mode, r.note, r.correction) for r in reviews] == [
        ("right", None, "", ""),
        ("wrong", "retrieval_stale", "The 2026 page says 30 days.", "You have 30 days."),
        ("partly", "incomplete", "", "Add the costs."),
        ("cannot_tell", None, "I would have to see the order.", ""),
        ("wrong", "ungrounded", "", ""),
    ]
    assert len({r.trace_id for r in reviews}) == 5
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Nothing is left for you")


def test_enter_without_a_verdict_says_so_and_sends_nothing(
    store: Store, address: str, page: Any
) -> None:
    fill(store, [support_trace(0)])
    start(page, address)
    page.keyboard.press("Enter")
    assert "Choose a verdict first" in page.inner_text("#status")
    assert store.reviews() == []


def test_letters_typed_into_a_note_are_not_taken_as_keys(
    store: Store, address: str, page: Any
) -> None:
    fill(store, [support_trace(0), support_trace(1)])
    item = start(page, address)
    page.keyboard.press("2")
    page.keyboard.press("n")
    page.keyboard.type("s 1 f ? c")
    page.keyboard.press("Enter")
    page.keyboard.type("second line")
    page.keyboard.press("Control+Enter")
    wait_for_item(page, item)
    (review,) = store.reviews()
    assert (review.verdict, review.note.replace("\r", "")) == ("wrong", "s 1 f ? c\nsecond line")


def test_help_skip_and_steps_by_key(store: Store, address: str, page: Any) -> None:
    fill(store, [support_trace(0), support_trace(1)])
    item = start(page, address)
    page.keyboard.press("?")
    assert page.is_visible("#help-dialog")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help-dialog")
    page.keyboard.press("j")
    page.keyboard.press("j")
    assert page.evaluate("document.querySelector('.step.at').classList.contains('retrieval')")
    page.keyboard.press("a")
    assert page.evaluate("document.querySelector('.step.at').id") == "answer"
    page.keyboard.press("s")
    assert page.is_visible("#skip-dialog")
    page.keyboard.press("Escape")
    assert wait_for_item(page) == item
    page.keyboard.press("s")
    page.keyboard.press("2")
    wait_for_item(page, item)
    assert store.progress("ann").reviewers[0].skipped == 1


def test_a_draft_survives_a_reload_and_a_lease_that_ran_out(
    store: Store, address: str, page: Any, clock: Clock
) -> None:
    fill(store, [support_trace(0), support_trace(1)])
    item = start(page, address)
    page.keyboard.press("3")
    page.keyboard.press("n")
    page.keyboard.type("half a thought")
    page.reload()
    assert wait_for_item(page) == item
    assert page.input_value("#note") == "half a thought"
    assert page.is_checked("input[value=partly]")
    clock.pass_seconds(3600)
    page.keyboard.press("Enter")
    page.wait_for_selector(".problem")
    assert "expired" in page.inner_text(".problem")
    assert wait_for_item(page) == item
    assert page.input_value("#note") == "half a thought"
    page.keyboard.press("Enter")
    wait_for_item(page, item)
    assert [r.note for r in store.reviews()] == ["half a thought"]


def test_hostile_words_do_not_run(store: Store, address: str, page: Any) -> None:
    store.add_traces([record_of(hostile_trace(), findings=())])
    fill(store, [])
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    start(page, address)
    assert "<script>alert('x')</script>" in page.inner_text("#answer")
    assert page.evaluate("document.images.length") == 0
    page.goto(f"{address}/traces/{'c' * 32}")
    assert "onerror=alert(1)" in page.inner_text("#answer")


def test_everything_has_a_name_and_the_focus_is_seen(store: Store, address: str, page: Any) -> None:
    """What a screen reader needs: each control has a name, headings are there, focus is visible."""
    fill(store, [support_trace(0)])
    start(page, address)
    unnamed = page.evaluate(
        """[...document.querySelectorAll('input:not([type=hidden]),textarea,button,select,a')]
        .filter(e => !(e.labels?.length || e.getAttribute('aria-label') || e.innerText.trim()
                       || e.textContent.trim())).map(e => e.outerHTML)"""
    )
    assert unnamed == []
    assert page.evaluate("document.documentElement.lang") == "en"
    assert page.locator("main").count() == 1
    assert page.get_by_role("radio", name="Wrong").first.count() == 1
    assert page.get_by_role("textbox", name="What it should have said").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip-link"
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_in_light_and_dark(
    store: Store, address: str, browser: Any, scheme: str
) -> None:
    """WCAG AA: contrast of at least 4.5 between each text and what is behind it."""
    fill(store, [support_trace(0)])
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 860})
    page = context.new_page()
    start(page, address)
    page.keyboard.press("2")
    page.keyboard.press("f")
    poor = page.evaluate(CONTRAST)
    shoot(page, f"review-{scheme}")
    context.close()
    assert poor == []


CONTRAST = """() => {
  const parse = (c) => { const m = c.match(/[\\d.]+/g).map(Number); return m.length > 3 ? m : [...m, 1]; };
  const linear = (v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  const light = ([r, g, b]) => .2126 * linear(r) + .7152 * linear(g) + .0722 * linear(b);
  const behind = (e) => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c[3] > .99) return c;
    }
    return [255, 255, 255, 1];
  };
  const poor = [];
  for (const e of document.querySelectorAll('main *, header *')) {
    const own = [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
    if (!own || !e.checkVisibility() || e.closest('.visually-hidden')) continue;
    const style = getComputedStyle(e);
    if (Number(style.opacity) < 1) continue;
    const [a, b] = [light(parse(style.color)), light(behind(e))];
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) poor.push(`${e.tagName}.${e.className} ${ratio.toFixed(2)} ${e.textContent.trim().slice(0, 30)}`);
  }
  return poor;
}"""


def test_the_last_verdict_is_changed_by_key(store: Store, address: str, page: Any) -> None:
    fill(store, [support_trace(0), support_trace(1)])
    item = start(page, address)
    page.keyboard.press("1")
    page.keyboard.press("Enter")
    other = wait_for_item(page, item)
    page.keyboard.press("u")
    assert wait_for_item(page, other) == item
    assert page.is_checked("input[value=right]")
    page.keyboard.press("2")
    page.keyboard.press("f")
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    assert wait_for_item(page, item) == other
    (review,) = store.reviews()
    assert (review.verdict, review.mode) == ("wrong", "retrieval_stale")


def test_a_disagreement_is_settled_on_the_page(store: Store, address: str, page: Any) -> None:
    fill(store, [support_trace(0)], double_share=1.0)
    for name, verdict in (("bob", "right"), ("cy", "wrong")):
        lease = store.next_item(name, 1)
        assert lease is not None
        store.submit(lease.lease_id, verdict, note=f"I say {verdict}", now_ns=2)  # type: ignore[arg-type]
    start(page, address)
    assert "Two people disagree" in page.inner_text(".opinions")
    assert "I say wrong" in page.inner_text(".opinions")
    shoot(page, "settle")
    page.keyboard.press("2")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Nothing is left for you")
    page.goto(f"{address}/agreement")
    assert "0 of 1 pairs" in page.inner_text(".big")
    shoot(page, "agreement")
