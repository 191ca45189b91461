"""The live page and the JSON log: numbers of now, one object a line."""

from __future__ import annotations

import json
import logging
import sys

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from fidelity_otel.processor.live_page import LivePage
from fidelity_otel.processor.log_format import JsonLines

NS = 10**9


class State:
    def __init__(self) -> None:
        self.now = 0
        self.numbers = {"in": {"spans in": 0.0}, "waiting": {"spans waiting": 7.0}}
        self.problems: dict[str, str] = {}


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def page(state: State) -> LivePage:
    return LivePage(lambda: state.numbers, lambda: state.problems, lambda: state.now)


def test_rates_are_over_the_last_half_minute(state: State, page: LivePage) -> None:
    assert page.now()["per second"] == {}
    for second in range(1, 101):  # 10 a second for 50 s, then 30 a second
        state.now = second * NS
        state.numbers["in"]["spans in"] += 10 if second <= 50 else 30
        found = page.now()
    assert found["per second"] == {"spans in": 30.0}
    state.now += 3600 * NS  # nobody looked for an hour
    assert page.now()["per second"] == {"spans in": 0.0}


def test_the_page_shows_numbers_and_problems_as_text(state: State, page: LivePage) -> None:
    state.problems = {"store": "<script>full</script>"}
    with TestClient(Starlette(routes=[page.route()])) as client:
        shown = client.get("/live")
        assert "spans waiting" in shown.text
        assert "<script>full" not in shown.text
        assert "&lt;script&gt;full" in shown.text
        assert client.get("/live?format=json").json()["waiting"] == {"spans waiting": 7.0}


def line(message: str, *args: object, **given: object) -> dict[str, object]:
    """What one record becomes. No logger takes part: it would carry the text into the report."""
    record = logging.makeLogRecord(
        {"name": "test.json", "levelname": "WARNING", "msg": message, "args": args, **given}
    )
    text = JsonLines().format(record)
    assert "\n" not in text
    return json.loads(text)


def test_every_log_record_is_one_json_object() -> None:
    first = line("%d spans\nof %s", 3, "a\ud800b")
    assert (first["level"], first["message"]) == ("warning", "3 spans\nof a?b")
    assert str(first["time"]).endswith("Z")
    try:
        raise ValueError("no")
    except ValueError:
        second = line("failed", exc_info=sys.exc_info(), trace_id="ab", odd=object())
    assert (second["trace_id"], second["logger"]) == ("ab", "test.json")
    assert "ValueError: no" in str(second["exception"])
