"""Pictures of what was extracted from a video and of what a model makes of it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from dancerank.videos.explaining import PART_S, Explanation
from dancerank.videos.saliency import FrameSaliency
from extraction.decoding.content import VideoContent
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.drawing.charts import Row, panel, with_cursor
from extraction.drawing.colours import PANEL
from extraction.drawing.heat import heated
from extraction.drawing.marks import draw_face, draw_outline, draw_skeleton, draw_text
from extraction.drawing.sheets import Captioned, contact_sheet, write_png
from extraction.drawing.video_files import VideoFormat, VideoWriter
from extraction.frames import FRAME_RATE_HZ, Frame, Image
from extraction.recording import Recording
from extraction.resizing import resized

SHEET_FRAMES: Final = 12
BACKGROUNDS: Final = 12
MOMENTS: Final = 4
"""Frames that are shown of the moments that raise the score most, and of those that lower it most."""
FACE_FRAMES: Final = 9
"""A face is looked for three times in a second; its box stays until the next is due."""
SALIENT: Final = 2
"""Of these, those of which ``saliency.png`` shows the salient parts: each takes fifty runs of a network."""
_LEGEND_HEIGHT: Final = 52
LEAST_WIDTH: Final = 480
"""Smaller videos are enlarged, so that words on them can be read."""


class Look(NamedTuple):
    """What there is to draw of a video of ``frames`` frames. ``explanation``: ``None`` if no model scored it;
    ``saliency``: ``None`` if the model reads no features of whole pictures.
    """

    frames: int
    recording: Recording
    explanation: Explanation | None
    saliency: FrameSaliency | None = None

    @property
    def duration_s(self) -> float:
        return self.frames / FRAME_RATE_HZ


def draw(
    content: VideoContent,
    limits: DecoderLimits,
    look: Look,
    folder: Path,
    kind: VideoFormat,
    on_progress: Callable[[int, int], None],
) -> list[Path]:
    """Write ``look.mp4`` (or ``.webp``), ``frames.png`` and, of what there is, ``backgrounds.png``, ``moments.png`` and
    ``saliency.png``; returns their paths. The video is decoded once more, in bounded memory.

    Raises what ``DecodedVideo`` raises, ``ConfigurationError`` for a file that cannot be written.
    """
    wanted = {round(at) for at in np.linspace(0, look.frames - 1, min(SHEET_FRAMES, look.frames))}
    chosen = _moments(look)
    sheet: list[Captioned] = []
    shown: dict[int, Image] = {}
    plain: dict[int, Image] = {}
    rows = rows_of(look.explanation) if look.explanation else []
    charts: Image | None = None
    written = [folder / f"look.{kind}"]
    with DecodedVideo(content, limits) as video, VideoWriter(written[0], kind) as made:
        for batch in video.batches():
            for frame in batch:
                image = drawn(frame, look)
                if frame.index in wanted:
                    sheet.append(Captioned(image, f"{frame.time_s:.1f} s"))
                if frame.index in chosen:
                    shown[frame.index], plain[frame.index] = image, frame.image
                if rows and charts is None:
                    charts = panel(rows, image.shape[1], look.duration_s)
                below = [] if charts is None else [with_cursor(charts, frame.time_s, look.duration_s)]
                made.write(np.concatenate([with_scores(image, look.explanation), *below]))
            on_progress(batch[-1].index + 1, look.frames)
    sheets = {"frames": sheet, "backgrounds": _backgrounds(look.recording)}
    if shown:
        sheets["moments"] = [Captioned(shown[at], chosen[at]) for at in chosen if at in shown]
    for name, pictures in sheets.items():
        if pictures:
            written.append(folder / f"{name}.png")
            write_png(written[-1], contact_sheet(pictures))
    if look.saliency is not None and plain:
        written.append(folder / "saliency.png")
        order = [at for at in chosen if at in plain]
        most = [*order[:SALIENT], *order[max(SALIENT, len(order) - SALIENT) :]]
        write_png(written[-1], _salient([(at, plain[at]) for at in most], look.saliency))
    return written


def drawn(frame: Frame, look: Look) -> Image:
    """A copy of the frame with the outline of the dancer, the skeleton and the face, enlarged if it is small."""
    record = look.recording
    image = frame.image.copy()
    if (outline := record.outlines.get(frame.index)) is not None:
        draw_outline(image, outline)
    factor = max(1, round(LEAST_WIDTH / image.shape[1]))
    if factor > 1:
        image = resized(image, image.shape[0] * factor, image.shape[1] * factor)
    if (pose := record.poses.get(frame.index)) is not None:
        draw_skeleton(image, pose * np.array([factor, factor, 1], np.float32))
    last = next((at for at in range(frame.index, frame.index - FACE_FRAMES, -1) if at in record.faces), None)
    if last is not None:
        x0, y0, x1, y1 = record.faces[last]
        draw_face(image, (x0 * factor, y0 * factor, x1 * factor, y1 * factor))
    return image


def with_scores(image: Image, explanation: Explanation | None) -> Image:
    """A copy with the scores of the whole clip in the upper left corner."""
    if explanation is None:
        return image
    image = image.copy()
    lines = [f"score {explanation.fused:.3f}"]
    lines += [
        f"{modality} {score:.3f}, attention {explanation.attention[modality]:.0%}"
        for modality, score in explanation.scores.items()
    ]
    for number, line in enumerate(lines):
        draw_text(image, line, (10, 20 + 18 * number), size=0.45)
    return image


def rows_of(explanation: Explanation) -> list[Row]:
    """The charts below the video. Those of the clip's parts need a clip that is longer than a part."""
    times_s = explanation.times_s
    rows = [Row("what each second adds to the score", times_s, explanation.importance, "bars")]
    if times_s[-1] > 2 * PART_S:
        around = f"in the {PART_S:g} s around"
        names = [*explanation.attention]
        rows += [
            Row(f"score {around}", times_s, explanation.part_scores, "line"),
            Row(f"attention {around}", times_s, explanation.part_attention, "stack", names),
        ]
    return rows


def _moments(look: Look) -> dict[int, str]:
    """The frames in the middle of the moments that raise and lower the score most, with captions, in this order."""
    if look.explanation is None:
        return {}
    times_s, importance = look.explanation.times_s, look.explanation.importance
    order = np.argsort(-importance, kind="stable").tolist()
    chosen: dict[int, str] = {}
    count = min(MOMENTS, len(order) // 2)
    for at in [*order[:count], *order[len(order) - count :]]:
        frame = min(round(float(times_s[at]) * FRAME_RATE_HZ), look.frames - 1)
        chosen[frame] = f"{times_s[at]:.1f} s, {importance[at]:+.3g}"
    return chosen


def _backgrounds(record: Recording) -> Sequence[Captioned]:
    taken = record.backgrounds
    chosen = sorted({round(at) for at in np.linspace(0, len(taken) - 1, min(BACKGROUNDS, len(taken)))})
    return [
        Captioned(taken[at].image, f"{taken[at].time_s:.1f} s, {taken[at].unseen.mean():.0%} filled in")
        for at in chosen
    ]


def _salient(frames: Sequence[tuple[int, Image]], saliency: FrameSaliency) -> Image:
    """The frames with what raises the score in orange and what lowers it in blue, all in one scale."""
    found = [(image, at / FRAME_RATE_HZ, saliency.of(image, at / FRAME_RATE_HZ)) for at, image in frames]
    limit = max(np.abs(each.importance).max() for _, _, each in found)
    sheet = contact_sheet(
        [
            Captioned(heated(image, each.importance, each.crop, limit), f"{second:.1f} s, {each.strongest:+.2g}")
            for image, second, each in found
        ]
    )
    legend = np.full((_LEGEND_HEIGHT, sheet.shape[1], 3), PANEL, np.uint8)
    words = (
        f"hiding orange lowers the fused score, hiding blue raises it; full colour {limit:.2g}",
        "as the holistic stream sees whole pictures; the number is that of the square that matters most",
    )
    for number, line in enumerate(words, start=1):
        draw_text(legend, line, (10, 20 * number), size=0.45)
    return np.concatenate([sheet, legend])
