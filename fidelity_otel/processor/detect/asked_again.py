"""The user asks again: the conversation itself is evidence that the answer before was no help."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from fidelity_otel.model import Finding, Message
from fidelity_otel.processor.detect.evidence import quoted
from fidelity_otel.processor.detect.facts import Facts
from fidelity_otel.processor.detect.settings import DetectSettings
from fidelity_otel.processor.detect.words import Hints, alike

__all__ = ["find"]

_SHARE: Final = 0.6
_FEWEST: Final = 3
_MOST_TURNS: Final = 40
_CONFIRMS: Final = re.compile(
    r"\W*(?:yes|yeah|yep|ok|okay|sure|thanks|thank|no|great|perfect|please (?:go"
    r"|proceed)|go ahead|i'd"
    r" like to go ahead|correct|right|bye|goodbye|hello|hi)\b",
    re.IGNORECASE,
)
_THANKS: Final = re.compile(r"\bthank", re.IGNORECASE)
_SAYS_SO: Final = re.compile(
    r"\b(?:i (?:already|just) (?:said|told|asked|gave|provided|mentioned|explained|answered)"
    r"|as i already|like i said|(?:that(?:'s| is"
    r"|s) )not what i (?:asked|meant|wan"
    r"ted|said)|you (?:did ?n[o']t|didn't|have ?n[o']t|never) (?:answer|understand"
    r"|help|listen)|i(?:'ll| w"
    r"ill)? ask(?:ed|ing)? (?:you )?again|asking (?:you )?again|read my (?:question|message) again"
    r"|(?:still|again) (?:the )?wrong|that(?:'s| is|s) (?:wrong|incorrect"
    r"|not (?:right|correct|true)))",
    re.IGNORECASE,
)

_HINTS: Final = Hints(
    *("i already", "i just", "like i said", "not what i", "you did", "you have", "you never"),
    *("ask again", "asked again", "asking again", "you again", "message again", "question again"),
    *("still wrong", "still the wrong", "again wrong", "again the wrong", "s wrong"),
    *("s incorrect", "s not right", "s not correct", "s not true"),
)
"""One of these is in every text that `_SAYS_SO` finds something in; looking is much cheaper."""
_CLOSER_HINTS: Final = Hints(
    *(
        f"i {when} {did}"
        for when in ("already", "just")
        for did in "said told asked gave provided mentioned explained answered".split()  # noqa: SIM905
    ),
    *(
        f"that{short} {judged}"
        for short in ("'s", " is", "s")
        for judged in ("wrong", "incorrect", "not right", "not correct", "not true")
    ),
    *(f"you {verb}{nots} " for verb in ("did", "have") for nots in ("n't", " n't", "not", " not")),
    *("you never ", "as i already", "like i said", "not what i ", "ask again", "asked again"),
    *("asking again", "ask you again", "asked you again", "asking you again", "message again"),
    *("question again", "still wrong", "still the wrong", "again wrong", "again the wrong"),
)
"""As above, for ASCII texts, and hardly in any other; looked for where one of the above is."""


_MARKS: Final = ".,;:!?"


def find(facts: Facts, settings: DetectSettings) -> Iterator[Finding]:  # noqa: ARG001
    """Findings of user messages that repeat an earlier one, or say that they do.

    Only turns of this trace are judged: those before it were judged with their own traces.
    """
    longest = max(facts.chats[-3:], key=lambda c: len(c.input_messages), default=None)
    if longest is None:
        return
    turns = _asked(longest.input_messages)[-_MOST_TURNS:]
    if len(turns) < 2:  # noqa: PLR2004 - nothing before the first
        return
    before = turns if longest is facts.chats[0] else _asked(facts.chats[0].input_messages)
    first = max(1, min(len(before), _MOST_TURNS) - 1)
    if first >= len(turns):
        return
    said = [_plain(turn) for turn in turns]
    for number in range(first, len(turns)):
        text = turns[number]
        again = any(_alike(earlier, said[number]) for earlier in said[:number])
        again = again and not _confirms(text)
        if not again and not _says_so(text[:1000]):
            continue
        yield Finding(
            mode="repeated_question",
            state="unrecovered" if number == len(turns) - 1 else "recovered",
            span_id=longest.span_id,
            evidence=f"The user {'asked the same again' if again else 'said that it was no help'}, "
            f"in turn {number + 1} of {len(turns)}: {quoted(text)}.",
        )


def _confirms(text: str) -> bool:
    if _CONFIRMS.match(text):
        return True
    line = text.partition("\n")[0]
    lowered = line.lower()
    at = lowered.find("thank")  # the pattern would try every place before it
    if at > 0 and not line.isascii():
        return _THANKS.search(line) is not None
    while at > 0 and (lowered[at - 1].isalnum() or lowered[at - 1] == "_"):
        at = lowered.find("thank", at + 1)
    return at >= 0


def _says_so(text: str) -> bool:
    lowered = text.lower()
    if not _HINTS.any_in(lowered):
        return False
    # Beyond ASCII there are letters that the pattern takes for others, as it ignores case.
    if text.isascii() and not _CLOSER_HINTS.any_in(lowered):
        return False
    return _SAYS_SO.search(text) is not None


def _plain(text: str) -> str:
    """A text's beginning in small letters, with nothing but spaces between words."""
    plain = text[:1000].lower()
    for mark in _MARKS:  # `translate` would take longer
        plain = plain.replace(mark, " ")
    return plain


def _alike(one: str, two: str) -> bool:
    """Whether two plain texts have most of their words in common."""
    return alike(one, two, share=_SHARE, fewest=_FEWEST)


def _asked(messages: Sequence[Message]) -> list[str]:
    """What the user said, turn by turn: only messages that an answer stands between are turns."""
    turns: list[str] = []
    answered = True
    for message in messages:
        if not answered:
            answered = message.role == "assistant" and bool(message.text)
        elif message.role == "user":
            text = message.text
            if text:
                turns.append(text[:2000])
                answered = False
    return turns
