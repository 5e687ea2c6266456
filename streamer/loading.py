"""From an upload to arrays that the bundle can score: read, verify, convert, drop what is not needed."""

import hashlib
from collections.abc import Callable

from schemas.bundle import BundleManifest
from schemas.codec import unreported
from schemas.errors import FeatureError, FeatureFileCorrupt, FeatureShapeInvalid, NoUsableModality
from schemas.events import ClipUploaded, FeatureFile, InlineFeatures
from schemas.features import ClipFeatures, Frames, check_length, decode_features
from schemas.joints import LAYOUTS, convert, layout_named
from schemas.modalities import Modality
from streamer.stores import Admission, FeatureStore


def admit_any(size_bytes: int) -> None:
    """Room for every file."""


class FeatureLoader:
    """Loads the features of one clip as a bundle reads them. Safe to call from several threads."""

    def __init__(
        self,
        store: FeatureStore,
        manifest: BundleManifest,
        *,
        max_bytes: int,
        on_unknown_modality: Callable[[str], None] = unreported,
    ) -> None:
        """Tensors of modalities that this release does not know are reported to ``on_unknown_modality`` by name."""
        self._store = store
        self._on_unknown_modality = on_unknown_modality
        self._max_bytes = max_bytes
        self._channels = {stream.modality: stream.input_channels for stream in manifest.streams}
        self._layout = None if manifest.joint_layout is None else layout_named(manifest.joint_layout)

    def load(self, clip: ClipUploaded, admit: Admission = admit_any) -> ClipFeatures:
        """The verified features of the bundle's modalities, poses in its joint layout and channel count.

        Raises a ``FeatureError``: what the store and ``decode_features`` raise, ``FeatureFileCorrupt`` for a checksum
        that differs, ``FeatureShapeInvalid`` for a tensor that lasts longer than the clip or a pose that cannot be
        converted, ``NoUsableModality`` if nothing remains.
        """
        content, where = read_content(self._store, clip.features, admit)

        def decode() -> ClipFeatures:
            features = decode_features(content, max_bytes=self._max_bytes)
            check_length(features, clip.duration_s)
            return self._fit(features)

        return in_place(f"clip {clip.clip_id}, {where}", decode)

    def _fit(self, features: ClipFeatures) -> ClipFeatures:
        for name in features.unknown:
            self._on_unknown_modality(name)
        frames = {m: features.frames[m] for m in features.modalities if m in self._channels}
        if not frames:
            raise NoUsableModality(
                f"the clip has only {', '.join(features.modalities)}; this model scores {', '.join(self._channels)}"
            )
        jointed = [modality for modality in frames if modality.has_joints]
        for modality in jointed:
            frames[modality] = self._pose(modality, frames[modality], features.joint_layout or "")
        for modality, array in frames.items():
            if array.shape[-1] != self._channels[modality]:
                raise FeatureShapeInvalid(
                    f"tensor {str(modality)!r} has {array.shape[-1]} channels; this model reads "
                    f"{self._channels[modality]}",
                    field=modality,
                )
        layout = self._layout.name if self._layout is not None and jointed else None
        return ClipFeatures(frames, layout, features.extractors, filled_joints=features.filled_joints)

    def _pose(self, modality: Modality, frames: Frames, layout: str) -> Frames:
        if self._layout is None:
            raise FeatureShapeInvalid("this model reads no joint layout", field=modality)
        # Confidence comes last in C, so keeping the first channels drops it.
        pose: Frames = convert(frames, LAYOUTS[layout], self._layout)[..., : self._channels[modality]]
        return pose


def read_content(
    store: FeatureStore, source: FeatureFile | InlineFeatures, admit: Admission = admit_any
) -> tuple[bytes, str]:
    """The bytes of an upload's features, verified against its checksum, and what to call the place that they are from.

    Raises what the store raises, and ``FeatureFileCorrupt`` for a checksum that differs.
    """
    if isinstance(source, InlineFeatures):
        return source.content, "inline features"
    content = store.read(source.uri, admit)
    _check_sha256(content, source)
    return content, source.uri


def in_place(where: str, decode: Callable[[], ClipFeatures]) -> ClipFeatures:
    """What ``decode`` returns; a ``FeatureError`` that it raises begins with the place."""
    try:
        return decode()
    except FeatureError as error:
        raise type(error)(f"{where}: {error.message}", field=error.field) from error


def _check_sha256(content: bytes, source: FeatureFile) -> None:
    if source.sha256 is not None and hashlib.sha256(content).hexdigest() != source.sha256:
        raise FeatureFileCorrupt(
            f"{source.uri!r}: checksum mismatch with the upload's sha256; send the file again, or the right checksum",
            field="features.sha256",
        )
