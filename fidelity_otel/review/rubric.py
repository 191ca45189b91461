"""What reviewers are asked, and by which names they call what went wrong.

The failure modes share their names with the detectors', so that a reviewer's word and a detector's
can be compared; the first ones are what no detector sees.
"""

from __future__ import annotations

import msgspec

__all__ = ["DEFAULT_RUBRIC", "MODES", "VERDICTS", "Choice", "Rubric"]


class Choice(msgspec.Struct, frozen=True):
    """One answer to choose: its name in data, the key that chooses it, and words for people."""

    name: str
    key: str
    title: str
    help: str = ""


class Rubric(msgspec.Struct, frozen=True):
    """The question of a workflow, what to look at, and the choices."""

    question: str
    hints: tuple[str, ...]
    verdicts: tuple[Choice, ...]
    modes: tuple[Choice, ...]


VERDICTS = (
    Choice("right", "1", "Right", "The user got what they needed, and it is true."),
    Choice("wrong", "2", "Wrong", "They did not: false, missing, harmful or beside the point."),
    Choice("partly", "3", "Partly", "Of some use, but something that matters is wrong or missing."),
    Choice("cannot_tell", "4", "Can’t tell", "What is shown does not allow a judgement."),
)

MODES = (
    Choice("ungrounded", "a", "Made up", "Says something that no document or tool said."),
    Choice("retrieval_stale", "b", "Out of date", "Relies on a document that no longer holds."),
    Choice("wrong_document", "c", "Wrong document", "The documents found answer another question."),
    Choice("retrieval_empty", "d", "Nothing found", "The right document was not found at all."),
    Choice("terminology_gap", "e", "Words differ", "The user’s words are not the documents’."),
    Choice("misunderstood", "f", "Misunderstood", "Answers another question than was asked."),
    Choice("incomplete", "g", "Incomplete", "Stops before the user’s need is met."),
    Choice("instruction_violation", "h", "Broke a rule", "Against policy or instructions."),
    Choice("tool_misread", "i", "Misread a tool", "A tool said one thing, the answer another."),
    Choice("tool_error", "j", "Tool failed", "A tool failed and that was not made good."),
    Choice("wrong_tool", "k", "Wrong tool", "The wrong tool, or wrong arguments."),
    Choice("loop", "l", "Went in circles", "The same step again and again."),
    Choice("refusal", "m", "Refused", "Declined what it should have done."),
    Choice("truncated", "n", "Cut off", "The answer ends in the middle."),
    Choice("other", "o", "Something else", "Say what in the note."),
)

DEFAULT_RUBRIC = Rubric(
    question="Did the user get what they needed?",
    hints=(
        "Judge the outcome, not the effort: a polite answer that is false is wrong.",
        "Check the answer against the documents and tool results shown, and their dates.",
        "If what is shown does not settle it, choose “Can’t tell”: that is data too.",
    ),
    verdicts=VERDICTS,
    modes=MODES,
)
