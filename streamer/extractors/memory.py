"""An extractor for tests: the features of each video are given beforehand."""

import hashlib
from collections.abc import Mapping

from schemas.errors import FeatureFileCorrupt, FeatureFileMissing
from schemas.events import VideoFile
from schemas.features import ClipFeatures


class MemoryExtractor:
    """``FeatureExtractor`` of the videos it was given: by URI, their bytes and the features in them."""

    def __init__(self, videos: Mapping[str, tuple[bytes, ClipFeatures]]) -> None:
        self._videos = videos

    def extract(self, video: VideoFile) -> ClipFeatures:
        if video.uri not in self._videos:
            raise FeatureFileMissing("no such video; upload it before the event", field="features.uri")
        content, features = self._videos[video.uri]
        if video.sha256 not in (None, hashlib.sha256(content).hexdigest()):
            raise FeatureFileCorrupt(
                "checksum mismatch with the upload's sha256; send the video again, or the right checksum",
                field="features.sha256",
            )
        return features
