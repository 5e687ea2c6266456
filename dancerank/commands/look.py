"""``look``: pictures of what was extracted from a video, and of what a model makes of it (docs/extraction.md)."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dancerank.commands.options import Config
from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.terminal import Console
from dancerank.settings import load_settings, video_bundle
from extraction.decoding.video import require_decoder
from schemas.bundle import read_bundle


class Kind(StrEnum):
    """Formats of the video that is written."""

    MP4 = "mp4"
    WEBP = "webp"


def look(
    video: Annotated[Path, typer.Argument(help="The video.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the pictures to.")],
    features: Annotated[
        Path | None,
        typer.Option(help="Draw the skeleton of this feature file of the video; nothing is extracted."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the model bundle; absent: that of the settings, or the small one for videos that ships."
        ),
    ] = None,
    scores: Annotated[bool, typer.Option(help="Score the clip, and say which moments the score comes from.")] = True,
    kind: Annotated[Kind, typer.Option("--format", help="Of the video that is written.")] = Kind.MP4,
    config: Config = None,
) -> None:
    """Draw what was extracted from a video: skeleton, outline, face and background, scores and attention over time.

    Writes look.mp4, frames.png, backgrounds.png, moments.png: the frames that raise the score most and lower it most,
    and saliency.png: which parts of these frames do. Both are found by occlusion: how much lower the score is without a
    moment, or with a part of the picture hidden.
    """
    require_decoder()
    from dancerank.videos.overviews import look_at

    settings = load_settings(config)
    check_folder_to_write(out)
    model = read_bundle(bundle or settings.bundle or video_bundle()) if scores else None
    look_at(video, out, settings, Console(), bundle=model, features=features, kind=kind.value)
