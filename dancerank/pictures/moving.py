"""A clip's guidance as a picture that moves, slowly: WebP, GIF or, with the extra ``video``, mp4."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from itertools import islice, repeat
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
from PIL import Image as Pillow

from dancerank.pictures.bodies import (
    ARROW,
    SIDES,
    Box,
    Placement,
    arrow_key,
    arrows,
    centred,
    extent,
    photograph,
    scale_to_fit,
    sides_key,
    skeleton,
)
from dancerank.pictures.fonts import fitted, wrapped
from dancerank.pictures.guidance import UNIT, largest
from dancerank.pictures.raster import raster
from dancerank.pictures.sheets import FAINT, INK, SUBDUED, Double, Image, Line, Mark, Rectangle, Sheet, Text
from extraction.drawing.colours import BLACK, WHITE
from schemas.joints import JointLayout
from schemas.picture_formats import MovingFormat, PictureFormat

FASTEST_HZ: Final = 12.5
"""Frames of a clip that are shown per second of it, …"""
MOST_FRAMES: Final = 240
"""… fewer of clips longer than 19.2 s, so that no picture has more frames."""
MOST_GIF_FRAMES: Final = 80
"""Of a GIF over a video, in which each frame takes some 60 KB."""
SLOWNESS: Final = 2.0
"""Seconds of the picture per second of the clip, …"""
LONGEST_STAY_S: Final = 0.2
"""… less where a frame would stay for longer than this; never less than one."""
SENTENCE_S: Final = 1.0
"""How long before and after its moment a sentence stands."""
LONGEST_ARROW: Final = 0.4
"""Of the largest vector of the clip, as a share of the height of the body's box: most moments have far smaller ones."""

_SIZE: Final = (420, 560)
_BODY: Final = Box(8, 38, 404, 404)
_MARGIN: Final = 22.0
_LEAST_BODY: Final = 0.6
_EVEN_S: Final = 1.0
"""Over which the place of a camera that follows is averaged."""
_GIF_TONES: Final = 5
"""Of a GIF's colours: how many lie between one colour of the drawing and white, and black."""


@dataclass(frozen=True)
class MovingClip:
    """A clip and its guidance. ``positions`` and ``gradient``: (T, V, 2) at ``rate_hz``, T ≥ 1, NaN at missing joints;
    ``sentences``: by their moments in seconds.
    """

    title: str
    layout: JointLayout
    rate_hz: float
    positions: Double
    gradient: Double
    unit: str = UNIT
    sentences: Mapping[float, str] = field(default_factory=dict)

    def shown(self, most: int = MOST_FRAMES) -> range:
        """The numbers of the frames that a picture of at most ``most`` has."""
        frames = len(self.positions)
        return range(0, frames, max(1, round(self.rate_hz / FASTEST_HZ), ceil(frames / most)))

    def stay_s(self, most: int = MOST_FRAMES) -> float:
        """How long each of them stays."""
        step_s = self.shown(most).step / self.rate_hz
        return max(step_s, min(step_s * SLOWNESS, LONGEST_STAY_S))


def moving_guidance(
    clip: MovingClip,
    kind: MovingFormat = PictureFormat.WEBP,
    video: Iterable[Image] | None = None,
    image_scale: float = 1.0,
) -> bytes:
    """The clip in a loop, its camera at rest, or after a dancer who covers much ground.

    ``video``: the frames (H, W, 3) of all T moments in turn, read as they are needed; the skeleton is drawn over them.
    ``image_scale``: pixels of a frame per pixel of the positions.

    Raises ``ModuleNotFoundError`` for an mp4 without the extra ``video``.
    """
    most = MOST_GIF_FRAMES if kind is PictureFormat.GIF and video is not None else MOST_FRAMES
    drawn = _frames(clip, clip.shown(most), clip.stay_s(most), video, image_scale)
    each_s = clip.stay_s(most)
    if kind is PictureFormat.MP4:
        return _mp4(drawn, each_s)
    if kind is PictureFormat.GIF:
        drawn = _with_colours(drawn, None if video is not None else _palette())
    first = next(drawn)
    made = BytesIO()
    options: dict[str, Any] = {"disposal": 1, "optimize": False}
    if kind is PictureFormat.WEBP:  # a drawing is smaller and sharper without loss
        options = {"lossless": True, "method": 1, "quality": 40} if video is None else {"method": 1, "quality": 60}
    first.save(made, kind.name, save_all=True, append_images=drawn, duration=round(each_s * 1000), loop=0, **options)
    return made.getvalue()


def _frames(
    clip: MovingClip, shown: range, stay_s: float, video: Iterable[Image] | None, image_scale: float
) -> Iterator[Pillow.Image]:
    longest = largest(clip.gradient)
    per_unit = LONGEST_ARROW * _BODY.height / longest if longest > 0 else 0.0
    placements = _camera(clip.positions, clip.rate_hz)
    images: Iterable[Image | None] = repeat(None) if video is None else islice(video, 0, None, shown.step)
    for frame, image in zip(shown, images, strict=False):
        sheet, placement = Sheet(*_SIZE, clip.title), placements[frame]
        if image is not None:
            sheet.add(*photograph(image, image_scale, _BODY, placement))
        sheet.add(*skeleton(clip.positions[frame], clip.layout, placement, 4))
        sheet.add(*arrows(clip.positions[frame], clip.gradient[frame], clip.layout, placement, per_unit, clip.unit))
        sheet.add(*_around(clip, frame, shown.step, stay_s))
        sheet.add(*arrow_key((_BODY.left + 2, _SIZE[1] - 16), longest, per_unit, clip.unit))
        yield raster(sheet)


def _camera(positions: Double, rate_hz: float) -> list[Placement]:
    """Where each frame lies. The camera is at rest, unless the dancer covers so much ground that the body would be less
    than ``_LEAST_BODY`` of what it could be: then it follows the body, evenly."""
    inner = Box(0, 0, _BODY.width - 2 * _MARGIN, _BODY.height - 2 * _MARGIN)
    at_rest = scale_to_fit([positions], inner)
    following = scale_to_fit(list(positions), inner)
    if at_rest >= _LEAST_BODY * following:
        return [centred(positions, _BODY, at_rest)] * len(positions)
    middles = np.array([np.mean(extent(pose), axis=0) for pose in positions])
    known = [frame for frame, pose in enumerate(positions) if np.isfinite(pose).all(1).any()]
    frames = np.arange(len(positions))
    window = np.ones(max(1, min(round(rate_hz * _EVEN_S), len(positions))))
    filled = [np.interp(frames, known, along[known]) for along in middles.T]
    sums = np.stack([np.convolve(along, window, "same") for along in filled], 1)
    even = sums / np.convolve(np.ones(len(positions)), window, "same")[:, None]
    middle = np.array([_BODY.left + _BODY.width / 2, _BODY.top + _BODY.height / 2])
    return [Placement(following, *(middle - each * following).tolist()) for each in even]


def _around(clip: MovingClip, frame: int, step: int, stay_s: float) -> list[Mark]:
    """Title, time, and the sentence of a moment near this one; over what reaches beyond the body's box."""
    left, top, wide, high = _BODY
    below = top + high
    second, duration_s = frame / clip.rate_hz, len(clip.positions) / clip.rate_hz
    so_far = min(1.0, (frame + step) / len(clip.positions))
    made: list[Mark] = [
        Rectangle("frame", (0, 0), _SIZE[0], top, WHITE),
        Rectangle("frame", (0, below), _SIZE[0], _SIZE[1] - below, WHITE),
        Line("frame", [(0, top), (_SIZE[0], top)], FAINT, 1),
        Text("title", (10, 26), fitted(clip.title, 15, _SIZE[0] - 20, bold=True), 15, bold=True),
        Rectangle("time", (0, below), _SIZE[0], 5, FAINT),
        Rectangle("time", (0, below), _SIZE[0] * so_far, 5, SUBDUED),
        Text(
            "time",
            (left, below + 23),
            f"{second:.1f} of {duration_s:.1f} s, speed {step / clip.rate_hz / stay_s:.0%}",
            13,
            colour=SUBDUED,
        ),
        *sides_key(left + wide, below + 19, ""),
    ]
    moment = min(clip.sentences, key=lambda at: abs(at - second), default=None)
    if moment is not None and abs(moment - second) <= SENTENCE_S:
        lines = wrapped(clip.sentences[moment], 14, wide, 3)
        made += [Text("sentence", (left, below + 43 + 17 * at), line, 14) for at, line in enumerate(lines)]
    return made


def _palette() -> Pillow.Image:
    """The colours of a drawing without a video, and those on the way from each of them to white and to black."""
    colours = [WHITE, BLACK]
    for colour in (ARROW, FAINT, INK, SUBDUED, *SIDES.values()):
        for end in (WHITE, BLACK):
            steps = np.linspace(colour, end, _GIF_TONES, endpoint=False)
            colours += [(int(red), int(green), int(blue)) for red, green, blue in steps.round()]
    made = Pillow.new("P", (1, 1))
    made.putpalette([channel for colour in dict.fromkeys(colours) for channel in colour])
    return made


def _with_colours(images: Iterator[Pillow.Image], palette: Pillow.Image | None) -> Iterator[Pillow.Image]:
    """In the colours of ``palette``, or in 64 of each image's own."""
    for image in images:
        if palette is None:
            yield image.quantize(64, Pillow.Quantize.FASTOCTREE, dither=Pillow.Dither.NONE)
        else:
            yield image.quantize(palette=palette, dither=Pillow.Dither.NONE)


def _mp4(images: Iterator[Pillow.Image], each_s: float) -> bytes:
    from extraction.drawing.video_files import VideoWriter
    from extraction.frames import FRAME_RATE_HZ

    repeated = max(1, round(each_s * FRAME_RATE_HZ))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "moving.mp4"
        with VideoWriter(path, "mp4") as writer:
            for image in images:
                pixels = np.array(image)
                for _ in range(repeated):
                    writer.write(pixels)
        return path.read_bytes()
