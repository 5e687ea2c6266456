"""Videos of tests, and extractors for the setting ``streamer.extractor``."""

import hashlib

from schemas.errors import FeatureStoreUnavailable
from schemas.events import ClipUploadedV2, VideoFile
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from schemas.ports import FeatureExtractor
from streamer.extractors.memory import MemoryExtractor
from tests.clips import UPLOADED_AT_MS, random_features

ROOT = "file:///videos"
CONTENT = b"moving pictures"


def features(seed: int = 0) -> ClipFeatures:
    found = random_features(3.0, modalities=(Modality.SKELETAL, Modality.SCENIC), seed=seed)
    return ClipFeatures(found.frames, found.joint_layout, dict.fromkeys(found.frames, "test 1.0"))


def video(name: str = "clip-1", sha256: str | None = hashlib.sha256(CONTENT).hexdigest()) -> VideoFile:
    return VideoFile(f"{ROOT}/{name}.mp4", sha256)


def video_upload(clip_id: str, source: VideoFile | None = None) -> ClipUploadedV2:
    """An upload of ``clip_id`` that names its video."""
    return ClipUploadedV2(clip_id, f"dancer-of-{clip_id}", "challenge-1", UPLOADED_AT_MS, 3.0, source or video(clip_id))


def memory() -> MemoryExtractor:
    """Knows the videos of clip-1 and clip-2."""
    return MemoryExtractor({video(f"clip-{n}").uri: (CONTENT, features(n)) for n in (1, 2)})


class Failing:
    """Raises ``error``."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def extract(self, video: VideoFile) -> ClipFeatures:
        raise self._error


def broken() -> FeatureExtractor:
    return Failing(ZeroDivisionError("no frames"))


def unavailable() -> FeatureExtractor:
    return Failing(FeatureStoreUnavailable("the store did not answer"))


def nothing() -> object:
    return object()
