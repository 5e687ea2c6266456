"""Pose, discrete cosine transform and support vector regression (Pirsiavash, Vondrick & Torralba, ECCV 2014).

Legend: N clips, T time steps, S resampled steps, V joints, C coordinates, F coefficients.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final

import numpy as np
from scipy.fft import dct
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVR

from networks.baselines.selection import Array, Estimator, fit_best, frames_of, targets_of
from networks.datasets import Sample
from networks.errors import UnusableSamples
from schemas.errors import ConfigurationError
from schemas.joints import JointLayout
from schemas.modalities import Modality

HEAD: Final = {"mpii-16": (9,), "coco-17": (0,), "openpose-18": (0,), "dance-23": (0, 1), "kinect-25": (3,)}
"""By layout: the joints whose mean is the origin of every frame."""

STEPS = 75
COEFFICIENTS = (10, 15, 25)
COSTS = (1e-5, 1e-4, 1e-3, 1e-2)


def spectrum(frames: Array, head: Sequence[int], steps: int = STEPS) -> Array:
    """Magnitudes (S, V·C) of the orthonormal DCT-II over time of joint positions relative to the head.

    ``frames`` (T, V, C) are brought to ``steps`` S by linear interpolation first, so that the length of a clip has
    no influence, and divided by their mean absolute value, so that its distance from the camera has none. Row f holds
    the frequency of f / 2 periods per clip. A clip whose joints are all in one place gives zeros.
    """
    relative = frames - frames[:, list(head)].mean(1, keepdims=True)
    scale = np.abs(relative).mean()
    flat = (relative / (scale if scale > 0 else 1.0)).reshape(len(frames), -1)
    at = np.linspace(0, len(flat) - 1, steps)
    before = np.floor(at).astype(int)
    after, share = np.minimum(before + 1, len(flat) - 1), (at - before)[:, None]
    magnitudes: Array = np.abs(dct(flat[before] * (1 - share) + flat[after] * share, axis=0, norm="ortho"))
    return magnitudes


class PoseDCT:
    """Low-frequency magnitudes of every joint coordinate, standardised, and a linear SVR.

    As published: positions relative to the head, magnitudes, a linear kernel. Departures: clips are resampled and
    scaled (see ``spectrum``), coefficients standardised, and the number of frequencies and the cost, which the method
    leaves open, are chosen by inner cross-validation on the training clips. A confidence channel is not read.
    """

    def __init__(
        self,
        layout: JointLayout,
        *,
        coefficients: Sequence[int] = COEFFICIENTS,
        costs: Sequence[float] = COSTS,
        tolerance: float = 0.1,
    ) -> None:
        """``coefficients`` F kept per coordinate, of at most 75, and ``costs``: the choices, smallest first."""
        if layout.name not in HEAD:
            raise ConfigurationError(f"no head is known for {layout.name}; known are {', '.join(HEAD)}", field="layout")
        if not coefficients or not all(0 < count <= STEPS for count in coefficients):
            raise ConfigurationError(f"coefficients must be numbers from 1 to {STEPS}", field="coefficients")
        if not costs or min(costs) <= 0:
            raise ConfigurationError("costs must be at least one number above zero", field="costs")
        self.layout = layout
        values = layout.joint_count * layout.coordinates
        self._candidates: list[Estimator] = [
            make_pipeline(
                FunctionTransformer(partial(_first_columns, count=count * values)),
                StandardScaler(),
                SVR(kernel="linear", C=cost, epsilon=tolerance),
            )
            for cost in costs
            for count in coefficients
        ]
        self._fitted: Estimator | None = None

    def fit(self, samples: Sequence[Sample]) -> None:
        """Learn from labelled clips. ``UnusableSamples`` if one has no skeleton or one of another layout."""
        self._fitted = fit_best(self._candidates, self._spectra(samples), targets_of(samples))

    def predict(self, samples: Sequence[Sample]) -> Array:
        """Scores (N,) of N clips; their targets are not read."""
        if self._fitted is None:
            raise NotFittedError("PoseDCT has not been fitted; call fit first")
        return self._fitted.predict(self._spectra(samples))

    def _spectra(self, samples: Sequence[Sample]) -> Array:
        clips = frames_of(samples, Modality.SKELETAL, (self.layout.joint_count, None))
        head, coordinates = HEAD[self.layout.name], self.layout.coordinates
        for row, clip in enumerate(clips):
            if clip.shape[2] not in self.layout.channel_counts:
                raise UnusableSamples(
                    f"the skeletal features of clip {row} have {clip.shape[2]} channels per joint; {self.layout.name} "
                    f"has {' or '.join(map(str, self.layout.channel_counts))}",
                    field="skeletal",
                )
        return np.stack([spectrum(clip[:, :, :coordinates], head).ravel() for clip in clips])


def _first_columns(X: Array, count: int) -> Array:
    return X[:, :count]
