"""Pooled clip features and support vector regression: the C3D, I3D and SlowFast rows (paper, Section 5.1).

Legend: N clips, T time steps, C channels.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from networks.baselines.selection import Array, Estimator, fit_best, frames_of, targets_of
from networks.datasets import Sample
from schemas.errors import ConfigurationError
from schemas.modalities import Modality


class PooledSVR:
    """Mean of a modality's features over time, then scikit-learn's SVR with its default settings.

    "Perform SVR with sklearn" is all that the paper says, so the defaults are scikit-learn's: RBF kernel of width
    1 / (C · variance), cost 1, tolerance 0.1 (of scores in [0, 1]), features as they come. With several ``costs``, in
    ascending order, inner cross-validation on the training clips chooses. That is of no use where the features were
    trained on the scores of the same clips: every cost then fits almost perfectly.
    """

    def __init__(
        self,
        modality: Modality = Modality.HOLISTIC,
        *,
        kernel: Literal["rbf", "linear"] = "rbf",
        costs: Sequence[float] = (1.0,),
        tolerance: float = 0.1,
        standardised: bool = False,
    ) -> None:
        """``standardised`` scales every channel to unit variance over the training clips first."""
        if modality.has_joints:
            raise ConfigurationError("joints cannot be pooled over time; use pose_dct", field="modality")
        if not costs or min(costs) <= 0:
            raise ConfigurationError("costs must be at least one number above zero", field="costs")
        self.modality = modality
        self._candidates: list[Estimator] = [
            make_pipeline(*([StandardScaler()] if standardised else []), SVR(kernel=kernel, C=cost, epsilon=tolerance))
            for cost in costs
        ]
        self._fitted: Estimator | None = None
        self._channels: int | None = None

    def fit(self, samples: Sequence[Sample]) -> None:
        """Learn from labelled clips. ``UnusableSamples`` if one lacks the modality or has another number of C."""
        self._channels = None
        pooled = self._pooled(samples)
        self._fitted = fit_best(self._candidates, pooled, targets_of(samples))
        self._channels = pooled.shape[1]

    def predict(self, samples: Sequence[Sample]) -> Array:
        """Scores (N,) of N clips; their targets are not read."""
        if self._fitted is None:
            raise NotFittedError("PooledSVR has not been fitted; call fit first")
        return self._fitted.predict(self._pooled(samples))

    def _pooled(self, samples: Sequence[Sample]) -> Array:
        first = frames_of(samples[:1], self.modality, (self._channels,))[0]
        frames = frames_of(samples, self.modality, first.shape[1:])
        return np.stack([clip.mean(0) for clip in frames])
