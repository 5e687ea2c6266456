"""Steps of a sequence that equal the one before, and steps that come back to an earlier one.

Legend: T time steps, D values of one step.
"""

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

NEAR: Final = 0.1
"""Two steps are the same if they differ by less than this share of the median change from one step to the next."""

_FEWEST_STEPS: Final = 4

Floats = npt.NDArray[np.floating[Any]]
Double = npt.NDArray[np.float64]


class Repetition(NamedTuple):
    """Shares of steps. ``repeats`` is 0 where it was not looked for."""

    duplicates: float
    repeats: float


def changes_between(steps: Floats) -> Double:
    """(T - 1,): the Euclidean distance of each of ``steps``, (T, D), from the one before."""
    from schemas.arrays.kernels import step_changes

    changes = np.empty(len(steps) - 1)
    step_changes(np.ascontiguousarray(steps), changes)
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

    Steps are compared in their order until enough are new. The first steps have few to be compared with, so a sequence
    without repetitions costs a small part of all pairs.
    """
    from schemas.arrays.kernels import count_new

    enough = (1 - most) * len(steps)
    new = count_new(np.ascontiguousarray(steps), near, enough)
    return 0.0 if new >= enough else 1 - new / len(steps)


def median_of_ordered(ordered: Floats) -> float:
    """The median of values in ascending order; of none, 0."""
    middle = len(ordered) // 2
    if not len(ordered):
        return 0.0
    return float(ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
