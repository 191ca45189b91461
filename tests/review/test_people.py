"""Roles: who may do what, and that a token says who one is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from review_traces import Clock, fill, support_trace

from fidelity_otel.errors import ConfigError
from fidelity_otel.review.people import RIGHTS, People
from fidelity_otel.review.routes import Hooks
from fidelity_otel.store import Store

PEOPLE = ("ann:reviewer:token-ann", "dev:developer:token-dev", "lea:lead:token-lea")
Web = Callable[..., Any]


def of(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer token-{name}"}


def test_who_a_token_belongs_to() -> None:
    people = People.read(PEOPLE, "master")
    ann = people.with_token("token-ann")
    assert ann is not None
    assert (ann.name, ann.role) == ("ann", "reviewer")
    master = people.with_token("master")
    assert master is not None
    assert (master.name, master.role) == ("", "lead")
    assert people.with_token("token-an") is None
    assert people.with_token("") is None
    assert People.read(()).open
    assert People.read(["a:lead:to:ken"]).with_token("to:ken") is not None


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        (["ann"], "NAME:ROLE:TOKEN"),
        (["ann:reviewer:"], "NAME:ROLE:TOKEN"),
        (["ann:boss:secret-word"], "reviewer, developer, lead"),
        (["ann:lead:same-word", "bob:lead:same-word"], r"entry 2 \(bob\).*somebody else's"),
    ],
)
def test_faulty_people_are_named_without_their_tokens(entries: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        People.read(entries)
    assert "-word" not in str(caught.value)


@pytest.mark.parametrize(
    ("method", "path", "right"),
    [
        ("POST", "/api/v1/queue/next", "judge"),
        ("GET", "/api/v1/traces", "see"),
        ("GET", "/api/v1/report", "see"),
        ("POST", "/api/v1/outcomes", "tell"),
        ("POST", "/api/v1/traces/{trace}/pick", "pick"),
        ("GET", "/api/v1/agreement", "settle"),
        ("GET", "/api/v1/audit", "manage"),
        ("POST", "/api/v1/erase", "manage"),
        ("POST", "/api/v1/windows/close", "manage"),
        ("GET", "/traces", "see"),
        ("GET", "/agreement", "settle"),
        ("GET", "/audit", "manage"),
        ("GET", "/report", "see"),
    ],
)
def test_each_role_may_what_it_may(
    filled: Store, web: Web, method: str, path: str, right: str
) -> None:
    hooks = Hooks(
        close_windows=lambda: (0, 0),
        report=lambda _: b"{}",
        report_page=lambda _: "<p>",
    )
    client = web(hooks, people=PEOPLE)
    bodies: dict[str, Any] = {
        "/api/v1/queue/next": {},
        "/api/v1/outcomes": [],
        "/api/v1/erase": {"user_id": "nobody"},
    }
    for name, role in (("ann", "reviewer"), ("dev", "developer"), ("lea", "lead")):
        answer = client.request(
            method,
            path.format(trace=f"{1:032x}"),
            headers=of(name),
            json=bodies.get(path, {}) if method == "POST" else None,
        )
        if right in RIGHTS[role]:
            assert answer.status_code in {200, 204}, (name, answer.text)
        else:
            assert answer.status_code == 403, (name, answer.text)
            assert role in answer.json()["error"]
            assert "review.people" in answer.json()["mend"]
    assert client.request(method, path, json={}, follow_redirects=False).status_code in {401, 303}


def test_nobody_judges_in_another_name(filled: Store, web: Web) -> None:
    client = web(people=PEOPLE)
    wrong = client.post("/api/v1/queue/next", json={"reviewer": "lea"}, headers=of("ann"))
    assert wrong.status_code == 403
    lease = client.post("/api/v1/queue/next", json={}, headers=of("ann")).json()
    assert lease["reviewer"] == "ann"
    url = f"/api/v1/leases/{lease['lease_id']}/verdict"
    foreign = client.post(url, json={"verdict": "right"}, headers=of("lea"))
    assert foreign.status_code == 409
    assert client.post(url, json={"verdict": "right"}, headers=of("ann")).status_code == 200
    (review,) = filled.reviews()
    assert review.reviewer == "ann"


def test_a_reviewer_sees_only_their_own_progress(filled: Store, web: Web) -> None:
    client = web(people=PEOPLE)
    for name in ("ann", "lea"):
        lease = client.post("/api/v1/queue/next", json={}, headers=of(name)).json()
        url = f"/api/v1/leases/{lease['lease_id']}/verdict"
        client.post(url, json={"verdict": "right"}, headers=of(name))
    mine = client.get("/api/v1/progress", headers=of("ann")).json()
    assert [r["reviewer"] for r in mine["reviewers"]] == ["ann"]
    theirs = client.get("/api/v1/progress", headers=of("lea")).json()
    assert [r["reviewer"] for r in theirs["reviewers"]] == ["ann", "lea"]


def test_pages_after_signing_in(filled: Store, web: Web, clock: Clock) -> None:
    client = web(people=PEOPLE)
    page = client.post("/sign-in", data={"token": "token-ann", "then": "/"})
    assert '<span class="me">ann</span>' in page.text
    refused = client.get("/traces", headers={"accept": "text/html"})
    assert refused.status_code == 403
    assert "not for that role" in refused.text
    assert 'href="/traces"' not in refused.text
    client.post("/leave")
    assert filled.lease_in_hand("ann", clock()) is None
    assert "Token" in client.get("/").text
    page = client.post("/sign-in", data={"token": "token-dev", "then": "/"})
    assert str(page.url).endswith("/traces")
    assert 'href="/audit"' not in page.text


def test_a_faulty_setting_is_told_at_the_start(store: Store, web: Web) -> None:
    with pytest.raises(ConfigError, match="NAME:ROLE:TOKEN"):
        web(people=("x",))
    with pytest.raises(ConfigError, match="number of days"):
        web(recheck_days=("1", "soon"))


def test_a_disagreement_goes_only_to_a_lead(store: Store, web: Web) -> None:
    fill(store, [support_trace(0)], double_share=1.0)
    people = (*PEOPLE, "bob:reviewer:token-bob", "cy:reviewer:token-cy")
    client = web(people=people)
    for name, verdict in (("ann", "right"), ("bob", "wrong")):
        lease = client.post("/api/v1/queue/next", json={}, headers=of(name)).json()
        assert lease["item"]["opinions"] == []
        url = f"/api/v1/leases/{lease['lease_id']}/verdict"
        body = {"verdict": verdict, "note": f"because of {verdict}", "mode": "loop"}
        client.post(url, json=body, headers=of(name))
    assert client.post("/api/v1/queue/next", json={}, headers=of("cy")).status_code == 204
    agreement = client.get("/api/v1/agreement", headers=of("lea")).json()
    assert (agreement["pairs"], agreement["same"], agreement["open"]) == (1, 0, 1)
    lease = client.post("/api/v1/queue/next", json={}, headers=of("lea")).json()
    assert lease["item"]["purpose"] == "settle"
    assert [o["note"] for o in lease["item"]["opinions"]] == [
        "because of right",
        "because of wrong",
    ]
    text = str(lease["item"])
    assert "ann" not in text.replace("cannot", "")
    assert "bob" not in text
    page = client.get("/agreement", headers=of("lea")).text
    assert "0 of 1" in page
    assert "1 to be settled" in page
    url = f"/api/v1/leases/{lease['lease_id']}/verdict"
    assert client.post(url, json={"verdict": "wrong"}, headers=of("lea")).status_code == 200
    assert client.get("/api/v1/agreement", headers=of("lea")).json()["open"] == 0
