"""Failure modes of calls to tools and providers."""

from __future__ import annotations

from typing import Final

from fidelity_otel.processor.detect.mode import Mode

__all__ = ["MODES"]

_TOOL_RECOVERY: Final = (
    "A later success of the same call (retry), of a reading tool with the same value (other_tool), "
    "or a hand-over to a person. An answer that admits the failure counts as escalated."
)

MODES: Final[tuple[Mode, ...]] = (
    Mode(
        name="loop",
        title="Loop",
        what="The same tool call with equal arguments and the same result, or the same words of "
        "the model, at least three times (`detect.loop_calls`); twice, where the call changes "
        "something (`update_…`, `send_…`); or two different calls, each made twice.",
        why="The system spends time and money without getting on, and often ends by giving up.",
        evidence="Calls grouped by tool and canonical arguments; a result that changes is polling "
        "and no loop; retries of rate limits and time-outs are not counted here.",
        recovery="Other work, or an answer, follows the loop.",
        known_misses="Loops through ever different arguments; loops spread over traces; loops "
        "whose tool results hold a changing clock or id.",
        mast=("FM-1.3", "FM-1.5"),
        agentrx=("Plan Adherence Failure",),
        weights=(0.3, 1.2, 0.8),
    ),
    Mode(
        name="rate_limited",
        title="Rate limited",
        what="A provider or tool turned a call away because of too many (HTTP 429, quota).",
        why="Retries cost latency; without any, part of the work is missing.",
        evidence="Status, error type or text of the call; attempts that a client retried.",
        recovery=_TOOL_RECOVERY,
        known_misses="Limits that a client library retries without recording the attempts.",
        agentrx=("System Failure",),
        owasp=("ASI08",),
        weights=(0.1, 1.0, 0.6),
    ),
    Mode(
        name="timeout",
        title="Timed out",
        what="A call took longer than anyone would wait (HTTP 408, 504, client time-out).",
        why="The result is missing, and a write may or may not have happened.",
        evidence="Status, error type or text of the call; attempts that a client retried.",
        recovery=_TOOL_RECOVERY,
        known_misses="Time-outs that a tool reports as an empty result.",
        agentrx=("System Failure",),
        owasp=("ASI08",),
        weights=(0.1, 1.0, 0.6),
    ),
    Mode(
        name="auth",
        title="Access refused",
        what="A call was refused for who asked: missing, wrong or expired credentials (401, 403).",
        why="Retrying never helps; until somebody mends it, every request fails the same way.",
        evidence="Status, error type or text of the call.",
        recovery=_TOOL_RECOVERY,
        known_misses="Services that answer 404 or an empty list instead of refusing.",
        agentrx=("System Failure",),
        owasp=("ASI03",),
        weights=(0.2, 1.2, 0.7),
    ),
    Mode(
        name="tool_error",
        title="Tool error",
        what="A tool failed in a way that none of the other modes names.",
        why="What the tool should have found or done is missing from the answer.",
        evidence="The span's error, or a result that says so: “Error: …”, {“error”: …}, "
        "{“success”: false}, a status from 400.",
        recovery=_TOOL_RECOVERY,
        known_misses="Errors written as prose in a long result; errors in other languages.",
        agentrx=("System Failure", "Invalid Invocation"),
        weights=(0.2, 0.9, 0.5),
    ),
    Mode(
        name="tool_schema_mismatch",
        title="Result of an odd shape",
        what="A tool's result has another shape than the tool usually gives in this workflow.",
        why="What reads the result takes the wrong member or none, and nobody raises an error.",
        evidence="Kind of value and top-level members, against at least twenty earlier results of "
        "the tool of which 95% look otherwise, or against four others of the same trace.",
        recovery=_TOOL_RECOVERY,
        known_misses="The first twenty calls; changes inside nested members; changed meanings.",
        mast=("FM-2.6",),
        agentrx=("System Failure", "Misinterpretation of Tool Output"),
        owasp=("ASI08",),
        weights=(0.2, 0.8, 0.5),
    ),
    Mode(
        name="malformed_arguments",
        title="Malformed arguments",
        what="A tool was called with arguments that are not JSON, or that it refused as invalid.",
        why="The model could not use the tool; it either tries again or makes the result up.",
        evidence="Arguments that do not parse; refusals (400, 422, validation errors).",
        recovery=_TOOL_RECOVERY,
        known_misses="Valid but wrong arguments: only the outcome shows those.",
        mast=("FM-2.6",),
        agentrx=("Invalid Invocation",),
        owasp=("ASI02",),
        weights=(0.2, 1.0, 0.6),
    ),
    Mode(
        name="unknown_tool",
        title="Unknown tool",
        what="The model called a tool that does not exist.",
        why="It plans with abilities that it has not; the step is lost.",
        evidence="The error text, or a call whose name is not among the tools offered.",
        recovery=_TOOL_RECOVERY,
        known_misses="Calls that the framework drops without a trace.",
        mast=("FM-1.2",),
        agentrx=("Invalid Invocation", "Invention of New Information"),
        owasp=("ASI02",),
        weights=(0.2, 1.0, 0.6),
    ),
    Mode(
        name="tool_misread",
        title="Tool result misread",
        what="The answer contradicts a tool: it claims success for a change whose last try failed, "
        "or says the opposite of the one status that a tool gave.",
        why="The user believes that something was done which was not.",
        evidence="Claims of completion in the answer beside a failed call of a changing "
        "tool; pairs "
        "of opposite statuses.",
        recovery="None is looked for: the answer has been given.",
        known_misses="Anything but plain contradictions in English; several things at once.",
        mast=("FM-2.6", "FM-3.3"),
        agentrx=("Misinterpretation of Tool Output",),
        owasp=("ASI09",),
        states=("unrecovered",),
        weights=(0.0, 1.5, 0.0),
    ),
)
