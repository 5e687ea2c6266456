"""How well two orders agree: Spearman's rank correlation, the paper's measure (Section 5.1)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from schemas.errors import QueryError


def spearman(first: Sequence[float], second: Sequence[float]) -> float:
    """Pearson's correlation of the ranks, equal values sharing their mean rank; in [-1, 1].

    NaN if one side is constant and has no order. Raises ``QueryError`` for unequal or too short sequences.
    """
    if len(first) != len(second) or len(first) < 2:
        raise QueryError(
            f"a rank correlation needs two sequences of one length ≥ 2; got {len(first)} and {len(second)}"
        )
    ranks = np.array([mean_ranks(first), mean_ranks(second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((centred**2).sum(axis=1).prod()))
    return float(centred[0] @ centred[1] / scale) if scale else float("nan")


def mean_ranks(values: Sequence[float]) -> npt.NDArray[np.float64]:
    """Ranks from 1 for the smallest value; equal values share the mean of the ranks that they take up."""
    _, group, sizes = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks: npt.NDArray[np.float64] = (last - (sizes - 1) / 2)[group]
    return ranks
