"""The anthropic integration: the whole kit where its own tracing is off, enriched where it is on."""

from __future__ import annotations

import asyncio
import gc
import json
import threading
from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from anthropic import _base_client, _response, _streaming

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, SECRET, TEXT, TOOL_CALLS, Conformance
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import Recorded, record
from fidelity_otel_integrations import anthropic as integration

# From 2.12 on the client can record its calls itself.
OWN = hasattr(_base_client, "finish_api_call_span")
OFF: dict[str, Any] = {"open_telemetry": False} if OWN else {}
native = pytest.mark.skipif(not OWN, reason="this release has no tracing of its own")

USAGE = {
    "input_tokens": 8,
    "cache_read_input_tokens": 3,
    "cache_creation_input_tokens": 0,
    "output_tokens": 7,
}
TOOLS = [
    {"name": n, "description": n, "input_schema": {"type": "object"}} for n in ("order", "refund")
]


def message(content: list[Any], reason: str) -> dict[str, Any]:
    return {
        "id": "resp-1",
        "type": "message",
        "role": "assistant",
        "model": "small-model-2026",
        "content": content,
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": USAGE,
    }


def sse(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def start(usage: bool = True) -> bytes:
    opened = {**message([], ""), "stop_reason": None, "usage": {**USAGE, "output_tokens": 1}}
    return sse("message_start", message=opened if usage else {**opened, "usage": None})


def stop(reason: str, usage: bool = True) -> list[bytes]:
    delta = sse(
        "message_delta",
        delta={"stop_reason": reason, "stop_sequence": None},
        usage={"output_tokens": 7} if usage else None,
    )
    return [delta, sse("message_stop")]


def text_stream(usage: bool = True) -> list[bytes]:
    deltas = [
        sse("content_block_delta", index=0, delta={"type": "text_delta", "text": t}) for t in TEXT
    ]
    block = sse("content_block_start", index=0, content_block={"type": "text", "text": ""})
    end = sse("content_block_stop", index=0)
    return [start(usage) + block + deltas[0], *deltas[1:], end, *stop("end_turn", usage)]


class TestAnthropic(Conformance):
    """Own tracing off (and all releases before 2.12): our span."""

    integration = integration
    provider = "anthropic"

    def make_client(self, url: str) -> Any:
        return anthropic.Anthropic(base_url=url, api_key="x", max_retries=2, **OFF)

    def make_async_client(self, url: str) -> Any:
        return anthropic.AsyncAnthropic(base_url=url, api_key="x", max_retries=2, **OFF)

    def arguments(self, *, stream: bool, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        return {
            "model": "small-model",
            "max_tokens": 100,
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": stream,
            **more,
        }

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return client.messages.create(**self.arguments(stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await client.messages.create(**self.arguments(stream=stream, tools=tools))

    def reply(self, *, finish: str = "stop") -> Reply:
        reason = {"stop": "end_turn", "length": "max_tokens"}[finish]
        return Reply(message([{"type": "text", "text": "".join(TEXT)}], reason))

    def tools_reply(self) -> Reply:
        calls = [
            {"type": "tool_use", "id": c["id"], "name": c["name"], "input": c["arguments"]}
            for c in TOOL_CALLS
        ]
        return Reply(message(calls, "tool_use"))

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        return Reply(chunks=text_stream(usage), hold=hold)

    def tools_stream_reply(self) -> Reply:
        chunks = [start()]
        for i, c in enumerate(TOOL_CALLS):
            block = {"type": "tool_use", "id": c["id"], "name": c["name"], "input": {}}
            chunks.append(sse("content_block_start", index=i, content_block=block))
            text = json.dumps(c["arguments"])
            for at in range(0, len(text), 4):
                delta = {"type": "input_json_delta", "partial_json": text[at : at + 4]}
                chunks.append(sse("content_block_delta", index=i, delta=delta))
            chunks.append(sse("content_block_stop", index=i))
        return Reply(chunks=[*chunks, *stop("tool_use")])

    def patched(self) -> dict[str, Any]:
        return {
            "request": vars(_base_client.SyncAPIClient)["request"],
            "arequest": vars(_base_client.AsyncAPIClient)["request"],
            "inner": vars(_base_client.SyncAPIClient)["_request"],
            "ainner": vars(_base_client.AsyncAPIClient)["_request"],
            "finish": vars(_base_client).get("finish_api_call_span"),
            "retry": vars(_base_client.BaseClient)["_calculate_retry_timeout"],
            "status": vars(_base_client.BaseClient)["_should_retry"],
            "close": vars(_streaming.Stream)["close"],
            "aclose": vars(_streaming.AsyncStream)["close"],
            "parse": vars(_response.APIResponse)["parse"],
        }

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(_streaming.AsyncStream, "close")

    # The first event of this protocol holds no text: read two.
    test_stream_closed_early = None  # type: ignore[assignment]

    @pytest.mark.parametrize("way", ["close", "drop"])
    def test_closed_after_the_first_text(
        self, way: str, server: Loopback, recorded: Recorded
    ) -> None:
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for event in stream:
            if event.type == "content_block_delta":
                break
        if way == "close":
            stream.close()
        del stream
        gc.collect()
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == TEXT[0]

    async def test_stream_helper(self, server: Loopback, recorded: Recorded) -> None:
        """openllmetry#3701, #3178: `AsyncMessages.stream` was wrapped async; `async with` broke."""
        arguments = self.arguments(stream=False, tools=False)
        del arguments["stream"]
        server.answer(self.stream_reply())
        with self.client(server.url).messages.stream(**arguments) as stream:
            assert "".join(stream.text_stream) == "".join(TEXT)
        server.answer(self.stream_reply())
        async with self.async_client(server.url).messages.stream(**arguments) as astream:
            assert (await astream.get_final_message()).content[0].text == "".join(TEXT)
        for span in recorded.all(self.span_name):
            self.check(span)
            self.check_usage(span)
        assert len(recorded.names) == 2

    def test_a_conversation_with_tools_images_and_a_system_text(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        server.answer(self.reply())
        image = {"type": "base64", "media_type": "image/png", "data": "A" * 4000}
        self.client(server.url).messages.create(
            model="small-model",
            max_tokens=10,
            system=[{"type": "text", "text": "be kind"}],
            messages=[
                {"role": "user", "content": [{"type": "image", "source": image}]},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}],
                },
                {
                    "role": "user",
                    "content": [
                        {
                            "type": "tool_result",
                            "tool_use_id": "t",
                            "content": "no",
                            "is_error": True,
                        }
                    ],
                },
            ],
        )
        span = recorded.one(self.span_name)
        assert span.value("gen_ai.system_instructions") == [{"type": "text", "content": "be kind"}]
        one, two, three = span.value("gen_ai.input.messages")
        assert one["parts"][0]["type"] == "blob"
        assert one["parts"][0]["content"].startswith("sha256:")
        assert two["parts"][0]["arguments"] == {"a": 1}
        assert three["parts"][0]["is_error"] is True


# --- its own tracing on --------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


@pytest.fixture
def client(server: Loopback, recorded: Recorded) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(
        base_url=server.url, api_key="x", max_retries=2, open_telemetry=telemetry()
    ) as found:
        yield found


def telemetry() -> Any:
    assert STATE.pipeline is not None
    return {"tracer_provider": STATE.pipeline.provider}


KIT = TestAnthropic()
NATIVE = "anthropic.messages.create"
ARGUMENTS = KIT.arguments(stream=False, tools=False)


@native
def test_one_span_a_call_and_it_holds_what_the_client_leaves_out(
    server: Loopback, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    """Adding the official instrumentation gives two spans, and tokens twice."""
    server.answer(KIT.reply())
    with fidelity.span("caller"):
        client.messages.create(**ARGUMENTS)
    assert recorded.names == ["caller", NATIVE]
    span = recorded.one(NATIVE)
    assert span.span.instrumentation_scope.name == "com.anthropic.sdk.python"
    assert span.parent_id == recorded.one("caller").id
    assert span["gen_ai.usage.output_tokens"] == 7
    assert span["gen_ai.response.finish_reasons"] == ("stop",)
    assert "bring it back" in span.value("gen_ai.input.messages")[0]["parts"][0]["content"]
    assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "".join(TEXT)
    assert span["fidelity.recovery"] == "first_try"
    assert SECRET not in repr(span.attributes)


@native
def test_attempts_are_on_its_span(
    server: Loopback, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    limited = KIT.error_reply(429, {"retry-after-ms": "1"})
    server.answer(limited, KIT.error_reply(500, {"retry-after-ms": "1"}), KIT.reply())
    client.messages.create(**ARGUMENTS)
    span = recorded.one(NATIVE)
    statuses = [e["http.response.status_code"] for e in span.events("fidelity.attempt")]
    assert statuses == [429, 500]
    assert span["fidelity.attempt.count"] == 3
    assert span["fidelity.recovery"] == "recovered"
    assert span["http.request.resend_count"] == 2
    recorded.clear()
    server.answer(limited)
    with pytest.raises(anthropic.RateLimitError):
        client.messages.create(**ARGUMENTS)
    span = recorded.one(NATIVE)
    assert span["fidelity.recovery"] == "abandoned"
    assert span.error


@native
@pytest.mark.parametrize("way", ["read", "close", "helper"])
def test_streams(
    way: str, server: Loopback, client: anthropic.Anthropic, recorded: Recorded
) -> None:
    server.answer(KIT.stream_reply())
    if way == "helper":
        with client.messages.stream(
            **{k: v for k, v in ARGUMENTS.items() if k != "stream"}
        ) as helper:
            assert helper.get_final_text() == "".join(TEXT)
    else:
        stream = client.messages.create(**{**ARGUMENTS, "stream": True})
        for event in stream:
            if way == "close" and event.type == "content_block_delta":
                stream.close()
                break
    span = recorded.one(NATIVE)
    expected = TEXT[0] if way == "close" else "".join(TEXT)
    assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == expected
    assert span["fidelity.stream.complete"] is (way != "close")
    assert ("partial_stream" in span.losses) is (way == "close")
    if way != "close":
        assert span["gen_ai.usage.output_tokens"] == 7
        assert span["gen_ai.response.finish_reasons"] == ("stop",)


@native
async def test_async_and_cancelled(server: Loopback, recorded: Recorded) -> None:
    async with anthropic.AsyncAnthropic(
        base_url=server.url, api_key="x", open_telemetry=telemetry()
    ) as client:
        server.answer(KIT.reply())
        await client.messages.create(**ARGUMENTS)
        server.answer(KIT.stream_reply())
        stream = await client.messages.create(**{**ARGUMENTS, "stream": True})
        assert [e.type async for e in stream][-1] == "message_stop"
        spans = recorded.all(NATIVE)
        texts = [s.value("gen_ai.output.messages")[0]["parts"][0]["content"] for s in spans]
        assert texts == ["".join(TEXT)] * 2
        recorded.clear()
        hold = threading.Event()
        slow = KIT.reply()
        slow.hold = hold
        server.answer(slow)
        task = asyncio.create_task(client.messages.create(**ARGUMENTS))
        while not server.requests:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hold.set()
        span = recorded.one(NATIVE)
        assert span["fidelity.cancelled"] is True
        assert span["fidelity.recovery"] == "abandoned"


@native
def test_capture_off_and_faults_of_ours(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    from fidelity_otel.sdk import modelcall, recorder

    with record(capture=False) as recorded:
        integration.instrument()
        with anthropic.Anthropic(
            base_url=server.url, api_key="x", open_telemetry=telemetry()
        ) as client:
            server.answer(KIT.reply())
            client.messages.create(**ARGUMENTS)
            span = recorded.one(NATIVE)
            assert "gen_ai.input.messages" not in span.attributes
            assert "gen_ai.output.messages" not in span.attributes
            monkeypatch.delenv("FIDELITY_STRICT")
            for owner, name in (
                (recorder.Recorder, "adopt"),
                (modelcall.ModelCall, "output"),
                (modelcall.ModelCall, "chunk"),
                (modelcall.ModelCall, "end"),
            ):
                with monkeypatch.context() as patch:
                    patch.setattr(owner, name, lambda *_, **__: 1 / 0)
                    server.answer(KIT.reply())
                    assert client.messages.create(**ARGUMENTS).id == "resp-1"
                    server.answer(KIT.stream_reply())
                    events = list(client.messages.create(**{**ARGUMENTS, "stream": True}))
                    assert events[-1].type == "message_stop"
        integration.uninstrument()
