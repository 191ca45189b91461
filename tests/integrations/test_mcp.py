"""The mcp integration: tool calls of a real client session against a real server in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import fidelity_otel as fidelity
from fidelity_otel.conformance import SECRET, library
from fidelity_otel.testing import Recorded, record
from fidelity_otel_integrations import mcp as integration

mcp = library("mcp")
session_module = library("mcp.client.session", "mcp")

try:
    from mcp.server.mcpserver import MCPServer as Server
except ImportError:
    from mcp.server.fastmcp import FastMCP as Server  # type: ignore[no-redef]

STARTED = asyncio.Event()


def served() -> Any:
    server = Server("shop")

    @server.tool()
    async def order(number: int) -> str:
        """Look an order up."""
        if number == 0:
            raise ValueError("no such order")
        if number < 0:
            STARTED.set()
            await asyncio.Event().wait()
        return f"order {number} {SECRET}"

    return server


@asynccontextmanager
async def connected() -> AsyncGenerator[Any, None]:
    """A session that is connected to the server."""
    if hasattr(mcp, "Client"):
        async with mcp.Client(served(), mode="legacy") as client:
            yield client
    else:
        from mcp.shared.memory import create_connected_server_and_client_session

        async with create_connected_server_and_client_session(served()._mcp_server) as session:
            yield session


def patched() -> dict[str, Any]:
    return {"call": vars(session_module.ClientSession)["call_tool"]}


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    with record() as found:
        integration.instrument()
        yield found
        integration.uninstrument()


async def test_a_tool_call_is_one_span(recorded: Recorded) -> None:
    async with connected() as session:
        with fidelity.span("caller"):
            result = await session.call_tool("order", {"number": 7})
    assert "order 7" in result.content[0].text
    span = recorded.one("execute_tool order")
    assert span.parent_id == recorded.one("caller").id
    assert span.value("gen_ai.tool.call.arguments") == {"number": 7}
    assert "order 7" in span["gen_ai.tool.call.result"]
    assert span["mcp.method.name"] == "tools/call"
    assert SECRET not in repr(span.attributes)
    assert not span.error
    assert not [n for n in recorded.names if n.startswith("MCP send tools/call")]


async def test_failed_tools_and_unknown_ones(recorded: Recorded) -> None:
    """otel-python-genai#557: a tool that says it failed looked right."""
    async with connected() as session:
        await session.call_tool("order", {"number": 0})
        span = recorded.one("execute_tool order")
        assert span.error
        assert span["error.type"] == "tool_error"
        assert "Error executing tool order" in span.span.status.description


async def test_cancelled(recorded: Recorded) -> None:
    STARTED.clear()
    async with connected() as session:
        task = asyncio.create_task(session.call_tool("order", {"number": -1}))
        await asyncio.wait_for(STARTED.wait(), 20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert recorded.one("execute_tool order")["fidelity.cancelled"] is True


async def test_the_trace_goes_along(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """openllmetry#4374: the trace context was never sent."""
    sent: list[dict[str, Any]] = []
    if hasattr(mcp, "Client"):
        from mcp.shared import jsonrpc_dispatcher as place

        inject = place.inject_trace_context
        monkeypatch.setattr(
            place, "inject_trace_context", lambda meta: (inject(meta), sent.append(meta))
        )
    else:
        request = session_module.ClientSession.send_request

        async def kept(session: Any, asked: Any, *args: Any, **kwargs: Any) -> Any:
            meta = getattr(asked.root.params, "meta", None)
            sent.append(meta.model_dump() if meta else {})
            return await request(session, asked, *args, **kwargs)

        monkeypatch.setattr(session_module.ClientSession, "send_request", kept)
    async with connected() as session:
        await session.call_tool("order", {"number": 7})
    span = recorded.one("execute_tool order")
    carried = [m["traceparent"].split("-")[2] for m in sent if "traceparent" in m]
    assert f"{span.id:016x}" in carried


async def test_within_a_frameworks_span_of_the_same_tool(recorded: Recorded) -> None:
    async with connected() as session:
        with fidelity.span("order", "execute_tool"):
            await session.call_tool("order", {"number": 7})
    recorded.one("execute_tool order")


async def test_on_off_and_twice() -> None:
    before = patched()
    integration.instrument()
    integration.instrument()
    assert patched()["call"] is not before["call"]
    with record() as found:
        async with connected() as session:
            await session.call_tool("order", {"number": 7})
            found.one("execute_tool order")
            integration.uninstrument()
            assert patched()["call"] is before["call"]
            await session.call_tool("order", {"number": 7})
            found.one("execute_tool order")


async def test_faults_of_ours_never_reach_the_caller(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fidelity_otel.sdk import recorder, recording

    def raising(*_: Any, **__: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.delenv("FIDELITY_STRICT")
    async with connected() as session:
        for owner, name in (
            (recorder.Recorder, "open"),
            (recording.Recording, "fail_text"),
            (integration, "_field"),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, raising)
                await session.call_tool("order", {"number": 0})
                await session.call_tool("order", {"number": 7})
