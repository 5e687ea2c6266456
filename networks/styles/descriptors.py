"""Dance styles without a network: statistics, spectra and rhythm of poses, and linear support vector machines.

Legend: N clips, T time steps, V joints, C coordinates, B bands.
"""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct
from sklearn.exceptions import NotFittedError
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from networks.styles.clips import StyleClip, folds_by_group, styles_of
from networks.styles.preparation import Array, facing_forward
from schemas.joints import JointLayout

POSE_HZ: Final = 25.0
BAND_HZ: Final = 0.3
HIGHEST_HZ: Final = 6.0
POINTS: Final = 512
SMALLEST_SHARE: Final = 1e-3
COEFFICIENTS: Final = 25
COSTS: Final = (1e-3, 1e-2, 1e-1)
INNER_FOLDS: Final = 4

Classes = NDArray[np.int64]


def statistics(position: Array) -> Array:
    """Of (T, V, C) positions: mean and deviation of every coordinate, and of its speed the mean size and deviation."""
    speed = np.diff(position, axis=0)
    parts = (position.mean(0), position.std(0), np.abs(speed).mean(0), speed.std(0))
    return np.concatenate([part.ravel() for part in parts])


def rhythm(position: Array, hz: float = POSE_HZ) -> Array:
    """Of each joint, how its movement is spread over frequencies: log shares of power in bands of 0.3 Hz, (V · B).

    Movement is the distance covered from frame to frame, less its mean, in a Hann window. A step, a beat or a bar of a
    dance appears as a peak at its rate and at multiples.
    """
    covered = np.linalg.norm(np.diff(position, axis=0), axis=2)
    covered = (covered - covered.mean(0)) * np.hanning(len(covered))[:, None]
    power = np.abs(np.fft.rfft(covered, max(POINTS, len(covered)), axis=0)) ** 2
    band = np.fft.rfftfreq(max(POINTS, len(covered)), 1 / hz) // BAND_HZ
    total = power.sum(0)
    shares = [
        power[band == number].sum(0) / np.where(total > 0, total, 1) for number in range(1, round(HIGHEST_HZ / BAND_HZ))
    ]
    return np.log(np.array(shares).T + SMALLEST_SHARE).ravel()


def spectrum(position: Array) -> Array:
    """Magnitudes of the first coefficients of the orthonormal DCT-II over time of every coordinate of (T, V, C)."""
    magnitudes: Array = np.abs(dct(position.reshape(len(position), -1), axis=0, norm="ortho"))
    padded = np.zeros((COEFFICIENTS, magnitudes.shape[1]))
    padded[: len(magnitudes)] = magnitudes[:COEFFICIENTS]
    return padded.ravel()


DESCRIPTORS: Final[tuple[Callable[[Array], Array], ...]] = (statistics, spectrum, rhythm)


class DescriptorSVM:
    """Linear support vector machines, one on each standardised descriptor, whose decision values are added.

    Every style has the same weight. The cost is chosen by the balanced accuracy of inner folds of the training clips,
    divided by group like the outer ones; of equal ones the first.
    """

    def __init__(self, layout: JointLayout, *, costs: Sequence[float] = COSTS, inner_folds: int = INNER_FOLDS) -> None:
        """``costs``, the strongest regularisation first; ``layout`` is that of the clips' (T, V, C) frames."""
        self.layout = layout
        self.costs = tuple(costs)
        self.inner_folds = inner_folds
        self.styles: list[str] = []
        self.cost: float | None = None
        self._machines: list[Pipeline] = []

    def fit(self, clips: Sequence[StyleClip], *, seed: int = 0) -> None:
        """Choose and learn from ``clips``. Raises ``UnusableSamples`` for clips that cannot be used or divided."""
        self.styles = styles_of(clips)
        truth = np.array([self.styles.index(clip.style) for clip in clips])
        described = self._described(clips)
        best = -1.0
        folds = folds_by_group(clips, self.inner_folds, seed=seed) if len(self.costs) > 1 else []
        for cost in self.costs:
            predicted = np.zeros_like(truth)
            for train, test in folds:
                machines = _fitted([values[train] for values in described], truth[train], cost)
                predicted[test] = _decided(machines, [values[test] for values in described])
            reached = float(balanced_accuracy_score(truth, predicted))
            if reached > best:
                best, self.cost = reached, cost
        if self.cost is not None:
            self._machines = _fitted(described, truth, self.cost)

    def predict(self, clips: Sequence[StyleClip]) -> list[str]:
        """The style of each clip; their own are not read."""
        if not self._machines:
            raise NotFittedError("DescriptorSVM has not been fitted; call fit first")
        return [self.styles[style] for style in _decided(self._machines, self._described(clips))]

    def _described(self, clips: Sequence[StyleClip]) -> list[Array]:
        positions = [facing_forward(clip.frames, self.layout) for clip in clips]
        return [np.stack([descriptor(position) for position in positions]) for descriptor in DESCRIPTORS]


def _fitted(described: Sequence[Array], truth: Classes, cost: float) -> list[Pipeline]:
    return [
        make_pipeline(StandardScaler(), SVC(kernel="linear", C=cost, class_weight="balanced")).fit(values, truth)
        for values in described
    ]


def _decided(machines: Sequence[Pipeline], described: Sequence[Array]) -> Classes:
    """The class (N,) with the largest sum of decision values; of two classes the second, where it is positive."""
    total: Array = sum(machine.decision_function(values) for machine, values in zip(machines, described, strict=True))
    decided: Classes = total.argmax(1) if total.ndim > 1 else (total > 0).astype(np.int64)
    return decided
