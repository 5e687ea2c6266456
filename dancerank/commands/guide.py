"""``guide``: what would raise a clip's score."""

from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.options import Config
from dancerank.commands.picture_files import picture_format
from dancerank.commands.questions import store_service, titled
from dancerank.console.terminal import Console
from dancerank.feedback.guide_reports import (
    FoundClip,
    clip_of_file,
    clip_of_source,
    guidance_of,
    picture_of,
)
from dancerank.settings import Settings, load_settings, video_bundle
from dancerank.videos.folders import SUFFIXES
from schemas.bundle import read_bundle
from schemas.errors import FeatureFileMissing, FeaturesNotKept
from schemas.local_files import is_file
from schemas.picture_formats import MOVING, STILL
from schemas.questions.feedback import MOST_CRITICAL, GuidedScore, SmoothingName
from streamer.guidance.clip_guidance import Guidance
from streamer.guidance.critical import APART_S, COUNT, CriticalFrame, critical_frames
from streamer.guidance.smoothing import DEFAULT_SMOOTHING

FORMATS: Final = (*STILL, *MOVING)


def guide(
    clip: Annotated[
        str, typer.Argument(help="A clip by its id in the database of the settings, a feature file, or a video.")
    ],
    of: Annotated[GuidedScore, typer.Option(help="The score to raise.")] = "skeletal",
    critical: Annotated[
        int, typer.Option(min=1, max=MOST_CRITICAL, help="How many critical frames to choose.")
    ] = COUNT,
    apart: Annotated[float, typer.Option(min=0, max=60, help="How many seconds they are apart.")] = APART_S,
    smoothing: Annotated[
        SmoothingName, typer.Option(help="How the gradient becomes directions (docs/feedback.md).")
    ] = DEFAULT_SMOOTHING,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File to draw to, over the video if there is one: .png or .svg of the critical frames, .webp, .gif or "
            ".mp4 of the whole clip.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Folder of the model bundle; absent: that of the settings, or the one for videos."),
    ] = None,
    config: Config = None,
) -> None:
    """What would raise a clip's score: the moments that count most, and how to move the joints in them."""
    console, settings = Console(), load_settings(config)
    format = None if out is None else picture_format(out, FORMATS)
    found = _found(clip, settings, config)
    default = settings.bundle_folder if found.video is None else settings.bundle or video_bundle()
    model = read_bundle(bundle or default)
    guidance = guidance_of(found, model, settings, of, smoothing)
    moments = critical_frames(guidance, critical, apart)
    console.print(guidance_table(found.name, guidance, moments))
    console.print(
        f"score of generation {guidance.generation}, trained on {model.manifest.training_data or 'unknown clips'}",
        markup=False,
        style="dim",
    )
    if out is not None and format is not None:
        out.write_bytes(picture_of(found, guidance, moments, format, settings))
        console.print(f"written to {out}", markup=False)


def guidance_table(name: str, guidance: Guidance, moments: list[CriticalFrame]) -> Table:
    """A row for each critical frame. Magnitudes are per mean absolute deviation, which compares between clips."""
    title = f"{name}: what would raise its {guidance.of} score of {guidance.score:.4f}"
    table = Table(
        Column("second", justify="right"), Column("magnitude", justify="right"), "what to do", title=titled(title)
    )
    table.caption = f"magnitude in score per mean absolute deviation of the joints; smoothing: {guidance.smoothing}"
    for each in moments:
        table.add_row(f"{each.time_s:.2f}", f"{each.magnitude * guidance.scale:.3g}", Text(each.sentence))
    if not moments:
        table.add_row("–", "0", "no joint would raise the score")
    return table


def _found(clip: str, settings: Settings, config: Path | None) -> FoundClip:
    path = Path(clip)
    if is_file(path):
        return clip_of_file(path, settings)
    if "/" in clip or path.suffix.lower() in (*SUFFIXES, ".safetensors"):
        raise FeatureFileMissing(f"{clip}: there is no such file; name a feature file, a video, or a clip by its id")
    with store_service(config) as service:
        kept = service.source(clip)
    if kept is None:
        raise FeaturesNotKept(
            f"the features of clip {clip} came with its upload and were not kept; name its feature file or its video",
            field="clip",
        )
    return clip_of_source(clip, kept, settings)
