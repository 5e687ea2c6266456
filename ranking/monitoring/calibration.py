"""Whether a predicted score means what it says: Eq. (2) of what was observed, and how far predictions are from it.

Legend: N clips, B bins of predictions.
"""

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from vdv.virality import MIDDLE

Float64 = npt.NDArray[np.float64]

BINS: Final = 10
"""Deciles of [0, 1], the range of Eq. (2). A prediction outside it belongs to the decile at that end."""


class Bounds(NamedTuple):
    """The least and the greatest virality (Eq. 1) that was observed in a challenge."""

    lowest: float
    highest: float


def normalised(virality: Float64, bounds: Bounds) -> Float64:
    """Eq. (2) by the bounds of the whole challenge, (N,) to (N,) in [0, 1]; 0.5 where it is 0/0."""
    # In halves, so that the span of two huge scores of either sign does not overflow.
    span = bounds.highest / 2 - bounds.lowest / 2
    if span <= 0:
        return np.full(virality.shape, MIDDLE)
    shares: Float64 = (virality / 2 - bounds.lowest / 2) / span
    return shares


class CalibrationBin(NamedTuple):
    """Clips of one decile: their number, and the means of predictions and of observations; ``None`` without clips."""

    clips: int
    predicted: float | None
    observed: float | None


class Deciles:
    """Sums over clips by the decile of their prediction; clips of any number of challenges are added."""

    def __init__(self) -> None:
        self.clips = np.zeros(BINS)
        self._predicted = np.zeros(BINS)
        self._above = np.zeros(BINS)

    def add(self, predicted: Float64, observed: Float64) -> None:
        """``predicted`` and ``observed``, (N,) both: scores, and Eq. (2) of what came of the clips."""
        decile = np.minimum(np.clip(predicted, 0, 1) * BINS, BINS - 1).astype(np.intp)
        self.clips += np.bincount(decile, minlength=BINS)
        self._predicted += np.bincount(decile, weights=predicted, minlength=BINS)
        self._above += np.bincount(decile, weights=predicted - observed, minlength=BINS)

    def bins(self) -> list[CalibrationBin]:
        """The deciles in order."""
        return [
            CalibrationBin(int(clips), float(predicted / clips), float((predicted - above) / clips))
            if clips
            else CalibrationBin(0, None, None)
            for clips, predicted, above in zip(self.clips, self._predicted, self._above, strict=True)
        ]

    @property
    def bias(self) -> float:
        """Mean of predicted minus observed; NaN without clips."""
        return float(self._above.sum() / self.clips.sum()) if self.clips.any() else float("nan")

    @property
    def error(self) -> float:
        """Expected calibration error, Σ_b n_b/N |mean predicted_b - mean observed_b|; NaN without clips.

        Naeini et al. 2015 (Obtaining Well Calibrated Probabilities Using Bayesian Binning), for scores in the place
        of probabilities.
        """
        return float(np.abs(self._above).sum() / self.clips.sum()) if self.clips.any() else float("nan")
