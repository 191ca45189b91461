"""What a subclass says about its provider, and the fixtures that use it."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Generator
from types import ModuleType
from typing import Any, ClassVar

import pytest

from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded, record

TEXT = ["Goods can ", "be returned ", "for 30 days."]
QUESTION = "Can I bring it back? My key is sk-abcdefghij0123456789."
SECRET = "sk-abcdefghij0123456789"  # noqa: S105 - made up, to be found
TOOL_CALLS = [
    {"id": "call_1", "name": "order", "arguments": {"id": 7}},
    {"id": "call_2", "name": "refund", "arguments": {"id": 7, "sum": 12.5}},
]


class Provider:
    """Everything without a body here is for the subclass to say."""

    integration: ClassVar[ModuleType]
    beneath: ClassVar[tuple[ModuleType, ...]] = ()
    """Integrations of the clients that it calls underneath: on too, and never seen."""
    provider: ClassVar[str]
    model: ClassVar[str] = "small-model"
    operation: ClassVar[str] = "chat"
    span_name: ClassVar[str] = "chat small-model"
    parent_name: ClassVar[str] = "caller"
    """The span that a call's span is under, in one of the application's own called "caller"."""
    retries: ClassVar[bool] = True
    """Whether the client tries again by itself."""
    usage_when_streaming: ClassVar[bool] = True
    """Whether `stream_reply` can hold usage."""
    asynchronous: ClassVar[bool] = True
    """Whether there is an async client."""
    says_id: ClassVar[bool] = True
    """Whether responses have an id."""
    response_id: ClassVar[str] = "resp-1"
    """Their id, as the client shows it to the application."""
    says_model: ClassVar[bool] = True
    """Whether responses say which model answered."""
    says_cached: ClassVar[bool] = True
    """Whether responses say how many tokens came from a cache."""
    tool_call_ids: ClassVar[bool] = True
    """Whether the provider gives tool calls an id."""
    lazy_streams: ClassVar[bool] = False
    """Whether the client asks only when the first chunk of a stream is read."""

    # --- for the subclass ------------------------------------------------------------------

    def make_client(self, url: str) -> Any:
        """A sync client of the provider at this address, with two retries."""
        raise NotImplementedError

    def make_async_client(self, url: str) -> Any:
        """An async client of the provider at this address, with two retries."""
        raise NotImplementedError

    def close_client(self, client: Any) -> None:
        """Close a sync client."""
        client.close()

    async def close_async_client(self, client: Any) -> None:
        """Close an async client."""
        await client.close()

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        """Ask QUESTION; the response, or the stream."""
        raise NotImplementedError

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        """The same, async."""
        raise NotImplementedError

    def reply(self, *, finish: str = "stop") -> Reply:
        """TEXT in one response: id "resp-1", 11 tokens in (3 of them cached), 7 out."""
        raise NotImplementedError

    def tools_reply(self) -> Reply:
        """TOOL_CALLS in one response."""
        raise NotImplementedError

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        """TEXT, one chunk a piece, as a stream."""
        raise NotImplementedError

    def tools_stream_reply(self) -> Reply:
        """TOOL_CALLS, their arguments in interleaved fragments."""
        raise NotImplementedError

    def error_reply(self, status: int, headers: dict[str, str] | None = None) -> Reply:
        """The provider's error of this HTTP status."""
        return Reply(
            status=status,
            headers=headers or {},
            body={"error": {"message": "it failed", "type": "some_error"}},
        )

    def hopeless(self) -> list[Reply]:
        """Replies after which the client gives up in its third attempt."""
        return [self.error_reply(429, {"retry-after-ms": "1", "retry-after": "0.001"})]

    def patched(self) -> dict[str, Any]:
        """The objects that the integration patches, by name, as they are now."""
        raise NotImplementedError

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take away one method that the integration patches, as a future release might."""
        raise NotImplementedError

    def check_only(self, recorded: Recorded) -> None:
        """The call has left one span, and nothing else."""
        assert recorded.names == [self.span_name]

    # --- fixtures --------------------------------------------------------------------------

    @pytest.fixture
    def server(self) -> Generator[Loopback]:
        """The provider."""
        self._clients: list[Any] = []
        with Loopback() as server:
            yield server
            for client in self._clients:
                self.close_client(client)

    @pytest.fixture(autouse=True)
    async def async_clients(self) -> AsyncIterator[None]:
        """Closes the async clients in the loop that they live in."""
        self._async_clients: list[Any] = []
        yield
        for client in self._async_clients:
            await self.close_async_client(client)

    def client(self, url: str) -> Any:
        """A sync client, closed after the test."""
        self._clients.append(self.make_client(url))
        return self._clients[-1]

    def async_client(self, url: str) -> Any:
        """An async client, closed after the test."""
        if not self.asynchronous:
            pytest.skip("there is no async client of this library here")
        self._async_clients.append(self.make_async_client(url))
        return self._async_clients[-1]

    @pytest.fixture
    def originals(self) -> dict[str, Any]:
        """What the patched objects were before."""
        return self.patched()

    @pytest.fixture
    def recorded(
        self, originals: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> Generator[Recorded]:
        """Spans, with the integration on."""
        del originals
        monkeypatch.setenv("FIDELITY_STRICT", "1")
        with record() as recorded:
            for one in (self.integration, *self.beneath):
                one.instrument()
            try:
                yield recorded
            finally:
                for one in (self.integration, *self.beneath):
                    one.uninstrument()
