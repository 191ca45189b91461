"""The HTTP API: the whole flow, every refusal with its mend, blindness."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import msgspec
import pytest
from review_traces import START, Clock, fill, read_fake, support_trace

from fidelity_otel.review.routes import Hooks
from fidelity_otel.store import Store

Web = Callable[..., Any]


def take(client: Any, reviewer: str = "ann") -> dict[str, Any]:
    answer = client.post("/api/v1/queue/next", json={"reviewer": reviewer})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def failed(answer: Any, status: int, *words: str) -> None:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert set(body) == {"error", "where", "mend"}
    assert all(body.values())
    for word in words:
        assert word in answer.text


def test_a_reviewer_works_through_the_queue(filled: Store, web: Web, clock: Clock) -> None:
    client = web()
    seen = set()
    for turn in range(6):
        lease = take(client)
        seen.add(lease["item"]["item_id"])
        clock.pass_seconds(12)
        answer = client.post(
            f"/api/v1/leases/{lease['lease_id']}/verdict",
            json={"verdict": "wrong" if turn % 2 else "right", "mode": "loop", "note": "n"},
        )
        assert answer.status_code == 200
        assert answer.json()["item_id"] == lease["item"]["item_id"]
    assert len(seen) == 6
    assert client.post("/api/v1/queue/next", json={"reviewer": "ann"}).status_code == 204
    progress = client.get("/api/v1/progress?reviewer=ann").json()
    assert (progress["done"], progress["reviewers"][0]["judged"]) == (6, 6)
    assert progress["reviewers"][0]["median_seconds"] == 12
    assert {r.verdict for r in filled.reviews()} == {"right", "wrong"}


def test_an_item_is_blind(filled: Store, web: Web) -> None:
    client = web()
    other = take(client, "bob")
    client.post(
        f"/api/v1/leases/{other['lease_id']}/verdict",
        json={"verdict": "wrong", "note": "bobs secret note"},
    )
    for _ in range(5):
        lease = take(client)
        text = msgspec.json.encode(lease).decode()
        for secret in ("secret", "estimation", "risk", "finding", "release", "stratum", "bob"):
            assert secret not in text, secret
        assert not any(f"{n + 1:032x}" in text for n in range(6))
        item = lease["item"]
        assert item["workflow"] == "support.answer"
        assert [c["name"] for c in item["rubric"]["verdicts"]] == [
            "right",
            "wrong",
            "partly",
            "cannot_tell",
        ]
        assert item["documents"][0]["updated_at"] == "2023-02-01"
        client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json={"verdict": "right"})


def test_a_shadow_candidate_looks_like_its_incumbent(store: Store, web: Web) -> None:
    """Who judges a pair must not see which answer is the candidate's."""
    pair = (("shadow.candidate", "p1"), ("ticket", "T-1"))
    mine = support_trace(0, workflow="support.answer~new", keys=pair)
    fill(store, [mine, support_trace(1, keys=(("shadow.incumbent", "p1"),))])
    marks = [(mine.trace_id, "candidate", "p1"), (f"{2:032x}", "incumbent", "p1")]
    assert store.shadow_marks() == marks
    client = web()
    for _ in range(2):
        lease = take(client)
        assert lease["item"]["workflow"] == "support.answer"
        assert "~" not in msgspec.json.encode(lease).decode()
        client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json={"verdict": "right"})
    assert client.post("/api/v1/queue/next", json={"reviewer": "ann"}).status_code == 204


def test_an_expired_lease_is_a_409_that_says_how_to_go_on(
    filled: Store, web: Web, clock: Clock
) -> None:
    client = web(lease_seconds=60.0)
    lease = take(client)
    clock.pass_seconds(59)
    renewed = client.post(f"/api/v1/leases/{lease['lease_id']}/renew", json={})
    assert renewed.status_code == 200
    assert renewed.json()["expires_at"] > lease["expires_at"]
    clock.pass_seconds(61)
    answer = client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json={"verdict": "right"})
    failed(answer, 409, "expired 1 s ago", lease["lease_id"], "queue/next")
    assert answer.json()["where"].endswith("/verdict")
    again = client.post(
        "/api/v1/queue/next", json={"reviewer": "ann", "item_id": lease["item"]["item_id"]}
    ).json()
    assert again["item"] == lease["item"]
    assert filled.reviews() == []


def test_foreign_and_unknown_leases_are_refused(filled: Store, web: Web) -> None:
    client = web()
    lease = take(client)
    foreign = {"verdict": "right", "reviewer": "bob"}
    failed(client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json=foreign), 409, "another")
    failed(client.post("/api/v1/leases/none/verdict", json={"verdict": "right"}), 409, "unknown")


def test_skip_and_release(filled: Store, web: Web) -> None:
    client = web()
    first = take(client)
    url = f"/api/v1/leases/{first['lease_id']}/"
    assert client.post(url + "skip", json={"reason": "hard"}).status_code == 204
    second = take(client)
    assert second["item"]["item_id"] != first["item"]["item_id"]
    url = f"/api/v1/leases/{second['lease_id']}/"
    assert client.post(url + "release", json={"reviewer": "ann"}).status_code == 204
    assert take(client)["item"]["item_id"] == second["item"]["item_id"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "reviewer"),
        (b"{", "not JSON"),
        (b'"ann"', "object"),
        (b'{"reviewer": 7}', "$.reviewer"),
        (b'{"reviewer": ""}', "name"),
        (b'{"reviewer": "ann", "sudo": true}', "sudo"),
        (b"\xff\xfe", "not JSON"),
    ],
)
def test_bad_bodies_are_named(filled: Store, web: Web, body: bytes, said: str) -> None:
    headers = {"content-type": "application/json"}
    failed(web().post("/api/v1/queue/next", content=body, headers=headers), 400, said)


def test_a_verdict_that_is_none_is_named(filled: Store, web: Web) -> None:
    client = web()
    lease = take(client)
    url = f"/api/v1/leases/{lease['lease_id']}/verdict"
    failed(client.post(url, json={"verdict": "great"}), 400, "great")


def test_forms_of_other_sites_cannot_reach_the_api(filled: Store, web: Web) -> None:
    client = web()
    failed(client.post("/api/v1/erase", data={"user_id": "user-0"}), 415, "application/json")
    failed(
        client.post(
            "/api/v1/erase", json={"user_id": "user-0"}, headers={"origin": "https://evil.example"}
        ),
        403,
        "another site",
    )
    assert len(filled.traces()) == 6


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:8318", 200),
        ("[::1]:8318", 200),
        ("192.168.0.7", 200),
        ("fidelity:8318", 200),
        ("evil.example:8318", 403),
        ("127.0.0.1.evil.example", 403),
    ],
)
def test_without_a_token_no_domain_is_served(
    store: Store, web: Web, host: str, status: int
) -> None:
    """A page elsewhere whose name is made to mean 127.0.0.1 must not read what users said."""
    assert web().get("/api/v1/traces", headers={"host": host}).status_code == status


def test_a_token_is_wanted_where_one_is_set(filled: Store, web: Web) -> None:
    client = web(token="s3cret")
    failed(client.get("/api/v1/traces"), 401, "Authorization: Bearer")
    failed(client.get("/api/v1/traces", headers={"authorization": "Bearer wrong"}), 401)
    right = {"authorization": "Bearer s3cret", "host": "fidelity.example.com"}
    assert client.get("/api/v1/traces", headers=right).status_code == 200
    page = client.get("/", follow_redirects=True)
    assert "Token" in page.text
    assert "support.answer" not in page.text
    wrong = client.post("/sign-in", data={"token": "nope", "then": "/"})
    assert wrong.status_code == 401
    signed = client.post("/sign-in", data={"token": "s3cret", "then": "//evil.example"})
    assert signed.status_code == 200
    assert str(signed.url) == "http://127.0.0.1:8318/"
    assert client.get("/api/v1/traces").status_code == 200
    assert "s3cret" not in str(dict(client.cookies))


def test_traces_are_listed_and_shown(filled: Store, web: Web) -> None:
    client = web()
    listed = client.get("/api/v1/traces?workflow=support.answer&limit=2").json()
    assert len(listed) == 2
    assert listed[0]["findings"][0]["mode"] == "retrieval_stale"
    view = client.get(f"/api/v1/traces/{listed[0]['trace_id']}").json()
    assert view["record"]["workflow"] == "support.answer"
    assert view["conversation"]["request"] == listed[0]["request"]
    body = client.get(f"/api/v1/traces/{listed[0]['trace_id']}?format=otlp")
    assert body.headers["content-type"] == "application/x-protobuf"
    assert read_fake(body.content).trace_id == listed[0]["trace_id"]
    failed(client.get("/api/v1/traces/" + "f" * 32), 404, "f" * 32)
    failed(client.get("/api/v1/traces?limit=many"), 400, "limit", "many")
    failed(client.get("/api/v1/traces?since=yesterday"), 400, "since", "yesterday")
    failed(client.get("/api/v1/traces?order=best"), 400, "newest or risk")
    assert client.get("/api/v1/traces?since=1d").status_code == 200
    assert client.get("/api/v1/traces?since=2036-01-01").json() == []


def test_a_trace_is_picked_by_hand(store: Store, web: Web) -> None:
    fill(store, [])
    from review_traces import record_of

    store.add_traces([record_of(support_trace(0))])
    client = web()
    picked = client.post(f"/api/v1/traces/{1:032x}/pick", json={"by": "dev"}).json()
    assert picked["hand_picked"]
    assert take(client)["item"]["item_id"] == picked["item_id"]
    failed(client.post(f"/api/v1/traces/{9:032x}/pick", json={}), 404)


def test_outcomes_one_many_again_and_unknown(filled: Store, web: Web) -> None:
    client = web()
    one = {"ref": "key:ticket=T-0", "name": "resolved", "value": 0.0, "source": "tickets"}
    assert client.post("/api/v1/outcomes", json=one).json()["joined"] == 1
    assert client.post("/api/v1/outcomes", json=one).json()["known"] == 1
    many = [
        {"ref": f"{1:032x}", "name": "thumb", "label": "up", "observed_at": "2026-11-03T14:00:00Z"},
        {"ref": {"response_id": "unknown"}, "name": "thumb", "id": "t2"},
    ]
    counts = client.post("/api/v1/outcomes", json=many).json()
    assert (counts["added"], counts["joined"], counts["parked"]) == (2, 1, 1)
    found = filled.trace(f"{1:032x}")
    assert found is not None
    thumb = next(o for o in found.outcomes if o.name == "thumb")
    assert thumb.observed_ns == 1_793_714_400 * 10**9
    for bad, said in (
        ({"ref": "nonsense", "name": "x"}, "key:ticket=T-42"),
        ({"ref": {}, "name": "x"}, "reference"),
        ({"ref": "key:a=b", "name": " "}, "name"),
        ({"ref": "key:a=b", "name": "x", "observed_at": "soon"}, "observed_at"),
        ({"ref": "key:a=b"}, "name"),
    ):
        failed(client.post("/api/v1/outcomes", json=bad), 400, said)


def test_erasing(filled: Store, web: Web) -> None:
    client = web()
    done = client.post("/api/v1/erase", json={"user_id": "user-0", "by": "officer"}).json()
    assert done["traces"] == 2
    assert len(client.get("/api/v1/traces").json()) == 4
    failed(client.post("/api/v1/erase", json={}), 400, "exactly one")
    rows = client.get("/api/v1/audit?actor=officer").json()
    assert [r["action"] for r in rows] == ["erase"]


def test_what_the_service_lends(store: Store, web: Web) -> None:
    alone = web()
    failed(alone.post("/api/v1/windows/close", json={}), 404, "fidelity serve")
    failed(alone.get("/api/v1/report"), 404, "fidelity report")
    lent = web(
        Hooks(
            close_windows=lambda: (2, 7),
            report=lambda query: msgspec.json.encode(query),
            report_page=lambda query: "<p>report</p>",
        )
    )
    assert lent.post("/api/v1/windows/close", json={}).json()["enqueued"] == 7
    assert lent.post("/api/v1/windows/close").json()["windows"] == 2
    assert lent.get("/api/v1/report?since=7d").json() == {"since": "7d"}
    assert lent.get("/report").text == "<p>report</p>"


def test_a_locked_store_is_a_503(tmp_path: Any, clock: Clock) -> None:
    import sqlite3

    from starlette.testclient import TestClient

    from fidelity_otel.review.web import create_app
    from fidelity_otel.store import open_store

    with open_store(tmp_path, busy_seconds=0.05) as store:
        fill(store, [support_trace(0)])
        client = TestClient(
            create_app(store, read_fake, settings={}, now=clock), base_url="http://127.0.0.1"
        )
        raw = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
        raw.execute("BEGIN IMMEDIATE")
        answer = client.post("/api/v1/queue/next", json={"reviewer": "ann"})
        failed(answer, 503, "retry")
        assert answer.headers["retry-after"] == "1"
        raw.close()
        assert take(client)


def test_unknown_paths_and_methods_answer_in_the_same_way(store: Store, web: Web) -> None:
    client = web()
    failed(client.get("/api/v1/nothing"), 404)
    failed(client.get("/api/v1/queue/next"), 405)
    failed(client.get("/static/../web.py"), 404)
    failed(client.get("/static/other.css"), 404)


def test_a_body_of_any_length_is_not_read(store: Store, web: Web) -> None:
    answer = web().post(
        "/api/v1/outcomes",
        content=b"[" + b" " * (17 << 20),
        headers={"content-type": "application/json"},
    )
    failed(answer, 413, "16 MiB")


def test_the_openapi_document_tells_the_truth(filled: Store, web: Web) -> None:
    from openapi_check import validate_against

    client = web()
    document = client.get("/api/v1/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    lease = take(client)
    validate_against(document, "LeaseView", lease)
    verdict = {"verdict": "right"}
    validate_against(document, "VerdictRequest", verdict)
    with pytest.raises(jsonschema.ValidationError):
        validate_against(document, "VerdictRequest", {"verdict": "great"})
    receipt = client.post(f"/api/v1/leases/{lease['lease_id']}/verdict", json=verdict).json()
    validate_against(document, "Receipt", receipt)
    validate_against(document, "Progress", client.get("/api/v1/progress?reviewer=ann").json())
    trace = client.get("/api/v1/traces").json()[0]
    validate_against(document, "TraceRow", trace)
    validate_against(
        document, "TraceView", client.get(f"/api/v1/traces/{trace['trace_id']}").json()
    )
    validate_against(document, "Failure", client.get("/api/v1/traces/none").json())
    names = [
        operation["operationId"]
        for path in document["paths"].values()
        for operation in path.values()
    ]
    assert len(names) == len(set(names))
    assert "security" not in document
    secured = web(token="t").get("/api/v1/openapi.json", headers={"authorization": "Bearer t"})
    assert secured.json()["security"]


def test_times_of_the_clock_are_the_only_times(filled: Store, web: Web, clock: Clock) -> None:
    lease = take(web(lease_seconds=90.0))
    assert lease["lease_seconds"] == 90
    assert lease["expires_at"] == "2026-10-26T10:21:30.000Z"
    assert clock.now_ns == START + 10_000 * 10**9
