"""Conversation, user, workflow and release on every span, across tasks, threads and services."""

from __future__ import annotations

import asyncio

from opentelemetry import baggage, propagate

import fidelity_otel as fidelity
from fidelity_otel.sdk.state import STATE
from fidelity_otel.testing import Recorded, record


def test_values_are_on_all_spans_within_and_none_without(recorded: Recorded) -> None:
    assert STATE.pipeline is not None
    other = STATE.pipeline.provider.get_tracer("someone.else")
    with fidelity.context(conversation="c1", user="u1", workflow="w", release="r7"):
        with fidelity.span("ours"), other.start_as_current_span("theirs"):
            pass
        with fidelity.context(user="u2"), fidelity.span("nested"):
            pass
    with fidelity.span("outside"):
        pass
    for name in ("ours", "theirs"):
        span = recorded.one(name)
        assert span["gen_ai.conversation.id"] == "c1"
        assert span["user.id"] == "u1"
        assert span["fidelity.workflow"] == "w"
        assert span["fidelity.release"] == "r7"
    assert recorded.one("nested")["user.id"] == "u2"
    assert recorded.one("nested")["gen_ai.conversation.id"] == "c1"
    assert not recorded.one("outside").attributes


async def test_tasks_keep_them_apart(recorded: Recorded) -> None:
    async def turn(n: int) -> None:
        async with fidelity.context(conversation=f"c{n}"):
            await asyncio.sleep(0)
            async with fidelity.span(f"s{n}"):
                await asyncio.to_thread(fidelity.observe(f"t{n}")(lambda: None))

    await asyncio.gather(*(turn(n) for n in range(6)))
    for n in range(6):
        assert recorded.one(f"s{n}")["gen_ai.conversation.id"] == f"c{n}"
        assert recorded.one(f"t{n}")["gen_ai.conversation.id"] == f"c{n}"
        assert recorded.one(f"t{n}").parent_id == recorded.one(f"s{n}").id


def test_baggage_carries_them_to_other_services_but_not_the_user(recorded: Recorded) -> None:
    headers: dict[str, str] = {}
    about = fidelity.context(conversation="c/1 ü", user="secret-user", workflow="w", release="r")
    with about, fidelity.span("client"):
        propagate.inject(headers)
    assert "secret-user" not in repr(headers)
    context = propagate.extract(headers)
    assert baggage.get_baggage("fidelity.conversation", context) == "c/1 ü"
    from opentelemetry.context import attach, detach

    token = attach(context)
    with fidelity.span("server"):
        pass
    detach(token)
    server, client = recorded.one("server"), recorded.one("client")
    assert server["gen_ai.conversation.id"] == "c/1 ü"
    assert server["fidelity.workflow"] == "w"
    assert server.trace_id == client.trace_id
    assert server.parent_id == client.id
    assert "user.id" not in server.attributes


def test_the_applications_release_is_on_every_local_root() -> None:
    with record(release="v9") as recorded, fidelity.span("root"), fidelity.span("child"):
        pass
    assert recorded.one("root")["fidelity.release"] == "v9"
    assert "fidelity.release" not in recorded.one("child").attributes
