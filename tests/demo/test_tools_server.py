"""The back office fails at the rates it states, the same way for the same seed, over real HTTP."""

from __future__ import annotations

import threading
from collections import Counter

import httpx
import pytest


@pytest.fixture(scope="module")
def module(demo):
    return demo("tools_server")


@pytest.fixture
def office(module, monkeypatch):
    monkeypatch.setattr(module, "LATE_SECONDS", 0.0)  # slow answers are tested by their rate alone
    server = module.BackOffice(seed=7)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def client(office):
    with httpx.Client(base_url=f"http://127.0.0.1:{office.server_port}") as client:
        yield client


def test_faults_come_at_the_stated_rates(module, office):
    draws = 5000
    fates = Counter(office.fate(f"/orders?number={n}") for n in range(draws))
    assert set(fates) == {"", *module.RATES}
    for name, rate in module.RATES.items():
        five_sigma = 5 * (draws * rate * (1 - rate)) ** 0.5
        assert abs(fates[name] - draws * rate) < five_sigma, name


def test_the_same_seed_fails_the_same_way(module):
    def fates(seed):
        server = module.BackOffice(seed)
        try:
            return [server.fate(f"/orders?number={n % 40}") for n in range(200)]
        finally:
            server.server_close()

    assert fates(7) == fates(7) != fates(8)


def test_what_each_fault_looks_like(office, client, monkeypatch):
    def answers(fate, number="1042"):
        monkeypatch.setattr(office, "fate", lambda _: fate)
        got = client.get("/orders", params={"number": number})
        posted = client.post("/refunds", json={"order": number})
        return got, posted

    got, posted = answers("")
    assert got.json() == [
        {"number": "1042", "article": "blue kettle", "status": "transit", "day": "Thursday"}
    ]
    assert posted.json() == {"refund": "started", "amount": 24.9}
    for response in answers("429"):
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "1"
    got, posted = answers("odd")
    assert "status" not in got.json()[0]
    assert "refund" not in posted.json()
    got, posted = answers("empty")
    assert got.json() == []
    got, posted = answers("", "9999")
    assert got.json() == []
    assert posted.json()["refund"] == "refused"
    assert answers("", "1061")[1].json()["refund"] == "refused"
