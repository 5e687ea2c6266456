"""The shapes that batches are rounded to, where each new one costs: kernels that are made for it, or a captured graph.

Legend: N clips, T time steps.
"""

from typing import Final

STEPS_WARMED_S: Final = 16.0
"""Clips of up to so many seconds find their shapes ready."""
_FINEST: Final = 4
_PER_OCTAVE: Final = 8
_LARGEST_GROUP: Final = 4
"""More clips at once gain nothing on a CPU."""


def steps_rounded(steps: int) -> int:
    """``steps`` rounded up to a multiple of 4, and of an eighth of the power of two below it: at most an eighth more,
    from 32 steps on."""
    unit = max(_FINEST, (1 << (steps.bit_length() - 1)) // _PER_OCTAVE)
    return -(-steps // unit) * unit


def clips_rounded(clips: int) -> int:
    """``clips`` rounded up to a multiple of an eighth of the power of two below it: at most an eighth more."""
    unit = max(1, (1 << (clips.bit_length() - 1)) // _PER_OCTAVE)
    return -(-clips // unit) * unit


def step_buckets(longest: int) -> list[int]:
    """All that lengths of 1 to ``longest`` are rounded to, in order."""
    return sorted({steps_rounded(steps) for steps in range(1, longest + 1)})


def clips_together(clips: int) -> list[int]:
    """``clips`` in groups of 4, of 2 and of 1: a batch of them, in order."""
    groups, size = [], _LARGEST_GROUP
    while clips:
        groups += [size] * (clips // size)
        clips, size = clips % size, size // 2
    return groups
