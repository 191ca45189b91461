"""Rules about the answer: what it must and must not say, its form, its sources, its numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from fidelity_otel.processor.contract.breach import Check, Subject
from fidelity_otel.processor.contract.given import GivenError, mapping, texts, whole
from fidelity_otel.processor.dialects.values import compact

__all__ = ["citations", "json_schema", "must_contain", "must_not_contain", "numbers_from"]

_LONGEST: Final = 200_000
_FENCE: Final = re.compile(r"\A\s*```(?:json)?\s*\n(.*?)\n?```\s*\Z", re.DOTALL)
_MARKER: Final = re.compile(r"(?m)^\s*(?:#+\s*)?\d{1,2}[.)]\s")
_NUMBER: Final = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?")
_CITED: Final = r"\[([\w.:/-]+)\]"


def _finder(text: str) -> Callable[[str], str | None]:
    """What of an answer a text or a /pattern/ finds; case does not matter."""
    if len(text) > 1 and text.startswith("/") and text.endswith("/"):
        try:
            pattern = re.compile(text[1:-1], re.IGNORECASE)
        except re.error as error:
            raise GivenError(f"{text} is not a regular expression: {error}") from None

        def search(answer: str) -> str | None:
            found = pattern.search(answer)
            return None if found is None else found.group(0)

        return search
    wanted = text.casefold()
    return lambda answer: text if wanted in answer.casefold() else None


def must_contain(given: Any) -> Check:
    """Every one of these texts or /patterns/ is in the answer."""
    wanted = [(t, _finder(t)) for t in texts(given)]

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        answer = subject.trace.answer[:_LONGEST]
        for text, find in wanted:
            if find(answer) is None:
                yield f"the answer does not contain {text!r}", ""

    return check


def must_not_contain(given: Any) -> Check:
    """None of these texts or /patterns/ is in the answer."""
    forbidden = [_finder(t) for t in texts(given)]

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        answer = subject.trace.answer[:_LONGEST]
        for find in forbidden:
            found = find(answer)
            if found is not None:
                yield f"the answer contains {found!r}", ""

    return check


def json_schema(given: Any) -> Check:
    """The answer is JSON (perhaps in a code fence) of this JSON Schema (2020-12)."""
    validate = validator(given)

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        answer = subject.trace.answer
        fenced = _FENCE.match(answer)
        try:
            value = json.loads(fenced.group(1) if fenced else answer)
        except (ValueError, RecursionError) as error:
            yield f"the answer is not JSON: {error}", ""
            return
        for said in validate(value):
            yield f"the answer's JSON: {said}", ""

    return check


def validator(schema: Any) -> Callable[[Any], list[str]]:
    """What of a value does not fit a schema, the most telling first, at most three.

    Nothing is ever fetched: a reference to another document is an error.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError, relevance
        from referencing import Registry
    except ImportError:
        raise GivenError(
            "JSON Schema needs a package: pip install 'fidelity-otel[contracts]'"
        ) from None
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise GivenError(f"it is not a JSON Schema: {error.message}") from None
    registry: Any = Registry()
    made = Draft202012Validator(schema, registry=registry)

    def problems(value: Any) -> list[str]:
        found = sorted(made.iter_errors(value), key=relevance, reverse=True)
        return [f"{e.json_path}: {e.message}"[:300] for e in found[:3]]

    return problems


def citations(given: Any) -> Check:
    """The answer cites documents that were retrieved: `least` (1) of them, and no others.

    `pattern` finds a citation; its first group is the document's id, title or source.
    """
    options = mapping(given, "least", "pattern")
    least = whole(options.get("least", 1), "least")
    try:
        pattern = re.compile(str(options.get("pattern", _CITED)))
    except re.error as error:
        raise GivenError(f"pattern is not a regular expression: {error}") from None
    if pattern.groups < 1:
        raise GivenError("pattern needs a group: what is in brackets names the document")

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        cited = list(dict.fromkeys(m.group(1) for m in pattern.finditer(subject.trace.answer)))
        known: set[str] = set()
        for span in subject.trace.spans:
            for document in span.documents or ():
                known.update(filter(None, (document.id, document.title, document.source)))
        for one in cited:
            if one not in known:
                yield f"the answer cites {one!r}, which was not retrieved", ""
        count = sum(one in known for one in cited)
        if count < least:
            yield f"the answer cites {count} retrieved documents, not {least}", ""

    return check


def numbers_from(given: Any) -> Check:
    """Every number of the answer stands in what `tools` returned, in `documents` or `request`."""
    sources = texts(given)
    if unknown := set(sources) - {"tools", "documents", "request"}:
        raise GivenError(f"{min(unknown)!r} is none of tools, documents, request")

    def check(subject: Subject) -> Iterator[tuple[str, str]]:
        answer = _MARKER.sub(" ", subject.trace.answer[:_LONGEST])
        asked = {m.group(0): _value(m.group(0)) for m in _NUMBER.finditer(answer)}
        if not asked:
            return
        known: set[float] = set()
        for text in _texts_of(subject, sources):
            known.update(_value(m.group(0)) for m in _NUMBER.finditer(text[:_LONGEST]))
        for shown, value in asked.items():
            if value not in known:
                yield f"the answer's number {shown} is not in the {' or '.join(sources)}", ""

    return check


def _value(text: str) -> float:
    return abs(float(text.replace(",", "")))


def _texts_of(subject: Subject, sources: list[str]) -> Iterator[str]:
    if "request" in sources:
        yield subject.trace.request
    if "tools" in sources:
        for step in subject.facts.steps:
            if step.result is not None:
                yield step.result if isinstance(step.result, str) else compact(step.result)
    if "documents" in sources:
        for span in subject.trace.spans:
            for document in span.documents or ():
                yield document.content or ""
