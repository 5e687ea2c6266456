"""Whether a probability means what it says, and from where on a clip is unlike all that was learned.

Legend: N clips, K styles, B bins.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from networks.errors import UnusableSamples
from schemas.style_classifier import probabilities

BINS: Final = 15
ACCEPTED: Final = 0.95
"""Share of the validation clips whose style is named."""
_TEMPERATURES: Final = (0.05, 100.0)

Array = NDArray[np.float64]
Classes = NDArray[np.int64]


def fit_temperature(logits: Array, truth: Classes) -> float:
    """The temperature with the least Brier score of softmax(logits / temperature) against ``truth`` (N,).

    ``logits`` (N, K) are of clips that were not learned from. Temperature scaling is Guo et al. 2017, On Calibration of
    Modern Neural Networks; the Brier score, a proper one like the likelihood that they use, is bounded, so that a few
    confident mistakes, such as wrong labels, do not decide. As in Platt 1999, a clip's own style counts
    (N + 1) / (N + 2): clips that are all named rightly do not make the probabilities certain. Raises
    ``UnusableSamples`` without clips.
    """
    clips, styles = logits.shape
    if not clips:
        raise UnusableSamples("there is no validation clip to fit the temperature to; add clips", field="style")
    wanted = np.full(logits.shape, 1 / (clips + 2) / (styles - 1))
    wanted[np.arange(clips), truth] = (clips + 1) / (clips + 2)

    def brier(logarithm: float) -> float:
        return float(np.square(probabilities(logits, float(np.exp(logarithm))) - wanted).sum(1).mean())

    low, high = np.log(_TEMPERATURES)
    return float(np.exp(minimize_scalar(brier, bounds=(low, high), method="bounded").x))


def calibration_error(probability: Array, correct: NDArray[np.bool_], bins: int = BINS) -> float:
    """Expected calibration error Σ_b n_b/N |accuracy_b - mean probability_b| over ``bins`` bins of equal width.

    Naeini et al. 2015, Obtaining Well Calibrated Probabilities Using Bayesian Binning. ``probability`` (N,) is that of
    the most probable style, ``correct`` (N,) whether it is the clip's. NaN without clips.
    """
    if not len(probability):
        return float("nan")
    number = np.minimum((probability * bins).astype(np.intp), bins - 1)
    excess = np.bincount(number, weights=probability - correct, minlength=bins)
    return float(np.abs(excess).sum() / len(probability))


def threshold_accepting(familiarity: Array, share: float = ACCEPTED) -> float:
    """The familiarity that ``share`` of the validation clips reach. Raises ``UnusableSamples`` without any."""
    if not len(familiarity):
        raise UnusableSamples("there is no validation clip to fit the threshold to; add clips", field="style")
    return float(np.quantile(familiarity, 1 - share, method="lower"))
