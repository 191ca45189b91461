"""What all integrations of frameworks share: absent libraries, runs that never end, covered calls."""

from __future__ import annotations

import importlib.util
import sys
from typing import Any

import pytest

from fidelity_otel import integrations
from fidelity_otel.errors import NotEnabled
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel.sdk.spec import Spec
from fidelity_otel.testing import record
from fidelity_otel_integrations import runs


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("langchain", "pip install langchain-core"),
        ("llama_index", "pip install llama-index-core"),
        ("mcp", "pip install mcp"),
        ("openai_agents", "pip install openai-agents"),
        ("pydantic_ai", "pip install pydantic-ai-slim"),
        ("transformers", "pip install transformers"),
    ],
)
def test_an_absent_library_is_said_with_the_command(
    name: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = getattr(integrations, name)
    monkeypatch.delitem(sys.modules, module.LIBRARY, raising=False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda *_: None)
    with pytest.raises(NotEnabled, match=command):
        module.instrument()


def test_runs_that_never_end_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_OPEN_LIMIT", 3)
    held = runs.Runs("some")
    with record() as recorded:
        for key in range(5):
            held.start(key, None, Spec.of(f"run {key}"))
            held.skip(("hidden", key), key)
        assert recorded.names == ["run 0", "run 1"]
        assert recorded.one("run 0").losses == {"never_ended"}
        held.stop_all()
        assert len(recorded.names) == 5
    assert not held._open
    assert len(held._skipped) <= 3


def call(**more: Any) -> ModelCall:
    found = ModelCall.open("some", "chat", "m", "p", {}, **more)
    assert found is not None
    return found


def test_what_the_client_says_wins_and_is_counted_once() -> None:
    with record() as recorded:
        cover = call(covers=True)
        with cover:
            inner = call()
            with inner:
                inner.attempt_failed(status=500, error_type=None, delay=0.1)
            inner.output(response_id="id-1", finish_reasons=["stop"], usage={"input_tokens": 5})
            inner.end()
        assert recorded.names == []
        cover.output(usage={"input_tokens": 99})
        cover.end()
        span = recorded.one("chat m")
        assert span["gen_ai.usage.input_tokens"] == 5
        assert span["gen_ai.response.id"] == "id-1"
        assert span["fidelity.attempt.count"] == 2
        assert span["fidelity.recovery"] == "recovered"
        with cover:  # over: another call in its context is one of its own
            call().end()
        assert len(recorded.all("chat m")) == 2


def test_a_framework_may_recover_from_what_its_client_could_not() -> None:
    with record() as recorded:
        cover = call(covers=True)
        with cover:
            inner = call()
            inner.fail(ConnectionError("down"))
            inner.end()
        assert isinstance(cover.error_within, ConnectionError)
        cover.output(usage={"input_tokens": 1})
        cover.end()
        assert not recorded.one("chat m").error
