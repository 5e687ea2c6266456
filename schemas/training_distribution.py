"""How far a clip lies from those that a bundle was trained on: descriptors of its features, and their distribution.

A bundle states, for each modality, mean and precision of the descriptors over training clips, and a limit: the quantile
of the distances of training clips that were kept apart. Legend: N clips, T time steps, V joints, C channels,
D descriptors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.descriptors import POSE_DESCRIPTORS, VECTOR_DESCRIPTORS, describe_pose, describe_vectors, mean_step
from schemas.modalities import Modality

QUANTILE: Final = 0.999
"""Share of the clips kept apart that lies within the limit, if there are enough of them to tell."""
KEPT_APART: Final = 5
"""Every fifth training clip sets the limit and does not enter mean and precision."""
SHRINKAGE: Final = 0.1
"""Weight of the diagonal in the covariance, which keeps it invertible for few clips."""
FEWEST_CLIPS: Final = 50
"""Training clips of a modality below which nothing is stated of it."""

_SMALLEST: Final = 1e-12
_FARTHEST: Final = 1e9
"""Of descriptors that are not finite."""

Double = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating[Any]]
Clip = Mapping[Modality, Floats]


class ModalityDistribution(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Descriptors of the training clips' features of one modality.

    ``typical``: the mean step, (V·C,) or (C,), of length 1, as float32, little-endian. ``mean`` (D,) and ``precision``
    (D, D) are those of ``descriptors``. ``limit`` is the distance that ``share`` of ``kept_apart`` clips do not exceed;
    ``clips`` gave mean and precision.
    """

    descriptors: tuple[str, ...]
    typical: bytes
    mean: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    limit: float
    share: float
    clips: int
    kept_apart: int


TrainingDistribution = dict[Modality, ModalityDistribution]


class DistanceMeter:
    """Distances from one modality's distribution. Safe to call from several threads."""

    def __init__(self, modality: Modality, distribution: ModalityDistribution, step_shape: tuple[int, ...]) -> None:
        """``step_shape`` is that of a step that the model reads, (V, C) or (C,). Raises ``ValueError`` if the
        distribution is of other descriptors than this release knows, or of another shape.
        """
        known = POSE_DESCRIPTORS if modality.has_joints else VECTOR_DESCRIPTORS
        if distribution.descriptors != known:
            raise ValueError(f"the descriptors are {', '.join(distribution.descriptors)}, not {', '.join(known)}")
        self._describe = describe_pose if modality.has_joints else describe_vectors
        self._typical, self._mean = _array(distribution.typical), np.array(distribution.mean)
        self._limit = distribution.limit
        wide = (len(known),)
        try:
            self._precision = np.array(distribution.precision)
        except ValueError:
            self._precision = np.zeros(0)
        if self._mean.shape != wide or self._precision.shape != wide * 2 or not self._limit > 0:
            raise ValueError(f"mean, precision or limit do not fit {len(known)} descriptors")
        joints = step_shape[0] if modality.has_joints else 1
        self._coordinates, rest = divmod(len(self._typical), joints)
        if rest or not 0 < self._coordinates <= step_shape[-1]:
            raise ValueError(f"the typical step has {len(self._typical)} values, steps are {step_shape}")

    def distance(self, frames: Floats) -> float:
        """Mahalanobis distance of ``frames``, (T, V, C) or (T, C), over the limit: more than 1 is outside."""
        with np.errstate(all="ignore"):
            described = self._describe(frames[..., : self._coordinates], self._typical)
        return _distance(described, self._mean, self._precision) / self._limit


def training_distribution(
    clips: Sequence[Clip], *, coordinates: int, modalities: Sequence[Modality], quantile: float = QUANTILE
) -> TrainingDistribution:
    """What ``clips``, those that the model learned from, state of each of ``modalities`` that ``FEWEST_CLIPS`` have.

    ``coordinates``: the first so many channels of a joint. Clips are read twice, one at a time.
    """
    stated = {}
    for modality in modalities:
        read = partial(_frames_of, clips, modality, coordinates if modality.has_joints else None)
        found = _stated(read, modality, quantile)
        if found is not None:
            stated[modality] = found
    return stated


def _frames_of(clips: Sequence[Clip], modality: Modality, kept: int | None) -> Iterator[Floats]:
    return (clip[modality][..., :kept] for clip in clips if modality in clip)


def _stated(read: Callable[[], Iterator[Floats]], modality: Modality, quantile: float) -> ModalityDistribution | None:
    describe = describe_pose if modality.has_joints else describe_vectors
    total, count = np.zeros(0), 0
    for frames in read():
        step = mean_step(frames)
        total, count = step if not count else total + step, count + 1
    if count < FEWEST_CLIPS:
        return None
    typical_bytes = _rounded(total / max(float(np.linalg.norm(total)), _SMALLEST)).astype("<f4").tobytes()
    typical = _array(typical_bytes)
    described = np.array([describe(frames, typical) for frames in read()])
    apart = np.arange(count) % KEPT_APART == KEPT_APART - 1
    learned = described[~apart]
    covariance = np.cov(learned, rowvar=False)
    spread = np.diag(np.maximum(np.diag(covariance), _SMALLEST))
    mean = _rounded(learned.mean(axis=0))
    precision = _rounded(np.linalg.inv((1 - SHRINKAGE) * covariance + SHRINKAGE * spread))
    distances = np.sort([_distance(each, mean, precision) for each in described[apart]])
    rank = min(int(np.ceil((len(distances) + 1) * quantile)), len(distances))
    return ModalityDistribution(
        descriptors=POSE_DESCRIPTORS if modality.has_joints else VECTOR_DESCRIPTORS,
        typical=typical_bytes,
        mean=tuple(mean.tolist()),
        precision=tuple(map(tuple, precision.tolist())),
        limit=float(_rounded(distances[rank - 1])),
        share=round(rank / (len(distances) + 1), 6),
        clips=len(learned),
        kept_apart=len(distances),
    )


def _array(step: bytes) -> Double:
    return np.frombuffer(step[: len(step) // 4 * 4], "<f4").astype(np.float64)


def _rounded(values: Any) -> Double:
    """Six significant digits: enough, and the same text on every machine that comes to nearly the same numbers."""
    rounded: Double = np.vectorize(lambda value: float(f"{value:.6g}"), otypes=[np.float64])(values)
    return rounded


def _distance(described: Double, mean: Double, precision: Double) -> float:
    apart = described - mean
    square = float(apart @ precision @ apart) / len(mean)
    return float(np.sqrt(max(square, 0.0))) if np.isfinite(square) else _FARTHEST
