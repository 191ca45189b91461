"""The reviewers' desk: what the page, the API and the terminal do with the store.

Knows no HTTP. Everything that needs the time is given the clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from fidelity_otel.errors import InputError, NotFound, WireError
from fidelity_otel.model import Outcome, OutcomeRef, Review, Trace, TraceRecord
from fidelity_otel.review.conversation import Conversation, read_conversation
from fidelity_otel.review.messages import (
    AgreementView,
    ItemView,
    LeaseView,
    Opinion,
    OutcomeRequest,
    Receipt,
    TraceView,
    VerdictRequest,
)
from fidelity_otel.review.options import ReviewSettings
from fidelity_otel.review.refs import parse_ref, ref_text
from fidelity_otel.review.rubric import Rubric
from fidelity_otel.review.rubric_file import RubricBook
from fidelity_otel.review.times import from_text, to_text
from fidelity_otel.semconv import SHADOW_KEYS, SHADOW_SEPARATOR
from fidelity_otel.store import Lease, OutcomeCounts, Store, StoredTrace
from fidelity_otel.store.items import ADJUDICATION, RECHECK, SAMPLE

__all__ = ["Desk", "outcome_of"]

_TODAY = "Would this answer still be right today?"


class Desk:
    """Leases, verdicts, traces and outcomes over one store.

    Args:
        store: where they are.
        read_otlp: reads a stored body into a `Trace`; must not raise.
        settings: all settings by dotted name; read anew each time, so that changes take effect.
        now: nanoseconds since the epoch.
    """

    def __init__(
        self,
        store: Store,
        read_otlp: Callable[[bytes], Trace],
        *,
        settings: Mapping[str, Any],
        now: Callable[[], int],
    ) -> None:
        self.store = store
        self.read_otlp = read_otlp
        self.now = now
        self._settings = settings
        self._rubrics = RubricBook()

    @property
    def settings(self) -> ReviewSettings:
        """The settings of this moment."""
        return ReviewSettings.of(self._settings)

    def take(
        self, reviewer: str, item_id: str | None = None, *, lead: bool = True
    ) -> LeaseView | None:
        """The reviewer's next item, blind; None when nothing is left for them."""
        settings = self.settings
        lease = self.store.next_item(
            reviewer, self.now(), settings.lease_ns, item_id=item_id, lead=lead
        )
        return self.view(lease) if lease else None

    def view(self, lease: Lease) -> LeaseView:
        """A lease as it goes out: blind."""
        stored = self.store.trace(lease.item.trace_id)
        if stored is None:
            raise NotFound(
                f"the trace of item {lease.item.item_id} is no longer stored. "
                "Mend: skip it and ask for the next one."
            )
        return LeaseView(
            lease_id=lease.lease_id,
            reviewer=lease.reviewer,
            expires_at=to_text(lease.expires_ns),
            lease_seconds=max(lease.expires_ns - self.now(), 0) / 1e9,
            item=self._item(stored, lease.item.item_id, lease.item.phase),
        )

    def _item(self, stored: StoredTrace, item_id: str, phase: str) -> ItemView:
        talk = self.conversation(stored)
        workflow = asked_of(stored.record)
        rubric = self.rubric(workflow)
        again = phase.startswith(RECHECK)
        if again:
            rubric = msgspec.structs.replace(rubric, question=_TODAY)
        return ItemView(
            item_id=item_id,
            workflow=workflow,
            rubric=rubric,
            request=talk.request,
            conversation=talk.entries,
            tools=talk.tools,
            documents=talk.documents,
            answer=talk.answer,
            asked_at=to_text(stored.record.start_ns),
            losses=talk.losses,
            purpose="again" if again else "settle" if phase == ADJUDICATION else "judge",
            opinions=_opinions(stored.reviews) if phase == ADJUDICATION else (),
        )

    def conversation(self, stored: StoredTrace) -> Conversation:
        """The conversation of a stored trace; its heads where the body is gone or unreadable."""
        loss = "the body is no longer kept"
        if stored.retained and stored.record.otlp:
            try:
                return read_conversation(self.read_otlp(stored.record.otlp))
            except WireError:
                loss = "the body cannot be read"
        head = Trace(
            stored.record.trace_id,
            (),
            request=stored.record.request,
            answer=stored.record.answer,
            start_ns=stored.record.start_ns,
        )
        talk = read_conversation(head)
        return Conversation(talk.request, talk.answer, talk.entries, losses=(loss,))

    def rubric(self, workflow: str) -> Rubric:
        """What is asked of a workflow's traces."""
        return self._rubrics.read(self.settings.rubric).of(workflow)

    def given(self, review_id: str, reviewer: str) -> tuple[Review, ItemView]:
        """A verdict of one's own, and what it is about, to amend it.

        Raises:
            NotFound: there is no such verdict of this person.
        """
        review = self.store.review(review_id)
        if review is None or review.reviewer != reviewer:
            raise NotFound(f"no verdict {review_id} of {reviewer}. Mend: amend one of your own.")
        stored = self.trace(review.trace_id)
        return review, self._item(stored, review.item_id, review.phase)

    def amend(self, review_id: str, request: VerdictRequest, reviewer: str) -> Receipt:
        """Change one's own verdict shortly after."""
        review = self.store.amend(
            review_id,
            request.verdict,
            request.mode,
            request.note,
            request.correction,
            now_ns=self.now(),
            reviewer=reviewer,
        )
        return Receipt(review.id, review.item_id, review.verdict, to_text(review.amended_ns))

    def agreement(self, limit: int = 200) -> AgreementView:
        """How far two people agree, and on what they don't."""
        from fidelity_otel.report.agree import CATEGORIES, pair_statistics

        doubles = self.store.double_reviews()
        pairs = [
            (d.reviews[0].verdict, d.reviews[1].verdict)
            for d in doubles
            if all(r.verdict in CATEGORIES for r in d.reviews)
        ]
        found = pair_statistics(pairs)
        differ = tuple(d for d in doubles if not d.agree)
        waiting = sum(d.settled is None for d in differ)
        return AgreementView(
            found.pairs, found.same, found.kappa, found.ac1, waiting, differ[:limit]
        )

    def judge(self, lease_id: str, request: VerdictRequest) -> Receipt:
        """Store a verdict."""
        review = self.store.submit(
            lease_id,
            request.verdict,
            request.mode,
            request.note,
            request.correction,
            now_ns=self.now(),
            reviewer=request.reviewer,
            followup=self.settings.followup,
        )
        return Receipt(review.id, review.item_id, review.verdict, to_text(review.finished_ns))

    def trace(self, trace_id: str) -> StoredTrace:
        """One stored trace.

        Raises:
            NotFound: there is none.
        """
        stored = self.store.trace(trace_id.lower())
        if stored is None:
            raise NotFound(
                f"no trace {trace_id!r} is stored. Mend: look it up with GET /api/v1/traces; a "
                "trace is stored some seconds after its root span has ended."
            )
        return stored

    def trace_view(self, trace_id: str) -> TraceView:
        """One stored trace with its conversation, for developers."""
        stored = self.trace(trace_id)
        return TraceView(
            stored.record.trace_id,
            stored.record,
            self.conversation(stored),
            stored.outcomes,
            stored.reviews,
            stored.retained,
            stored.drawn,
        )

    def add_outcomes(self, requests: Iterable[OutcomeRequest]) -> OutcomeCounts:
        """Store outcomes.

        Raises:
            InputError: a reference or a time cannot be read; nothing was stored.
        """
        now = self.now()
        return self.store.add_outcomes([outcome_of(r, now) for r in requests])


def asked_of(record: TraceRecord) -> str:
    """The workflow that the user asked for: a shadow candidate must not be known by its own."""
    candidate = SHADOW_KEYS["candidate"]
    if any(name == candidate for name, _ in record.keys):
        return record.workflow.partition(SHADOW_SEPARATOR)[0]
    return record.workflow


def _opinions(reviews: Iterable[Review]) -> tuple[Opinion, ...]:
    """What the parties said, ordered by what was said: by whom must not be told."""
    found = [Opinion(r.verdict, r.mode, r.note, r.correction) for r in reviews if r.phase == SAMPLE]
    return tuple(sorted(found, key=lambda o: (o.verdict, o.note, o.correction)))


def outcome_of(request: OutcomeRequest, now_ns: int) -> Outcome:
    """An outcome from what somebody sent.

    Raises:
        InputError: a reference or a time cannot be read.
    """
    ref = parse_ref(request.ref) if isinstance(request.ref, str) else _checked(request.ref)
    if not request.name.strip():
        raise InputError("an outcome needs a name. Mend: name what was observed, like resolved.")
    given = request.observed_at
    observed = from_text(given, what="observed_at") if given is not None else 0
    content = (
        ref_text(ref),
        request.name,
        repr(request.value),
        repr(request.label),
        request.source,
        str(observed),
    )
    made = hashlib.blake2b("\x00".join(content).encode("utf-8", "replace"), digest_size=16)
    return Outcome(
        id=request.id or made.hexdigest(),
        ref=ref,
        name=request.name.strip(),
        value=request.value,
        label=request.label,
        source=request.source,
        observed_ns=observed or now_ns,
        received_ns=now_ns,
        supersedes=request.supersedes or None,
        explanation=request.explanation,
    )


def _checked(ref: OutcomeRef) -> OutcomeRef:
    return parse_ref(ref_text(ref))
