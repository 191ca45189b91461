"""The pages: the reviewer's, blind; and apart from it the developers', with all that is known."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from starlette.datastructures import FormData
from starlette.responses import RedirectResponse, Response

from fidelity_otel.errors import InputError, LeaseError, WireError
from fidelity_otel.review.desk import Desk, asked_of
from fidelity_otel.review.messages import LeaseView, VerdictRequest
from fidelity_otel.review.people import Person
from fidelity_otel.review.replies import page
from fidelity_otel.review.times import to_text
from fidelity_otel.store import Progress

__all__ = ["NAME_COOKIE", "Pages", "Visitor"]

NAME_COOKIE = "fidelity_reviewer"
_A_YEAR = 31_536_000
_LISTED = 50
_TRAIL = 100
_CHOOSE = "Choose a verdict first: keys 1 to 4."
_DRAFT = ("verdict", "mode", "note", "correction")


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks at a page: a name, from their token or as they gave it, and what they may."""

    name: str
    person: Person


class Pages:
    """Server-rendered pages over the desk. They work without JavaScript; with it, by keyboard."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def review(self, visitor: Visitor, query: Mapping[str, str]) -> Response:
        """The next item, or the question who is there, or that nothing is left."""
        if not visitor.person.may("judge"):
            return RedirectResponse("/traces", 303)
        if not visitor.name:
            return page(
                "who.html", visitor=visitor, progress=self._progress(visitor), known=self._known()
            )
        lease = self._take(visitor)
        done, last = query.get("done", ""), query.get("last", "")
        if lease is None:
            progress = self._progress(visitor)
            return page("empty.html", visitor=visitor, progress=progress, last=last)
        return self._item(visitor, lease, done=done, last=last)

    def _take(self, visitor: Visitor, item_id: str | None = None) -> LeaseView | None:
        return self.desk.take(visitor.name, item_id, lead=visitor.person.may("settle"))

    def _item(
        self,
        visitor: Visitor,
        lease: LeaseView,
        *,
        done: str = "",
        last: str = "",
        draft: Mapping[str, str] | None = None,
        problem: str = "",
        status: int = 200,
    ) -> Response:
        return page(
            "item.html",
            status,
            visitor=visitor,
            action="/verdict",
            lease_id=lease.lease_id,
            seconds=round(lease.lease_seconds),
            item=lease.item,
            rubric=lease.item.rubric,
            progress=self._progress(visitor),
            done=done,
            last=last,
            draft={name: (draft or {}).get(name, "") for name in _DRAFT},
            problem=problem,
        )

    def _progress(self, visitor: Visitor) -> Progress:
        lead = visitor.person.may("settle")
        return self.desk.store.progress(visitor.name or None, now_ns=self.desk.now(), lead=lead)

    def _known(self) -> list[str]:
        everyone = self.desk.store.progress(now_ns=self.desk.now())
        return [each.reviewer for each in everyone.reviewers]

    def who(self, form: FormData) -> Response:
        """Remember the reviewer's name in this browser."""
        name = " ".join(_text(form, "reviewer").split())
        response = RedirectResponse("/", 303)
        if name:
            response.set_cookie(
                NAME_COOKIE, quote(name), max_age=_A_YEAR, samesite="strict", httponly=True
            )
        return response

    def leave(self, visitor: Visitor) -> Response:
        """Hand back what is in hand and forget the name in this browser."""
        if visitor.name:
            self._hand_back(visitor.name)
        response = RedirectResponse("/", 303)
        response.delete_cookie(NAME_COOKIE)
        return response

    def _hand_back(self, reviewer: str) -> None:
        store, now = self.desk.store, self.desk.now()
        lease = store.lease_in_hand(reviewer, now)
        if lease is not None:
            store.release(lease.lease_id, now, reviewer=reviewer)

    def verdict(self, visitor: Visitor, form: FormData) -> Response:
        """Record a verdict and go on; on a lease that ran out, take the item again, draft kept."""
        lease_id, item_id = _text(form, "lease_id"), _text(form, "item_id")
        draft = {name: _text(form, name) for name in _DRAFT}
        problem = "" if draft["verdict"] else _CHOOSE
        if not problem:
            try:
                receipt = self.desk.judge(lease_id, _request(draft, visitor.name))
                told = {"done": receipt.verdict, "last": receipt.review_id}
                return RedirectResponse(f"/?{urlencode(told)}", 303)
            except (LeaseError, InputError) as error:
                problem = str(error).partition("Mend: ")[0].strip()
        lease = self._take(visitor, item_id) if item_id else None
        if lease is not None and lease.item.item_id == item_id:
            kept = f"{problem} Your words are kept: look them over and send them again."
            return self._item(visitor, lease, draft=draft, problem=kept, status=409)
        gone = f"{problem} The item is no longer open to you; what you wrote is below."
        return page("gone.html", 409, visitor=visitor, problem=gone, draft=draft)

    def mine(
        self,
        visitor: Visitor,
        review_id: str,
        *,
        draft: Mapping[str, str] | None = None,
        problem: str = "",
    ) -> Response:
        """A verdict of one's own, to amend it."""
        review, item = self.desk.given(review_id, visitor.name)
        now = {
            "verdict": review.verdict,
            "mode": review.mode or "",
            "note": review.note,
            "correction": review.correction,
        }
        return page(
            "item.html",
            409 if problem else 200,
            visitor=visitor,
            action=f"/mine/{review_id}",
            lease_id="",
            seconds=0,
            item=item,
            rubric=item.rubric,
            progress=self._progress(visitor),
            done="",
            last="",
            draft=draft or now,
            problem=problem,
        )

    def amend(self, visitor: Visitor, review_id: str, form: FormData) -> Response:
        """Change a verdict of one's own."""
        draft = {name: _text(form, name) for name in _DRAFT}
        try:
            receipt = self.desk.amend(review_id, _request(draft, visitor.name), visitor.name)
        except (LeaseError, InputError) as error:
            problem = str(error).partition("Mend: ")[0].strip()
            return self.mine(visitor, review_id, draft=draft, problem=problem)
        told = {"done": receipt.verdict, "last": receipt.review_id}
        return RedirectResponse(f"/?{urlencode(told)}", 303)

    def skip(self, visitor: Visitor, form: FormData) -> Response:
        """Put the item by."""
        try:
            self.desk.store.skip(
                _text(form, "lease_id"),
                _text(form, "reason"),
                now_ns=self.desk.now(),
                reviewer=visitor.name,
            )
        except LeaseError:
            return RedirectResponse("/", 303)  # it ran out, and is offered again by itself
        return RedirectResponse("/?done=skipped", 303)

    def traces(self, visitor: Visitor, query: Mapping[str, str]) -> Response:
        """The developers' listing."""
        at = _page_number(query)
        workflow, mode = query.get("workflow", ""), query.get("mode", "")
        order = query.get("order", "newest")
        listed = self.desk.store.traces(
            workflow=workflow or None,
            mode=mode or None,
            order="risk" if order == "risk" else "newest",
            limit=_LISTED + 1,
            offset=(at - 1) * _LISTED,
        )
        chosen = {"workflow": workflow, "mode": mode, "order": order}
        kept = {name: value for name, value in chosen.items() if value}
        return page(
            "traces.html",
            visitor=visitor,
            traces=listed[:_LISTED],
            labels=self.desk.store.labels(),
            chosen=chosen,
            at=at,
            previous=urlencode({**kept, "page": at - 1}) if at > 1 else "",
            following=urlencode({**kept, "page": at + 1}) if len(listed) > _LISTED else "",
        )

    def trace(self, visitor: Visitor, trace_id: str) -> Response:
        """All that is known of one trace."""
        stored = self.desk.trace(trace_id)
        spans: list[dict[str, Any]] = []
        if stored.retained and stored.record.otlp:
            with suppress(WireError):
                spans = span_rows(self.desk.read_otlp(stored.record.otlp).spans)
        rubric = self.desk.rubric(asked_of(stored.record))
        return page(
            "trace.html",
            visitor=visitor,
            stored=stored,
            record=stored.record,
            decision=stored.record.decision,
            talk=self.desk.conversation(stored),
            asked_at=to_text(stored.record.start_ns),
            spans=spans,
            audit=self.desk.store.audit(stored.record.trace_id, limit=50),
            modes={c.name: c.title for c in rubric.modes},
        )

    def pick(self, visitor: Visitor, trace_id: str) -> Response:
        """Put a trace into the queue by hand."""
        record = self.desk.trace(trace_id).record
        self.desk.store.pick(record.trace_id, now_ns=self.desk.now(), by=visitor.name)
        return RedirectResponse(f"/traces/{record.trace_id}", 303)

    def agreement(self, visitor: Visitor) -> Response:
        """How far two people agree, and on what they don't."""
        return page("agreement.html", visitor=visitor, found=self.desk.agreement())

    def audit(self, visitor: Visitor, query: Mapping[str, str]) -> Response:
        """Who did what."""
        before = query.get("before", "")
        actor = query.get("actor", "")
        rows = self.desk.store.audit(
            actor=actor or None,
            limit=_TRAIL + 1,
            before_id=int(before) if before.isdecimal() and len(before) < 19 else None,  # noqa: PLR2004
        )
        following = ""
        if len(rows) > _TRAIL:
            following = urlencode({"actor": actor, "before": rows[_TRAIL - 1].id})
        return page(
            "audit.html", visitor=visitor, rows=rows[:_TRAIL], actor=actor, following=following
        )


def _request(draft: Mapping[str, str], reviewer: str) -> VerdictRequest:
    return VerdictRequest(
        draft["verdict"],  # type: ignore[arg-type]
        draft["mode"] or None,
        draft["note"],
        draft["correction"],
        reviewer,
    )


def _page_number(query: Mapping[str, str]) -> int:
    number = query.get("page", "1")
    return int(number) if number.isdecimal() and 0 < int(number) < 100_000 else 1  # noqa: PLR2004


def span_rows(spans: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Spans as lines of a tree: depth, offset and width in percent of the whole."""
    if not spans:
        return []
    start = min(s.start_ns for s in spans)
    whole = max(max(s.end_ns for s in spans) - start, 1)
    parents = {s.span_id: s.parent_id for s in spans}

    def depth(span_id: str) -> int:
        steps, at = 0, parents.get(span_id)
        while at in parents and steps < 20:  # noqa: PLR2004
            steps, at = steps + 1, parents[at]
        return steps

    return [
        {
            "span": s,
            "depth": depth(s.span_id),
            "left": round(100 * (s.start_ns - start) / whole, 1),
            "width": max(round(100 * max(s.end_ns - s.start_ns, 0) / whole, 1), 0.5),
            "took_ns": s.end_ns - s.start_ns,
        }
        for s in spans
    ]


def _text(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""
