"""Scores clips that were never uploaded, with the bundle of the settings."""

import logging
import os
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Final, NamedTuple, TypeVar

import msgspec

from dancerank.feedback.answers import guidance_answer, skeleton_of
from dancerank.scoring_on_request.settings import ScoringSettings
from dancerank.scoring_on_request.turns import Place, Turns
from schemas.bundle import Bundle
from schemas.errors import (
    BundleError,
    ConfigurationError,
    ExtractorModelInvalid,
    ExtractorModelMissing,
    ExtraMissing,
    FeatureFileForbidden,
    FeatureFileOversized,
    FeatureShapeInvalid,
    InferenceFailed,
    NotOffered,
    QueryError,
)
from schemas.events import (
    MIN_DURATION_S,
    ClipScored,
    ClipUploadedV3,
    FeatureSource,
    InlineFeatures,
    VideoFile,
    embedding_array,
    temporal_attention,
    training_distance,
)
from schemas.features import ClipFeatures, encode_features
from schemas.modalities import MAX_DURATION_S, MAX_ROUTINE_S, Modality
from schemas.moments import moments_of
from schemas.ports import ExtractsOpenFiles, FeatureExtractor, ModelRuntime
from schemas.questions.feedback import GuidanceQuestion, Guided
from schemas.questions.scoring import FileKind, ScoringOffer, UnseenClip
from streamer.assembly import guide_beside
from streamer.guidance.critical import critical_frames
from streamer.guidance.guide import Guide
from streamer.loading import FeatureLoader, span_s
from streamer.roots import FeatureRoots
from streamer.runtimes.selection import open_runtime
from streamer.scoring import Scorer
from streamer.settings import StreamerSettings
from streamer.stores import FeatureStore

log = logging.getLogger(__name__)

_CHUNK_BYTES: Final = 1 << 20
_PATIENCE_S: Final = 2.0
"""With a store that does not answer: who asks over HTTP can ask again, and others wait for their turn meanwhile."""
_SLACK_S: Final = 0.05
"""A clip of three seconds may lack a step, and containers round the length of one of a minute up."""
_NO_VIDEOS: Final = (
    "no features are taken from videos here; send the clip's features, or set streamer.extractor to videos after "
    "dancerank extractors fetch"
)
_NO_ID: Final = "never-uploaded"
Result = TypeVar("Result")
_LACKING: Final = (BundleError, ConfigurationError, ExtraMissing, ExtractorModelMissing, ExtractorModelInvalid)


class Loaded(NamedTuple):
    """A bundle that is loaded. ``guide``: if it has gradient graphs."""

    runtime: ModelRuntime
    scorer: Scorer
    loader: FeatureLoader
    guide: Guide | None


class OnRequest:
    """``schemas.questions.scoring.ScoresOnRequest``. Nothing is loaded before it is needed, or ``load`` is called."""

    def __init__(
        self,
        read_bundle: Callable[[], Bundle],
        open_extractor: Callable[[], FeatureExtractor | None],
        settings: ScoringSettings,
        *,
        streamer: StreamerSettings,
        max_file_bytes: int,
    ) -> None:
        """``open_extractor`` is called at most once, and only if ``streamer.extractor`` names one."""
        self._read_bundle, self._open_extractor = read_bundle, open_extractor
        self._settings, self._streamer = settings, streamer
        self._max_file_bytes = max_file_bytes
        self._clips = Turns(
            settings.clips_at_once, settings.clips_waiting, what="clips", setting="scoring.clips_waiting"
        )
        self._files = Turns(
            settings.videos_at_once, settings.videos_waiting, what="videos", setting="scoring.videos_waiting"
        )
        # One each: networks for videos take long to load, and features are scored meanwhile.
        self._loading, self._opening = threading.Lock(), threading.Lock()
        self._loaded: Loaded | None = None
        self._extractor: FeatureExtractor | None = None

    def load(self) -> None:
        """Load the bundle now, and the networks for videos where they are set. Raises ``NotOffered``."""
        self._bundle()
        if self._takes_videos:
            self._videos()

    def close(self) -> None:
        """End extractions that are under way, and free the runtime. Idempotent."""
        with self._opening:
            extractor, self._extractor = self._extractor, None
        with self._loading:
            loaded, self._loaded = self._loaded, None
        if extractor is not None:
            getattr(extractor, "close", _nothing)()
        if loaded is not None:
            loaded.runtime.close()

    def offer(self) -> ScoringOffer:
        loaded, offered = self._loaded, self._settings.load != "never"
        generation = None if loaded is None else loaded.runtime.manifest.generation
        never = None if offered else "nothing is scored here (scoring.load is never)"
        videos = offered and self._takes_videos
        return ScoringOffer(
            offered, generation, videos, self._max_file_bytes, never, None if videos else never or _NO_VIDEOS
        )

    def generation(self) -> str:
        return self._bundle().runtime.manifest.generation

    def score(self, source: FeatureSource, duration_s: float | None, movement: bool = False) -> UnseenClip:
        with self.turn(source):
            return self._score(source, duration_s, movement)

    @contextmanager
    def turn(self, source: FeatureSource) -> Iterator[Loaded]:
        """The loaded bundle, while few other requests use it. Raises ``NotOffered`` and ``TooManyAtOnce``."""
        turns = self._files if isinstance(source, VideoFile) else self._clips
        with turns.place() as place, place.turn():
            if isinstance(source, VideoFile):
                self._videos()
            yield self._bundle()

    def begin_file(self, kind: FileKind) -> "_FilePlace":
        if self._settings.load == "never" or (kind == "video" and not self._takes_videos):
            offer = self.offer()
            raise NotOffered(f"{offer.reason or offer.videos_reason}")
        place = self._files.place()
        return _FilePlace(place, partial(self._score_file, kind))

    def _score_file(self, kind: FileKind, descriptor: int, duration_s: float | None, movement: bool) -> UnseenClip:
        if kind == "video":
            features = self._open_videos().extract_open(descriptor)
            try:
                return self._score(InlineFeatures(encode_features(features)), duration_s, movement)
            except FeatureShapeInvalid as error:
                raise FeatureShapeInvalid(
                    f"{error.message}; the networks of [extraction] are not those whose features this bundle has "
                    "learned from, so name those, or another bundle",
                    field=error.field,
                ) from error
        most = self._streamer.max_feature_bytes
        if (size := os.fstat(descriptor).st_size) > most:
            raise FeatureFileOversized(
                f"the file has {size} bytes, over the limit of {most} for features; shorten the clip or use float16",
                field="features",
            )
        return self._score(InlineFeatures(_content(descriptor)), duration_s, movement)

    def _score(self, source: FeatureSource, duration_s: float | None, movement: bool) -> UnseenClip:
        loaded = self._bundle()
        features = read_clip(loaded.loader, source, duration_s)
        lasts_s = span_s(features) if duration_s is None else duration_s
        longest_s = MAX_DURATION_S if any(modality.is_fused for modality in features.frames) else MAX_ROUTINE_S
        upload = ClipUploadedV3(
            clip_id=_NO_ID,
            dancer_id=_NO_ID,
            challenge_id=_NO_ID,
            uploaded_at_ms=0,
            duration_s=min(max(lasts_s, MIN_DURATION_S), longest_s),
            features=source,
        )
        (scored,) = loaded.scorer.score([(upload, features)])
        if isinstance(scored, InferenceFailed):
            raise scored
        clip = _unseen(scored)
        return _with_movement(clip, loaded, features) if movement and Modality.SKELETAL in features.frames else clip

    @property
    def _takes_videos(self) -> bool:
        return bool(self._streamer.extractor)

    def _bundle(self) -> Loaded:
        if self._settings.load == "never":
            raise NotOffered("nothing is scored here (scoring.load is never); ask another process of dancerank serve")
        with self._loading:
            if self._loaded is None:
                self._loaded = _offered(self._load_bundle, "the bundle")
            return self._loaded

    def _load_bundle(self) -> Loaded:
        bundle, streamer = self._read_bundle(), self._streamer
        store = FeatureStore(
            FeatureRoots(streamer.feature_roots),
            max_bytes=streamer.max_feature_bytes,
            patience_s=min(streamer.store_patience_s, _PATIENCE_S),
            options=streamer.store_options,
        )
        runtime = open_runtime(
            streamer.runtime, bundle, providers=streamer.providers, threads=streamer.inference_threads
        )
        log.info("scoring on request with generation %s", runtime.manifest.generation)
        extractor = _Deferred(self._videos) if self._takes_videos else None
        loader = FeatureLoader(store, runtime.manifest, max_bytes=streamer.max_feature_bytes, extractor=extractor)
        guided = not isinstance(bundle.manifest.guidance, msgspec.UnsetType)
        guide = guide_beside(runtime, bundle, streamer) if guided else None
        return Loaded(runtime, Scorer(runtime, warns_outside_training=False), loader, guide)

    def _videos(self) -> FeatureExtractor:
        if not self._takes_videos:
            raise NotOffered(_NO_VIDEOS)
        with self._opening:
            if self._extractor is None:
                self._extractor = _offered(self._open_extractor, "the extractor of videos")
            if self._extractor is None:
                raise NotOffered(_NO_VIDEOS)
            return self._extractor

    def _open_videos(self) -> ExtractsOpenFiles:
        extractor = self._videos()
        if not isinstance(extractor, ExtractsOpenFiles):
            raise NotOffered(
                f"the extractor {self._streamer.extractor} takes videos from a feature root only; name one there, or "
                "send the clip's features"
            )
        return extractor


class _Deferred:
    """A ``FeatureExtractor`` whose networks are loaded when a video needs them."""

    def __init__(self, opened: Callable[[], FeatureExtractor]) -> None:
        self._opened = opened

    def extract(self, video: VideoFile) -> ClipFeatures:
        return self._opened().extract(video)


class _FilePlace:
    """The place of one request with a file."""

    def __init__(self, place: Place, score: Callable[[int, float | None, bool], UnseenClip]) -> None:
        self._place, self._score = place, score

    def score(self, descriptor: int, duration_s: float | None, movement: bool = False) -> UnseenClip:
        with self._place.turn():
            return self._score(descriptor, duration_s, movement)

    def close(self) -> None:
        self._place.close()


def _offered(load: Callable[[], Result], what: str) -> Result:
    """What ``load`` gives. Raises ``NotOffered`` for what this installation lacks; the message names no path of it."""
    try:
        return load()
    except _LACKING as error:
        log.warning("%s cannot be used to score on request: %s", what, error)
        raise NotOffered(f"{what} cannot be used here ({error.code}). {error.remedy}") from error


def read_clip(
    loader: FeatureLoader, source: FeatureSource, duration_s: float | None, only: Collection[Modality] | None = None
) -> ClipFeatures:
    """The features of a clip that was never uploaded; the rest as ``FeatureLoader.read``. Raises ``QueryError`` for one
    that is shorter or longer than a clip.
    """
    if duration_s is not None:
        _check_length(duration_s, MAX_ROUTINE_S)
    try:
        features = loader.read(source, duration_s, only=only, slack_s=_SLACK_S)
    except FeatureFileForbidden as error:
        # The allowed roots are the operator's to know.
        raise FeatureFileForbidden(
            "the URI is not below a feature root of this service; send the features inline, or name a file there",
            field="features.uri",
        ) from error
    _check_length(
        span_s(features) if duration_s is None else duration_s, max(modality.longest_s for modality in features.frames)
    )
    return features


def _check_length(lasts_s: float, longest_s: float) -> None:
    """Raises ``QueryError`` for what is shorter or longer than a clip."""
    if not MIN_DURATION_S - _SLACK_S <= lasts_s <= longest_s + _SLACK_S:
        raise QueryError(
            f"the clip lasts {lasts_s:.4g} s; a clip lasts {MIN_DURATION_S:g} to {longest_s:g} s, so send a part of "
            "it, or a longer one",
            field="duration_s",
        )


def _content(descriptor: int) -> bytes:
    """All bytes of an open file, from its start."""
    parts, at = list[bytes](), 0
    while chunk := os.pread(descriptor, _CHUNK_BYTES, at):
        parts.append(chunk)
        at += len(chunk)
    return b"".join(parts)


def _unseen(clip: ClipScored) -> UnseenClip:
    attention = temporal_attention(clip)
    return UnseenClip(
        generation=clip.generation,
        duration_s=clip.duration_s,
        scores=clip.scores(),
        attention={modality: result.attention for modality, result in clip.modalities.items()},
        missing=clip.missing,
        embeddings={modality: embedding_array(result).tolist() for modality, result in clip.modalities.items()},
        training_distance=training_distance(clip),
        moments=None if attention is None else moments_of(attention),
    )


def _with_movement(clip: UnseenClip, loaded: Loaded, features: ClipFeatures) -> UnseenClip:
    asked = GuidanceQuestion()
    skeleton = skeleton_of(features, asked.rate_hz)
    if loaded.guide is None:
        return replace(clip, skeleton=skeleton)
    guided = loaded.guide.guidance(features, of=asked.of)
    answer = guidance_answer(guided, critical_frames(guided, asked.critical, asked.apart_s), asked)
    # Without the positions, which the skeleton has.
    guidance = Guided(**{each.name: getattr(answer, each.name) for each in fields(Guided)})
    return replace(clip, skeleton=skeleton, guidance=guidance)


def _nothing() -> None:
    """An extractor that has nothing to close."""
