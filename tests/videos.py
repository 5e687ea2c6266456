"""Videos of real people, for tests: ``python -m tests.videos`` fetches them into the cache folder."""

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from extraction.decoding.content import open_path
from extraction.decoding.cutting import cut
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.frames import FRAME_RATE_HZ, Frame, VideoProperties
from extraction.sample_videos import fetch, fetched, video_folder
from extraction.settings import ExtractionSettings
from tests.extractors import skip_or_fail

NAMES = ("dancer", "carphone", "rabbit")


def fetched_video(name: str) -> Path:
    """The sample video ``name``. Without it the test is skipped with the reason, under ``CI=true`` it fails."""
    path = fetched(name, video_folder())
    if path is None:
        skip_or_fail(f"the video {name!r} is not in {video_folder()}; run deploy/test-extractors.sh")
    return path


def decoded(path: Path, count: int) -> tuple[VideoProperties, list[Frame]]:
    """The first ``count`` frames at 25 Hz, of a video of any length."""
    limits = DecoderLimits.of(ExtractionSettings())
    with tempfile.NamedTemporaryFile(suffix=".mkv") as part:
        cut(path, Path(part.name), length_s=count / FRAME_RATE_HZ + 1)
        with open_path(Path(part.name), max_bytes=1 << 30) as content, DecodedVideo(content, limits) as video:
            return video.properties, list(islice(_frames(video), count))


def _frames(video: DecodedVideo) -> Iterator[Frame]:
    for batch in video.batches():
        yield from batch


if __name__ == "__main__":
    fetch(list(NAMES), video_folder())
