"""The coverage benchmark would see a design whose probabilities are not what they claim to be."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def answers(coverage):
    return coverage.read_traffic(coverage.TRAFFIC)


def test_the_recording_is_of_the_demos_traffic(coverage, answers):
    assert len(answers) == 120
    truths = coverage.truths_of(answers)
    assert 0.55 <= truths["right answers"] <= 0.85
    assert 0.05 < truths["silent failures"] < 1 - truths["right answers"]
    assert {a.workflow for a in answers} == {"support.policy", "support.order"}
    found = {mode for a in answers for mode in a.modes}
    assert found >= {"rate_limited", "timeout", "retrieval_empty", "retrieval_stale"}
    assert {s for a in answers for s in a.states} >= {"recovered", "unrecovered"}


def test_honest_probabilities_give_unbiased_strata(coverage, answers):
    _, strata = drawn(coverage, answers, 150)
    assert len(strata) == 4
    for name, tally in strata.items():
        assert abs(coverage.z_of(tally.values, tally.truth)[1]) < 5, name


def test_probabilities_that_lie_are_seen(coverage, answers, monkeypatch):
    honest = coverage.Source.__init__

    def lying(self, *args):
        honest(self, *args)
        self.pi = [min(1.0, p * 1.5) for p in self.pi]

    monkeypatch.setattr(coverage.Source, "__init__", lying)
    _, strata = drawn(coverage, answers, 150)
    assert any(abs(coverage.z_of(t.values, t.truth)[1]) > 5 for t in strata.values())


def test_the_whole_report_of_a_few_seeds(coverage, answers):
    results, strata, counts = coverage.repeat(answers, 4, 40)
    assert set(results) == set(coverage.truths_of(answers))
    assert all(len(t.values) + t.absent == 4 for t in results.values())
    assert all(25 <= count <= 45 for count in counts)
    sizes = coverage.Counter(coverage.Source(answers, "s", 40).strata)
    text, _ = coverage.table(results, strata, sizes)
    assert "right answers" in text
    assert "support.policy | 1.0 | flagged" in text


def test_reviewing_everything_gives_the_truth(coverage, answers):
    made = coverage.numbers(coverage.Source(answers, "all", 1000))
    for name, truth in coverage.truths_of(answers).items():
        assert made[name].estimate == pytest.approx(truth), name


def test_coverage_outside_the_bounds_fails(coverage):
    sizes = coverage.Counter({"s": 1})
    strata = {"s": coverage.Tally(0.5, [0.4, 0.6, 0.5])}
    for held, good in ((100, False), (96, True), (90, False)):
        tally = coverage.Tally(0.5, [0.5] * 99 + [0.51], held=held)
        assert coverage.table({"right answers": tally}, strata, sizes)[1] is good
    strata["s"].values = [0.4, 0.41, 0.39] * 10
    tally = coverage.Tally(0.5, [0.5] * 99 + [0.51], held=96)
    assert coverage.table({"right answers": tally}, strata, sizes)[1] is False


def drawn(coverage, answers, seeds):
    """The strata's shares over many draws, without the report's work."""
    strata = {}
    for seed in range(seeds):
        source = coverage.Source(answers, f"test {seed}", 40)
        for name, share in coverage.shares(source).items():
            tally = strata.setdefault(name, coverage.Tally(source.truth_of(name), []))
            tally.values.append(share)
    return seeds, strata
