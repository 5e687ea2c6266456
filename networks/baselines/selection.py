"""Choosing between regressors by cross-validation inside the training clips. Legend: N clips, F features."""

from collections.abc import Sequence
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_predict

from networks.correlation import spearman
from networks.datasets import Sample
from networks.errors import UnusableSamples
from schemas.modalities import Modality

INNER_FOLDS = 5

Array = NDArray[np.float64]


class Estimator(Protocol):
    """A scikit-learn regressor or pipeline."""

    def fit(self, X: Array, y: Array) -> Self: ...

    def predict(self, X: Array) -> Array: ...


class Regressor(Protocol):
    """A baseline without gradients."""

    def fit(self, samples: Sequence[Sample]) -> None:
        """Learn from labelled clips."""
        ...

    def predict(self, samples: Sequence[Sample]) -> Array:
        """Scores (N,) of N clips; their targets are not read."""
        ...


def fit_best(candidates: Sequence[Estimator], X: Array, y: Array, seed: int = 0) -> Estimator:
    """The candidate with the best held-out Spearman correlation, fitted to all of ``X`` (N, F) and ``y`` (N,).

    Held out by five shuffled folds of the clips given; the first of equally good candidates wins, so list the strongest
    regularisation first. A single candidate is fitted without comparison.
    """
    if len(candidates) == 1:
        return candidates[0].fit(X, y)
    if len(X) < INNER_FOLDS:
        raise UnusableSamples(f"{len(X)} clips cannot be split in {INNER_FOLDS} folds to choose a regressor by")
    folds = KFold(INNER_FOLDS, shuffle=True, random_state=seed)
    agreements = [spearman(cross_val_predict(clone(candidate), X, y, cv=folds), y) for candidate in candidates]
    return candidates[int(np.argmax(agreements))].fit(X, y)


def frames_of(samples: Sequence[Sample], modality: Modality, step: tuple[int | None, ...]) -> list[Array]:
    """The frames (T, *``step``) of ``modality`` of each clip; None in ``step`` allows any size.

    Raises ``UnusableSamples`` naming the clip's row and the modality where it is missing, has no frame, or has
    another shape.
    """
    if not samples:
        raise UnusableSamples(f"there is no clip to read {modality} features of", field=str(modality))
    found: list[Array] = []
    for row, (features, _) in enumerate(samples):
        if modality not in features:
            raise UnusableSamples(
                f"clip {row} has no {modality} features; leave such clips out, or choose another modality",
                field=str(modality),
            )
        frames = np.asarray(features[modality], np.float64)
        fits = frames.ndim == 1 + len(step) and all(
            wanted in (None, size) for wanted, size in zip(step, frames.shape[1:], strict=False)
        )
        if not fits or len(frames) == 0:
            wanted = ", ".join("any" if size is None else str(size) for size in step)
            raise UnusableSamples(
                f"the {modality} features of clip {row} have shape {frames.shape}; expected (T ≥ 1, {wanted})",
                field=str(modality),
            )
        found.append(frames)
    return found


def targets_of(samples: Sequence[Sample]) -> Array:
    """Targets (N,)."""
    return np.array([target for _, target in samples], np.float64)
