"""Integrations by name: built-in, published by others, unknown, absent, broken."""

from __future__ import annotations

import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel import integrations
from fidelity_otel.errors import NotEnabled
from fidelity_otel.sdk import guard

DOCS = Path(__file__).resolve().parents[2] / "docs/sdk/integrations.md"


@pytest.fixture(autouse=True)
def all_off() -> Iterator[None]:
    yield
    integrations.uninstrument()


def test_every_integration_is_documented_and_keeps_the_contract() -> None:
    text = DOCS.read_text()
    for name in integrations.BUILTIN:
        assert f"| `{name}` |" in text
        module = getattr(integrations, name)
        assert isinstance(module.LIBRARY, str)
        assert callable(module.instrument)
        assert callable(module.uninstrument)


def test_all_that_are_there() -> None:
    assert {"openai", "threads"} <= set(fidelity.instrument())


def test_unknown_names_are_said_with_what_there_is() -> None:
    with pytest.raises(NotEnabled, match=r"openai, .*threads"):
        fidelity.instrument("nonsense")


def test_init_says_it_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    integrations.turn_on(["nonsense", "threads"])
    assert "nonsense" in caplog.text


class Point:
    """An entry point of someone else's distribution."""

    def __init__(self, name: str, module: Any) -> None:
        self.name = name
        self._module = module

    def load(self) -> Any:
        return self._module


def test_strangers_integrations(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    theirs = types.ModuleType("theirs")
    theirs.instrument = lambda: calls.append("on")  # type: ignore[attr-defined]
    theirs.uninstrument = lambda: calls.append("off")  # type: ignore[attr-defined]
    points = {"theirs": Point("theirs", theirs), "wrong": Point("wrong", 3)}
    monkeypatch.setattr(integrations, "_published", lambda: points)
    assert fidelity.instrument("theirs") == ("theirs",)
    fidelity.uninstrument("theirs")
    assert calls == ["on", "off"]
    with pytest.raises(NotEnabled, match="not a module"):
        fidelity.instrument("wrong")


def test_one_broken_integration_does_not_stop_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FIDELITY_STRICT")
    broken = types.ModuleType("broken")

    def fail() -> None:
        raise RuntimeError("broken")

    broken.instrument = broken.uninstrument = fail  # type: ignore[attr-defined]
    monkeypatch.setattr(integrations, "_published", lambda: {"a_broken": Point("a_broken", broken)})
    before = guard.counts["instrument a_broken"]
    assert "threads" in fidelity.instrument()
    assert guard.counts["instrument a_broken"] == before + 1
    fidelity.uninstrument()
