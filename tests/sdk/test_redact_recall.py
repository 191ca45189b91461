"""How much of what should be redacted is: measured on a labelled corpus, with a floor.

The other half, what is redacted but should not be, is measured on real text in test_redact.py. The
figures of both stand in docs/sdk/capture.md.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from fidelity_otel.sdk.redact import KINDS, Redactor

from .labelled_secrets import FORMS, Example, corpus

DOCS = Path(__file__).resolve().parents[2] / "docs/sdk/capture.md"
SEED, COUNT = 20261125, 200
FLOORS = {"secrets": 0.99, "email": 1.0, "card": 1.0, "iban": 1.0, "phone": 0.99, "ip": 1.0}
NOT_CLAIMED = {"named in words", "national"}
"""Forms that the documentation says are not found: their recall has no floor."""


def gone(example: Example, redact: Redactor) -> bool:
    """Whether nothing of the value that could be used is left."""
    left = redact(example.text)
    if example.form == "in a URL":
        return str(example.value).split(":")[2].split("@")[0] not in left
    pieces = re.findall(r"[\w+/!#$%*-]{6,}", example.value.removeprefix("Bearer "))
    whole = example.value not in left
    return whole and (example.form != "private key" or not any(p in left for p in pieces[3:-3]))


@pytest.fixture(scope="module")
def recall() -> dict[tuple[str, str], float]:
    redactors = {kind: Redactor([kind]) for kind in KINDS}
    hits: Counter[tuple[str, str]] = Counter()
    for example in corpus(SEED, COUNT):
        hits[example.kind, example.form] += gone(example, redactors[example.kind])
    return {key: hits[key] / COUNT for key in FORMS}


@pytest.mark.parametrize("key", FORMS, ids=" ".join)
def test_what_is_claimed_is_found(
    key: tuple[str, str], recall: dict[tuple[str, str], float]
) -> None:
    kind, form = key
    if form in NOT_CLAIMED:
        assert recall[key] < 0.9, "it is found after all: claim it"
    else:
        assert recall[key] >= FLOORS[kind]


def test_the_documentation_has_these_figures(recall: dict[tuple[str, str], float]) -> None:
    text = DOCS.read_text()
    for (kind, form), share in recall.items():
        assert f"| `{kind}` | {form} | {share:.1%} |" in text


def test_the_corpus_is_the_same_every_time_and_holds_what_it_says() -> None:
    first, second = (list(corpus(7, 3)) for _ in range(2))
    assert first == second
    assert len({e.value for e in first}) == len(first) == 3 * len(FORMS)
    assert all(e.value in e.text or "\\n" in e.text for e in first)
