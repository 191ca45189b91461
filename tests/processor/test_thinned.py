"""A share of unremarkable traces is stored: which ones, what they count for, and what stays out."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from otlp import request, span

from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Finding, Trace
from fidelity_otel.processor.config import load
from fidelity_otel.processor.decide import Decider
from fidelity_otel.processor.live import Live, make_pipeline
from fidelity_otel.processor.metrics import Metrics
from fidelity_otel.processor.pipeline import Decided, Input
from fidelity_otel.processor.sample import Sampler, SampleSettings, hashed, uniform
from fidelity_otel.processor.tally import Tally
from fidelity_otel.processor.thinned import ThinnedIds
from fidelity_otel.store import Store, open_store

NOW = 1_764_000_000 * 10**9
SHARE = 0.2
ROOT = {"gen_ai.workflow.name": "support", "gen_ai.operation.name": "chat"}
FAILED_TOOL = {
    "gen_ai.operation.name": "execute_tool",
    "gen_ai.tool.name": "look",
    "error.type": "TimeoutError",
}


def ids(count: int, seed: int = 1) -> list[str]:
    draw = random.Random(seed)
    return [f"{draw.getrandbits(128):032x}" for _ in range(count)]


def sampler(share: float, salt: str = "s") -> Sampler:
    return Sampler(SampleSettings(keep_share=share), salt)


def quiet(trace_id: str, **more: Any) -> bytes:
    """A trace in which nothing is found."""
    return request(span(int(trace_id, 16), 1, parent=None, name="support", **ROOT, **more))


def tool(trace_id: str, number: int = 2, **attributes: Any) -> bytes:
    return request(span(int(trace_id, 16), number, name="look", **attributes))


def outcome(trace_id: str) -> bytes:
    said = {"fidelity.outcome.name": "resolved", "fidelity.outcome.value": 1.0}
    return request(span(int(trace_id, 16), 5, name="fidelity.outcome", **said))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "data") as opened:
        yield opened


class There:
    """A decider as in the service, at the beginning of a process."""

    def __init__(self, store: Store, folder: Path, share: float = SHARE) -> None:
        environ = {"FIDELITY_SAMPLE_SALT": "s", "FIDELITY_SAMPLE_KEEP_SHARE": str(share)}
        self.store, self.tally, self.metrics = store, Tally(), Metrics()
        self.live = Live(load(environ=environ), store)
        self.pipeline = make_pipeline(self.live, self.tally)
        self.decider = Decider(
            self.pipeline,
            store,
            tally=self.tally,
            clock=lambda: NOW,
            refused=folder / "refused",
            stored=self.metrics.trace,
        )

    def run(self, bodies: Mapping[str, bytes], reason: str = "root") -> None:
        self.decider.run([Input(i, [body], reason) for i, body in bodies.items()])

    def stored(self) -> set[str]:
        return {row.trace_id for row in self.store.traces(limit=10_000)}


def lucky(trace_id: str) -> bool:
    """Whether it is of the share that is stored, as the definition has it."""
    return uniform(hashed(b"s", "keep", trace_id)) <= SHARE


UNLUCKY = next(i for i in ids(100) if not lucky(i))
LUCKY = next(i for i in ids(100) if lucky(i))


# --- which ones ----------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.001, 0.05, SHARE, 0.7])
def test_the_share_is_drawn_by_the_id_and_the_salt_alone(share: float) -> None:
    some, first, again, other = (
        ids(20_000, 7),
        sampler(share),
        sampler(share),
        sampler(share, salt="t"),
    )
    kept = {i for i in some if first.keeps(i)}
    assert kept == {i for i in reversed(some) if again.keeps(i)}
    assert kept == {i for i in some if uniform(hashed(b"s", "keep", i)) <= share}
    assert {first.keeps(i) for i in some} == {0.0, share}
    both = kept & {i for i in some if other.keeps(i)}
    for count, expected in ((len(kept), share), (len(both), share**2)):
        error = (expected * (1 - expected) * len(some)) ** 0.5
        assert abs(count - expected * len(some)) < 4 * error + 1


def test_a_larger_share_has_all_of_a_smaller_one() -> None:
    for trace_id in ids(3000):
        assert sampler(0.5).keeps(trace_id) or not sampler(0.1).keeps(trace_id)
        assert sampler(1.0).keeps(trace_id) == 1.0


def test_it_has_nothing_to_do_with_the_draws_own_numbers() -> None:
    kept = [i for i in ids(20_000, 3) if sampler(0.1).keeps(i)]
    for purpose in ("estimation", "discovery"):
        mean = sum(uniform(hashed(b"s", purpose, i)) for i in kept) / len(kept)
        assert abs(mean - 0.5) < 4 * (1 / 12 / len(kept)) ** 0.5


@pytest.mark.parametrize("share", ["0", "-0.1", "1.01", "nan"])
def test_a_share_is_above_nothing_and_at_most_all(store: Store, share: str) -> None:
    with pytest.raises(ConfigError, match="keep_share"):
        Live(load(environ={"FIDELITY_SAMPLE_KEEP_SHARE": share}), store)


def test_of_quiet_traces_the_share_is_stored_and_counts_for_all(
    store: Store, tmp_path: Path
) -> None:
    there, some = There(store, tmp_path), ids(400)
    there.run({i: quiet(i) for i in some})
    assert there.stored() == {i for i in some if lucky(i)}
    ended = there.tally.get
    assert ended("traces_ended", "thinned") == len(some) - len(there.stored())
    assert ended("traces_ended") == ended("traces_decided") == ended("spans_decided") == len(some)
    for trace_id in there.stored():
        held = store.trace(trace_id)
        assert held is not None
        assert held.record.decision.upstream == SHARE
        assert held.record.decision.reasons == ("kept with probability 0.2: nothing was found",)
    shown = there.metrics.expose()[0].decode()
    decided = len(there.stored()) / SHARE
    assert f'fidelity_traces_total{{status="success",workflow="support"}} {decided}\n' in shown
    for suffix in ('_bucket{le="+Inf",workflow="support"}', '_count{workflow="support"}'):
        assert f"fidelity_trace_duration_seconds{suffix} {decided}\n" in shown


def test_what_a_head_sampler_left_out_counts_as_well(store: Store, tmp_path: Path) -> None:
    root = span(int(LUCKY, 16), 1, parent=None, **ROOT) | {"trace_state": "ot=th:8"}
    There(store, tmp_path).run({LUCKY: request(root)})
    held = store.trace(LUCKY)
    assert held is not None
    assert held.record.decision.upstream == pytest.approx(0.5 * SHARE)


REMARKABLE: dict[str, tuple[bytes, str]] = {
    "a finding": (quiet(UNLUCKY) + tool(UNLUCKY, **FAILED_TOOL), "root"),
    "an outcome": (quiet(UNLUCKY) + outcome(UNLUCKY), "root"),
    "a shadow pair": (
        quiet(UNLUCKY, **{"fidelity.shadow.pair_id": "p1", "fidelity.shadow.role": "incumbent"}),
        "root",
    ),
    "a reported failure": (quiet(UNLUCKY, **{"http.response.status_code": 500}), "root"),
    "missing spans": (quiet(UNLUCKY), "idle"),
}


@pytest.mark.parametrize("why", REMARKABLE)
def test_what_is_remarkable_is_always_stored_and_counts_once(
    store: Store, tmp_path: Path, why: str
) -> None:
    there, (body, reason) = There(store, tmp_path), REMARKABLE[why]
    there.run({UNLUCKY: body}, reason)
    held = store.trace(UNLUCKY)
    assert held is not None, why
    assert held.record.decision.upstream == 1.0
    assert there.tally.get("traces_ended", "thinned") == 0
    assert not any("kept with" in reason for reason in held.record.decision.reasons)


def test_a_contracts_findings_are_findings(store: Store, tmp_path: Path) -> None:
    there = There(store, tmp_path)
    path = tmp_path / "contract.yaml"
    path.write_text("support:\n  rules:\n    - must_contain: [hello]\n")
    there.live.contracts = Live(
        load(environ={"FIDELITY_CONTRACTS": str(path), "FIDELITY_SAMPLE_SALT": "s"}), store
    ).contracts
    there.run({UNLUCKY: quiet(UNLUCKY)})
    held = store.trace(UNLUCKY)
    assert held is not None
    assert held.record.findings


def test_where_a_detector_fails_nobody_knows_and_the_trace_is_stored(
    store: Store, tmp_path: Path
) -> None:
    there = There(store, tmp_path)

    def broken(_traces: Sequence[Trace], *_: Any) -> list[tuple[Finding, ...] | Exception]:
        raise ZeroDivisionError

    there.pipeline._detect = broken
    there.run({UNLUCKY: quiet(UNLUCKY)})
    assert there.stored() == {UNLUCKY}


def decided(store: Store, share: float, bodies: Mapping[str, bytes]) -> list[Decided]:
    environ = {"FIDELITY_SAMPLE_SALT": "s", "FIDELITY_SAMPLE_KEEP_SHARE": str(share)}
    pipeline = make_pipeline(Live(load(environ=environ), store), Tally())
    return pipeline.decide([Input(i, [b], "root") for i, b in bodies.items()], now_ns=NOW)


def test_with_a_share_of_one_everything_is_as_without_it(store: Store) -> None:
    some = ids(50)
    bodies = {i: quiet(i) + (tool(i, **FAILED_TOOL) if n % 3 else b"") for n, i in enumerate(some)}
    live = Live(load(environ={"FIDELITY_SAMPLE_SALT": "s"}), store)
    pipeline = make_pipeline(live, Tally())
    pipeline._keep = lambda _: 1.0
    plain = pipeline.decide([Input(i, [b], "root") for i, b in bodies.items()], now_ns=NOW)
    whole = decided(store, 1.0, bodies)
    assert msgspec.msgpack.encode([each.record for each in whole]) == msgspec.msgpack.encode(
        [each.record for each in plain]
    )
    assert {each.record.decision.upstream for each in whole if each.record} == {1.0}


def test_a_kept_trace_differs_in_what_it_counts_for_only(store: Store) -> None:
    (whole,), (kept,) = (decided(store, s, {LUCKY: quiet(LUCKY)}) for s in (1.0, SHARE))
    assert whole.record is not None
    assert kept.record is not None
    back = msgspec.structs.replace(kept.record.decision, upstream=1.0, reasons=())
    assert msgspec.structs.replace(kept.record, decision=back) == whole.record
    assert (whole.stands_for, kept.stands_for) == (1.0, 1 / SHARE)


# --- again, late, after a crash ------------------------------------------------------------------


def test_deciding_again_after_a_crash_stores_the_same(store: Store, tmp_path: Path) -> None:
    some = {i: quiet(i) for i in ids(100)}
    There(store, tmp_path).run(some)
    before, again = There(store, tmp_path).stored(), There(store, tmp_path)
    again.run(some)
    assert again.stored() == before
    assert again.tally.get("traces_ended", "duplicate") == len(before)
    assert again.tally.get("traces_ended", "thinned") == len(some) - len(before)
    assert again.tally.get("spans_late") == 0


def test_what_comes_late_of_a_thinned_trace_goes_the_same_way(store: Store, tmp_path: Path) -> None:
    there = There(store, tmp_path)
    there.run({UNLUCKY: quiet(UNLUCKY)})
    for reason in ("late", "idle"):
        there.run({UNLUCKY: tool(UNLUCKY)}, reason)
    assert there.stored() == set()
    assert there.tally.get("traces_ended", "thinned") == 3
    assert there.tally.get("spans_late") == 2


def test_an_outcome_that_comes_late_is_stored_without_its_trace(
    store: Store, tmp_path: Path
) -> None:
    there = There(store, tmp_path)
    there.run({UNLUCKY: quiet(UNLUCKY)})
    there.run({UNLUCKY: tool(UNLUCKY) + outcome(UNLUCKY)}, "late")
    assert there.stored() == set()
    assert there.tally.get("outcomes_received", "added") == 1


def test_a_finding_that_comes_late_is_stored_with_what_came(store: Store, tmp_path: Path) -> None:
    there = There(store, tmp_path)
    there.run({UNLUCKY: quiet(UNLUCKY)})
    there.run({UNLUCKY: tool(UNLUCKY, **FAILED_TOOL)}, "late")
    held = store.trace(UNLUCKY)
    assert held is not None
    assert held.record.findings
    assert held.record.incomplete == ("thinned",)
    assert held.record.decision.upstream == 1.0
    there.run({UNLUCKY: tool(UNLUCKY, 3)}, "late")
    held = store.trace(UNLUCKY)
    assert held is not None
    assert (held.record.revision, held.record.span_count) == (1, 2)


def test_a_finding_that_comes_late_makes_a_kept_trace_count_once(
    store: Store, tmp_path: Path
) -> None:
    """Were it thinned, it would be stored all the same: so it stands for no other."""
    there = There(store, tmp_path)
    kept = [i for i in ids(100) if lucky(i)][:3]
    there.run({i: quiet(i) for i in kept})
    first, second, _ = kept
    there.run({first: tool(first, **FAILED_TOOL), second: tool(second)}, "late")
    count = []
    for trace_id in kept:
        held = store.trace(trace_id)
        assert held is not None
        count.append((held.record.revision, held.record.decision.upstream))
    assert count == [(1, 1.0), (1, SHARE), (0, SHARE)]


def test_a_store_that_was_busy_is_told_the_same(store: Store, tmp_path: Path) -> None:
    """What is tried again is decided as it was: it has not been thinned before it is stored."""
    there, some = There(store, tmp_path), {i: quiet(i) for i in ids(50)}
    add, failing = store.add_traces, [OSError("unplugged")]

    def once(records: Any) -> Any:
        if failing:
            raise failing.pop()
        return add(records)

    store.add_traces = once  # type: ignore[method-assign]
    with pytest.raises(OSError, match="unplugged"):
        there.run(some)
    there.run(some)
    assert there.stored() == {i for i in some if lucky(i)}
    assert there.tally.get("spans_late") == 0


def test_a_reload_changes_the_share(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "fidelity.yaml"
    path.write_text("sample: {keep_share: 1.0}\n")
    live, tally = Live(load(path, environ={"FIDELITY_SAMPLE_SALT": "s"}), store), Tally()
    pipeline = make_pipeline(live, tally)
    some = [Input(i, [quiet(i)], "root") for i in ids(60)]
    ends = []
    for share in ("1.0", "0.2", "3", "1"):
        path.write_text(f"sample: {{keep_share: {share}}}\n")
        live.reload()
        made = pipeline.decide(some, now_ns=NOW)
        ends.append(sum(each.end == "thinned" for each in made))
    thin = sum(not lucky(each.trace_id) for each in some)
    assert ends == [0, thin, thin, 0]


# --- the memory of thinned ids -------------------------------------------------------------------


@pytest.mark.parametrize("most", [2, 7, 100, 9000])
def test_the_last_ids_are_known_and_no_others(most: int) -> None:
    memory, some = ThinnedIds(most), ids(25_000, most)
    unknown = ids(2000, 99)
    for number, trace_id in enumerate(some, 1):
        memory.add([trace_id])
        if number % 7 == 0:
            memory.add([trace_id])
        assert len(memory) <= most
        if number % 997 == 0:
            newest = some[max(0, number - max(1, most // 2)) : number]
            assert all(each in memory for each in newest)
    assert sum(each in memory for each in some) == len(memory)
    assert not any(each in memory for each in unknown)


def test_it_takes_at_most_32_bytes_an_id_and_none_before_the_first() -> None:
    def held(memory: ThinnedIds) -> int:
        return sum(memoryview(g._table).nbytes for g in (memory._new, memory._old))

    for most in (100, 99_999, 131_072):
        memory = ThinnedIds(most)
        assert held(memory) < 100
        for trace_id in ids(2 * most):
            memory.add([trace_id])
        assert held(memory) <= 32 * most + 100
