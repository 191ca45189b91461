"""What may leave the process of a text, and of a whole span, whoever made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from opentelemetry.attributes import BoundedAttributes
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import Link, Status

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.options import BothMask
from fidelity_otel.sdk.redact import NAME_LENGTH, Redactor

if TYPE_CHECKING:
    from fidelity_otel.sdk.lean import LeanSpan

__all__ = ["SCOPE", "Privacy"]

_NUMBERS: Final = frozenset({bool, int, float})

SCOPE: Final = "fidelity_otel"
"""Name of the instrumentation scope of our own spans."""


class Privacy:
    """The application's mask, then built-in redaction. Fails closed: an error hides the text."""

    __slots__ = ("_mask", "_redact")

    def __init__(self, mask: BothMask | None, kinds: Sequence[str]) -> None:
        self._mask = mask
        self._redact = Redactor(kinds) if kinds else None

    def __bool__(self) -> bool:
        return self._mask is not None or self._redact is not None

    def text(self, key: str, text: str, *, masked: bool = False) -> str:
        """What may leave of a text; the same object where all of it may.

        Args:
            key: the attribute's name.
            text: its text.
            masked: the application's mask has seen it already (it may not bear a second time).
        """
        kept: Any = text
        if self._mask is not None and not masked:
            try:
                kept = self._mask(key, text)
            except Exception as error:  # noqa: BLE001
                guard.note("mask", "mask raised %s; values are left out", type(error).__name__)
                return "[mask failed]"
            if kept is None:
                return "[masked]"
            if not isinstance(kept, str):
                kept = str(kept)
        if self._redact is not None:
            kept = self._redact(kept)
        return text if kept == text else str(kept)

    def value(self, key: str, value: Any, *, masked: bool = False) -> Any:
        """The same for any attribute value: texts, and texts in lists and maps."""
        if isinstance(value, str):
            return self.text(key, value, masked=masked)
        if isinstance(value, Mapping):
            cleaned = {k: self.value(f"{key}.{k}", v, masked=masked) for k, v in value.items()}
            return cleaned if any(cleaned[k] is not v for k, v in value.items()) else value
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            items = tuple(self.value(key, v, masked=masked) for v in value)
            return items if any(a is not b for a, b in zip(items, value, strict=True)) else value
        return value

    def attributes(self, attributes: Mapping[str, Any], *, masked: bool = False) -> dict[str, Any]:
        """Those attributes that must be replaced, with what they are replaced by."""
        changed: dict[str, Any] = {}
        redact = None if self._mask is not None and not masked else self._redact
        for key, value in attributes.items():
            kind = type(value)
            if kind in _NUMBERS or key == sc.FIDELITY_LOSSES:
                continue
            if kind is str and redact is not None:  # by far the most frequent, so directly
                if len(value) <= NAME_LENGTH and value in redact.clean:
                    continue
                cleaned = redact(value)
            else:
                cleaned = self.value(key, value, masked=masked)
            if cleaned is not value:
                changed[key] = cleaned
        return changed

    def out(self, span: LeanSpan | ReadableSpan) -> LeanSpan | ReadableSpan:
        """A span on its way out: cleaned, whoever made it."""
        if not self:
            return span
        return self.cleaned(span) if isinstance(span, ReadableSpan) else self._lean(span)

    def _lean(self, span: LeanSpan) -> LeanSpan:
        """Clean a lean span in place: it has ended, and nobody else holds it."""
        try:
            changed = self.attributes(span.held)
            if changed:
                stamped = {*_texts(span.held.get(sc.FIDELITY_LOSSES))}
                stamped |= {f"masked:{key}" for key in changed}
                span.held = {**span.held, **changed, sc.FIDELITY_LOSSES: tuple(sorted(stamped))}
            for number, (name, at, held) in enumerate(span.event_list or ()):
                if span.event_list is not None and (changed := self.attributes(held)):
                    span.event_list[number] = (
                        name,
                        at,
                        BoundedAttributes(None, {**held, **changed}),
                    )
            if span.link_list:
                span.link_list = [
                    Link(k.context, {**(k.attributes or {}), **changed})
                    if (changed := self.attributes(k.attributes or {}))
                    else k
                    for k in span.link_list
                ]
            status = span.status
            if status is not None and status.description:
                kept = self.text("status.description", status.description)
                span.status = Status(status.status_code, kept)
        except Exception as error:  # noqa: BLE001
            span.held, span.event_list = {sc.FIDELITY_LOSSES: ("mask_failed",)}, None
            span.link_list, span.status = (), None
            guard.trip("mask", error)
        return span

    def cleaned(self, span: ReadableSpan) -> ReadableSpan:
        """The span with private texts replaced and the loss stamped; itself where it has none."""
        try:
            return self._cleaned(span) if self else span
        except Exception as error:  # noqa: BLE001
            guard.trip("mask", error)
            return _emptied(span)

    def _cleaned(self, span: ReadableSpan) -> ReadableSpan:
        scope = span.instrumentation_scope
        ours = scope is not None and scope.name == SCOPE  # masked when written

        def clean(attributes: Mapping[str, Any] | None) -> dict[str, Any]:
            return self.attributes(attributes or {}, masked=ours)

        changed = clean(span.attributes)
        events = {i: c for i, event in enumerate(span.events) if (c := clean(event.attributes))}
        links = {i: c for i, link in enumerate(span.links) if (c := clean(link.attributes))}
        text = span.status.description
        kept = None if text is None else self.text("status.description", text, masked=ours)
        if not changed and not events and not links and kept == text:
            return span
        return _replaced(span, changed, events, links, kept)


def _replaced(
    span: ReadableSpan,
    changed: Mapping[str, Any],
    events: Mapping[int, Mapping[str, Any]],
    links: Mapping[int, Mapping[str, Any]],
    description: str | None,
) -> ReadableSpan:
    held = dict(span.attributes or {})
    losses = [*_texts(held.get(sc.FIDELITY_LOSSES)), *(f"masked:{key}" for key in changed)]
    held.update(changed)
    if changed:
        held[sc.FIDELITY_LOSSES] = tuple(sorted(set(losses)))
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes=held,
        events=[
            Event(e.name, {**(e.attributes or {}), **events[i]}, e.timestamp) if i in events else e
            for i, e in enumerate(span.events)
        ],
        links=[
            Link(k.context, {**(k.attributes or {}), **links[i]}) if i in links else k
            for i, k in enumerate(span.links)
        ],
        kind=span.kind,
        status=Status(span.status.status_code, description),
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _emptied(span: ReadableSpan) -> ReadableSpan:
    """What is left of a span whose texts could not be cleaned: that it was, and when."""
    return ReadableSpan(
        name=span.name,
        context=span.context,
        parent=span.parent,
        resource=span.resource,
        attributes={sc.FIDELITY_LOSSES: ("mask_failed",)},
        kind=span.kind,
        start_time=span.start_time,
        end_time=span.end_time,
        instrumentation_scope=span.instrumentation_scope,
    )


def _texts(value: Any) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list | tuple) else []
