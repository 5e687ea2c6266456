"""Checks that every implementation of ``FeatureExtractor`` passes, one function to a rule.

For an extractor of your own, in a test::

    @pytest.mark.parametrize("check", EXTRACTOR_CHECKS, ids=lambda check: check.__name__)
    def test_my_extractor(check):
        check(MyExtractor(), VideoFile(path.as_uri(), sha256))

``video`` exists, has features and comes with its checksum. A check raises ``AssertionError`` saying which rule does not
hold.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import msgspec

from schemas.errors import FeatureError, FeatureFileCorrupt, FeatureFileMissing
from schemas.events import VideoFile
from schemas.features import encode_features
from schemas.ports import FeatureExtractor

Check = Callable[[FeatureExtractor, VideoFile], None]

_THREADS: Final = 4


def check_features(extractor: FeatureExtractor, video: VideoFile) -> None:
    """It returns features that a feature file may hold, and names what made each of them."""
    features = extractor.extract(video)
    encode_features(features)
    unnamed = [str(m) for m in features.modalities if not features.extractors.get(m)]
    _expect(not unnamed, f"it does not name what made {', '.join(unnamed)}")


def check_repeated_calls(extractor: FeatureExtractor, video: VideoFile) -> None:
    """It returns the same features again, also to several threads at once: an upload may be read twice."""
    first = encode_features(extractor.extract(video))
    with ThreadPoolExecutor(_THREADS) as pool:
        for again in pool.map(extractor.extract, [video] * _THREADS):
            _expect(encode_features(again) == first, "another call returned other features")


def check_checksum(extractor: FeatureExtractor, video: VideoFile) -> None:
    """It raises ``FeatureFileCorrupt`` for a checksum that differs, and does without one."""
    extractor.extract(msgspec.structs.replace(video, sha256=None))
    _expect_error(extractor, msgspec.structs.replace(video, sha256="0" * 64), FeatureFileCorrupt)


def check_missing_video(extractor: FeatureExtractor, video: VideoFile) -> None:
    """It raises ``FeatureFileMissing`` for a video that is not there."""
    _expect_error(extractor, msgspec.structs.replace(video, uri=f"{video.uri}-absent"), FeatureFileMissing)


EXTRACTOR_CHECKS: Final[tuple[Check, ...]] = (
    check_features,
    check_repeated_calls,
    check_checksum,
    check_missing_video,
)


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)


def _expect_error(extractor: FeatureExtractor, video: VideoFile, expected: type[FeatureError]) -> None:
    try:
        extractor.extract(video)
    except expected:
        return
    raise AssertionError(f"it did not raise {expected.__name__} for {video}")
