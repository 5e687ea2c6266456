"""A style classifier for a bundle: learned, calibrated, and able to refuse; and how well it does on other clips.

Legend: N clips, K styles.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from networks.errors import UnusableSamples
from networks.styles.calibration import calibration_error, fit_temperature, threshold_accepting
from networks.styles.clips import StyleClip, folds_by_group, styles_of
from networks.styles.evaluation import report
from networks.styles.judging import PoseClassifier, judge
from networks.styles.movement import fit_discriminant
from schemas.joints import JointLayout
from schemas.style_classifier import probabilities, style_problem

FOLDS: Final = 5


class TrainedClassifier(NamedTuple):
    """A classifier of ``styles``, class k being ``styles[k]``, with what was fitted to validation clips: its
    ``temperature`` and ``threshold``. ``metrics`` are those of the validation clips."""

    network: PoseClassifier
    styles: tuple[str, ...]
    temperature: float
    threshold: float
    metrics: dict[str, float]


class Evaluation(NamedTuple):
    """What a classifier does on clips that it has not learned from.

    Of the ``known`` clips, whose styles it knows: ``accuracy`` and ``balanced_accuracy`` of the most probable style,
    ``calibration_error`` of its probability and ``uncalibrated_error`` of that at temperature 1, and ``accepted``, the
    share whose style is named. Of the ``unknown`` clips, of other styles: ``falsely_accepted``, the share whose style
    is named nevertheless; ``auroc`` is the probability that a known clip is more familiar than an unknown one. NaN
    where there are no such clips.
    """

    known: int
    accuracy: float
    balanced_accuracy: float
    calibration_error: float
    uncalibrated_error: float
    accepted: float
    unknown: int
    falsely_accepted: float
    auroc: float


class Fit(Protocol):
    """Learns to distinguish the styles of clips."""

    def __call__(self, clips: Sequence[StyleClip], layout: JointLayout, *, seed: int = 0) -> PoseClassifier:
        """A classifier in evaluation mode, class k being ``styles_of(clips)[k]``; ``clips`` have poses (T, V, C) of
        ``layout``. Equal arguments give an equal classifier. Raises ``UnusableSamples``.
        """


def train_classifier(
    clips: Sequence[StyleClip],
    layout: JointLayout,
    *,
    fit: Fit = fit_discriminant,
    folds: int = FOLDS,
    seed: int = 0,
) -> TrainedClassifier:
    """Learn from ``clips``, whose frames are (T, V, C) poses of ``layout``.

    Temperature and threshold are fitted to predictions of every clip by a classifier that ``fit`` made without the
    clip's recording (``folds`` folds by group); the one returned is fitted to all. Raises ``UnusableSamples`` for
    clips that cannot be used or divided, and for a style that is not a name.
    """
    styles = styles_of(clips)
    for style in styles:
        if (problem := style_problem(style)) is not None:
            raise UnusableSamples(f"{problem}; give it another name", field="style")
    truth = np.array([styles.index(clip.style) for clip in clips])
    logits, familiarity = np.zeros((len(clips), len(styles))), np.zeros(len(clips))
    folds = min(folds, len({clip.group for clip in clips}))
    for train, held in folds_by_group(clips, folds, seed=seed):
        network = fit([clips[row] for row in train], layout, seed=seed)
        logits[held], familiarity[held] = judge(network, [clips[row] for row in held])
    temperature, threshold = fit_temperature(logits, truth), threshold_accepting(familiarity)
    named = report(styles, [clip.style for clip in clips], [styles[at] for at in logits.argmax(1)])
    correct = logits.argmax(1) == truth
    metrics = {
        "accuracy of validation": named.accuracy,
        "balanced accuracy of validation": named.balanced_accuracy,
        "calibration error of validation": calibration_error(probabilities(logits, temperature).max(1), correct),
        "calibration error of validation, temperature 1": calibration_error(probabilities(logits, 1.0).max(1), correct),
    }
    return TrainedClassifier(fit(clips, layout, seed=seed), tuple(styles), temperature, threshold, metrics)


def evaluate_classifier(trained: TrainedClassifier, clips: Sequence[StyleClip]) -> Evaluation:
    """How ``trained`` does on ``clips`` of styles that it knows and of others."""
    is_known = np.array([clip.style in trained.styles for clip in clips], bool)
    logits, familiarity = judge(trained.network, clips)
    accepted = familiarity >= trained.threshold
    known = [clip for clip, one in zip(clips, is_known, strict=True) if one]
    truth = np.array([trained.styles.index(clip.style) for clip in known], np.int64)
    predicted = logits[is_known].argmax(1)
    named = (
        report(trained.styles, [clip.style for clip in known], [trained.styles[at] for at in predicted.tolist()])
        if known
        else None
    )
    correct = predicted == truth
    return Evaluation(
        known=len(known),
        accuracy=named.accuracy if named else float("nan"),
        balanced_accuracy=named.balanced_accuracy if named else float("nan"),
        calibration_error=_error(logits[is_known], trained.temperature, correct),
        uncalibrated_error=_error(logits[is_known], 1.0, correct),
        accepted=_share(accepted[is_known]),
        unknown=int((~is_known).sum()),
        falsely_accepted=_share(accepted[~is_known]),
        auroc=float(roc_auc_score(is_known, familiarity)) if is_known.any() and not is_known.all() else float("nan"),
    )


def refusal_by_probability(trained: TrainedClassifier, clips: Sequence[StyleClip]) -> float:
    """AUROC of known against unknown clips by the probability of the most probable style, as a classifier without a
    distance would refuse; NaN without clips of either.
    """
    is_known = np.array([clip.style in trained.styles for clip in clips], bool)
    logits, _ = judge(trained.network, clips)
    if not is_known.any() or is_known.all():
        return float("nan")
    return float(roc_auc_score(is_known, probabilities(logits, trained.temperature).max(1)))


def _error(logits: NDArray[np.float64], temperature: float, correct: NDArray[np.bool_]) -> float:
    return calibration_error(probabilities(logits, temperature).max(1), correct) if len(logits) else float("nan")


def _share(flags: NDArray[np.bool_]) -> float:
    return float(flags.mean()) if len(flags) else float("nan")
