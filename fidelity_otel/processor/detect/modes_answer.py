"""Failure modes of answers, of their endings, and of the conversation around them."""

from __future__ import annotations

from typing import Final

from fidelity_otel.processor.detect.mode import Mode

__all__ = ["MODES"]

MODES: Final[tuple[Mode, ...]] = (
    Mode(
        name="truncated",
        title="Truncated",
        what="The model stopped at its token limit.",
        why="The end of the answer, or of a tool call's JSON, is missing.",
        evidence="Finish reason `length`.",
        recovery="A later whole answer beside it.",
        known_misses="Limits reached exactly; providers that report `stop`.",
        mast=("FM-3.1",),
        agentrx=("System Failure",),
        weights=(0.2, 1.3, 0.8),
    ),
    Mode(
        name="refusal",
        title="Refusal",
        what="The model declined the task in words.",
        why="Where the task was legitimate, the user leaves with nothing.",
        evidence="Openings such as “I can't assist with that”; a refusal part or finish reason.",
        recovery="A later call beside it that answers; a hand-over to a person.",
        known_misses="Polite deflections; other languages. Whether it was right to refuse is for "
        "reviewers.",
        agentrx=("Guardrails Triggered", "Intent Not Supported"),
        weights=(0.1, 0.9, 0.5),
    ),
    Mode(
        name="content_filter",
        title="Content filter",
        what="A provider's filter stopped the answer or turned the request away.",
        why="The answer ends in the middle or is missing, for reasons the application cannot see.",
        evidence="Finish reason `content_filter`; the text of the provider's error.",
        recovery="A later call beside it that answers, often of another model.",
        known_misses="Filters that replace words without saying so.",
        agentrx=("Guardrails Triggered",),
        weights=(0.2, 1.5, 0.8),
    ),
    Mode(
        name="empty_output",
        title="Empty output",
        what="The model, or the whole request, returned nothing.",
        why="Nobody can use an empty answer, yet it is reported as a success.",
        evidence="No text and no tool call in the output that was recorded, or zero output tokens.",
        recovery="A later call beside it that says something.",
        known_misses="Outputs that were not captured; answers of filler words.",
        mast=("FM-3.1",),
        agentrx=("System Failure",),
        weights=(0.2, 2.5, 1.5),
    ),
    Mode(
        name="premature_stop",
        title="Premature stop",
        what="The system ended before it had done what it said or asked for.",
        why="The user waits for a step that nobody will take.",
        evidence="A last model call whose tool calls were never run; an answer that ends by "
        "announcing a step (“let me check …”).",
        recovery="A hand-over, or an answer that admits it.",
        known_misses="Answers that are complete in form and leave out half the task.",
        mast=("FM-3.1", "FM-2.6"),
        agentrx=("Plan Adherence Failure",),
        states=("unrecovered", "escalated"),
        weights=(0.2, 1.4, 0.8),
    ),
    Mode(
        name="model_swapped",
        title="Model swapped",
        what="Another model answered than the one that was asked.",
        why="Quality, cost and policy were decided for the other one.",
        evidence="Requested and responding model; versions, dates, regions and folders "
        "do not count, "
        "nor do providers whose names are deployments (Azure, routers).",
        recovery="A fallback that the client recorded.",
        known_misses="Swaps behind an unchanged name.",
        weights=(0.1, 0.3, 0.3),
    ),
    Mode(
        name="budget_exceeded",
        title="Budget exceeded",
        what="A limit of steps, tokens, time or cost was hit: the system's own, or one "
        "that was set "
        "(`detect.max_seconds`, `detect.max_tokens`, `detect.max_cost_usd`).",
        why="Work was cut off, or paid for at a price that nobody wants to pay.",
        evidence="Errors and answers that name a limit; duration, tokens and cost of the trace.",
        recovery="A hand-over, or an answer that admits it.",
        known_misses="Limits that end a run without an error; costs that are not recorded.",
        mast=("FM-1.5",),
        agentrx=("System Failure",),
        states=("unrecovered", "escalated"),
        weights=(0.3, 0.9, 0.7),
    ),
    Mode(
        name="abandoned",
        title="Abandoned",
        what="The caller left before the end: cancelled, or a stream that was not read to its end.",
        why="Users leave when it takes too long or goes the wrong way; the rest was paid "
        "for nothing.",
        evidence="`fidelity.cancelled`, `fidelity.stream.complete`, cancellation errors.",
        recovery="The request as a whole was answered all the same.",
        known_misses="Users who close the page while the server goes on.",
        states=("recovered", "unrecovered"),
        weights=(0.1, 0.8, 0.0),
    ),
    Mode(
        name="swallowed_error",
        title="Swallowed error",
        what="Something failed, nothing made up for it, the request was reported a success and the "
        "answer is silent on it.",
        why="This is how a system fails silently: no dashboard shows it, no user is told.",
        evidence="Open errors of the other modes, or failed spans of any kind below a root that "
        "says ok.",
        recovery="None: a recovered or admitted error is not swallowed.",
        known_misses="Errors that left no span, event or text behind.",
        mast=("FM-3.2",),
        agentrx=("Misinterpretation of Tool Output",),
        owasp=("ASI08", "ASI09"),
        states=("unrecovered",),
        weights=(0.0, 0.6, 0.0),
    ),
    Mode(
        name="instruction_violation",
        title="Instruction violated",
        what="The trace breaks the workflow's contract.",
        why="The contract says what correct means there; breaking it is wrong by definition.",
        evidence="The contract's rule and what it found.",
        recovery="None is looked for: rules are checked on the trace as a whole.",
        known_misses="Whatever no contract says.",
        mast=("FM-1.1", "FM-1.2"),
        agentrx=("Plan Adherence Failure",),
        states=("unrecovered",),
        weights=(0.0, 1.6, 0.0),
    ),
    Mode(
        name="repeated_question",
        title="Asked again",
        what="The user asks the same again, or says that the answer before was no help.",
        why="Nobody asks twice who was helped: it is the user's own verdict on the turn before.",
        evidence="User turns with six of ten words in common with an earlier one; phrases such as "
        "“that's not what I asked”.",
        recovery="The conversation went on to something else.",
        known_misses="Users who put it differently, or leave; conversations that are not recorded.",
        mast=("FM-1.4", "FM-2.5"),
        agentrx=("Intent–Plan Misalignment",),
        states=("recovered", "unrecovered"),
        weights=(0.4, 1.0, 0.0),
    ),
)
