"""How far the reviewers are, per person and in all."""

from __future__ import annotations

import msgspec
from sqlalchemy import func, select

from fidelity_otel.store import schema
from fidelity_otel.store.leases import name_of
from fidelity_otel.store.queue import QueueStore

__all__ = ["Progress", "ProgressStore", "ReviewerProgress"]


class ReviewerProgress(msgspec.Struct, frozen=True):
    """One reviewer's work. `waiting` counts what the queue would offer them now."""

    reviewer: str
    judged: int = 0
    skipped: int = 0
    timed_out: int = 0
    waiting: int | None = None
    median_seconds: float | None = None


class Progress(msgspec.Struct, frozen=True):
    """The queue's state. `items` 0: nothing was ever in it, which is not "all done"."""

    items: int = 0
    open: int = 0
    done: int = 0
    verdicts_wanted: int = 0
    verdicts: int = 0
    held: int = 0
    oldest_open_ns: int | None = None
    reviewers: tuple[ReviewerProgress, ...] = ()


class ProgressStore(QueueStore):
    """Progress of the store's queue."""

    def progress(
        self, reviewer: str | None = None, *, now_ns: int = 1 << 62, lead: bool = False
    ) -> Progress:
        """Where the queue stands, with every reviewer's share, or only the named one's.

        Args:
            reviewer: count what is waiting for this person.
            now_ns: the time; later rechecks are not due before.
            lead: whether disagreements wait for this person too.
        """
        i, lease, r = schema.items, schema.leases, schema.reviews
        due = i.c.due_ns <= now_ns
        name = name_of(reviewer) if reviewer else None
        with self._db.read() as connection:
            items, closed, wanted, verdicts = connection.execute(
                select(
                    func.count(),
                    func.count().filter(i.c.closed),
                    func.coalesce(func.sum(i.c.needed), 0),
                    func.coalesce(func.sum(i.c.judged), 0),
                ).where(due)
            ).one()
            oldest = connection.scalar(
                select(func.min(i.c.enqueued_ns)).where(due, i.c.closed.is_(False))
            )
            held = connection.scalar(
                select(func.count()).where(lease.c.ending == "", lease.c.expires_ns > now_ns)
            )
            endings = select(lease.c.reviewer, lease.c.ending, func.count()).group_by(
                lease.c.reviewer, lease.c.ending
            )
            times = select(r.c.reviewer, r.c.finished_ns - r.c.started_ns)
            waiting = None
            if name is not None:
                endings = endings.where(lease.c.reviewer == name)
                times = times.where(r.c.reviewer == name)
                offered = self._offered(name, now_ns, lead=lead)
                waiting = connection.scalar(select(func.count()).select_from(i).where(*offered))
            ended = {(who, how): n for who, how, n in connection.execute(endings)}
            spent: dict[str, list[int]] = {}
            for who, span in connection.execute(times):
                spent.setdefault(who, []).append(span)
        names = [name] if name is not None else sorted({who for who, _ in ended} | set(spent))
        return Progress(
            items=items,
            open=items - closed,
            done=closed,
            verdicts_wanted=int(wanted),
            verdicts=int(verdicts),
            held=held or 0,
            oldest_open_ns=oldest,
            reviewers=tuple(
                ReviewerProgress(
                    who,
                    judged=len(spent.get(who, [])),
                    skipped=ended.get((who, "skip"), 0),
                    timed_out=ended.get((who, "timeout"), 0),
                    waiting=waiting,
                    median_seconds=_median(spent.get(who, [])),
                )
                for who in names
            ),
        )


def _median(spans_ns: list[int]) -> float | None:
    if not spans_ns:
        return None
    return sorted(spans_ns)[len(spans_ns) // 2] / 1e9
