"""Looks at words give the same natively and in Python, for whatever texts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.processor import native
from fidelity_otel.processor.detect.words import Hints, alike, common, unknown_words

USUAL = frozenset({"about", "please"})
WORDS = [
    "about",
    "refund",
    "Refunded",
    "refuel",
    "size",
    "sizes",
    "it's",
    "a1b2word",
    "x_rays",
    "naïve",
]
WORDS += [
    "ǅungla",
    "İstanbul",
    "K",
    "😀",
    "wo rd",
    "sized\x1fup",
    "order",
    "ORDERS",
    "café",
    "n\u2019t",
]
texts = st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=20).map(" ".join)
hints = st.lists(st.text("abr ed't", min_size=3, max_size=6), max_size=8)


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = native.in_use()
    yield
    native.use(before == "native")


def both(step: Callable[[], Any]) -> Any:
    """What a step gives; natively and in Python it is the same."""
    native.use(False)
    python = step()
    native.use(True)
    assert step() == python
    return python


@pytest.mark.skipif(not native.available(), reason="the native parts were not built: no C compiler")
class TestBothWays:
    @settings(max_examples=400, deadline=None)
    @given(hints, texts | st.text("abr ed't", max_size=40))
    def test_hints(self, given: list[str], text: str) -> None:
        found = both(lambda: Hints(*given).any_in(text))
        assert found == any(hint in text for hint in given)

    @settings(max_examples=400, deadline=None)
    @given(texts, texts, st.sampled_from([0.2, 0.5, 0.6, 1.0]), st.integers(0, 3))
    def test_alike(self, one: str, two: str, share: float, fewest: int) -> None:
        both(lambda: alike(one, two, share=share, fewest=fewest))

    @settings(max_examples=400, deadline=None)
    @given(texts, texts)
    def test_unknown_words(self, query: str, documents: str) -> None:
        both(lambda: unknown_words(query, documents, USUAL))

    def test_the_ends_of_documents_are_read(self) -> None:
        assert both(lambda: unknown_words("sizes refund", "my size", USUAL)) == (
            ("sizes", "refund"),
            2,
        )
        assert both(lambda: unknown_words("sizes refund", "REFUsizes", USUAL)) == (("refund",), 2)
        assert both(lambda: unknown_words("size", "siz", USUAL)) == (("size",), 1)
        assert both(lambda: unknown_words("size", "size", USUAL)) == ((), 1)

    def test_more_words_than_it_has_room_for(self) -> None:
        many = " ".join(
            f"{'abcdefghij'[n % 10] * 4}{'klmnopqrst'[n // 10 % 10] * 2}{chr(97 + n // 100)}"
            for n in range(2000)
        )
        unknown, count = both(lambda: unknown_words(many, "", USUAL))
        assert len(unknown) == count == 2000
        assert both(lambda: alike(many, many, share=0.6, fewest=3)) is True
        assert both(lambda: alike(many, many[:9000], share=0.6, fewest=3)) is False

    def test_usual_words_of_several_sets(self) -> None:
        for usual in (
            USUAL,
            frozenset({"naïve", "order"}),
            USUAL,
            frozenset(map(str, range(2000))),
        ):
            known = both(lambda usual=usual: unknown_words("About the Order", "", usual))
            assert ("about" in known[0]) == ("about" not in usual)
            assert ("order" in known[0]) == ("order" not in usual)

    @given(texts, texts)
    @settings(max_examples=300)
    def test_common(self, one: str, two: str) -> None:
        both(lambda: common(one, two))

    def test_common_counts_each_word_once_and_reads_so_much_of_a_text(self) -> None:
        assert both(lambda: common("Order 66, ORDER it_1", "it_1 order x; order-66")) == 2
        far = "x " * 1999 + "ab"
        assert both(lambda: common(far + "cd efg", "efg abcd")) == 0
        assert both(lambda: common("x " * 1998 + "abc efg", "efg abc")) == 1
        many = " ".join(f"w{number:03}" for number in range(999))
        assert both(lambda: common(many, many)) == 800
        with pytest.raises(TypeError):
            native.words.common("a", b"b")

    def test_alike_just_enough(self) -> None:
        for one, two, found in (
            ("a b c d", "a b c e", True),  # 3 of 5
            ("a b c d", "a b e f", False),
            ("a b c", "a b c d e", True),
            ("a b c", "a b c d e f", False),
            ("a b", "a b", False),
        ):
            assert both(lambda one=one, two=two: alike(one, two, share=0.6, fewest=3)) is found
            assert both(lambda one=one, two=two: alike(two, one, share=0.6, fewest=3)) is found
        with pytest.raises(TypeError):
            native.words.alike("a", "b", "c", 3)

    def test_hints_wherever_they_stand(self) -> None:
        found = Hints("went wrong", "ran into", "cannot")
        for before in range(12):
            for hint in ("went wrong", "ran into", "cannot"):
                text = "x" * before + hint + "é" * (before % 3)
                assert both(lambda text=text: found.any_in(text)) is True
                assert both(lambda text=text: found.any_in(text[:-1])) is (before % 3 > 0)

    def test_a_hint_that_it_cannot_look_for_is_refused(self) -> None:
        for bad in (("no",), ("n\u2019t",), ("word",) * 65):
            with pytest.raises(ValueError, match="hint"):
                native.words.hints(bad)
