"""The draw: probabilities that are true, budgets that are kept, results that can be repeated."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Decision, Finding, Span, Trace
from fidelity_otel.processor.sample import (
    Budget,
    Sampler,
    SampleSettings,
    allocate,
    allocate_beside,
    bottom_k,
    draw,
    hashed,
    mode_quotas,
    read_upstream,
    spread,
    stratum_name,
    uniform,
)

SALT = b"a secret"


@dataclass(frozen=True)
class Row:
    decision: Decision
    modes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Past:
    reviewed: int
    wrong: int
    partly: int = 0


def row(
    i: int, stratum: str = "s", modes: tuple[str, ...] = (), size: float = 1.0, salt: bytes = SALT
) -> Row:
    trace_id = f"{i:032x}"
    decision = Decision(
        trace_id, stratum, "w", hashed(salt, "estimation", trace_id), size, 0.5, bool(modes)
    )
    return Row(decision, modes)


# --- one stratum -------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0.3, 1.0, 1.6, 3.0, 4.5, 6.0])
def test_priority_sampling_estimates_every_total_without_bias(k: float) -> None:
    """Σ chosen y/π has expectation Σ y, for any y, at any fractional k (to four standard errors)."""
    rng = np.random.default_rng(5)
    size = np.array([0.3, 0.31, 0.4, 0.5, 0.65, 0.65, 0.33])
    y = np.array([1.0, 0.0, 2.0, -1.0, 5.0, 0.3, 0.0])
    draws = 20_000
    totals = np.empty(draws)
    counts = np.empty(draws)
    for i in range(draws):
        got = bottom_k(size, 1.0 - rng.random(7), k)
        assert (got.probability[got.selected] > 0).all()
        totals[i] = (y / np.where(got.selected, got.probability, np.inf)).sum()
        counts[i] = got.selected.sum()
    assert abs(totals.mean() - y.sum()) < 4 * totals.std() / draws**0.5
    assert abs(counts.mean() - k) < 4 * max(counts.std(), 1e-9) / draws**0.5 + 1e-12
    assert set(np.unique(counts)) <= {np.floor(k), np.ceil(k)}


def test_probability_is_the_chance_given_the_other_priorities() -> None:
    """Redraw one unit's u with the others fixed: it is chosen as often as its π says."""
    rng = np.random.default_rng(1)
    size = rng.uniform(0.3, 0.65, 9)
    u = 1.0 - rng.random(9)
    for k in (2.0, 3.4):
        hits, expected, repeats = 0, 0.0, 8_000
        for _ in range(repeats):
            u[4] = 1.0 - rng.random()
            got = bottom_k(size, u, k)
            hits += int(got.selected[4])
            expected = got.probability[4]  # the same each time: it must not depend on its own u
        assert abs(hits / repeats - expected) < 4 * (expected * (1 - expected) / repeats) ** 0.5


@pytest.mark.parametrize(("one", "other"), [(0.4, 0.7), (0.4, 2.5), (1.0, 2.0), (1.3, 1.6)])
def test_one_number_in_two_draws_is_taken_by_both_with_the_smaller_probability(
    one: float, other: float
) -> None:
    """Every u of the unit that both draws share, the others' fixed: enumerated, not simulated."""
    rng = np.random.default_rng(8)
    steps = 4_000
    size = rng.uniform(0.3, 0.65, (2, 6))
    u = 1.0 - rng.random((2, 6))
    both = alone = 0
    for step in range(steps):
        u[:, 2] = (step + 0.5) / steps
        draws = [bottom_k(size[d], u[d], k) for d, k in enumerate((one, other))]
        taken = [bool(d.selected[2]) for d in draws]
        both += all(taken)
        alone += taken[0]
    least, first = min(d.probability[2] for d in draws), draws[0].probability[2]
    assert 0.02 < least < 0.98
    assert both / steps == pytest.approx(least, abs=1.5 / steps)
    assert alone / steps == pytest.approx(first, abs=1.5 / steps)


@given(
    sizes=st.lists(st.floats(0.05, 1.0), min_size=1, max_size=30),
    k=st.floats(0.0, 40.0),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=150, deadline=None)
def test_draw_invariants(sizes: list[float], k: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = np.array(sizes)
    u = 1.0 - rng.random(len(sizes))
    got = bottom_k(size, u, k)
    assert ((got.probability >= 0) & (got.probability <= 1)).all()
    assert (got.probability[got.selected] > 0).all()
    assert got.selected.sum() in {int(min(k, len(sizes))), min(int(k) + 1, len(sizes))}
    if got.threshold:
        priority = size / u
        assert (priority[got.selected] >= got.threshold).all()
        assert (priority[~got.selected] <= got.threshold).all()


# --- allocation --------------------------------------------------------------------------------


@given(
    counts=st.dictionaries(
        st.text(min_size=1, max_size=3), st.integers(0, 5_000), min_size=1, max_size=12
    ),
    budget=st.floats(0, 20_000),
    floor=st.floats(0, 50),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_allocation_spends_the_budget_within_bounds(
    counts: dict[str, int], budget: float, floor: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = {name: float(rng.uniform(0.05, 0.5)) for name in counts}
    got = allocate(counts, weight, budget, floor)
    total = sum(counts.values())
    assert sum(got.values()) == pytest.approx(min(budget, total), rel=1e-9, abs=1e-9)
    for name, k in got.items():
        assert -1e-9 <= k <= counts[name] + 1e-9
    floors = sum(min(n, floor) for n in counts.values())
    if floors <= budget <= total:
        assert all(k >= min(counts[n], floor) - 1e-9 for n, k in got.items())


def test_allocation_is_neyman_where_no_bound_binds() -> None:
    got = allocate({"a": 1000, "b": 3000}, {"a": 0.4, "b": 0.2}, 100.0, 5.0)
    assert got == pytest.approx({"a": 40.0, "b": 60.0})


def test_what_discovery_reviews_is_not_paid_twice() -> None:
    """Both arms together follow Neyman; a stratum that discovery serves keeps a third of its own."""
    counts, weight = {"calm": 800, "flagged": 200}, {"calm": 0.4, "flagged": 0.4}
    assert allocate_beside(counts, weight, 70.0, 2.0, {}) == pytest.approx(
        allocate(counts, weight, 70.0, 2.0)
    )
    some = allocate_beside(counts, weight, 90.0, 2.0, {"flagged": 10.0})
    assert some == pytest.approx({"calm": 80.0, "flagged": 10.0})
    much = allocate_beside(counts, weight, 70.0, 2.0, {"flagged": 30.0})
    assert much == pytest.approx({"calm": 70.0 - 14.0 / 3, "flagged": 14.0 / 3})
    assert allocate_beside(counts, weight, 2000.0, 2.0, {"flagged": 30.0}) == pytest.approx(counts)
    assert allocate_beside(counts, weight, 2.0, 2.0, {"flagged": 30.0}) == pytest.approx(
        {"calm": 1.0, "flagged": 1.0}
    )


@given(
    counts=st.lists(st.integers(1, 3_000), min_size=1, max_size=10),
    budget=st.floats(0, 5_000),
    floor=st.floats(0, 20),
    seed=st.integers(0, 99),
)
@settings(max_examples=200, deadline=None)
def test_allocation_beside_another_arm_spends_the_budget(
    counts: list[int], budget: float, floor: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    sizes = {str(h): n for h, n in enumerate(counts)}
    weight = {h: float(rng.uniform(0.05, 0.5)) for h in sizes}
    other = {h: float(rng.uniform(0, n)) for h, n in sizes.items() if rng.random() < 0.5}
    got = allocate_beside(sizes, weight, budget, floor, other)
    alone = allocate(sizes, weight, budget, floor)
    assert sum(got.values()) == pytest.approx(sum(alone.values()), rel=1e-9, abs=1e-9)
    for h, k in got.items():
        assert alone[h] / 3 - 1e-9 <= k <= sizes[h] + 1e-9


def test_spread_follows_history_and_never_vanishes() -> None:
    got = spread({"sure": 10, "torn": 10, "new": 10}, {"sure": Past(500, 0), "torn": Past(100, 50)})
    assert 0 < got["sure"] < 0.1 < got["new"] < got["torn"] <= 0.5


def test_rare_modes_get_their_share() -> None:
    assert mode_quotas({"loop": 1000, "auth": 2, "timeout": 500}, 12.0) == pytest.approx(
        {"loop": 5.0, "auth": 2.0, "timeout": 5.0}
    )


# --- the whole draw ----------------------------------------------------------------------------


def test_both_arms_together_estimate_without_bias() -> None:
    """HT with π = 1 − (1−π_e)(1−π_d) over salts: exact in expectation, in every stratum."""
    kinds = [
        ("a", ()),
        ("a", ()),
        ("b", ("loop",)),
        ("b", ("loop", "auth")),
        ("b", ("auth",)),
        ("a", ()),
    ]
    y = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0])
    totals = []
    for s in range(4_000):
        salt = f"salt {s}".encode()
        rows = [
            row(i, stratum, modes, 0.3 + 0.05 * i, salt) for i, (stratum, modes) in enumerate(kinds)
        ]
        drawn = draw(rows, Budget(1.7, 0.9), {}, salt, floor=0.2)
        chosen = set(drawn.selected)
        total = 0.0
        for i, each in enumerate(rows):
            arms = drawn.arms[each.decision.trace_id]
            pi = 1.0 - np.prod([1.0 - a.probability for a in arms])
            total += y[i] / pi if each.decision.trace_id in chosen else 0.0
        totals.append(total)
    assert abs(np.mean(totals) - y.sum()) < 4 * np.std(totals) / len(totals) ** 0.5


def test_every_trace_has_its_probability_and_the_budget_is_spent() -> None:
    rows = [row(i, "ab"[i % 2], ("loop",) if i % 10 == 0 else ()) for i in range(400)]
    drawn = draw(rows, Budget(40.0, 10.0), {}, SALT, floor=2.0)
    assert set(drawn.arms) == {r.decision.trace_id for r in rows}
    for r in rows:
        arms = drawn.arms[r.decision.trace_id]
        assert [a.arm for a in arms] == (["estimation", "discovery"] if r.modes else ["estimation"])
        assert all(0 < a.probability <= 1 for a in arms)
    assert sum(a.selected for each in drawn.arms.values() for a in each) in {49, 50, 51}
    assert drawn.carry == 0.0


def test_reviews_go_where_requests_are_not_only_where_traces_were_kept() -> None:
    """A stratum of which a tenth was kept is as large as what its traces stand for."""

    def drawn(upstream: float) -> tuple[int, int]:
        rows = [row(i, "flagged") for i in range(200)]
        for i in range(200, 300):
            clear = row(i, "clear")
            decision = msgspec.structs.replace(clear.decision, upstream=upstream)
            rows.append(Row(decision))
        made = draw(rows, Budget(60.0), {}, SALT)
        flagged = sum(int(i, 16) < 200 for i in made.selected)
        return flagged, len(made.selected) - flagged

    assert drawn(1.0) == (40, 20)
    assert drawn(0.1) == (10, 50)


def test_draw_ignores_order_and_repeats_but_changes_with_the_salt() -> None:
    rows = [row(i, "ab"[i % 2]) for i in range(100)]
    one = draw(rows, Budget(10.5), {}, SALT)
    assert draw(rows[::-1], Budget(10.5), {}, SALT) == one
    other = draw(
        [row(i, "ab"[i % 2], salt=b"other") for i in range(100)], Budget(10.5), {}, b"other"
    )
    assert set(other.selected) != set(one.selected)


def test_unused_discovery_goes_to_estimation_and_the_rest_is_carried() -> None:
    assert len(draw([row(i) for i in range(50)], Budget(7.0, 3.0), {}, SALT).selected) == 10
    small = draw([row(i, modes=("loop",)) for i in range(4)], Budget(7.0, 3.0), {}, SALT)
    assert len(small.selected) == 4
    assert small.carry == pytest.approx(7.0 + 3.0 - 4 - 3)
    assert all(
        a.probability == 1.0 for each in small.arms.values() for a in each if a.arm == "estimation"
    )


def test_empty_window_carries_everything() -> None:
    drawn = draw([], Budget(7.0, 3.0), {}, SALT)
    assert drawn.arms == {}
    assert drawn.carry == pytest.approx(10.0)


# --- candidates --------------------------------------------------------------------------------


def a_trace(trace_id: str = "ab" * 16) -> Trace:
    return Trace(
        trace_id, (Span(trace_id, "cd" * 8, "root"),), workflow="support | answer", release="1.2"
    )


def test_candidate_holds_components() -> None:
    sampler = Sampler({"sample.window_seconds": 3600.0, "sample.uniform_share": 0.3}, SALT)
    finding = Finding("loop", "unrecovered", "cd" * 8, "three equal calls")
    now = 1_790_000_000_000_000_000
    got = sampler.candidate(a_trace(), [finding], 0.5, now, trace_state="ot=th:c")
    assert got.stratum == "support \\| answer | 1.2 | flagged"
    assert got.size == pytest.approx(0.3 + 0.7 * 0.5)
    assert got.upstream == 0.25
    assert got.arms == ()
    assert got.randomness == hashed(SALT, "estimation", "ab" * 16)
    assert got.randomness != int("ab" * 7, 16)
    assert got.window == sampler.window(now - now % 3_600_000_000_000)
    assert sampler.window(now) < sampler.window(now + 3_600_000_000_000)
    assert sampler.candidate(a_trace(), [], 0.0, now).size >= 0.3


def test_strata_do_not_run_into_each_other() -> None:
    assert stratum_name("a | b", "c", False) != stratum_name("a", "b | c", False)


def test_randomness_is_uniform_and_free_of_head_sampling_bits() -> None:
    """Among traces that a head sampler kept (low id bits high), ours is still uniform."""
    rng = np.random.default_rng(3)
    kept = [
        rng.bytes(9).hex() + f"{0xF0 | rng.integers(16):02x}" + rng.bytes(6).hex()
        for _ in range(4_000)
    ]
    u = np.sort([uniform(hashed(SALT, "estimation", i)) for i in kept])
    distance = np.abs(u - (np.arange(4_000) + 0.5) / 4_000).max()
    assert distance < 1.95 / 4_000**0.5  # Kolmogorov-Smirnov at 0.1%


def test_budget_accrues_and_is_capped_at_a_day() -> None:
    sampler = Sampler(SampleSettings(reviews_per_day=24.0), SALT)
    assert sum(sampler.budget()) == pytest.approx(1.0)
    assert sum(sampler.budget(carry=0.5)) == pytest.approx(1.5)
    assert sum(sampler.budget(carry=1e9)) == pytest.approx(24.0)
    assert sampler.budget(elapsed_seconds=7200.0) == pytest.approx((1.4, 0.6))


def test_empty_salt_and_bad_share_are_refused() -> None:
    with pytest.raises(ConfigError, match="salt"):
        Sampler(SampleSettings(), b"")
    with pytest.raises(ConfigError, match="discovery_share"):
        Sampler({"sample.discovery_share": 1.5}, SALT)


@pytest.mark.parametrize(
    ("text", "probability", "problem"),
    [
        ("", 1.0, ""),
        ("vendor=x", 1.0, ""),
        ("ot=th:0", 1.0, ""),
        ("ot=th:8;rv:6e6d1a75832a2f", 0.5, ""),
        ("a=b, ot=rv:6e6d1a75832a2f;th:c", 0.25, ""),
        ("ot=th:zz", 1.0, "tracestate ot: unreadable th"),
        ("ot=th:123456789abcdef;rv:1", 1.0, "tracestate ot: unreadable th and rv"),
    ],
)
def test_upstream_probability(text: str, probability: float, problem: str) -> None:
    got = read_upstream(text)
    assert got.probability == probability
    assert got.problem == problem
