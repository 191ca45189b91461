"""Rubrics per workflow, amending, second looks: what the desk does beyond the plain queue."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from review_traces import Clock, fill, support_trace
from test_pages import Tags, enter

from fidelity_otel.errors import ConfigError
from fidelity_otel.review.routes import Hooks
from fidelity_otel.review.rubric import DEFAULT_RUBRIC
from fidelity_otel.review.rubric_file import RubricBook, read_rubrics
from fidelity_otel.store import Store

Web = Callable[..., Any]
RUBRICS = """
support.answer:
  question: Does the customer know what to do next?
  hints:
    - Prices are those of the day.
  modes:
    - {name: wrong_price, title: Wrong price, help: Not the price of that day.}
    - {name: loop, title: Round and round}
triage:
  only: true
  modes: [{name: wrong_team, title: Wrong team}]
"*":
  hints: [Take your time.]
"""


def test_a_workflows_rubric_takes_the_rest_from_the_others() -> None:
    rubrics = read_rubrics(RUBRICS, where="r.yaml")
    own = rubrics.of("support.answer")
    assert own.question == "Does the customer know what to do next?"
    assert own.hints == ("Prices are those of the day.",)
    assert [m.name for m in own.modes[:3]] == ["wrong_price", "loop", "ungrounded"]
    assert [m.key for m in own.modes[:3]] == ["a", "b", "c"]
    assert len({m.name for m in own.modes}) == len(own.modes)
    assert [m.title for m in own.modes if m.name == "loop"] == ["Round and round"]
    triage = rubrics.of("triage")
    assert [m.name for m in triage.modes] == ["wrong_team"]
    assert triage.hints == ("Take your time.",)
    assert triage.question == DEFAULT_RUBRIC.question
    assert rubrics.of("else").modes == DEFAULT_RUBRIC.modes


def test_the_built_in_keys_are_letters_each_once() -> None:
    keys = [m.key for m in DEFAULT_RUBRIC.modes]
    assert keys == sorted(set(keys))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [", r"r.yaml:1: not YAML|r.yaml:2: not YAML"),
        ("a: 7", "r.yaml: Expected `object`"),
        ("a: {questoin: x}", "questoin"),
        ("a: {modes: [{name: x}]}", "title"),
        ("a: {modes: [{name: x, title: X}, {name: x, title: Y}]}", "named twice"),
        (
            "a: {modes: [" + ",".join(f"{{name: m{n}, title: T}}" for n in range(20)) + "]}",
            "more than there are letters",
        ),
    ],
)
def test_a_faulty_file_is_named(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_rubrics(text, where="r.yaml")


def test_a_change_takes_effect_and_a_slip_of_the_pen_does_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path, book = tmp_path / "r.yaml", RubricBook()
    with pytest.raises(ConfigError, match="cannot be read"):
        book.read(str(path))
    path.write_text("w:\n  question: One?")
    assert book.read(str(path)).of("w").question == "One?"
    path.write_text("w:\n  question: Two?")
    os.utime(path, ns=(1, 1))
    assert book.read(str(path)).of("w").question == "Two?"
    path.write_text("w: {")
    os.utime(path, ns=(2, 2))
    for _ in range(3):
        assert book.read(str(path)).of("w").question == "Two?"
    assert caplog.text.count("not YAML") == 1
    assert book.read("").of("w") == DEFAULT_RUBRIC


def test_the_page_asks_what_the_rubric_says(filled: Store, web: Web, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(RUBRICS)
    client = web(rubric=str(path))
    page = enter(client).text
    assert "Does the customer know what to do next?" in page
    assert "Wrong price" in page
    lease = client.post("/api/v1/queue/next", json={"reviewer": "ann"}).json()
    assert lease["item"]["rubric"]["modes"][0]["name"] == "wrong_price"
    with pytest.raises(ConfigError, match="cannot be read"):
        web(rubric=str(tmp_path / "missing.yaml"))


def test_changing_the_last_verdict(filled: Store, web: Web, clock: Clock) -> None:
    client = web()
    given = Tags(enter(client).text).fields()
    page = client.post("/verdict", data={**given, "verdict": "right", "note": "hm"})
    (review,) = filled.reviews()
    link = f"/mine/{review.id}"
    assert link in page.text
    again = client.get(link)
    assert "You judged this one" in again.text
    assert ">hm</textarea>" in again.text
    page = client.post(link, data={"verdict": "wrong", "mode": "loop", "note": "oh"})
    assert "Recorded: wrong" in page.text
    (review,) = filled.reviews()
    assert (review.verdict, review.note, review.mode) == ("wrong", "oh", "loop")
    clock.pass_seconds(4000)
    late = client.post(link, data={"verdict": "right", "note": "too late"})
    assert late.status_code == 409
    assert "more than 60 minutes ago" in late.text
    assert "too late" in late.text
    client.post("/leave")
    enter(client, "bob")
    assert client.get(link).status_code == 404


def test_amending_over_the_api(filled: Store, web: Web) -> None:
    client = web()
    lease = client.post("/api/v1/queue/next", json={"reviewer": "ann"}).json()
    url = f"/api/v1/leases/{lease['lease_id']}/verdict"
    receipt = client.post(url, json={"verdict": "right"}).json()
    amend = f"/api/v1/reviews/{receipt['review_id']}/amend"
    assert client.post(amend, json={"verdict": "wrong"}).status_code == 400
    assert client.post(amend, json={"verdict": "wrong", "reviewer": "bob"}).status_code == 409
    done = client.post(amend, json={"verdict": "wrong", "reviewer": "ann"})
    assert done.json()["verdict"] == "wrong"
    assert client.get("/api/v1/audit").json()[0]["detail"]["was"]["verdict"] == "right"


def test_a_second_look_asks_about_today(store: Store, web: Web, clock: Clock) -> None:
    fill(store, [support_trace(0)])
    client = web(recheck_days=("7",), recheck_share=1.0)
    lease = client.post("/api/v1/queue/next", json={"reviewer": "ann"}).json()
    assert lease["item"]["purpose"] == "judge"
    client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json={"verdict": "right"})
    assert client.post("/api/v1/queue/next", json={"reviewer": "ann"}).status_code == 204
    clock.pass_seconds(7 * 86_400)
    page = enter(client).text
    assert "Would this answer still be right today?" in page
    assert "Judge the answer as of today" in page
    lease = client.post("/api/v1/queue/next", json={"reviewer": "ann"}).json()
    assert lease["item"]["purpose"] == "again"
    client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json={"verdict": "wrong"})
    (look,) = client.get("/api/v1/rechecks").json()
    assert (look["days"], look["verdict"], look["probability"]) == (7, "wrong", 1.0)


def test_the_trail_and_the_agreement_have_pages(filled: Store, web: Web, clock: Clock) -> None:
    client = web()
    assert "No trace has two verdicts yet" in client.get("/agreement").text
    for turn in range(120):
        filled.pick(f"{1:032x}", now_ns=clock(), by="dev" if turn % 2 else "<b>eve</b>")
    page = client.get("/audit").text
    assert "&lt;b&gt;eve" in page
    assert "earlier" in page
    following = page.partition("/audit?")[2].partition('"')[0].replace("&amp;", "&")
    assert "draw" in client.get(f"/audit?{following}").text
    assert "eve" not in client.get("/audit?actor=dev").text.partition("<tbody>")[2]
    assert client.get("/audit?before=x").status_code == 200


def test_the_report_keeps_its_own_style(store: Store, web: Web) -> None:
    """The report is one file with its style inside; the pages' policy would strip it."""
    client = web(Hooks(report_page=lambda _: "<style>p{}</style>"))
    policy = client.get("/report").headers.get_list("content-security-policy")
    assert len(policy) == 1
    assert "style-src 'unsafe-inline'" in policy[0]
    assert "script-src" not in policy[0]
