"""How well two orders agree: Spearman's rank correlation, the paper's measure (Section 5.1). Legend: N values."""

import numpy as np
import numpy.typing as npt


def spearman(first: npt.ArrayLike, second: npt.ArrayLike) -> float:
    """Pearson's correlation of the ranks of two (N,) sequences, equal values sharing their mean rank; in [-1, 1].

    NaN if one side is constant and has no order. Raises ``ValueError`` for unequal or too short sequences.
    """
    sides = [np.asarray(side, np.float64) for side in (first, second)]
    if len(sides[0]) != len(sides[1]) or len(sides[0]) < 2:
        raise ValueError(
            f"a rank correlation needs two sequences of one length ≥ 2; got {len(sides[0])} and {len(sides[1])}"
        )
    ranks = np.array([mean_ranks(side) for side in sides])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    scale = float(np.sqrt((centred**2).sum(axis=1).prod()))
    return float(np.clip(centred[0] @ centred[1] / scale, -1, 1)) if scale else float("nan")


def mean_ranks(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Ranks (N,) from 1 for the smallest value; equal values share the mean of the ranks that they take up."""
    _, group, sizes = np.unique(np.asarray(values, np.float64), return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    ranks: npt.NDArray[np.float64] = (last - (sizes - 1) / 2)[group]
    return ranks
