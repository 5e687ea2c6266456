"""The features that an upload brought, verified as the streamer does, whatever modalities today's bundle scores."""

from schemas.events import FeatureFile, InlineFeatures
from schemas.features import ClipFeatures, Frames, decode_features
from schemas.joints import LAYOUTS, JointLayout, convert
from schemas.modalities import Modality
from streamer.loading import in_place, read_content
from streamer.stores import FeatureStore


class UploadedFeatures:
    """Reads features as they were uploaded or, with a ``layout``, with all skeletons in it, without confidences."""

    def __init__(self, store: FeatureStore, *, max_bytes: int, layout: JointLayout | None = None) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._layout = layout

    def read(self, source: FeatureFile | InlineFeatures) -> ClipFeatures:
        """Raises a ``FeatureError``, or ``FeatureStoreUnavailable`` if the store did not answer."""
        content, where = read_content(self._store, source)
        return in_place(where, lambda: self._in_layout(decode_features(content, max_bytes=self._max_bytes)))

    def _in_layout(self, features: ClipFeatures) -> ClipFeatures:
        if self._layout is None or features.joint_layout is None:
            return features
        source, kept = LAYOUTS[features.joint_layout], self._layout.coordinates
        frames: dict[Modality, Frames] = {
            m: convert(array, source, self._layout)[..., :kept] if m.has_joints else array
            for m, array in features.frames.items()
        }
        return ClipFeatures(frames, self._layout.name, features.extractors)
