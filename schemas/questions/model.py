"""Answers about the model: what it is, what it was trained on, and how right it was."""

from dataclasses import dataclass
from typing import Final

from schemas.modalities import Dimension, Modality
from schemas.questions.pools import Described

MOST_POINTS: Final = 2016


@dataclass(frozen=True, kw_only=True)
class StreamCard(Described):
    """One stream of the bundle."""

    modality: Modality
    """What it reads."""
    input_channels: int
    """Numbers that it reads in each step, or of each joint in a step."""
    embedding_width: int
    """Width of its embeddings."""
    precision: str
    """What it is computed in."""
    parameters: int | None
    """Trained values; null where the bundle does not say."""


@dataclass(frozen=True, kw_only=True)
class StyleCard(Described):
    """The style classifier of the bundle."""

    styles: list[str]
    """The dance styles that it knows."""
    training_data: str | None
    """What it learned from; null if it does not say."""
    metrics: dict[str, float]
    """What it reached on clips that were held out."""


@dataclass(frozen=True, kw_only=True)
class ModelCard(Described):
    """What a bundle says of itself."""

    generation: str
    """The generation of its scores and embeddings."""
    is_active: bool
    """Whether that generation answers questions."""
    trained_on_synthetic_clips: bool
    """Whether what it learned from was made up: its scores say nothing about real dances then."""
    warning: str | None
    """That in a sentence; null if it was trained on recorded clips, or does not say."""
    training_data: str | None
    """What it was trained on, as the training wrote it down; null if it does not say."""
    training_distribution: list[Modality]
    """Modalities of which it states how its training clips are distributed, so that clips unlike them are
    recognised."""
    target: str
    """What it has learned to predict, with the parameters that were fitted."""
    metrics: dict[str, float]
    """What it reached when it was trained, on clips that were held out."""
    architecture: dict[str, str]
    """The sizes that its networks were built with."""
    joint_layout: str | None
    """The joints that it reads poses in; null without a stream of poses."""
    opset: int
    """Version of the ONNX operators of its graphs."""
    export_profile: str
    """How its graphs are made from the networks."""
    parity: dict[str, float]
    """Greatest difference between torch and ONNX Runtime at the export, by output; agreement for fewer bits."""
    calibrated_on: str | None
    """The data that fewer bits were calibrated on; null without."""
    streams: list[StreamCard]
    """Its streams, one for each modality."""
    has_gradient_graphs: bool
    """Whether it can say what would raise a score."""
    style_classifier: StyleCard | None
    """What names the dance style of a clip; null without."""


@dataclass(frozen=True, kw_only=True)
class ChallengeAgreement(Described):
    """Agreement of predictions with what was observed in a challenge."""

    challenge_id: str | None
    """The challenge; null: the mean of the correlations in all challenges."""
    dimension: Dimension
    """What clips are ranked by."""
    correlation: float
    """Spearman's correlation of scores and observed virality, -1 to 1."""
    clips: int
    """Clips that were compared."""


@dataclass(frozen=True, kw_only=True)
class DecileCalibration(Described):
    """The clips whose prediction is in one tenth of the range from 0 to 1."""

    low: float
    """The least prediction of the decile; the first one has those below too."""
    high: float
    """Its upper end; the last one has those above too."""
    clips: int
    """How many clips."""
    predicted: float | None
    """Mean of the predictions; null without clips."""
    observed: float | None
    """Mean of what was observed, by Eq. (2) of the challenge: 0 least viral, 1 most viral; null without clips."""


@dataclass(frozen=True, kw_only=True)
class DimensionCalibration(Described):
    """How far the scores of a dimension are from what was observed."""

    dimension: Dimension
    """What clips are ranked by."""
    bias: float
    """Mean of predicted minus observed."""
    error: float
    """Expected calibration error over deciles."""
    deciles: list[DecileCalibration]
    """Predicted against observed, by decile of the prediction; empty in earlier measurements."""


@dataclass(frozen=True, kw_only=True)
class ModelDrift(Described):
    """The latest scored clips against the first ones of the generation; empty until there are enough of both."""

    score_psi: dict[Dimension, float]
    """Population stability index of scores: below 0.1 little has changed, above 0.25 much."""
    norm_psi: dict[Modality, float]
    """The same of the norms of embeddings."""
    norm_ratio: dict[Modality, float]
    """Mean norm now over mean norm at first."""
    reference_clips: int
    """First clips that are kept."""
    window_clips: int
    """Latest clips that are compared with them."""


@dataclass(frozen=True, kw_only=True)
class ModelMeasurement(Described):
    """How right a generation was at one time, as a worker of the traffic pools measured it."""

    measured_at_ms: int
    """When, milliseconds since the epoch, UTC."""
    agreements: list[ChallengeAgreement]
    """The means, and of the latest measurement also single challenges."""
    calibrations: list[DimensionCalibration]
    """By dimension."""
    drift: ModelDrift
    """How scores and embeddings have changed."""


@dataclass(frozen=True, kw_only=True)
class ModelAnswer(Described):
    """A model generation: its card, and how right it is."""

    at_ms: int
    """Time of the answer, milliseconds since the epoch, UTC."""
    generation: str | None
    """The generation that the measurements are of; null before any clip was scored."""
    card: ModelCard | None
    """The bundle that this process is set to, which may be of another generation; null if it cannot be read."""
    card_problem: str | None
    """Why there is no card."""
    latest: ModelMeasurement | None
    """The latest measurement; null before the first."""
    history: list[ModelMeasurement]
    """Measurements up to the latest, oldest first, without single challenges and deciles."""
