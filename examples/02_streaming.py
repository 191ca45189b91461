"""A stream, async, with a tool: one span from its first piece to its end, however it ends.

python examples/02_streaming.py
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from opentelemetry.sdk.trace.export import ConsoleSpanExporter

import fidelity_otel as fidelity

fidelity.init(service="support", exporter=ConsoleSpanExporter(formatter=lambda s: f"{s.name}\n"))


@fidelity.tool
async def order_state(order: str) -> str:
    await asyncio.sleep(0)
    return f"sent yesterday ({order})"


@fidelity.workflow("support.answer")
async def answer(order: str) -> AsyncIterator[str]:
    yield "Your order was "
    yield await order_state(order)


async def main() -> None:
    with fidelity.context(conversation="c-7", user="u-3"):
        async for piece in answer("A-17"):
            print(piece, end="", flush=True)
    print()


asyncio.run(main())
fidelity.shutdown()
