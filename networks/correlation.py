"""How well a predicted order agrees with the true one: Spearman's rank correlation with a bootstrap interval.

The measure of the paper (Section 5.1). NumPy only.
"""

from collections.abc import Hashable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from networks.errors import UnusableSamples

Statistic = Literal["pooled", "fold-mean"]
"""One correlation over all clips, or the mean of the folds' correlations. They differ when folds have offsets."""


class Interval(NamedTuple):
    """An estimate and its percentile bootstrap interval."""

    estimate: float
    low: float
    high: float


def spearman(predicted: ArrayLike, truth: ArrayLike) -> float:
    """Pearson's correlation of the ranks of two sequences of length N, equal values sharing their mean rank.

    Zero if either side is constant: it has no order that could agree. Raises ``UnusableSamples`` for unequal
    lengths, N < 2, or values that are not finite.
    """
    sides = [np.asarray(side, np.float64) for side in (predicted, truth)]
    if sides[0].shape != sides[1].shape or sides[0].ndim != 1 or len(sides[0]) < 2:
        raise UnusableSamples(
            f"a rank correlation needs two sequences of one length ≥ 2; got {sides[0].shape} and {sides[1].shape}"
        )
    if not all(np.isfinite(side).all() for side in sides):
        raise UnusableSamples("a rank correlation needs finite values; a prediction or a truth is not")
    return _spearman(*sides)


def fold_mean(predicted: ArrayLike, truth: ArrayLike, folds: Sequence[Hashable]) -> float:
    """The mean over ``folds`` (a name per clip) of the correlation within each, as ``spearman`` computes it."""
    first, second = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    return float(np.mean([spearman(first[rows], second[rows]) for rows in _members(folds)]))


def bootstrap_interval(
    predicted: ArrayLike,
    truth: ArrayLike,
    *,
    groups: Sequence[Hashable] | None = None,
    folds: Sequence[Hashable] | None = None,
    statistic: Statistic = "pooled",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """The correlation of held-out predictions and its percentile interval of ``level``.

    Clips are drawn with replacement; with ``groups`` (the dancer of each clip) whole groups are, since clips of one
    dancer are not independent. "fold-mean" needs ``folds`` (the fold of each clip) and draws within each fold.
    A resample whose predictions or truths are all equal counts as zero, as it does in ``spearman``.
    The same ``seed`` gives the same interval.
    """
    first, second = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if statistic == "fold-mean" and folds is None:
        raise UnusableSamples("the mean over folds needs the fold of every clip", field="folds")
    strata = _members(folds) if statistic == "fold-mean" and folds is not None else [np.arange(len(first))]
    estimate = float(np.mean([spearman(first[rows], second[rows]) for rows in strata]))
    units = [_units(rows, groups) for rows in strata]
    generator = np.random.default_rng(seed)
    drawn = [np.mean([_resampled(first, second, unit, generator) for unit in units]) for _ in range(resamples)]
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    return Interval(estimate, float(low), float(high))


def mean_ranks(values: ArrayLike) -> NDArray[np.float64]:
    """Ranks from 1 for the smallest value; equal values share the mean of the ranks that they take up."""
    _, group, sizes = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks: NDArray[np.float64] = (last - (sizes - 1) / 2)[group]
    return ranks


def _spearman(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    ranks = np.array([mean_ranks(first), mean_ranks(second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((centred**2).sum(axis=1).prod()))
    return float(np.clip(centred[0] @ centred[1] / scale, -1, 1)) if scale else 0.0


def _resampled(
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    units: list[NDArray[np.intp]],
    generator: np.random.Generator,
) -> float:
    rows = np.concatenate([units[unit] for unit in generator.integers(len(units), size=len(units))])
    return _spearman(first[rows], second[rows])


def _members(names: Sequence[Hashable]) -> list[NDArray[np.intp]]:
    """The rows of each distinct name, in the order of first appearance."""
    rows: dict[Hashable, list[int]] = {}
    for row, name in enumerate(names):
        rows.setdefault(name, []).append(row)
    return [np.array(members, np.intp) for members in rows.values()]


def _units(rows: NDArray[np.intp], groups: Sequence[Hashable] | None) -> list[NDArray[np.intp]]:
    """What is drawn as a whole: single rows, or the rows of a group."""
    if groups is None:
        return list(rows[:, None])
    return [rows[members] for members in _members([groups[row] for row in rows])]
