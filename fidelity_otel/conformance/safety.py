"""Masking, turning on and off, and faults that must not reach the caller."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fidelity_otel.conformance.calls import Calls
from fidelity_otel.conformance.provider import SECRET, TEXT
from fidelity_otel.loopback import Loopback
from fidelity_otel.testing import Recorded, record


class Safety(Calls):
    """The tests of what must never happen."""

    def test_masked(self, server: Loopback, originals: dict[str, Any]) -> None:
        """Redaction by default, the application's mask where given, nothing with capture off."""
        del originals
        self.integration.instrument()
        try:
            cases: list[dict[str, Any]] = [
                {},
                {"mask": lambda _key, _text: None},
                {"capture": False},
            ]
            for options in cases:
                with record(**options) as recorded:
                    server.answer(self.reply())
                    self.call(self.client(server.url))
                    span = recorded.one(self.span_name)
                    assert SECRET not in repr(span.attributes)
                    assert ("gen_ai.input.messages" in span.attributes) == (
                        "capture" not in options
                    )
                    self.check_usage(span)
        finally:
            self.integration.uninstrument()
        assert SECRET in repr(server.requests), "the provider still gets what was asked"

    def test_double_instrument(self, server: Loopback, recorded: Recorded) -> None:
        """Twice on is on once."""
        self.integration.instrument()
        server.answer(self.reply())
        self.call(self.client(server.url))
        self.check_only(recorded)

    def test_uninstrument_restores_the_originals(
        self, server: Loopback, originals: dict[str, Any]
    ) -> None:
        """The very same objects are back, and calls leave no span."""
        self.integration.instrument()
        assert any(self.patched()[name] is not originals[name] for name in originals)
        self.integration.uninstrument()
        assert all(self.patched()[name] is originals[name] for name in originals)
        with record() as recorded:
            server.answer(self.reply())
            self.call(self.client(server.url))
            assert recorded.names == []

    def test_a_missing_method_costs_only_itself(
        self, server: Loopback, monkeypatch: pytest.MonkeyPatch, originals: dict[str, Any]
    ) -> None:
        """openlit#1328, openllmetry#3242: one renamed method must not stop the rest."""
        del originals
        self.break_library(monkeypatch)
        with record() as recorded:
            self.integration.instrument()
            try:
                server.answer(self.reply())
                self.call(self.client(server.url))
                self.check_only(recorded)
            finally:
                self.integration.uninstrument()

    def test_a_fault_of_ours_never_reaches_the_caller(
        self, server: Loopback, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Every place where the integration hands over to the SDK raises, one after the other."""
        from fidelity_otel.sdk import modelcall, recorder, recording

        monkeypatch.delenv("FIDELITY_STRICT")
        broken: list[tuple[Any, str]] = [
            (recorder.Recorder, "open"),
            (recording.Recording, "put_json"),
            (modelcall.ModelCall, "output"),
            (modelcall.ModelCall, "chunk"),
            (modelcall.ModelCall, "input"),
            (modelcall.ModelCall, "attempt_failed"),
        ]
        for owner, name in broken:
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, _raiser(name))
                failing = [self.error_reply(500)] if self.retries else []
                server.answer(*failing, self.reply())
                self.call(self.client(server.url))
                server.answer(self.stream_reply())
                chunks: Iterator[Any] = iter(self.call(self.client(server.url), stream=True))
                assert len(list(chunks)) >= len(TEXT)
        assert len(recorded.all(self.span_name)) <= 2 * len(broken)


def _raiser(name: str) -> Callable[..., Any]:
    def raising(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"{name} is broken")

    return raising
