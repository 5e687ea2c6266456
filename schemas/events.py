"""Events on the topics. Time stamps are milliseconds since the epoch, UTC.

The tag ``schema`` ("clip-uploaded/1") makes every encoded event self-describing. A field is never added, removed or
reinterpreted within a version; a change makes a new version, and the codec then reads both.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.identifiers import Identifier, UploadIdentifier
from schemas.modalities import MAX_DURATION_S, MAX_ROUTINE_S, MODALITIES, Dimension, Modality

MIN_DURATION_S: Final = 3.0
TimestampMs = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
Count = Annotated[int, msgspec.Meta(ge=0, lt=1 << 53)]
SHA256: Final = r"^[0-9a-f]{64}$(?!\n)"
Sha256 = Annotated[str, msgspec.Meta(pattern=SHA256)]


class Event(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, tag_field="schema"):
    """Base of all events."""


class FeatureFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="file"):
    """Features in a file. ``uri``: ``file:///…``, or any scheme that the consumer allows; the checksum is optional."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    sha256: Sha256 | None = None


class InlineFeatures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="inline"):
    """A small feature file carried in the event itself (base64 in JSON)."""

    content: bytes


class VideoFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="kind", tag="video"):
    """A video that the consumer extracts features from. ``uri``: as of a feature file; the checksum is optional."""

    uri: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    sha256: Sha256 | None = None


class ClipUploaded(Event, frozen=True, tag="clip-uploaded/1"):
    """A new upload, to be scored."""

    clip_id: UploadIdentifier
    dancer_id: UploadIdentifier
    challenge_id: UploadIdentifier
    uploaded_at_ms: TimestampMs
    duration_s: Annotated[float, msgspec.Meta(ge=MIN_DURATION_S, le=MAX_DURATION_S)]
    features: FeatureFile | InlineFeatures


class ClipUploadedV2(Event, frozen=True, tag="clip-uploaded/2"):
    """A new upload, to be scored, that may name a video. Without a video send version 1, which older releases read."""

    clip_id: UploadIdentifier
    dancer_id: UploadIdentifier
    challenge_id: UploadIdentifier
    uploaded_at_ms: TimestampMs
    duration_s: Annotated[float, msgspec.Meta(ge=MIN_DURATION_S, le=MAX_DURATION_S)]
    features: FeatureFile | InlineFeatures | VideoFile


class ClipUploadedV3(Event, frozen=True, tag="clip-uploaded/3"):
    """A new upload, to be scored, that may be a routine: longer than ``MAX_DURATION_S``. Of a shorter one send an
    earlier version, which older releases read.
    """

    clip_id: UploadIdentifier
    dancer_id: UploadIdentifier
    challenge_id: UploadIdentifier
    uploaded_at_ms: TimestampMs
    duration_s: Annotated[float, msgspec.Meta(ge=MIN_DURATION_S, le=MAX_ROUTINE_S)]
    features: FeatureFile | InlineFeatures | VideoFile


UploadEvent = ClipUploaded | ClipUploadedV2 | ClipUploadedV3
FeatureSource = FeatureFile | InlineFeatures | VideoFile
"""The source of an upload's features."""
UPLOAD_TYPES: Final = (ClipUploaded, ClipUploadedV2, ClipUploadedV3)


class ModalityResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One stream's answer. ``embedding``: (D,) float16, little-endian bytes. ``attention`` weighs it in Eq. (12)."""

    score: float
    attention: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
    embedding: bytes

    def __post_init__(self) -> None:
        if not math.isfinite(self.score):
            raise ValueError("score must be a finite number")
        if not self.embedding or len(self.embedding) % 2:
            raise ValueError("embedding must hold a whole number of float16 values, at least one")
        if not np.isfinite(embedding_array(self)).all():
            raise ValueError("embedding must hold finite values only")


class ClipScored(Event, frozen=True, tag="clip-scored/1"):
    """A clip's scores and embeddings under one model generation: a record of the log that all views are built from.

    ``missing`` names the modalities that the model has and the clip lacks; the attention is over those present. A
    reader leaves out modalities that it does not know.
    """

    clip_id: Identifier
    dancer_id: Identifier
    challenge_id: Identifier
    uploaded_at_ms: TimestampMs
    duration_s: Annotated[float, msgspec.Meta(ge=MIN_DURATION_S, le=MAX_DURATION_S)]
    generation: Identifier
    modalities: dict[Modality, ModalityResult]
    missing: tuple[Modality, ...]
    fused_score: float
    scored_at_ms: TimestampMs

    def __post_init__(self) -> None:
        if not math.isfinite(self.fused_score):
            raise ValueError("fused_score must be a finite number")
        if len(set(self.missing)) < len(self.missing):
            raise ValueError("missing must not name a modality twice")
        if set(self.modalities) & set(self.missing):
            raise ValueError("missing must not name a modality that has a result")

    def scores(self) -> dict[Dimension, float]:
        """The score of every present modality, and the fused one."""
        scores = {Dimension(m): self.modalities[m].score for m in MODALITIES if m in self.modalities}
        return scores | {Dimension.FUSED: self.fused_score}


class ClipScoredV2(ClipScored, frozen=True, tag="clip-scored/2"):
    """Likewise, by a bundle that states its training distribution.

    ``training_distance``: how far the clip is from the clips that the model learned from, over the limit that the
    bundle states; the greatest of its modalities. Beyond 1 the score is not trusted: it is kept, the clip is in no
    ranking and never nominated.
    """

    training_distance: Annotated[float, msgspec.Meta(ge=0.0)]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not math.isfinite(self.training_distance):
            raise ValueError("training_distance must be a finite number")


GUIDANCE_BIN_S: Final = 0.5
"""Length of the bins of the guidance that the streamer writes."""


class JointGuidance(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How strongly each joint's position moves the skeletal score (Eq. 7), in bins of ``bin_s`` seconds from the start
    of the clip: what Eq. 8 and 9 are means of.

    ``magnitudes``: (B, V) float16 in [0, 1], little-endian bytes; times ``scale`` they are the mean of ‖g_tj‖ over the
    frames of each bin, in score per mean absolute deviation of the clip's joints, so that neither the resolution nor
    the distance from the camera counts. A frame that two bins share counts in each with the time that lies in it.
    B: bins, of which the last may be shorter. V: joints of ``joint_layout``.
    ``frames``: T, the clip's frames at ``rate_hz``.
    """

    joint_layout: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    rate_hz: Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)]
    frames: Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
    bin_s: Annotated[float, msgspec.Meta(gt=0.0, le=60.0)]
    scale: Annotated[float, msgspec.Meta(ge=0.0)]
    magnitudes: bytes

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError("scale must be a finite number")
        if not math.isfinite(self.frames / self.rate_hz / self.bin_s):
            raise ValueError("rate_hz must be one at which frames have a length; with bin_s it is too small a number")
        if not self.magnitudes or len(self.magnitudes) % (2 * self.bins):
            raise ValueError(f"magnitudes must hold the same number of float16 values for each of {self.bins} bins")
        values = np.frombuffer(self.magnitudes, dtype="<f2")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("magnitudes must hold values from 0 to 1")

    @property
    def bins(self) -> int:
        """B."""
        return math.ceil(round(self.frames / self.rate_hz / self.bin_s, 6))


class StyleResult(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The dance style that a clip most probably shows, with its calibrated probability. ``style`` is ``None`` where
    none of the styles that the classifier knows is recognised.
    """

    style: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None
    probability: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]


class ClipScoredV3(ClipScored, frozen=True, tag="clip-scored/3"):
    """Likewise, with what feedback and pictures need. All are absent where there is nothing to say.

    ``features``: where the clip's features, or its video, can be read again; absent for inline features.
    ``training_distance``: as in version 2. ``guidance``: of a clip with a skeleton, by a bundle with gradient graphs.
    ``style``: by a bundle with a style classifier.
    """

    features: FeatureFile | VideoFile | None = None
    training_distance: Annotated[float, msgspec.Meta(ge=0.0)] | None = None
    guidance: JointGuidance | None = None
    style: StyleResult | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.training_distance is not None and not math.isfinite(self.training_distance):
            raise ValueError("training_distance must be a finite number")


_MAX_PART: Final = 32


def parts_problem(parts: Sequence[str]) -> str | None:
    """Why the parts of a temporal attention cannot be called so; ``None``: they can."""
    if len(set(parts)) < len(parts):
        return "parts must not name an attention twice"
    if not all(1 <= len(part) <= _MAX_PART for part in parts):
        return f"parts must have names of 1 to {_MAX_PART} characters"
    return None


class TemporalAttention(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much each step of a routine counts in its score: the attention of the stream ``modality``, step by step.

    ``parts`` names the attentions that the stream has (ACTION-NET: ``dynamic`` over segments, whose weight is shared by
    the seconds of the segment, and ``static`` over frames). ``weights``: (P, T) float16 in [0, 1], little-endian bytes;
    the weights of a part sum to 1. P: parts. T: steps at ``rate_hz``.
    """

    modality: Modality
    rate_hz: Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)]
    parts: Annotated[
        tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=_MAX_PART)], ...], msgspec.Meta(min_length=1)
    ]
    weights: bytes

    def __post_init__(self) -> None:
        if (problem := parts_problem(self.parts)) is not None:
            raise ValueError(problem)
        if not self.weights or len(self.weights) % (2 * len(self.parts)):
            raise ValueError(f"weights must hold the same number of float16 values for each of {len(self.parts)} parts")
        values = np.frombuffer(self.weights, dtype="<f2")
        if not ((values >= 0) & (values <= 1)).all():
            raise ValueError("weights must hold values from 0 to 1")
        if not math.isfinite(self.steps / self.rate_hz):
            raise ValueError("rate_hz must be one at which the steps have a length; it is too small a number")

    @property
    def steps(self) -> int:
        """T."""
        return len(self.weights) // (2 * len(self.parts))

    def arrays(self) -> dict[str, npt.NDArray[np.float16]]:
        """The weights (T,) of each part, without copying."""
        return dict(zip(self.parts, np.frombuffer(self.weights, dtype="<f2").reshape(len(self.parts), -1), strict=True))


class ClipScoredV4(ClipScoredV3, frozen=True, kw_only=True, tag="clip-scored/4"):
    """Likewise, of a clip that may be a routine: longer than ``MAX_DURATION_S``.

    ``temporal_attention``: of a stream that gives some, which has a result.
    """

    duration_s: Annotated[float, msgspec.Meta(ge=MIN_DURATION_S, le=MAX_ROUTINE_S)]
    temporal_attention: TemporalAttention | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        attended = self.temporal_attention
        if attended is not None and attended.modality not in self.modalities:
            raise ValueError(
                f"temporal_attention must be of a modality that has a result; {attended.modality} has none"
            )


def temporal_attention(clip: ClipScored) -> TemporalAttention | None:
    """What counted in the score of a routine; ``None`` for other clips."""
    return clip.temporal_attention if isinstance(clip, ClipScoredV4) else None


_WITH_DISTANCE: Final = (ClipScoredV2, ClipScoredV3)


def training_distance(clip: ClipScored) -> float | None:
    """How far a clip is from the training distribution, over its limit; ``None`` where the bundle states none."""
    return clip.training_distance if isinstance(clip, _WITH_DISTANCE) else None


def outside_training(distance: float | None) -> bool:
    """Whether a clip at ``distance`` lies outside what its bundle was trained on."""
    return distance is not None and distance > 1.0


class EngagementObserved(Event, frozen=True, tag="engagement-observed/1"):
    """Cumulative reactions to a clip, as counted at ``observed_at_ms``."""

    clip_id: Identifier
    observed_at_ms: TimestampMs
    likes: Count
    comments: Count
    reposts: Count
    views: Count | None = None


class ClipDeleted(Event, frozen=True, tag="clip-deleted/1"):
    """A clip that must disappear from every view."""

    clip_id: Identifier
    reason: Annotated[str, msgspec.Meta(max_length=1024)]


class PoolDecision(Event, frozen=True, kw_only=True, tag="pool-decision/1"):
    """What was decided about a clip in the traffic pools, and why. ``number`` counts the clip's decisions from 0; with
    ``clip_id`` it identifies this one, however often it is delivered.
    """

    clip_id: Identifier
    number: Count
    tier: Identifier | None
    """The pool that the clip is in from now on; ``None``: in none."""
    previous_tier: Identifier | None
    rule: Identifier
    """What applied: nominated, not-nominated, outside-training, queued, explored, promoted, held, kept, demoted,
    expired, retired or deleted.
    """
    decided_by: Dimension | None = None
    """The dimension whose percentile nominated it."""
    exposures: Count = 0
    """Views granted with this decision."""
    percentile: float | None = None
    """Of ``decided_by`` within the challenge, or of the fused score where none nominated."""
    reactions: Count = 0
    views: Count = 0
    """What the clip was observed to have had."""
    bound: float | None = None
    """Confidence bound of the reaction rate that was compared: the lower one to promote, the upper one to demote."""
    limit: float | None = None
    """What ``percentile`` or ``bound`` was compared with."""
    budget: Annotated[str, msgspec.Meta(max_length=512)] | None = None
    """What had no room, where a clip has to wait: a tier, its lane, a dancer's or a challenge's cap."""
    budget_left: Count | None = None
    """Views left in that budget, or after a grant in the lane that paid it."""
    policy_version: Identifier
    decided_at_ms: TimestampMs

    def __post_init__(self) -> None:
        for name in ("percentile", "bound", "limit"):
            value: float | None = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ValueError(f"{name} must be a finite number")


EVENT_TYPES: Final[tuple[type[Event], ...]] = (
    *UPLOAD_TYPES,
    ClipScored,
    ClipScoredV2,
    ClipScoredV3,
    ClipScoredV4,
    EngagementObserved,
    ClipDeleted,
    PoolDecision,
)


def embedding_bytes(embedding: npt.NDArray[np.floating]) -> bytes:
    """(D,) any float type → float16, little-endian. Values beyond ±65504 become infinite and are refused on
    construction.
    """
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(embedding).astype("<f2").tobytes()


def embedding_array(result: ModalityResult) -> npt.NDArray[np.float16]:
    """The embedding (D,) of a result, without copying."""
    return np.frombuffer(result.embedding, dtype="<f2")
