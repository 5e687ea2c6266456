"""Pictures of guidance, where the package that draws is installed."""

from typing import Final

import numpy as np

from dancerank.feedback.answers import in_the_picture
from schemas.errors import NotOffered
from schemas.feedback import Picture, PictureKind, PictureType
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import CriticalFrame

MEDIA_TYPES: Final = {
    PictureType.PNG: "image/png",
    PictureType.SVG: "image/svg+xml",
    PictureType.WEBP: "image/webp",
    PictureType.GIF: "image/gif",
}
_UNITS: Final = {2: "score per pixel", 3: "score per unit of length"}


def drawn(
    guidance: Guidance, critical: list[CriticalFrame], kind: PictureKind, format: PictureType, title: str
) -> Picture:
    """``format`` is one of ``schemas.feedback.FORMATS`` of ``kind``. Raises ``NotOffered`` without the extra."""
    try:
        from dancerank.pictures.guidance import GuidedFrame, guidance_frames
        from dancerank.pictures.moving import MovingClip, MovingFormat, moving_guidance
        from dancerank.pictures.sheets import PictureFormat
    except ModuleNotFoundError as error:
        raise NotOffered(f"pictures need {error.name}, which is not installed; install dancerank[pictures]") from error
    hidden = guidance.missing[..., None]
    positions = np.where(hidden, np.nan, in_the_picture(guidance.positions, guidance.layout))
    gradient = np.where(hidden, np.nan, in_the_picture(guidance.gradient, guidance.layout))
    unit = _UNITS[guidance.layout.coordinates]
    if kind is PictureKind.MOVING:
        sentences = {each.time_s: each.sentence for each in critical}
        clip = MovingClip(title, guidance.layout, guidance.rate_hz, positions, gradient, unit, sentences)
        return Picture(moving_guidance(clip, MovingFormat(format.value)), MEDIA_TYPES[format])
    frames = [GuidedFrame(each.time_s, positions[each.frame], gradient[each.frame], each.sentence) for each in critical]
    content = guidance_frames(frames, guidance.layout, title=title, kind=PictureFormat(format.value), unit=unit)
    return Picture(content, MEDIA_TYPES[format])
