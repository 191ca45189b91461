"""Cheap looks before costly patterns: none may say no where the pattern would say yes."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.processor.detect import asked_again, endings, grounding, refusals, wording
from fidelity_otel.processor.detect.words import Hints


@pytest.mark.parametrize(
    ("pattern", "hints"),
    [
        (asked_again._SAYS_SO, asked_again._HINTS),
        (asked_again._SAYS_SO, asked_again._CLOSER_HINTS),
        (endings._ANNOUNCED, endings._HINTS),
        (endings._LIMITED, endings._LIMIT_HINTS),
        (endings._CANCELLED, endings._CANCEL_HINTS),
        (refusals._REFUSED, refusals._HINTS),
        (wording._SAID_SO, wording._SAID_HINTS),
        (wording._HANDED, wording._HANDED_HINTS),
    ],
    ids=[
        "asked_again",
        "asked_again, closer",
        "endings",
        "limits",
        "cancelled",
        "refusals",
        "said_so",
        "handed_over",
    ],
)
def test_what_a_pattern_finds_has_one_of_its_hints(pattern: re.Pattern[str], hints: Hints) -> None:
    @settings(max_examples=300, deadline=None)
    @given(st.from_regex(pattern, alphabet=st.characters(max_codepoint=126)))
    def every(text: str) -> None:
        assert hints.any_in(text.lower()), text

    every()


@settings(max_examples=300, deadline=None)
@given(st.from_regex(grounding._SPECIFIC))
def test_every_specific_has_its_hint(text: str) -> None:
    assert grounding._HINT.search(text) is not None
    if text.isascii():
        assert grounding._ASCII_HINT.search(text) is not None or "://" in text


@settings(max_examples=400, deadline=None)
@given(
    st.lists(
        st.sampled_from(["thank", "Thanks", "THAN\u212a", "a", "\u00e9", "_", "1", " ", ",", "\n"])
    ).map("".join)
)
def test_a_word_of_thanks_in_the_first_line_confirms(text: str) -> None:
    line = text.split("\n", 1)[0]
    thanks = re.search(r"\bthank", line, re.IGNORECASE) is not None
    assert asked_again._confirms(text) == (thanks or asked_again._CONFIRMS.match(text) is not None)


def test_the_hints_turn_away_most_of_ordinary_talk() -> None:
    """Else they cost and do not spare anything."""
    talk = "Your parcel is on its way and the courier brings it before the evening."
    for hints in (asked_again._HINTS, endings._HINTS, wording._SAID_HINTS, wording._HANDED_HINTS):
        assert not hints.any_in(talk.lower())
    assert grounding.specifics(talk) == []
