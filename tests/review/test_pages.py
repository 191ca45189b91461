"""The pages without a browser: they work without JavaScript, and show hostile text as text."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from review_traces import Clock, fill, record_of, support_trace

from fidelity_otel.model import Document, Message, Outcome, OutcomeRef, Part, Span, ToolCall, Trace
from fidelity_otel.store import Store

Web = Callable[..., Any]
HOSTILE = (
    "<script>alert('x')</script><img src=x onerror=alert(1)>\"'`{{7*7}}</textarea></title>"
    "<a href=javascript:alert(1)>\u202egnp.exe \x1b[31m"
)


class Tags(HTMLParser):
    """The elements and attributes of a page, as a browser would make them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def fields(self) -> dict[str, str]:
        return {
            a["name"]: a.get("value") or ""
            for tag, a in self.found
            if tag == "input" and a.get("type") == "hidden" and a.get("name")
        }  # type: ignore[misc]


def enter(client: Any, name: str = "ann") -> Any:
    return client.post("/who", data={"reviewer": name})


def test_judging_without_javascript(filled: Store, web: Web) -> None:
    client = web()
    assert "Who is judging?" in client.get("/").text
    page = enter(client, "  Zoë  Ünal; Co ")
    assert page.status_code == 200
    for turn in range(6):
        given = Tags(page.text).fields()
        page = client.post(
            "/verdict",
            data={**given, "verdict": "wrong", "mode": "retrieval_stale", "note": f"n{turn}"},
        )
        assert page.status_code == 200
        assert "Recorded: wrong" in page.text or turn == 5
    assert "Nothing is left for you" in page.text
    assert "You judged <b>6</b>" in page.text
    reviews = filled.reviews()
    assert {r.reviewer for r in reviews} == {"Zoë Ünal; Co"}
    assert {r.mode for r in reviews} == {"retrieval_stale"}


def test_the_page_is_blind(filled: Store, web: Web) -> None:
    client = web()
    page = enter(client).text
    for secret in ("secret", "estimation", "finding", "release", "2026.11", "0.37", "T-"):
        assert secret not in page, secret
    assert not any(f"{n + 1:032x}" in page for n in range(6))


def test_a_verdict_on_an_expired_lease_keeps_the_words(
    filled: Store, web: Web, clock: Clock
) -> None:
    client = web(lease_seconds=60.0)
    given = Tags(enter(client).text).fields()
    clock.pass_seconds(100)
    words = {"verdict": "wrong", "mode": "loop", "note": "my note", "correction": "my correction"}
    page = client.post("/verdict", data={**given, **words})
    assert page.status_code == 409
    assert "expired" in page.text
    assert "my note" in page.text
    assert "my correction" in page.text
    again = Tags(page.text).fields()
    assert again["item_id"] == given["item_id"]
    assert again["lease_id"] != given["lease_id"]
    assert client.post("/verdict", data={**again, **words}).status_code == 200
    assert [r.note for r in filled.reviews()] == ["my note"]


def test_an_item_that_somebody_else_took_shows_what_was_written(
    filled: Store, web: Web, clock: Clock
) -> None:
    client = web(lease_seconds=60.0)
    given = Tags(enter(client).text).fields()
    clock.pass_seconds(100)
    taken = filled.next_item("bob", clock(), 10**12, item_id=given["item_id"])
    assert taken is not None
    page = client.post("/verdict", data={**given, "verdict": "wrong", "note": "my note"})
    assert page.status_code == 409
    assert "not recorded" in page.text
    assert "my note" in page.text


def test_a_verdict_is_asked_for(filled: Store, web: Web) -> None:
    client = web()
    given = Tags(enter(client).text).fields()
    page = client.post("/verdict", data={**given, "note": "only a note"})
    assert page.status_code == 409
    assert "Choose a verdict first" in page.text
    assert "only a note" in page.text
    assert filled.reviews() == []


def test_skipping_and_leaving(filled: Store, web: Web, clock: Clock) -> None:
    client = web()
    given = Tags(enter(client).text).fields()
    page = client.post("/skip", data={**given, "reason": "takes too long"})
    assert "Skipped" in page.text
    assert filled.audit(actor="ann")[1].detail == {"reason": "takes too long"}
    page = client.post("/leave")
    assert "Who is judging?" in page.text
    assert filled.lease_in_hand("ann", clock()) is None
    assert 'value="ann"' in page.text  # known names are offered


def test_an_empty_store_does_not_say_that_all_is_done(store: Store, web: Web) -> None:
    client = web()
    assert "Nothing was sampled" in client.get("/").text
    assert "Nothing was sampled yet" in enter(client).text


def hostile_trace(*, surrogate: bool = False) -> Trace:
    span = Span(
        "c" * 32,
        "1" * 16,
        HOSTILE,
        operation="execute_tool",
        start_ns=1,
        end_ns=5,
        tool=ToolCall(HOSTILE, arguments={HOSTILE: HOSTILE}, result=HOSTILE, error=HOSTILE),
    )
    found = Span(
        "c" * 32,
        "2" * 16,
        HOSTILE,
        operation="retrieval",
        query=HOSTILE,
        start_ns=2,
        documents=(
            Document(
                id=HOSTILE, title=HOSTILE, content=HOSTILE * 100, source=HOSTILE, updated_at=HOSTILE
            ),
        ),
    )
    chat = Span(
        "c" * 32,
        "3" * 16,
        "chat",
        operation="chat",
        start_ns=3,
        input_messages=(
            Message("system", (Part("text", HOSTILE),)),
            Message("user", (Part("text", ("\ud800 " if surrogate else "") + HOSTILE + "!"),)),
        ),
    )
    return Trace(
        "c" * 32,
        (span, found, chat),
        root_id="1" * 16,
        workflow=HOSTILE,
        release=HOSTILE,
        request=HOSTILE,
        answer=HOSTILE,
        start_ns=1,
        end_ns=9,
    )


def no_foreign_markup(html: str) -> None:
    assert "{{7*7}}" in html
    for tag, attributes in Tags(html).found:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        if tag == "script":
            assert attributes == {"src": "/static/review.js", "defer": None}
        assert tag not in {"img", "iframe", "object", "embed", "base", "style"}
        for name in ("href", "src", "action"):
            link = attributes.get(name) or "/"
            assert link.startswith(("/", "#")), link
            assert "javascript" not in link.partition("?")[0]


def test_hostile_words_are_shown_as_text_everywhere(store: Store, web: Web) -> None:
    trace = hostile_trace()
    store.add_traces([record_of(trace, service=HOSTILE)])
    fill(store, [])
    store.add_outcomes(
        [Outcome("o", OutcomeRef(trace_id="c" * 32), HOSTILE, 1.0, label=HOSTILE, source=HOSTILE)]
    )
    client = web()
    page = enter(client, "<b>ann</b>")
    no_foreign_markup(page.text)
    given = Tags(page.text).fields()
    client.post(
        "/verdict",
        data={**given, "verdict": "wrong", "mode": HOSTILE, "note": HOSTILE, "correction": HOSTILE},
    )
    for path in ("/traces", "/traces/" + "c" * 32, "/traces?workflow=" + "%3Cscript%3E"):
        page = client.get(path)
        assert page.status_code == 200
        if "?" not in path:
            no_foreign_markup(page.text)
        assert "<script>alert" not in page.text
    assert "content-security-policy" in page.headers
    assert "unsafe" not in page.headers["content-security-policy"]


def test_a_lone_surrogate_does_not_break_the_page(store: Store, web: Web, clock: Clock) -> None:
    from starlette.testclient import TestClient

    from fidelity_otel.review.web import create_app

    fill(store, [support_trace(0)])
    app = create_app(store, lambda _: hostile_trace(surrogate=True), settings={}, now=clock)
    client = TestClient(app, base_url="http://127.0.0.1")
    assert enter(client).status_code == 200
    lease = client.post("/api/v1/queue/next", json={"reviewer": "ann"})
    assert lease.status_code == 200
    assert "gnp.exe" in lease.text


def test_developers_pages_show_what_the_queue_hides(filled: Store, web: Web, clock: Clock) -> None:
    client = web()
    enter(client)
    listing = client.get("/traces?mode=retrieval_stale&order=risk")
    assert listing.text.count("retrieval_stale") >= 6
    assert "/traces/" in listing.text
    assert "No trace fits" in client.get("/traces?mode=loop").text
    page = client.get(f"/traces/{1:032x}").text
    for shown in ("a secret finding", "estimation", "chosen, π = 0.5", "2026.11-secret-release"):
        assert shown in page
    client.post(f"/traces/{1:032x}/pick")
    assert filled.audit(f"{1:032x}")[0].action == "pick"
    assert filled.audit(f"{1:032x}")[0].actor == "ann"
    missing = client.get("/traces/" + "f" * 32, headers={"accept": "text/html"})
    assert missing.status_code == 404
    assert "To mend it" in missing.text


def test_listing_pages_on(store: Store, web: Web) -> None:
    fill(store, [support_trace(n) for n in range(60)])
    client = web()
    first = client.get("/traces").text
    assert len(re.findall(r'class="when"', first)) == 50
    second = client.get("/traces?page=2").text
    assert len(re.findall(r'class="when"', second)) == 10
    assert client.get("/traces?page=x").status_code == 200


def test_an_erased_or_pruned_trace_is_shown_as_such(filled: Store, web: Web, clock: Clock) -> None:
    filled.erase(now_ns=clock(), trace_id=f"{1:032x}")
    husk = next(r.trace_id for r in filled.frame() if r.trace_id.startswith("erased"))
    page = web().get(f"/traces/{husk}")
    assert "was erased" in page.text
    assert "Put into the review queue" not in page.text


def test_a_body_that_cannot_be_read_does_not_stop_the_reviewers(store: Store, clock: Clock) -> None:
    from starlette.testclient import TestClient

    from fidelity_otel.processor.read import read_otlp
    from fidelity_otel.review.web import create_app

    fill(store, [support_trace(0)])
    app = create_app(store, read_otlp, settings={}, now=clock)
    client = TestClient(app, base_url="http://127.0.0.1")
    page = enter(client).text
    assert "the body cannot be read" in page
    assert "Can I still send back shoes" in page
    assert client.get(f"/traces/{1:032x}").status_code == 200


@pytest.mark.parametrize("path", ["/", "/traces", "/static/app.css", "/static/review.js"])
def test_nothing_is_loaded_from_elsewhere(store: Store, web: Web, path: str) -> None:
    page = web().get(path)
    assert page.status_code == 200
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*['\"]?(?:https?:)?//", page.text)
