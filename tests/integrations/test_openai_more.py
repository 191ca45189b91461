"""The openai client's responses and embeddings, and life beside other instrumentations."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from opentelemetry import context, trace

import fidelity_otel as fidelity
from fidelity_otel.conformance import QUESTION, TEXT
from fidelity_otel.conformance.responses_wire import TOOLS, ResponsesWire, response
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.sdk.modelcall import SUPPRESS
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import Recorded, assert_trace, record
from fidelity_otel_integrations import openai as integration

from .test_openai import TestOpenAI as ChatKit
from .test_openai import completion


@pytest.mark.skipif(
    importlib.util.find_spec("openai.resources.responses") is None,
    reason="this release has no responses: they came with 1.66",
)
class TestResponses(ResponsesWire, ChatKit):
    """The whole kit again, over `/responses`."""

    def arguments(self, *, stream: bool, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"tools": TOOLS} if tools else {}
        return {"model": "small-model", "input": QUESTION, "stream": stream, **more}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return client.responses.create(**self.arguments(stream=stream, tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        return await client.responses.create(**self.arguments(stream=stream, tools=tools))

    # What is the chat endpoint's own is tested there.
    test_stream_closed_early = None  # type: ignore[assignment]
    test_stream_helper = None  # type: ignore[assignment]
    test_parse = None  # type: ignore[assignment]
    test_raw_response = None  # type: ignore[assignment]
    test_raw_streams = None  # type: ignore[assignment]
    test_streaming_response = None  # type: ignore[assignment]
    test_types_stay_the_clients = None  # type: ignore[assignment]
    test_unset_arguments_make_no_noise = None  # type: ignore[assignment]
    test_text_beside_tool_calls_and_refusals = None  # type: ignore[assignment]
    test_odd_responses = None  # type: ignore[assignment]
    test_other_providers_behind_the_same_client = None  # type: ignore[assignment]

    def test_closed_after_two_texts(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for event in stream:
            if getattr(event, "delta", None) == TEXT[1]:
                break
        stream.close()
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert span["gen_ai.response.id"] == "resp-1"
        assert span.value("gen_ai.output.messages")[0]["parts"][0]["content"] == "".join(TEXT[:2])

    def test_a_failed_response_has_failed(self, server: Loopback, recorded: Recorded) -> None:
        """It comes with status 200; the call looks fine in other instrumentations."""
        error = {"code": "server_error", "message": "the model broke"}
        server.answer(Reply(response([], status="failed", error=error)))
        self.call(self.client(server.url))
        span = recorded.one(self.span_name)
        assert span.error
        assert span["error.type"] == "server_error"
        assert span["gen_ai.response.finish_reasons"] == ("error",)
        assert span["fidelity.recovery"] == "abandoned"

    def test_a_conversation_of_items(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.reply())
        self.client(server.url).responses.create(
            model="small-model",
            instructions="be kind",
            previous_response_id="resp-0",
            input=[
                {"role": "user", "content": [{"type": "input_text", "text": "hello"}]},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": '{"a": 1}'},
                {"type": "function_call_output", "call_id": "c", "output": "done"},
            ],
        )
        span = recorded.one(self.span_name)
        assert span["gen_ai.request.previous_response.id"] == "resp-0"
        assert span.value("gen_ai.system_instructions") == [{"type": "text", "content": "be kind"}]
        user, assistant, tool = span.value("gen_ai.input.messages")
        assert user["parts"] == [{"type": "text", "content": "hello"}]
        assert assistant["parts"][0]["arguments"] == {"a": 1}
        assert tool["parts"][0]["response"] == "done"


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as found:
        yield found


@pytest.fixture
def client(server: Loopback) -> Iterator[openai.OpenAI]:
    integration.instrument()
    with openai.OpenAI(base_url=server.url + "/v1", api_key="x", max_retries=2) as found:
        yield found
    integration.uninstrument()


def ask(client: openai.OpenAI) -> Any:
    return client.chat.completions.create(
        model="small-model", messages=[{"role": "user", "content": "q"}]
    )


def test_embeddings(server: Loopback, client: openai.OpenAI) -> None:
    vectors = [{"object": "embedding", "index": 0, "embedding": [0.25] * 500}]
    body = {
        "object": "list",
        "model": "e-1",
        "data": vectors,
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    server.answer(Reply(body))
    with record() as recorded:
        made = client.embeddings.create(model="e", input=["one", "two"], encoding_format="float")
    assert made.data[0].embedding[0] == 0.25
    span = recorded.one("embeddings e")
    assert span.kind == "CLIENT"
    assert span["gen_ai.usage.input_tokens"] == 4
    assert span["gen_ai.response.model"] == "e-1"
    assert span.value("fidelity.input") == ["one", "two"]
    assert "0.25" not in repr(span.attributes)


@pytest.mark.parametrize("stream", [False, True])
def test_text_completions(stream: bool, server: Loopback, client: openai.OpenAI) -> None:
    """The older endpoint, which servers of open models still speak; two prompts, two answers."""
    about = {"id": "cmpl-1", "object": "text_completion", "created": 1, "model": "m-2026"}
    choices = [
        {"index": i, "text": t, "finish_reason": f, "logprobs": None}
        for i, (t, f) in enumerate([("yes", "stop"), ("no, be", "length")])
    ]
    usage = {"prompt_tokens": 4, "completion_tokens": 3, "total_tokens": 7}
    found = [{**about, "choices": [c]} for c in choices] + [
        {**about, "choices": [], "usage": usage}
    ]
    events = [b"data: " + json.dumps(e).encode() + b"\n\n" for e in found]
    whole = {**about, "choices": choices, "usage": usage}
    server.answer(Reply(chunks=[*events, b"data: [DONE]\n\n"]) if stream else Reply(whole))
    asked: dict[str, Any] = {"model": "m", "prompt": ["one", "two"], "max_tokens": 5}
    with record() as recorded:
        got = client.completions.create(**asked, stream=stream)
        list(got) if stream else None
    span = recorded.one("text_completion m")
    assert span["gen_ai.response.id"] == "cmpl-1"
    assert span["gen_ai.request.max_tokens"] == 5
    assert span["gen_ai.response.finish_reasons"] == ("stop", "length")
    assert span["gen_ai.usage.output_tokens"] == 3
    for direction, texts in (("input", ["one", "two"]), ("output", ["yes", "no, be"])):
        messages = span.value(f"gen_ai.{direction}.messages")
        assert [m["parts"][0]["content"] for m in messages] == texts


def test_other_endpoints_leave_no_span(server: Loopback, client: openai.OpenAI) -> None:
    server.answer(Reply({"object": "list", "data": []}))
    with record() as recorded:
        client.models.list()
        assert recorded.names == []


def test_a_framework_silences_its_provider(server: Loopback, client: openai.OpenAI) -> None:
    """openinference#2101, strands#1267: duplicate spans, tokens counted twice."""
    server.answer(Reply(completion({"content": "a"}, "stop")))
    with record() as recorded:
        token = context.attach(context.set_value(SUPPRESS, True))
        ask(client)
        context.detach(token)
        assert recorded.names == []
        ask(client)
        assert len(recorded.names) == 1


@pytest.mark.parametrize(
    ("scope", "attributes"),
    [
        ("opentelemetry.instrumentation.openai.v1", {}),
        ("opentelemetry.instrumentation.openai_v2", {}),
        ("openinference.instrumentation.openai", {}),
        ("logfire.openai", {}),
        ("langfuse-sdk", {"langfuse.observation.type": "generation"}),
    ],
)
@pytest.mark.parametrize("fails", [False, True])
def test_another_instrumentations_span_is_enriched_not_doubled(
    scope: str, attributes: dict[str, str], fails: bool, server: Loopback, client: openai.OpenAI
) -> None:
    """Logfire, Langfuse, Traceloop in the same process: one span, tokens once, attempts seen.

    Also strands#1267.
    """
    limited = Reply({"error": {}}, status=429, headers={"retry-after-ms": "1"})
    good = Reply(completion({"content": "a"}, "stop"))
    server.answer(limited, *([] if fails else [good]))
    with record() as recorded:
        assert STATE.pipeline is not None
        other = STATE.pipeline.provider.get_tracer(scope)
        with other.start_as_current_span("theirs", attributes=attributes):
            if fails:
                with pytest.raises(openai.RateLimitError):
                    ask(client)
            else:
                ask(client)
            assert trace.get_current_span().is_recording(), "theirs to end"
    assert recorded.names == ["theirs"]
    span = recorded.one("theirs")
    assert span["fidelity.attempt.count"] == (3 if fails else 2)
    assert span["fidelity.recovery"] == ("abandoned" if fails else "recovered")
    assert "gen_ai.usage.input_tokens" not in span.attributes
    assert span.events("fidelity.attempt")[0]["http.response.status_code"] == 429


def test_a_generation_that_is_not_current_is_enriched_not_doubled(
    server: Loopback, client: openai.OpenAI
) -> None:
    """Langfuse's drop-in client opens a span for the call without making it current."""
    server.answer(Reply(completion({"content": "a"}, "stop")))
    with record() as recorded:
        assert STATE.pipeline is not None
        other = STATE.pipeline.provider.get_tracer("langfuse-sdk")
        generation = {"langfuse.observation.type": "generation"}
        with fidelity.span("agent", "invoke_agent"):
            theirs = other.start_span("theirs", attributes=generation)
            ask(client)
            theirs.end()
            ask(client)  # theirs has ended: this call is another
        theirs = other.start_span("elsewhere", attributes=generation)
        with fidelity.span("agent 2", "invoke_agent"):
            ask(client)  # theirs is open, but not for this call
        theirs.end()
    assert recorded.one("theirs")["fidelity.attempt.count"] == 1
    assert "fidelity.attempt.count" not in recorded.one("elsewhere").attributes
    assert recorded.names.count("chat small-model") == 2


def test_a_span_that_goes_elsewhere_does_not_stand_for_ours(
    server: Loopback, client: openai.OpenAI
) -> None:
    """Another library with a provider of its own (Logfire): the call would be lost to us."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

    server.answer(Reply(completion({"content": "a"}, "stop")))
    apart = TracerProvider(resource=Resource({"service.name": "apart"}), shutdown_on_exit=False)
    scope = "opentelemetry.instrumentation.openai.v1"
    with record() as recorded, apart.get_tracer(scope).start_as_current_span("theirs"):
        ask(client)
    assert recorded.names == ["chat small-model"]


def test_an_unrelated_span_around_the_call_changes_nothing(
    server: Loopback, client: openai.OpenAI
) -> None:
    server.answer(Reply(completion({"content": "a"}, "stop")))
    with record() as recorded:
        assert STATE.pipeline is not None
        mine = STATE.pipeline.provider.get_tracer("my.app").start_as_current_span("mine")
        with mine, fidelity.span("agent", "invoke_agent"):
            ask(client)
        assert_trace(recorded, "mine\n  invoke_agent agent\n    chat small-model")
