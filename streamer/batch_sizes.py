"""How many clips of a batch share one run of a stream. Pure logic.

Legend: a run's padded cost is its longest clip's length times its number of clips.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from schemas.modalities import Modality

Rows = npt.NDArray[np.intp]

WORTHWHILE: Final = 0.03
"""A larger batch has to be faster for each clip by this share: it waits longer, is padded and takes more memory."""


class BatchSizes(NamedTuple):
    """``most``: by stream and length in steps of ``STEP_RATE_HZ``, the clips of a run. A length that is not there is
    treated as the one that is nearest by ratio; a stream that is not there runs whole batches.
    """

    most: Mapping[Modality, Mapping[int, int]] = {}

    def at(self, modality: Modality, steps: int) -> int | None:
        """Most clips of a run whose longest clip has ``steps``; ``None``: all of a batch."""
        measured = self.most.get(modality)
        if not measured:
            return None
        return measured[min(measured, key=lambda length: abs(math.log(length / steps)))]

    def largest(self, limit: int) -> int:
        """Clips of a batch beyond which no stream gains, at most ``limit``."""
        sizes = [size for measured in self.most.values() for size in measured.values()]
        return min(limit, max(sizes)) if sizes else limit

    def runs(self, modality: Modality, lengths: Sequence[int], most_steps: float) -> list[Rows]:
        """The rows of each run over clips of ``lengths``, in steps of ``STEP_RATE_HZ``: similar lengths together, and
        no padded cost above ``most_steps`` but that of a single clip.
        """
        order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
        runs, start = [], 0
        while start < len(order):
            longest = lengths[order[start]]
            size = self.at(modality, longest) or len(order)
            end = start + max(1, min(size, int(most_steps // longest) if most_steps < math.inf else size))
            runs.append(np.array(sorted(order[start:end]), np.intp))
            start = end
        return runs


WHOLE_BATCHES: Final = BatchSizes()


def best_size(cost_s: Mapping[int, float]) -> int:
    """The smallest of the sizes whose ``cost_s``, in seconds a clip, is within ``WORTHWHILE`` of the least."""
    least = min(cost_s.values())
    return min(size for size, cost in cost_s.items() if cost <= least * (1 + WORTHWHILE))
