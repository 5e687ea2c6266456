"""Videos in memory, with the dancer in each frame, for benchmarks of extraction."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from extraction.decoding.content import open_path
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.frames import FRAME_RATE_HZ, Frame, VideoProperties
from extraction.streams import OpenPersonTracker, Person

MAX_BYTES: Final = 1 << 30


class Clip(NamedTuple):
    """A video in memory, in batches, with the dancer in each frame."""

    properties: VideoProperties
    batches: Sequence[Sequence[Frame]]
    people: Sequence[Sequence[Person | None]]

    @property
    def length_s(self) -> float:
        return sum(map(len, self.batches)) / FRAME_RATE_HZ


def preloaded(path: Path, limits: DecoderLimits, people: OpenPersonTracker) -> Clip:
    """All frames of the video at ``path``."""
    with open_path(path, max_bytes=MAX_BYTES) as content, DecodedVideo(content, limits) as video:
        tracker = people(video.properties)
        batches = list(video.batches())
        return Clip(video.properties, batches, [tracker.follow(batch) for batch in batches])
