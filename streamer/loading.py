"""Loading of features: an upload's features are read, verified and converted to what the bundle's graphs take."""

import hashlib
from collections.abc import Callable, Collection

from schemas import arrays
from schemas.bundle import BundleManifest
from schemas.codec import unreported
from schemas.errors import (
    DancerankError,
    ExtractionFailed,
    ExtractorMissing,
    FeatureError,
    FeatureFileCorrupt,
    FeatureShapeInvalid,
    NoUsableModality,
)
from schemas.events import FeatureFile, FeatureSource, InlineFeatures, UploadEvent, VideoFile
from schemas.features import ClipFeatures, Frames, decode_features, encode_features
from schemas.joints import LAYOUTS, convert, convert_missing, layout_named
from schemas.modalities import MAX_DURATION_S, Modality
from schemas.plausibility import check_plausible
from schemas.ports import FeatureExtractor
from schemas.scored_features import check_channels, scored_modalities
from streamer.stores import FeatureStore, MemoryReservation


def unlimited(size_bytes: int) -> None:
    """A reservation that never blocks."""


def span_s(features: ClipFeatures) -> float:
    """How long the longest modality lasts at its nominal rate, in seconds."""
    return max(len(frames) / modality.rate_hz for modality, frames in features.frames.items())


class FeatureLoader:
    """Loads the features of one clip in the form that a bundle takes. Thread-safe."""

    def __init__(
        self,
        store: FeatureStore,
        manifest: BundleManifest,
        *,
        max_bytes: int,
        extractor: FeatureExtractor | None = None,
        on_unknown_modality: Callable[[str], None] = unreported,
    ) -> None:
        """``extractor`` extracts features from videos; without one, uploads that name a video are refused. Tensors of
        modalities that this release does not know are reported to ``on_unknown_modality`` by name.
        """
        arrays.prepare()
        self._reader = FeatureReader(store, max_bytes=max_bytes, extractor=extractor)
        self._on_unknown_modality = on_unknown_modality
        self._channels = {stream.modality: stream.input_channels for stream in manifest.streams}
        self._layout = None if manifest.joint_layout is None else layout_named(manifest.joint_layout)

    def load(self, clip: UploadEvent, reserve: MemoryReservation = unlimited) -> ClipFeatures:
        """The verified features of the bundle's modalities, poses in its joint layout and channel count.

        Raises what ``FeatureReader.read``, ``scored_modalities`` and ``check_plausible`` raise, ``FeatureShapeInvalid``
        for a pose that cannot be converted, ``NoUsableModality`` if nothing remains.
        """
        return self.read(clip.features, clip.duration_s, reserve, prefix=f"clip {clip.clip_id}, ")

    def read(
        self,
        source: FeatureSource,
        duration_s: float | None,
        reserve: MemoryReservation = unlimited,
        *,
        prefix: str = "",
        only: Collection[Modality] | None = None,
        slack_s: float = 0.0,
    ) -> ClipFeatures:
        """Likewise, of a clip that need not be an upload; ``duration_s``: by default as long as its features last.
        ``only``: the modalities that are needed; the others are left out and may have any width. ``slack_s``: by so
        much a ``duration_s`` of features that are all of the fusion may exceed ``MAX_DURATION_S``.
        """

        def prepare(features: ClipFeatures) -> ClipFeatures:
            lasts_s = span_s(features) if duration_s is None else duration_s
            is_near = duration_s is None or duration_s <= MAX_DURATION_S + slack_s
            if is_near and all(modality.is_fused for modality in features.frames):
                # Frames of a clip of the longest length may exceed it by a little.
                lasts_s = min(lasts_s, MAX_DURATION_S)
            taken = scored_modalities(features, lasts_s)
            check_plausible(taken, lasts_s)
            return self._for_bundle(taken, only)

        return self._reader.read(source, reserve, prepare=prepare, prefix=prefix)

    def _for_bundle(self, features: ClipFeatures, only: Collection[Modality] | None) -> ClipFeatures:
        for name in features.unknown:
            self._on_unknown_modality(name)
        taken = [m for m in self._channels if only is None or m in only]
        frames = {m: features.frames[m] for m in features.modalities if m in taken}
        if not frames:
            raise NoUsableModality(
                f"the clip has only {', '.join(features.modalities)}; this model scores {', '.join(taken)}"
            )
        with_joints = [modality for modality in frames if modality.has_joints]
        for modality in with_joints:
            frames[modality] = self._pose(modality, frames[modality], features.joint_layout or "")
        for modality, array in frames.items():
            check_channels(modality, array, self._channels[modality])
        layout = self._layout.name if self._layout is not None and with_joints else None
        missing = features.missing if layout is not None else None
        if missing is not None and self._layout is not None:
            missing = convert_missing(missing, LAYOUTS[features.joint_layout or ""], self._layout)
        filled = features.filled_joints
        return ClipFeatures(frames, layout, features.extractors, filled_joints=filled, missing=missing)

    def _pose(self, modality: Modality, frames: Frames, layout: str) -> Frames:
        if self._layout is None:
            raise FeatureShapeInvalid("this model reads no joint layout", field=modality)
        # Confidence comes last in C, so keeping the first channels drops it.
        pose: Frames = convert(frames, LAYOUTS[layout], self._layout)[..., : self._channels[modality]]
        return pose


def _unchanged(features: ClipFeatures) -> ClipFeatures:
    return features


class FeatureReader:
    """Reads and verifies the features of uploads: inline, from a store, or extracted from a video. Thread-safe."""

    def __init__(self, store: FeatureStore, *, max_bytes: int, extractor: FeatureExtractor | None = None) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._extractor = extractor

    def read(
        self,
        source: FeatureSource,
        reserve: MemoryReservation = unlimited,
        *,
        prepare: Callable[[ClipFeatures], ClipFeatures] = _unchanged,
        prefix: str = "",
    ) -> ClipFeatures:
        """``prepare`` applied to the verified features. The message of a ``FeatureError`` starts with ``prefix`` and
        the URI.

        Raises what the store and ``decode_features`` raise, ``FeatureFileCorrupt`` for a checksum that differs, and for
        a video ``ExtractorMissing``, ``ExtractionFailed`` and what the extractor raises.
        """
        if isinstance(source, InlineFeatures):
            return _located(f"{prefix}inline features", lambda: prepare(self._decode(source.content)))
        if isinstance(source, VideoFile):
            self._store.check(source.uri)
            return _located(f"{prefix}{source.uri}", lambda: prepare(self._extract(source, reserve)))
        content = self._store.read(source.uri, reserve)
        _check_sha256(content, source)
        return _located(f"{prefix}{source.uri}", lambda: prepare(self._decode(content)))

    def _decode(self, content: bytes) -> ClipFeatures:
        return decode_features(content, max_bytes=self._max_bytes)

    def _extract(self, video: VideoFile, reserve: MemoryReservation) -> ClipFeatures:
        if self._extractor is None:
            raise ExtractorMissing(
                "the upload names a video and no extractor is set; set streamer.extractor, or upload the clip with its "
                "features",
                field="features.kind",
            )
        try:
            content = encode_features(self._extractor.extract(video))
        except DancerankError:
            raise
        except Exception as error:
            # An extractor is third-party code and may raise any exception; one video must not stop the streamer.
            raise ExtractionFailed(f"{type(error).__name__}: {error}; look at the video", field="features") from error
        reserve(len(content))
        return self._decode(content)


def _located(where: str, read: Callable[[], ClipFeatures]) -> ClipFeatures:
    try:
        return read()
    except FeatureError as error:
        raise type(error)(f"{where}: {error.message}", field=error.field) from error


def _check_sha256(content: bytes, source: FeatureFile) -> None:
    if source.sha256 is not None and hashlib.sha256(content).hexdigest() != source.sha256:
        raise FeatureFileCorrupt(
            f"{source.uri!r}: checksum mismatch with the upload's sha256; send the file again, or the right checksum",
            field="features.sha256",
        )
