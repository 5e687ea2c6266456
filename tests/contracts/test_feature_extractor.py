"""Every extractor passes the checks of the port, and the checks find what breaks a rule."""

from collections.abc import Callable

import msgspec
import pytest

from schemas.events import VideoFile
from schemas.features import ClipFeatures
from schemas.ports import FeatureExtractor
from streamer.extractors import contract
from streamer.extractors.memory import MemoryExtractor
from tests.streamer.videos import features, memory, video


@pytest.mark.parametrize("check", contract.EXTRACTOR_CHECKS, ids=lambda check: check.__name__)
def test_the_extractor_passes_the_checks_of_the_port(check: contract.Check) -> None:
    assert isinstance(memory(), FeatureExtractor)
    check(memory(), video())


class Unnamed(MemoryExtractor):
    def extract(self, video: VideoFile) -> ClipFeatures:
        found = super().extract(video)
        return ClipFeatures(found.frames, found.joint_layout)


class IgnoresTheChecksum(MemoryExtractor):
    def extract(self, video: VideoFile) -> ClipFeatures:
        return super().extract(msgspec.structs.replace(video, sha256=None))


class InventsVideos(MemoryExtractor):
    def extract(self, video: VideoFile) -> ClipFeatures:
        return super().extract(msgspec.structs.replace(video, uri=video.uri.removesuffix("-absent")))


class ChangesItsMind(MemoryExtractor):
    calls = 0

    def extract(self, video: VideoFile) -> ClipFeatures:
        self.calls += 1
        return features(self.calls)


@pytest.mark.parametrize(
    ("extractor", "check"),
    [
        (Unnamed, contract.check_features),
        (IgnoresTheChecksum, contract.check_checksum),
        (InventsVideos, contract.check_missing_video),
        (ChangesItsMind, contract.check_repeated_calls),
    ],
)
def test_the_checks_find_what_breaks_a_rule(extractor: Callable[..., FeatureExtractor], check: contract.Check) -> None:
    with pytest.raises(AssertionError, match=r"name what made|other features|did not raise"):
        check(extractor({video().uri: (b"moving pictures", features())}), video())
