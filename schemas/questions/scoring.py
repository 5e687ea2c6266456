"""A clip that was never uploaded, scored on request: the port between the HTTP API and what runs the bundle."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Protocol

from schemas.events import FeatureSource
from schemas.modalities import Dimension, Modality
from schemas.moments import Moments
from schemas.questions.feedback import Guided, Skeleton

DEFAULT_MAX_FILE_BYTES: Final = 256 * 1024 * 1024

FileKind = Literal["features", "video"]
"""What the bytes of a file are: a feature file (``schemas.features``), or a video to take features from."""


@dataclass(frozen=True)
class UnseenClip:
    """What a bundle makes of a clip that is on no topic and in no view.

    ``scores``: of each modality that is there, and the fused one; ``attention``: Eq. (12), over those modalities;
    ``embeddings``: by modality, as ``POST /v1/similar`` takes them. ``training_distance``: as in ``ClipScoredV2``.
    ``skeleton`` and ``guidance``, of the skeletal score: where they were asked for and there are any. ``moments``: of a
    routine.
    """

    generation: str
    duration_s: float
    scores: Mapping[Dimension, float]
    attention: Mapping[Modality, float]
    missing: tuple[Modality, ...]
    embeddings: Mapping[Modality, list[float]]
    training_distance: float | None
    skeleton: Skeleton | None = None
    guidance: Guided | None = None
    moments: Moments | None = None


@dataclass(frozen=True)
class ScoringOffer:
    """What a service can score on request. ``generation``: of its bundle, ``None`` until that was needed once.

    ``videos``: whether it takes features from videos; otherwise ``videos_reason`` says why not, as ``reason`` does
    where it scores nothing at all. ``max_file_bytes``: the largest file that ``POST /v1/score/file`` takes.
    """

    scores: bool
    generation: str | None
    videos: bool
    max_file_bytes: int
    reason: str | None = None
    videos_reason: str | None = None


class ScoresOnRequest(Protocol):
    """Scores clips with a bundle, of which it loads one at most. Called from several threads at once.

    Each method raises ``NotOffered`` where this installation lacks what it needs, ``TooManyAtOnce`` if as many requests
    as allowed are under way, and what ``FeatureReader`` raises for features that cannot be used.
    """

    def offer(self) -> ScoringOffer:
        """What is there, without loading anything."""
        ...

    def generation(self) -> str:
        """The generation of the bundle."""
        ...

    def score(self, source: FeatureSource, duration_s: float | None, movement: bool = False) -> UnseenClip:
        """``duration_s``: by default as long as the features last. ``movement``: with skeleton and guidance."""
        ...

    def begin_file(self, kind: FileKind) -> "ReservedPlace":
        """A place among the requests with a file, before the first byte of it is read."""
        ...


class ReservedPlace(Protocol):
    """The place of one request with a file; close it in any case."""

    def score(self, descriptor: int, duration_s: float | None, movement: bool = False) -> UnseenClip:
        """Scores the open file ``descriptor``, read from its start; the rest as ``ScoresOnRequest.score``."""
        ...

    def close(self) -> None:
        """Gives the place back. Idempotent."""
        ...


@dataclass(frozen=True)
class UnseenStanding:
    """Where a score stands among those that the generation gave in all challenges together.

    ``percentile`` is off by at most ``rank_error`` percentage points, at 99 % confidence; ``scores`` counts them.
    """

    percentile: float
    rank_error: float
    scores: int


@dataclass(frozen=True)
class UnseenClipAnswer:
    """What the model makes of a clip that was never uploaded.

    ``scores`` are of each modality that the clip has, and the fused one; ``percentiles`` say where each stands among
    all clips of this ``generation``, in all challenges together, and are empty where it scored none. ``attention`` is
    that of Eq. (12). ``embeddings`` are what ``POST /v1/similar`` takes, together with ``generation``. Beyond a
    ``training_distance`` of 1 the clip is ``outside_training_distribution``, and its scores are not to be trusted.
    ``note``: that another generation is active, in one sentence; else ``None``. ``skeleton``, at 25 Hz, and
    ``guidance``, of the skeletal score, are there if ``movement`` was asked for, the clip has a skeleton and the bundle
    gradient graphs. ``moments``: the seconds that made the score of a routine, a clip longer than 60 s.
    """

    generation: str
    active_generation: str | None
    duration_s: float
    scores: dict[Dimension, float]
    percentiles: dict[Dimension, UnseenStanding]
    attention: dict[Modality, float]
    missing: list[Modality]
    embeddings: dict[Modality, list[float]]
    training_distance: float | None
    outside_training_distribution: bool
    note: str | None = None
    skeleton: Skeleton | None = None
    guidance: Guided | None = None
    moments: Moments | None = None
