"""Decodes a file in one call, as the extractors see it."""

from pathlib import Path
from typing import Any

from extraction.decoding.content import open_path
from extraction.decoding.video import DecodedVideo, DecoderLimits, DecodingReport
from extraction.frames import Frame, VideoProperties
from extraction.settings import ExtractionSettings

MIB = 1024 * 1024


def limits(**changes: Any) -> DecoderLimits:
    """The default limits with ``changes``, named as the settings are."""
    return DecoderLimits.of(ExtractionSettings(**changes))


def decode(path: Path, **changes: Any) -> tuple[VideoProperties, list[Frame], DecodingReport]:
    """Everything of the video at ``path`` under the default limits with ``changes``."""
    with open_path(path, max_bytes=64 * MIB) as content, DecodedVideo(content, limits(**changes)) as video:
        frames = [frame for batch in video.batches() for frame in batch]
        assert video.report is not None
        return video.properties, frames, video.report
