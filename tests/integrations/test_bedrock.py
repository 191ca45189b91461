"""The bedrock integration, through the kit and beyond it: real botocore, real event-stream frames.

Async is aiobotocore's. It ties botocore down to a release that is not the newest, so the test with
the newest botocore alone (`make test-integrations ONLY=bedrock`) goes without it.
"""

from __future__ import annotations

import gc
import json
import os
import struct
import threading
import zlib
from typing import Any

import pytest

from fidelity_otel.conformance import QUESTION, TEXT, TOOL_CALLS, Conformance, library
from fidelity_otel.loopback import Loopback, Reply
from fidelity_otel.testing import Recorded
from fidelity_otel_integrations import bedrock as integration

session = library("botocore.session", "botocore")
config = library("botocore.config", "botocore")
client_module = library("botocore.client", "botocore")
endpoint = library("botocore.endpoint", "botocore")
eventstream = library("botocore.eventstream", "botocore")
ALONE = os.environ.get("FIDELITY_INTEGRATION") == "bedrock"
aio_session = None if ALONE else library("aiobotocore.session", "aiobotocore")

# The client leaves the socket of a stream that is let go of half read to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

USAGE = {
    "inputTokens": 8,
    "outputTokens": 7,
    "totalTokens": 18,
    "cacheReadInputTokens": 3,
    "cacheWriteInputTokens": 0,
}
TOOLS = {
    "tools": [
        {"toolSpec": {"name": n, "description": n, "inputSchema": {"json": {"type": "object"}}}}
        for n in ("order", "refund")
    ]
}
ERRORS = {400: "ValidationException", 429: "ThrottlingException", 500: "InternalServerException"}
IDENTITY = {"x-amzn-requestid": "resp-1"}


def frame(kind: str, **payload: Any) -> bytes:
    """One message of `application/vnd.amazon.eventstream`: prelude, headers, payload, checksums."""
    headers = b""
    for key, value in {
        ":event-type": kind,
        ":content-type": "application/json",
        ":message-type": "event",
    }.items():
        headers += struct.pack("!B", len(key)) + key.encode() + b"\x07"
        headers += struct.pack("!H", len(value)) + value.encode()
    body = json.dumps(payload).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack("!I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack("!I", zlib.crc32(message))


def delta(index: int = 0, **held: Any) -> bytes:
    return frame("contentBlockDelta", contentBlockIndex=index, delta=held)


def ended(reason: str, *, usage: bool = True) -> list[bytes]:
    about = frame("metadata", usage=USAGE, metrics={"latencyMs": 3})
    return [frame("messageStop", stopReason=reason), *([about] if usage else [])]


def converse(content: list[Any], reason: str) -> Reply:
    body = {
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reason,
        "usage": USAGE,
        "metrics": {"latencyMs": 3},
    }
    return Reply(body, headers=dict(IDENTITY))


def frames(chunks: list[bytes], hold: threading.Event | None = None) -> Reply:
    kind = {"content-type": "application/vnd.amazon.eventstream", **IDENTITY}
    return Reply(chunks=chunks, headers=kind, hold=hold)


class TestBedrock(Conformance):
    integration = integration
    provider = "aws.bedrock"
    says_model = False
    asynchronous = aio_session is not None

    def settings(self, url: str) -> dict[str, Any]:
        return {
            "endpoint_url": url,
            "region_name": "eu-west-1",
            "aws_access_key_id": "x",
            "aws_secret_access_key": "x",
        }

    def options(self) -> dict[str, Any]:
        return {"retries": {"mode": "standard", "total_max_attempts": 3}}

    def make_client(self, url: str) -> Any:
        return session.get_session().create_client(
            "bedrock-runtime", config=config.Config(**self.options()), **self.settings(url)
        )

    def make_async_client(self, url: str) -> Any:
        """What creates one: aiobotocore's clients are made in `async with`."""
        assert aio_session is not None
        aio_config = library("aiobotocore.config", "aiobotocore")
        return aio_session.get_session().create_client(
            "bedrock-runtime", config=aio_config.AioConfig(**self.options()), **self.settings(url)
        )

    async def close_async_client(self, client: Any) -> None:
        if getattr(client, "_client", None) is not None:
            await client.__aexit__(None, None, None)

    def arguments(self, *, tools: bool) -> dict[str, Any]:
        more: dict[str, Any] = {"toolConfig": TOOLS} if tools else {}
        messages = [{"role": "user", "content": [{"text": QUESTION}]}]
        return {"modelId": "small-model", "messages": messages, **more}

    def call(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        if stream:
            return client.converse_stream(**self.arguments(tools=tools))["stream"]
        return client.converse(**self.arguments(tools=tools))

    async def acall(self, client: Any, *, stream: bool = False, tools: bool = False) -> Any:
        made = getattr(client, "_client", None) or await client.__aenter__()
        if stream:
            return (await made.converse_stream(**self.arguments(tools=tools)))["stream"]
        return await made.converse(**self.arguments(tools=tools))

    async def aclose(self, stream: Any) -> None:
        stream.close()

    def reply(self, *, finish: str = "stop") -> Reply:
        reason = {"stop": "end_turn", "length": "max_tokens"}[finish]
        return converse([{"text": "".join(TEXT)}], reason)

    def tools_reply(self) -> Reply:
        calls = [
            {"toolUse": {"toolUseId": c["id"], "name": c["name"], "input": c["arguments"]}}
            for c in TOOL_CALLS
        ]
        return converse(calls, "tool_use")

    def stream_reply(self, *, usage: bool = True, hold: threading.Event | None = None) -> Reply:
        start = frame("messageStart", role="assistant")
        deltas = [delta(text=text) for text in TEXT]
        stop = frame("contentBlockStop", contentBlockIndex=0)
        last = [stop, *ended("end_turn", usage=usage)]
        return frames([start + deltas[0], *deltas[1:], *last], hold)

    def tools_stream_reply(self) -> Reply:
        texts = [json.dumps(c["arguments"]) for c in TOOL_CALLS]
        chunks = [frame("messageStart", role="assistant")]
        for i, c in enumerate(TOOL_CALLS):
            asked = {"toolUse": {"toolUseId": c["id"], "name": c["name"]}}
            chunks.append(frame("contentBlockStart", contentBlockIndex=i, start=asked))
        chunks += [delta(i, toolUse={"input": text[:4]}) for i, text in enumerate(texts)]
        chunks += [delta(i, toolUse={"input": text[4:]}) for i, text in enumerate(texts)]
        return frames([*chunks, *ended("tool_use")])

    def error_reply(self, status: int, headers: dict[str, str] | None = None) -> Reply:
        named = {"x-amzn-errortype": ERRORS[status], **(headers or {})}
        return Reply({"message": "it failed"}, status, named)

    def patched(self) -> dict[str, Any]:
        return {
            "call": vars(client_module.BaseClient)["_make_api_call"],
            "retry": vars(endpoint.Endpoint)["_needs_retry"],
            "iter": vars(eventstream.EventStream)["__iter__"],
            "close": vars(eventstream.EventStream).get("close"),
        }

    def break_library(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(eventstream.EventStream, "close")

    @pytest.mark.parametrize("way", ["break", "close", "drop"])
    def test_stream_closed_early(self, way: str, server: Loopback, recorded: Recorded) -> None:
        """The first event holds no text: read as far as the first that does."""
        server.answer(self.stream_reply())
        stream = self.call(self.client(server.url), stream=True)
        for event in stream:
            if "contentBlockDelta" in event:
                break
        if way == "close":
            stream.close()
            assert recorded.names == [self.span_name]
        del stream
        gc.collect()
        span = recorded.one(self.span_name)
        assert span["fidelity.stream.complete"] is False
        assert not span.error
        (answer,) = span.value("gen_ai.output.messages")
        assert answer["parts"] == [{"type": "text", "content": TEXT[0]}]

    def test_settings_documents_and_a_failed_tool(
        self, server: Loopback, recorded: Recorded
    ) -> None:
        thought = {"reasoningContent": {"reasoningText": {"text": "well"}}}
        server.answer(converse([thought, {"text": "yes"}], "guardrail_intervened"))
        image = {"image": {"format": "png", "source": {"bytes": b"PNG" * 99}}}
        used = {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}
        told = {"toolUseId": "t", "content": [{"text": "no"}], "status": "error"}
        self.client(server.url).converse(
            modelId="small-model",
            system=[{"text": "be kind"}],
            inferenceConfig={"temperature": 0.5, "maxTokens": 9},
            messages=[
                {"role": "user", "content": [image, {"text": "this?"}]},
                {"role": "assistant", "content": [used]},
                {"role": "user", "content": [{"toolResult": told}]},
            ],
        )
        span = recorded.one(self.span_name)
        assert span["gen_ai.request.temperature"] == 0.5
        assert span["gen_ai.request.max_tokens"] == 9
        assert span["gen_ai.response.finish_reasons"] == ("content_filter",)
        assert span.value("gen_ai.system_instructions")[0]["content"] == "be kind"
        one, two, three = span.value("gen_ai.input.messages")
        assert one["parts"][0]["content"].startswith("sha256:")
        assert two["parts"][0]["arguments"] == {"a": 1}
        assert three["parts"][0]["is_error"] is True
        (answer,) = span.value("gen_ai.output.messages")
        assert [p["type"] for p in answer["parts"]] == ["reasoning", "text"]

    def test_the_stream_says_its_id(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(self.stream_reply())
        list(self.call(self.client(server.url), stream=True))
        span = recorded.one(self.span_name)
        assert span["gen_ai.response.id"] == "resp-1"
        assert span["gen_ai.request.stream"] is True

    def test_other_services_are_left_alone(self, server: Loopback, recorded: Recorded) -> None:
        server.answer(Reply({}))
        client = session.get_session().create_client("bedrock", **self.settings(server.url))
        self._clients.append(client)
        client.list_foundation_models()
        assert recorded.names == []
