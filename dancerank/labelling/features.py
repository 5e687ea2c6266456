"""Features of uploads, verified as the streamer does, in all modalities, also those that the active bundle lacks."""

from schemas.events import FeatureSource
from schemas.features import ClipFeatures, Frames
from schemas.joints import LAYOUTS, JointLayout, convert
from schemas.modalities import Modality
from schemas.ports import FeatureExtractor
from streamer.loading import FeatureReader
from streamer.stores import FeatureStore


class UploadedFeatures:
    """Reads features as they were uploaded or, with a ``layout``, with all skeletons in it, without confidences."""

    def __init__(
        self,
        store: FeatureStore,
        *,
        max_bytes: int,
        layout: JointLayout | None = None,
        extractor: FeatureExtractor | None = None,
    ) -> None:
        self._reader = FeatureReader(store, max_bytes=max_bytes, extractor=extractor)
        self._layout = layout

    def read(self, source: FeatureSource) -> ClipFeatures:
        """Raises a ``FeatureError``, or ``FeatureStoreUnavailable`` if the store did not answer."""
        return self._reader.read(source, prepare=self._in_layout)

    def _in_layout(self, features: ClipFeatures) -> ClipFeatures:
        if self._layout is None or features.joint_layout is None:
            return features
        source, kept = LAYOUTS[features.joint_layout], self._layout.coordinates
        frames: dict[Modality, Frames] = {
            m: convert(array, source, self._layout)[..., :kept] if m.has_joints else array
            for m, array in features.frames.items()
        }
        return ClipFeatures(frames, self._layout.name, features.extractors)
