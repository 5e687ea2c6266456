"""Feedback about clips, computed with the bundle that scores on request."""

from collections.abc import Collection
from dataclasses import replace
from typing import Final

from dancerank.feedback.answers import guidance_answer, skeleton_of
from dancerank.feedback.guidance_pictures import drawn
from dancerank.feedback.recent import Recent
from dancerank.scoring_on_request.scoring import Loaded, OnRequest, read_clip
from schemas.clock import Clock
from schemas.errors import NotOffered, NoUsableModality, SkeletonMissing
from schemas.events import FeatureSource, InlineFeatures
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.questions.feedback import (
    AnsweredFormat,
    FeaturesKept,
    GuidanceQuestion,
    Picture,
    Skeleton,
    UnseenGuidance,
)
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import CriticalFrame, critical_frames
from streamer.guidance.smoothing import DEFAULT_SMOOTHING

KEPT: Final = 64
"""Results that are kept: of a clip of a minute each takes about half a megabyte."""
KEPT_S: Final = 300.0
"""For how long; a file whose checksum is not stated may be replaced."""
_SKELETON: Final = (Modality.SKELETAL,)


class ClipFeedback:
    """``schemas.questions.feedback.Feedback``. Requests share the bundle, and the number of clips at once, with
    scoring.
    """

    def __init__(self, on_request: OnRequest, clock: Clock | None = None) -> None:
        self._on_request = on_request
        self._guidance: Recent[Guidance] = Recent(KEPT, KEPT_S, clock)
        self._skeletons: Recent[ClipFeatures] = Recent(KEPT, KEPT_S, clock)

    def skeleton(self, kept: FeaturesKept, rate_hz: float) -> Skeleton:
        def read() -> ClipFeatures:
            with self._on_request.turn(kept.source) as loaded:
                features = _read(loaded, kept.source, kept.duration_s, _SKELETON)
            # A copy: the array is a view of the bytes of the whole file, which would be kept with it.
            return replace(features, frames={Modality.SKELETAL: features.frames[Modality.SKELETAL].copy()})

        return skeleton_of(self._skeletons.get(kept, read), rate_hz)

    def guidance(self, source: FeatureSource, asked: GuidanceQuestion) -> UnseenGuidance:
        guidance, critical = self._guided(source, asked)
        return guidance_answer(guidance, critical, asked)

    def picture(self, source: FeatureSource, asked: GuidanceQuestion, format: AnsweredFormat, title: str) -> Picture:
        guidance, critical = self._guided(source, asked)
        with self._on_request.turn(source):
            return drawn(guidance, critical, format, title)

    def _guided(self, source: FeatureSource, asked: GuidanceQuestion) -> tuple[Guidance, list[CriticalFrame]]:
        smoothing = asked.smoothing or DEFAULT_SMOOTHING

        def compute() -> Guidance:
            with self._on_request.turn(source) as loaded:
                if loaded.guide is None:
                    raise NotOffered(
                        f"bundle {loaded.runtime.manifest.generation} has no gradient graphs; run `dancerank "
                        "add-guidance` on its folder, or export its checkpoint again, and start this process again"
                    )
                only = _SKELETON if asked.of == "skeletal" else None
                features = _read(loaded, source, asked.duration_s, only)
                return loaded.guide.guidance(features, of=asked.of, smoothing=smoothing)

        key = _key(source, asked.of, smoothing, asked.duration_s, asked.uploaded_at_ms)
        guidance = self._guidance.get(key, compute)
        return guidance, critical_frames(guidance, asked.critical, asked.apart_s)


def _read(
    loaded: Loaded, source: FeatureSource, duration_s: float | None, only: Collection[Modality] | None
) -> ClipFeatures:
    try:
        features = read_clip(loaded.loader, source, duration_s, only)
    except NoUsableModality as error:
        raise _missing(error.message) from error
    if Modality.SKELETAL not in features.frames:
        raise _missing(f"the clip has only {', '.join(features.modalities)}")
    return features


def _missing(found: str) -> SkeletonMissing:
    return SkeletonMissing(
        f"{found}; feedback is about the joints of a skeleton: send or upload the clip with `skeletal` features",
        field=Modality.SKELETAL,
    )


def _key(source: FeatureSource, *asked: object) -> tuple[object, ...] | None:
    """What a result is kept under; ``None`` for features that come with the question."""
    return None if isinstance(source, InlineFeatures) else (source, *asked)
