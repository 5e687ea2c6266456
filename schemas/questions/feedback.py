"""Feedback about a clip's movement: the port between the HTTP API and what computes it, and what is answered.

Legend: T time steps, V joints. Coordinates are those of the picture, x right and y down, in the unit of the clip's own
(pixels in 2-D layouts); 3-D layouts are projected.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal, NamedTuple, Protocol

from schemas.events import FeatureFile, FeatureSource, VideoFile
from schemas.picture_formats import STILL, PictureFormat

GuidedScore = Literal["skeletal", "fused"]
SmoothingName = Literal["raw", "smoothgrad", "bones", "smoothgrad-bones"]
Point = tuple[float, float]
Points = list[list[Point | None]]
"""(T, V) points or vectors, ``None`` for a joint that was not detected."""

MOST_CRITICAL: Final = 20
HIGHEST_RATE_HZ: Final = 100.0


class PictureKind(StrEnum):
    """``frames``: the critical frames side by side. ``moving``: the whole clip, slowly."""

    FRAMES = "frames"
    MOVING = "moving"


AnsweredFormat = Literal[PictureFormat.PNG, PictureFormat.SVG, PictureFormat.WEBP, PictureFormat.GIF]
FORMATS: Final[dict[PictureKind, tuple[AnsweredFormat, ...]]] = {
    PictureKind.FRAMES: STILL,
    PictureKind.MOVING: (PictureFormat.WEBP, PictureFormat.GIF),
}
"""The formats of each picture, the default first."""


class FeaturesKept(NamedTuple):
    """Where an uploaded clip's features, or its video, can be read again. ``uploaded_at_ms``: of which upload;
    ``duration_s``: as that stated it, by which its features were judged; ``None`` for another upload than the last.
    """

    source: FeatureFile | VideoFile
    uploaded_at_ms: int
    duration_s: float | None


@dataclass(frozen=True)
class GuidanceQuestion:
    """``of``: the score to raise; ``smoothing``: of ``streamer.guidance.smoothing``, ``None`` for its default;
    ``critical``: the number of critical frames, ``apart_s`` their distance in seconds; ``rate_hz`` of the answer, at
    most that of the features. ``duration_s`` of the clip: by default as long as its features last. ``uploaded_at_ms``
    of a clip that was uploaded: what was read for an earlier upload under the same URI is not taken for it.
    """

    of: GuidedScore = "skeletal"
    smoothing: SmoothingName | None = None
    critical: int = 3
    apart_s: float = 1.0
    rate_hz: float = 25.0
    duration_s: float | None = None
    uploaded_at_ms: int | None = None


@dataclass(frozen=True, kw_only=True)
class Skeleton:
    """How a clip's joints move. ``bones`` are pairs of indices into ``joints``; ``positions`` have four significant
    digits of the body's size.
    """

    layout: str
    joints: list[str]
    bones: list[tuple[int, int]]
    rate_hz: float
    frames: int
    positions: Points


@dataclass(frozen=True, kw_only=True)
class ClipSkeleton(Skeleton):
    """Likewise, of a clip that was uploaded."""

    clip_id: str


@dataclass(frozen=True, kw_only=True)
class CriticalMoment:
    """``frame`` counts in the frames of the answer; ``magnitude`` is that of the gradient over all joints but the
    centre of the body; ``joints`` are named by how much they count.
    """

    frame: int
    time_s: float
    magnitude: float
    joints: list[str]
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Guided:
    """What would raise a score (Eq. 7). ``vectors`` are in score per unit of the coordinates, ``largest`` is the
    longest of them, ``body`` the mean absolute deviation of the joints from the body's centre in that unit.
    """

    generation: str
    of: GuidedScore
    smoothing: SmoothingName
    score: float
    layout: str
    joints: list[str]
    bones: list[tuple[int, int]]
    rate_hz: float
    frames: int
    body: float
    vectors: Points
    largest: float
    critical_frames: list[CriticalMoment]


@dataclass(frozen=True, kw_only=True)
class ClipGuidance(Guided):
    """Likewise, of a clip that was uploaded."""

    clip_id: str


@dataclass(frozen=True, kw_only=True)
class UnseenGuidance(Guided):
    """Likewise, of a clip that was never uploaded, with its skeleton: ``positions`` as of ``Skeleton``."""

    positions: Points


@dataclass(frozen=True)
class Picture:
    """The bytes of a picture."""

    content: bytes
    media_type: str


class Feedback(Protocol):
    """Computes feedback from a clip's features. Called from several threads at once.

    Each method raises ``NotOffered`` where this installation lacks what it needs (a bundle with gradient graphs, a
    package that draws), ``SkeletonMissing`` for a clip without a skeleton, ``TooManyAtOnce`` if as many requests as
    allowed are under way, and what ``FeatureReader`` raises for features that cannot be used.
    """

    def skeleton(self, kept: FeaturesKept, rate_hz: float) -> Skeleton: ...

    def guidance(self, source: FeatureSource, asked: GuidanceQuestion) -> UnseenGuidance: ...

    def picture(
        self,
        source: FeatureSource,
        asked: GuidanceQuestion,
        format: AnsweredFormat,
        title: str,
    ) -> Picture: ...
