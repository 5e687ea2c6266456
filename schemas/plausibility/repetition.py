"""Steps of a sequence that equal the one before, and steps that come back to an earlier one.

Legend: T time steps, D values of one step.
"""

import math
from functools import lru_cache
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

NEAR: Final = 0.1
"""Two steps are the same if they differ by less than this share of the median change from one step to the next."""

_FEWEST_STEPS: Final = 4
_MOST_MULTIPLICATIONS: Final = 2**18
"""Of one product of matrices: up to so many, OpenBLAS does not wake threads of its own, which contend with those of the
networks for the same cores."""

Floats = npt.NDArray[np.floating[Any]]
Double = npt.NDArray[np.float64]


class Repetition(NamedTuple):
    """Shares of steps. ``repeats`` is 0 where it was not looked for."""

    duplicates: float
    repeats: float


def changes_between(steps: Floats) -> Double:
    """(T - 1,): the Euclidean distance of each of ``steps``, (T, D), from the one before."""
    differences = steps[1:] - steps[:-1]
    changes: Double = np.sqrt(np.vecdot(differences, differences)).astype(np.float64)
    return changes


def repetition(steps: Floats, changes: Double, *, most_duplicates: float, most_repeats: float) -> Repetition:
    """Of ``steps``, (T, D) with T ≥ 2, and the ``changes_between`` them: the share of steps that equal the one before;
    and of the others, the share that comes back to an earlier one.

    ``repeats`` is exact if it is above ``most_repeats``; otherwise it is 0. It is not looked for if there are more
    duplicates than ``most_duplicates``, or fewer than four other steps.
    """
    ordered = np.sort(changes)
    near = NEAR * median_of_ordered(ordered[np.searchsorted(ordered, 0.0, side="right") :])
    number = int(np.searchsorted(ordered, near, side="right"))
    duplicates = number / len(changes)
    if duplicates > most_duplicates or len(steps) - number < _FEWEST_STEPS:
        return Repetition(duplicates, 0.0)
    if number:
        steps = steps[np.concatenate([[True], changes > near])]
        near = NEAR * median_of_ordered(np.sort(changes_between(steps)))
    return Repetition(duplicates, _repeats(steps, near, most_repeats))


def _repeats(steps: Floats, near: float, most: float) -> float:
    """The share of ``steps`` that lie within ``near`` of an earlier one, not counting the one before; or 0 if it is at
    most ``most``.

    Steps are compared in their order, in blocks, until enough are new. The first steps have few to be compared with, so
    a sequence without repetitions costs a small part of all pairs.
    """
    enough, new = (1 - most) * len(steps), 0
    largest = max(1, int(np.sqrt(_MOST_MULTIPLICATIONS / steps.shape[1])))
    rows = math.ceil(enough / math.ceil(enough / largest))
    blocks: list[tuple[Double, Double]] = []
    for start in range(0, len(steps), rows):
        block = steps[start : start + rows].astype(np.float64) - steps[0]  # differences of the squares stay exact
        half = np.vecdot(block, block) / 2
        blocks.append((block, half))
        seen = np.zeros(len(block), np.bool_)
        for number, (other, other_half) in enumerate(blocks):
            # |a - b|² <= near² in the form a·b - |b|²/2 >= |a|²/2 - near²/2
            found = block @ other.T - other_half >= (half - near**2 / 2)[:, None]
            if number == len(blocks) - 1:
                found &= _earlier(len(block))
            elif number == len(blocks) - 2:
                found[0, -1] = False  # the step before
            seen |= found.any(axis=1)
        new += len(block) - int(np.count_nonzero(seen))
        if new >= enough:
            return 0.0
    return 1 - new / len(steps)


def _earlier(steps: int) -> npt.NDArray[np.bool_]:
    """(T, T): whether the column's step is earlier than the row's and not the one before."""
    return _triangle(1 << (steps - 1).bit_length())[:steps, :steps]


@lru_cache
def _triangle(size: int) -> npt.NDArray[np.bool_]:
    """Blocks have many sizes; those up to a power of two share one."""
    return np.tri(size, k=-2, dtype=np.bool_)


def median_of_ordered(ordered: Floats) -> float:
    """The median of values in ascending order; of none, 0."""
    middle = len(ordered) // 2
    if not len(ordered):
        return 0.0
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
