"""Pictures of guidance, where the package that draws is installed."""

from collections.abc import Iterable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from dancerank.answer_pictures import package_that_draws
from dancerank.feedback.answers import in_the_picture
from schemas.picture_formats import MovingFormat, PictureFormat, StillFormat
from schemas.questions.feedback import AnsweredFormat, Picture
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import CriticalFrame

_UNITS: Final = {2: "score per pixel", 3: "score per unit of length"}

Image = npt.NDArray[np.uint8]


def drawn(guidance: Guidance, critical: list[CriticalFrame], format: AnsweredFormat, title: str) -> Picture:
    """What moves shows the whole clip, what stands still the critical frames. Raises ``NotOffered`` without Pillow."""
    if format is PictureFormat.PNG or format is PictureFormat.SVG:
        content = frames_picture(guidance, critical, format, title)
    else:
        content = moving_picture(guidance, critical, format, title)
    return Picture(content, format.media_type)


def frames_picture(
    guidance: Guidance,
    critical: list[CriticalFrame],
    format: StillFormat,
    title: str,
    images: Mapping[int, Image] | None = None,
    image_scale: float = 1.0,
) -> bytes:
    """The critical frames side by side. ``images``: the video's frames (H, W, 3) by their numbers, which
    have ``image_scale`` pixels per pixel of the clip's coordinates.
    """
    with package_that_draws():
        from dancerank.pictures.guidance import GuidedFrame, guidance_frames
    positions, gradient = _shown(guidance)
    frames = [
        GuidedFrame(
            each.time_s,
            positions[each.frame],
            gradient[each.frame],
            each.sentence,
            None if images is None else images.get(each.frame),
            image_scale,
        )
        for each in critical
    ]
    return guidance_frames(frames, guidance.layout, title=title, kind=format, unit=_UNITS[guidance.layout.coordinates])


def moving_picture(
    guidance: Guidance,
    critical: list[CriticalFrame],
    format: MovingFormat,
    title: str,
    video: Iterable[Image] | None = None,
    image_scale: float = 1.0,
) -> bytes:
    """The whole clip, slowly. ``video``: all its frames (H, W, 3) in turn; the rest likewise."""
    with package_that_draws():
        from dancerank.pictures.moving import MovingClip, moving_guidance
    positions, gradient = _shown(guidance)
    clip = MovingClip(
        title,
        guidance.layout,
        guidance.rate_hz,
        positions,
        gradient,
        _UNITS[guidance.layout.coordinates],
        {each.time_s: each.sentence for each in critical},
    )
    return moving_guidance(clip, format, video, image_scale)


def _shown(guidance: Guidance) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    hidden = guidance.missing[..., None]
    values = (guidance.positions, guidance.gradient)
    positions, gradient = (np.where(hidden, np.nan, in_the_picture(each, guidance.layout)) for each in values)
    return positions, gradient
