"""Counting traces instead of reading them changes no number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_frames import DAY_NS, NOW_NS, FakeStore, Row, looked_at_again, world

from fidelity_otel.errors import StoreError
from fidelity_otel.model import Decision, Finding, Outcome, OutcomeRef, TraceRecord
from fidelity_otel.report.census import fold_windows, read_census
from fidelity_otel.report.frame import LEAST_KEPT, frame_of, read_frame
from fidelity_otel.report.numbers import summary
from fidelity_otel.report.requests import Requests
from fidelity_otel.report.tally import NOTHING, Tally, decode, encode, summed, tally_of
from fidelity_otel.store import FramePart, open_store

SETTINGS = {"report.objective": 0.8, "report.benchmark": 0.9, "report.outcomes": ("resolved",)}


def columns_of(rows: list[Row]) -> dict[str, list[Any]]:
    return FakeStore(rows).frame_columns()


class FoldedStore(FakeStore):
    """The same rows; the drawn ones of every day but the last come as counts."""

    def frame_parts(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = 20_000
    ) -> Iterator[FramePart]:
        pairs = {trace for trace, _, _ in self.shadows}
        days: dict[int, list[Row]] = {}
        rest = []
        for row in self.rows:
            day = (NOW_NS - row.start_ns) // DAY_NS
            if row.pi is None or day == 0:
                rest.append(row)
            else:
                days.setdefault(day, []).append(row)
        for each in days.values():
            quiet = [row._replace(outcomes={}) for row in each]  # told after the fold
            yield FramePart({}, tally=encode(tally_of(frame_of(columns_of(quiet)))), window="w")
            looked = [r for r in each if r.selected or r.reviews or r.outcomes]
            looked += [r for r in each if r.trace_id in pairs and r not in looked]
            yield FramePart(columns_of(looked), counted=True)
        yield FramePart(columns_of(rest))


def numbers(store: FakeStore) -> dict[str, Any]:
    said = summary(store, now_ns=NOW_NS, settings=SETTINGS)
    made = msgspec.json.decode(msgspec.json.encode(said))
    latencies = [made["activity"].pop("latency")]
    latencies += [line.pop("latency") for line in made["workflows"]]
    for line in made["releases"]:
        line.pop("first_ns")  # counts know the hour
    return made | {"latencies": [list(each.values()) for each in latencies]}


@pytest.mark.parametrize(("seed", "head"), [(1, False), (2, True), (3, False)])
def test_a_folded_store_gives_the_same_report(seed: int, head: bool) -> None:
    whole = looked_at_again(world(seed)).store
    if head:
        whole.rows = [row._replace(upstream=kept(row)) for row in whole.rows]
    folded = FoldedStore(whole.rows, whole.meta, whole.orphans, whole.shadows)
    one, other = numbers(whole), numbers(folded)
    times = one.pop("latencies"), other.pop("latencies")
    # The median and the 95th percentile; the 99th of a few traces lies between two far apart.
    assert np.array(times[0])[:, :2] == pytest.approx(np.array(times[1])[:, :2], rel=0.1)
    assert one == near(other)


def kept(row: Row) -> float:
    """As a head sampler that keeps what looks interesting."""
    return 1.0 if row.flagged or not row.reported_success else 0.125


class OldFoldStore(FoldedStore):
    """The same, folded before folds knew of head sampling."""

    def frame_parts(
        self, since_ns: int | None = None, until_ns: int | None = None, *, rows: int = 20_000
    ) -> Iterator[FramePart]:
        blind = FoldedStore([row._replace(upstream=1.0) for row in self.rows])
        parts = zip(super().frame_parts(), blind.frame_parts(), strict=True)
        yield from (old if old.tally else new for new, old in parts)


def test_a_fold_from_before_head_sampling_was_counted_counts_each_trace_once() -> None:
    made = [row._replace(upstream=kept(row)) for row in world(5).store.rows]
    said = summary(OldFoldStore(made), now_ns=NOW_NS, settings=SETTINGS)
    latest = [r for r in made if r.pi is None or r.start_ns > NOW_NS - DAY_NS]
    known = [r for r in made if r in latest or r.selected or r.outcomes]
    assert said.activity.traces == len(made)
    assert isinstance(said.activity.requests, Requests)
    expected = len(made) - len(known) + sum(1 / r.upstream for r in known)
    assert said.activity.requests.total == pytest.approx(expected)


def test_only_folds_with_head_sampling_are_of_the_new_version() -> None:
    plain = tally_of(frame_of(columns_of([Row("a"), Row("b")])))
    thin = tally_of(frame_of(columns_of([Row("a"), Row("b", upstream=0.25)])))
    bodies = [msgspec.msgpack.decode(encode(each)) for each in (plain, thin)]
    assert [body["v"] for body in bodies] == [1, 2]
    assert set(bodies[0]) == {"v", "names", "first_ns", "last_ns", "cells", "times", "modes"}
    assert (plain.rows([]).requests, thin.rows([]).requests) == (2.0, 5.0)
    assert len(thin) == thin.rows([]).traces == 2
    with pytest.raises(StoreError, match="too old"):
        decode(msgspec.msgpack.encode({**bodies[0], "v": 3}))


def near(value: Any, share: float = 1e-9) -> Any:
    """The same but for rounding."""
    if isinstance(value, dict):
        return {k: near(v, share) for k, v in value.items()}
    if isinstance(value, list):
        return [near(v, share) for v in value]
    return pytest.approx(value, rel=share, abs=1e-9) if isinstance(value, float) else value


def test_many_traces_are_counted_while_they_are_read() -> None:
    store = world(4, traces=900).store
    few, many = read_census(store), read_census(store, most=100)
    assert len(few.tally) == 0
    assert len(many.looked) + len(many.tally) == len(few.looked) == 900
    assert not many.looked.plain.any(), "only what somebody looked at is kept"
    assert (many.first_ns, many.last_ns) == (few.first_ns, few.last_ns)
    frame = many.frame([NOW_NS - 2 * DAY_NS])
    assert frame.traces == 900
    assert len(frame) < 900
    recent = frame.start_ns >= NOW_NS - 2 * DAY_NS
    assert frame.count(recent) == int((few.looked.start_ns >= NOW_NS - 2 * DAY_NS).sum())


def test_traces_that_are_wanted_are_not_counted_away() -> None:
    rows = [Row(f"t{k}") for k in range(10)]
    census = read_census(FakeStore(rows), keep={"t3"}, most=4)
    assert list(census.looked.trace_id) == ["t3"]
    assert len(census.tally) == 9


def test_wrong_clocks_cost_no_memory() -> None:
    """From 1970 to 2262 in one frame: hours in between are not made up."""
    rows = [Row(f"t{k}", f"w{k % 40}", start_ns=1 if k % 2 else (1 << 63) - 1) for k in range(200)]
    census = read_census(FakeStore(rows), most=50)
    tracemalloc.start()
    hours = census.hourly()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [len(starts) for _, starts, _, _ in hours] == [2] + [1] * 40
    assert peak < 10_000_000
    assert summary(FakeStore(rows), now_ns=NOW_NS).activity.traces == 200


def test_no_traces_are_no_traces() -> None:
    census = read_census(FakeStore([]))
    assert (len(census.looked), len(census.tally), census.first_ns) == (0, 0, None)


rows = st.builds(
    Row,
    trace_id=st.uuids().map(str),
    workflow=st.sampled_from(["a", "b", "ü 🙂"]),
    release=st.sampled_from(["", "1"]),
    stratum=st.sampled_from(["a", "s", "t"]),
    start_ns=st.integers(0, 3 * DAY_NS),
    end_ns=st.integers(0, 3 * DAY_NS),
    reported_success=st.booleans(),
    risk=st.floats(0, 1),
    modes=st.sampled_from([(), ("loop",), ("loop", "auth")]),
    states=st.just(("recovered", "unrecovered")),
    upstream=st.sampled_from([1.0, 1.0, 0.5, 0.3, 0.001, 1e-17]),
    pi=st.sampled_from([None, 0.5]),
    outcomes=st.just({}),
    outcome_labels=st.just({}),
    outcome_times=st.just({}),
).map(lambda row: row._replace(states=row.states[: len(row.modes)]))


@given(st.lists(rows, max_size=40), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_counts_add_up_and_can_be_taken_out(made: list[Row], cut: int) -> None:
    parts = [tally_of(frame_of(columns_of(each))) for each in (made[:cut], made[cut:])]
    whole = tally_of(frame_of(columns_of(made)))
    assert same(summed(parts), whole)
    assert same(summed([whole], [parts[1]]), parts[0])
    assert same(decode(encode(whole)), whole)
    frame = read_frame(FakeStore(made))
    counted = whole.rows([])
    assert counted.traces == len(whole) == len(made)
    for name in ("success", "loud", "troubled", "recovered", "drawn"):
        assert counted.count(getattr(counted, name)) == getattr(frame, name).sum()
        requests = frame.requests_of(getattr(frame, name))
        assert counted.requests_of(getattr(counted, name)) == pytest.approx(requests, rel=1e-4)
    assert counted.requests == pytest.approx(frame.requests, rel=1e-4)
    assert float(counted.prediction @ counted.seen) == pytest.approx(frame.prediction.sum())
    predicted = float(frame.prediction @ frame.units)
    assert float(counted.prediction @ counted.units) == pytest.approx(predicted, rel=1e-4)
    timed = frame.units[np.isfinite(frame.duration)].sum()
    times = whole.durations()
    assert sum(n.sum() for _, n in times.values()) == pytest.approx(timed, rel=1e-4)
    traces, unseen = whole.found()
    loops = [(1 / max(row.upstream, LEAST_KEPT)) for row in made if row.modes]
    found = ("loop", "recovered")
    assert traces[found] == len(loops)
    assert traces[found] + unseen.get(found, 0.0) == pytest.approx(sum(loops), rel=1e-4)
    quiet = sum(float(good.sum()) for _, _, good in whole.hourly().values())
    assert quiet == pytest.approx(frame.requests_of(~frame.loud), rel=1e-4)


@pytest.mark.parametrize("late", [0, 10**9])
def test_alike_counts_become_one_however_far_apart_the_hours_are(late: int) -> None:
    """Hours close together are counted through, those of a wrong clock are sorted."""
    rng = np.random.default_rng(4)
    times = rng.integers(0, 4, (3000, 4))
    times[:, -1] -= 2
    times[-1] = (late, 0, 0, 7)
    expected: dict[tuple[int, ...], int] = {}
    for *group, many in times.tolist():
        expected[tuple(group)] = expected.get(tuple(group), 0) + many
    tally = Tally(("w",) * 4, NOTHING.cells, times, NOTHING.modes, 0, 0).compact()
    assert {tuple(group): many for *group, many in tally.times.tolist()} == {
        group: many for group, many in expected.items() if many > 0
    }


def same(one: Tally, other: Tally) -> bool:
    """Whether they count the same, whatever the places of their names."""

    def spelled(tally: Tally) -> list[set[tuple[Any, ...]]]:
        columns = ((1, 2, 3), (1,), (1,)) * 2
        tables = zip(tally.matrices(), columns, strict=True)
        return [
            {
                tuple(tally.names[v] if k in named else int(v) for k, v in enumerate(row))
                for row in matrix
            }
            for matrix, named in tables
        ]

    return spelled(one.compact()) == spelled(other.compact())


@pytest.mark.parametrize("body", [b"", b"\x93", b"\x81\xa1v\x01", encode(NOTHING)[:-3]])
def test_a_damaged_fold_is_an_error_that_says_so(body: bytes) -> None:
    with pytest.raises(StoreError, match="a fold cannot be read"):
        decode(body)


def test_windows_of_a_real_store_are_folded_and_tell_the_same(tmp_path: Path) -> None:
    from fidelity_otel.model import ArmDecision

    with open_store(tmp_path) as store:
        store.add_traces([record(k) for k in range(1500)])
        for window in store.open_windows(1 << 62):
            arms = {
                c.decision.trace_id: (
                    ArmDecision("estimation", window, "s", c.decision.randomness % 20 == 0, 0.05),
                )
                for c in store.window_candidates(window)
            }
            store.save_draw(window, arms, now_ns=NOW_NS)
        for k in range(60):
            lease = store.next_item("ann", NOW_NS)
            assert lease is not None
            verdict = "wrong" if k % 4 == 0 else "right"
            store.submit(lease.lease_id, verdict, now_ns=NOW_NS + k)
        before = numbers(store)
        assert fold_windows(store, now_ns=NOW_NS) == 1, "the small window waits for a day"
        assert sum(bool(part.tally) for part in store.frame_parts()) == 1
        assert fold_windows(store, now_ns=NOW_NS + 2 * DAY_NS) == 1
        census = read_census(store)
        assert len(census.tally) + len(census.looked) == 1500
        assert len(census.looked) == 75
        after = numbers(store)
        assert before.pop("latencies") == near(after.pop("latencies"), 0.011)
        assert before == near(after)
        late = [f"{k:032x}" for k in range(300, 800)]
        store.add_outcomes(
            [Outcome(f"o{i}", OutcomeRef(trace_id=i), "resolved", 0.0, observed_ns=5) for i in late]
        )
        told = numbers(store)
        assert told["activity"]["traces"] == 1500
        assert told["fidelity"]["N"] == told["activity"]["requests"]["total"] == 1500 + 375
        assert told["outcomes"][0]["traces"] == 500
        store.add_traces([record(7, revision=2, reported_success=False)])
        assert numbers(store)["activity"]["reported_success"] == 1499


def record(number: int, **changes: Any) -> TraceRecord:
    trace = f"{number:032x}"
    decision = Decision(
        trace_id=trace,
        stratum="s",
        window="w1" if number < 1200 else "w2",
        randomness=number,
        size=1.0,
        risk=0.1 + (number % 7) / 10,
        flagged=False,
        decided_ns=NOW_NS,
        upstream=0.5 if number % 4 == 3 else 1.0,
    )
    findings = (Finding("loop", "recovered", "ab" * 8, "again"),) if number % 5 == 0 else ()
    made = TraceRecord(
        trace_id=trace,
        otlp=b"body",
        decision=decision,
        findings=findings,
        workflow=f"w{number % 3}",
        service="bot",
        release="r1",
        start_ns=NOW_NS - 9 * DAY_NS + number * 480 * 10**9,
        end_ns=NOW_NS - 9 * DAY_NS + number * 480 * 10**9 + 5 * 10**8,
        span_count=3,
        reported_success=True,
        request="?",
        answer="!",
    )
    return msgspec.structs.replace(made, **changes)
