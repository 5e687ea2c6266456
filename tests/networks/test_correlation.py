"""Spearman's correlation and its bootstrap interval against SciPy and against loops."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from networks.correlation import bootstrap_interval, fold_mean, mean_ranks, spearman
from networks.errors import UnusableSamples

few_values = st.integers(-3, 3).map(float)
pairs = st.lists(st.tuples(few_values, few_values), min_size=2, max_size=30)


@given(pairs)
def test_spearman_is_scipys_also_with_ties_and_zero_for_a_constant_side(values: list[tuple[float, float]]) -> None:
    first, second = zip(*values, strict=True)
    constant = len(set(first)) == 1 or len(set(second)) == 1
    expected = 0.0 if constant else spearmanr(first, second).statistic
    assert spearman(first, second) == pytest.approx(expected)


@given(st.lists(few_values, min_size=1, max_size=30))
def test_mean_ranks_are_scipys(values: list[float]) -> None:
    assert mean_ranks(values).tolist() == rankdata(values).tolist()


@pytest.mark.parametrize(
    ("first", "second", "problem"),
    [([1.0], [1.0], "length"), ([1.0, 2.0], [1.0], "length"), ([1.0, float("nan")], [1.0, 2.0], "finite")],
)
def test_sequences_that_cannot_be_compared_are_refused(first: list[float], second: list[float], problem: str) -> None:
    with pytest.raises(UnusableSamples, match=problem):
        spearman(first, second)


def example(clips: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=clips).round(1)
    return (truth + generator.normal(size=clips)).round(1), truth


def test_the_pooled_interval_is_that_of_a_loop_over_resampled_clips() -> None:
    predicted, truth = example(40, seed=0)
    generator = np.random.default_rng(5)
    drawn = []
    for _ in range(200):
        rows = generator.integers(40, size=40)
        drawn.append(spearmanr(predicted[rows], truth[rows]).statistic)
    found = bootstrap_interval(predicted, truth, resamples=200, level=0.9, seed=5)
    assert found.estimate == pytest.approx(spearmanr(predicted, truth).statistic)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [5, 95])))


def test_the_fold_mean_is_resampled_within_each_fold() -> None:
    predicted, truth = example(40, seed=1)
    folds = ["a"] * 15 + ["b"] * 25
    shifted = predicted + np.array([0.0] * 15 + [50.0] * 25)  # an offset of a fold does not touch the fold mean
    parts = [slice(0, 15), slice(15, 40)]
    expected = np.mean([spearmanr(predicted[rows], truth[rows]).statistic for rows in parts])
    assert fold_mean(shifted, truth, folds) == pytest.approx(expected)
    generator = np.random.default_rng(0)
    drawn = []
    for _ in range(100):
        samples = [np.arange(40)[rows][generator.integers(n, size=n)] for rows, n in zip(parts, (15, 25), strict=True)]
        drawn.append(np.mean([spearmanr(predicted[rows], truth[rows]).statistic for rows in samples]))
    found = bootstrap_interval(shifted, truth, folds=folds, statistic="fold-mean", resamples=100)
    assert found.estimate == pytest.approx(expected)
    assert (found.low, found.high) == pytest.approx(tuple(np.percentile(drawn, [2.5, 97.5])))
    pooled = bootstrap_interval(shifted, truth, folds=folds, resamples=2)
    assert pooled.estimate == pytest.approx(spearmanr(shifted, truth).statistic)


def test_groups_are_drawn_whole() -> None:
    truth = np.arange(12.0)
    groups = ["x"] * 4 + ["y"] * 4 + ["z"] * 4
    generator = np.random.default_rng(0)
    predicted = generator.normal(size=12)
    reachable = set()
    for draw in np.ndindex(3, 3, 3):
        rows = np.concatenate([np.arange(4) + 4 * group for group in draw])
        reachable.add(round(float(spearmanr(predicted[rows], truth[rows]).statistic), 9))
    ends = [bootstrap_interval(predicted, truth, groups=groups, resamples=1, seed=seed)[1:] for seed in range(40)]
    assert {round(end, 9) for pair in ends for end in pair} <= reachable
    assert len(Counter(ends)) > 3


def test_clips_of_one_dancer_widen_the_interval() -> None:
    """Thirty clips repeated ten times say no more than thirty clips."""
    predicted, truth = example(30, seed=2)
    many = [np.repeat(side, 10) for side in (predicted, truth)]
    single = bootstrap_interval(predicted, truth)
    naive = bootstrap_interval(*many)
    grouped = bootstrap_interval(*many, groups=np.repeat(np.arange(30), 10).tolist())
    assert naive.high - naive.low < 0.5 * (grouped.high - grouped.low)
    assert grouped.high - grouped.low == pytest.approx(single.high - single.low, rel=0.2)


def test_the_interval_covers_the_true_correlation() -> None:
    covered = 0
    for seed in range(60):
        generator = np.random.default_rng(seed)
        truth = generator.normal(size=80)
        predicted = truth + generator.normal(size=80)
        low, high = bootstrap_interval(predicted, truth, resamples=200, seed=seed)[1:]
        covered += low <= 6 / np.pi * np.arcsin(np.sqrt(0.5) / 2) <= high  # of a bivariate normal
    assert 50 <= covered <= 60


def test_the_same_seed_gives_the_same_interval_and_constant_predictions_none() -> None:
    predicted, truth = example(20, seed=3)
    assert bootstrap_interval(predicted, truth, seed=1) == bootstrap_interval(predicted, truth, seed=1)
    assert bootstrap_interval(np.zeros(20), truth) == (0.0, 0.0, 0.0)
    with pytest.raises(UnusableSamples, match="fold"):
        bootstrap_interval(predicted, truth, statistic="fold-mean")
