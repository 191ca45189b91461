"""Words that users use and the index does not know."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from fidelity_otel.model import Finding
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.recovery import Recovery, without_success
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.step import Step
from fidelity_otel.processor.detect.tool_failures import elapsed, ending
from fidelity_otel.processor.detect.words import unknown_words

__all__ = ["USUAL_WORDS", "find"]

_MOST_READ: Final = 40_000
_FEWEST: Final = 2
_SHARE: Final = 0.6
USUAL_WORDS: Final = frozenset(
    """
    able about above actually after again ago also always another anyone anything around asked
    asking because been before being below best better between both bring call came cannot cant
    come could currently didnt does doesnt doing done dont down each even every explain find first
    from gets getting give goes going good happen happens hasnt have havent having hello help here
    hers himself hope instead into isnt ive just keep kind know last later less like long look
    made make many maybe mean might more most much must myself need never next nothing often once
    only other ours over perhaps please possible question quite really right said same says should
    show since some someone something soon sorry still such sure take tell than thank thanks that
    their them then there these they theyre thing things think this those through today told tried
    trying under until upon used using usually very want wanted wants well went were what whats
    when where whether which while whom whose will with within without wont work would year years
    your youre yours yourself
    """.split()  # noqa: SIM905 - a list of words reads better so
)
"""Words that every text has: no document need know them."""


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """One finding where most of what the user asked about is in none of the documents."""
    held = [(step, _text(step)) for step in facts.retrievals[:50] if step.documents]
    if not held or not any(text for _, text in held):
        return
    asked = facts.trace.request or held[0][0].key
    step, text = held[0]
    words, total = unknown_words(asked[:2000], text, USUAL_WORDS)
    if len(words) < _FEWEST or len(words) < _SHARE * total:
        return
    recovery = without_success(facts, step.start_ns)
    for later, found in held[1:]:
        rest, _ = unknown_words(asked[:2000], found, USUAL_WORDS)
        if len(rest) < _SHARE * total and len(rest) < len(words):
            recovery = Recovery("recovered", "requery", later.end_ns, noticed=True)
            break
    told = ", ".join(quoted(w, 30) for w in words[:6])
    yield Finding(
        mode="terminology_gap",
        state=recovery.state,
        span_id=step.span_id,
        evidence=f"None of the {len(step.documents or ())} documents knows {told} "
        f"({len(words)} of {total} words asked about){ending(recovery, step.end_ns)}.",
        recovered_by=recovery.by,
        noticed=recovery.noticed,
        recovery_ns=elapsed(recovery, step.end_ns),
    )


def _text(step: Step) -> str:
    pieces = (f"{d.title or ''} {d.content or ''}" for d in step.documents or ())
    return " ".join(pieces)[:_MOST_READ].strip()
