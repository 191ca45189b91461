"""The HTTP API, version 1: queue, traces, outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fidelity_otel.errors import InputError, NotFound
from fidelity_otel.model import TraceRecord
from fidelity_otel.review.messages import (
    AgreementView,
    Closed,
    EraseRequest,
    LeaseView,
    NextRequest,
    OutcomeRequest,
    Picked,
    PickRequest,
    Receipt,
    ReleaseRequest,
    Renewed,
    RenewRequest,
    SkipRequest,
    TraceView,
    VerdictRequest,
)
from fidelity_otel.review.routes import Call, Reply, Route
from fidelity_otel.review.times import ago, to_text
from fidelity_otel.store import AuditRow, Erased, OutcomeCounts, Progress, Recheck, TraceRow

__all__ = ["ROUTES"]

_MOST_LISTED = 1000
_FAR = 10_000_000


def _next(call: Call) -> Reply:
    request: NextRequest = call.body
    reviewer = call.reviewer(request.reviewer) or ""
    lease = call.desk.take(reviewer, request.item_id, lead=call.person.may("settle"))
    return Reply(lease) if lease else Reply(status=204)


def _verdict(call: Call) -> Reply:
    given: VerdictRequest = call.body
    request = msgspec.structs.replace(given, reviewer=call.reviewer(given.reviewer))
    return Reply(call.desk.judge(call.path["lease_id"], request))


def _renew(call: Call) -> Reply:
    desk, request = call.desk, call.body
    lease = desk.store.renew(
        call.path["lease_id"],
        desk.now(),
        desk.settings.lease_ns,
        reviewer=call.reviewer(request.reviewer),
    )
    return Reply(Renewed(lease.lease_id, to_text(lease.expires_ns)))


def _skip(call: Call) -> Reply:
    request: SkipRequest = call.body
    call.desk.store.skip(
        call.path["lease_id"],
        request.reason,
        now_ns=call.desk.now(),
        reviewer=call.reviewer(request.reviewer),
    )
    return Reply(status=204)


def _release(call: Call) -> Reply:
    request: ReleaseRequest = call.body
    reviewer = call.reviewer(request.reviewer)
    call.desk.store.release(call.path["lease_id"], call.desk.now(), reviewer=reviewer)
    return Reply(status=204)


def _progress(call: Call) -> Reply:
    reviewer = call.query.get("reviewer") or None
    if not call.person.may("see"):  # others' progress is not theirs to see
        reviewer = call.reviewer(reviewer)
    lead = call.person.may("settle")
    return Reply(call.desk.store.progress(reviewer, now_ns=call.desk.now(), lead=lead))


def _amend(call: Call) -> Reply:
    request: VerdictRequest = call.body
    reviewer = call.reviewer(request.reviewer)
    if not reviewer:
        raise InputError('whose verdict is amended is not said. Mend: send {"reviewer": …}.')
    return Reply(call.desk.amend(call.path["review_id"], request, reviewer))


def _agreement(call: Call) -> Reply:
    return Reply(call.desk.agreement(call.number("limit", 200, most=_MOST_LISTED)))


def _rechecks(call: Call) -> Reply:
    return Reply(call.desk.store.rechecks())


def _traces(call: Call) -> Reply:
    query, now = call.query, call.desk.now()
    order = query.get("order") or "newest"
    if order not in {"newest", "risk"}:
        raise InputError(f"order = {order!r} is not known. Mend: newest or risk.")
    flagged = query.get("flagged", "")
    if flagged not in {"", "true", "false"}:
        raise InputError(f"flagged = {flagged!r} is not known. Mend: true or false.")
    return Reply(
        call.desk.store.traces(
            ago(query["since"], now, what="since") if query.get("since") else None,
            ago(query["until"], now, what="until") if query.get("until") else None,
            workflow=query.get("workflow") or None,
            mode=query.get("mode") or None,
            flagged=flagged == "true" if flagged else None,
            order="risk" if order == "risk" else "newest",
            limit=call.number("limit", 100, most=_MOST_LISTED),
            offset=call.number("offset", 0, most=_FAR),
        )
    )


def _trace(call: Call) -> Reply:
    shape = call.query.get("format") or "json"
    if shape == "otlp":
        stored = call.desk.trace(call.path["trace_id"])
        if not stored.retained:
            raise NotFound(
                f"the body of trace {call.path['trace_id']} is no longer kept. "
                "Mend: raise retain.days or retain.max_bytes to keep bodies for longer."
            )
        return Reply(content=stored.record.otlp, media_type="application/x-protobuf")
    if shape != "json":
        raise InputError(f"format = {shape!r} is not known. Mend: json or otlp.")
    view = call.desk.trace_view(call.path["trace_id"])
    bare: TraceRecord = msgspec.structs.replace(view.record, otlp=b"")
    return Reply(msgspec.structs.replace(view, record=bare))


def _pick(call: Call) -> Reply:
    request: PickRequest = call.body
    desk = call.desk
    trace_id = desk.trace(call.path["trace_id"]).record.trace_id
    item = desk.store.pick(
        trace_id, now_ns=desk.now(), by=call.person.name or request.by, reason=request.reason
    )
    return Reply(Picked(item.item_id, item.hand_picked))


def _outcomes(call: Call) -> Reply:
    body: OutcomeRequest | Sequence[OutcomeRequest] = call.body
    return Reply(call.desk.add_outcomes([body] if isinstance(body, OutcomeRequest) else body))


def _close(call: Call) -> Reply:
    if call.hooks.close_windows is None:
        raise NotFound(
            "this server draws no samples. Mend: ask the one that `fidelity serve` runs."
        )
    windows, enqueued = call.hooks.close_windows()
    return Reply(Closed(windows, enqueued))


def _report(call: Call) -> Reply:
    if call.hooks.report is None:
        raise NotFound("this server makes no reports. Mend: `fidelity report --format json`.")
    return Reply(content=call.hooks.report(call.query))


def _erase(call: Call) -> Reply:
    request: EraseRequest = call.body
    return Reply(
        call.desk.store.erase(
            now_ns=call.desk.now(),
            conversation_id=request.conversation_id,
            user_id=request.user_id,
            trace_id=request.trace_id,
            by=call.person.name or request.by,
        )
    )


def _audit(call: Call) -> Reply:
    before = call.number("before", 0, most=1 << 60)
    return Reply(
        call.desk.store.audit(
            call.query.get("trace_id") or None,
            actor=call.query.get("actor") or None,
            limit=call.number("limit", 100, most=_MOST_LISTED),
            before_id=before or None,
        )
    )


ROUTES: tuple[Route, ...] = (
    Route(
        "POST",
        "/api/v1/queue/next",
        _next,
        "Take the next item, blind; the one in hand, renewed, where there is one",
        takes=NextRequest,
        gives=LeaseView,
        empty="Nothing is left for this reviewer",
        right="judge",
    ),
    Route(
        "POST",
        "/api/v1/leases/{lease_id}/verdict",
        _verdict,
        "Record the verdict on a leased item",
        takes=VerdictRequest,
        gives=Receipt,
        right="judge",
    ),
    Route(
        "POST",
        "/api/v1/leases/{lease_id}/renew",
        _renew,
        "Keep the item for longer",
        takes=RenewRequest,
        gives=Renewed,
        right="judge",
    ),
    Route(
        "POST",
        "/api/v1/leases/{lease_id}/skip",
        _skip,
        "Put the item by for good, as non-response",
        takes=SkipRequest,
        empty="Skipped",
        right="judge",
    ),
    Route(
        "POST",
        "/api/v1/leases/{lease_id}/release",
        _release,
        "Hand the item back unjudged",
        takes=ReleaseRequest,
        empty="Handed back",
        right="judge",
    ),
    Route(
        "GET",
        "/api/v1/progress",
        _progress,
        "The queue's state, and each reviewer's share",
        gives=Progress,
        query={"reviewer": "only this person, with what is waiting for them"},
    ),
    Route(
        "GET",
        "/api/v1/traces",
        _traces,
        "List traces with their findings (not blind)",
        gives=list[TraceRow],
        query={
            "since": "started at or after: 2026-11-03T14:00:00Z, nanoseconds, or 7d",
            "until": "started before",
            "workflow": "of this workflow",
            "mode": "with a finding of this failure mode",
            "flagged": "true or false",
            "order": "newest or risk",
            "limit": "at most so many, 100 where left out",
            "offset": "after so many",
        },
        right="see",
    ),
    Route(
        "GET",
        "/api/v1/traces/{trace_id}",
        _trace,
        "One trace with findings, decision, outcomes and reviews (not blind)",
        gives=TraceView,
        query={"format": "json, or otlp for the body as an OTLP request in protobuf"},
        right="see",
    ),
    Route(
        "POST",
        "/api/v1/traces/{trace_id}/pick",
        _pick,
        "Put a trace into the review queue by hand; it enters no estimate",
        takes=PickRequest,
        gives=Picked,
        right="pick",
    ),
    Route(
        "POST",
        "/api/v1/outcomes",
        _outcomes,
        "Add late outcomes, one or a list",
        takes=OutcomeRequest | list[OutcomeRequest],
        gives=OutcomeCounts,
        right="tell",
    ),
    Route(
        "POST",
        "/api/v1/windows/close",
        _close,
        "Draw the sample of all open windows now",
        gives=Closed,
        right="manage",
    ),
    Route(
        "GET",
        "/api/v1/report",
        _report,
        "The report's numbers",
        gives=dict,
        query={"since": "traces that started at or after: a time, or 7d"},
        right="see",
    ),
    Route(
        "POST",
        "/api/v1/erase",
        _erase,
        "Erase what a conversation, a user or a trace said",
        takes=EraseRequest,
        gives=Erased,
        right="manage",
    ),
    Route(
        "GET",
        "/api/v1/audit",
        _audit,
        "Who did what, newest first",
        gives=list[AuditRow],
        query={
            "trace_id": "only about this trace",
            "actor": "only by this person",
            "limit": "at most so many, 100 where left out",
            "before": "rows before this id: pages on",
        },
        right="manage",
    ),
    Route(
        "POST",
        "/api/v1/reviews/{review_id}/amend",
        _amend,
        "Change one's own verdict, within an hour",
        takes=VerdictRequest,
        gives=Receipt,
        right="judge",
    ),
    Route(
        "GET",
        "/api/v1/agreement",
        _agreement,
        "How far two people agree who judged the same traces, and on what they don't",
        gives=AgreementView,
        query={"limit": "at most so many disagreements, 200 where left out"},
        right="settle",
    ),
    Route(
        "GET",
        "/api/v1/rechecks",
        _rechecks,
        "Second looks at judged answers, done and to be done",
        gives=list[Recheck],
        right="see",
    ),
)
