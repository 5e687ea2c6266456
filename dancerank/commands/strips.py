"""``strips``: the best and the last clips of a challenge, as strips of skeletons."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from dancerank.answer_pictures import Drawings
from dancerank.commands.options import Config, Generation
from dancerank.commands.picture_files import picture_format, write_picture
from dancerank.commands.questions import store_service
from dancerank.console.terminal import Console
from dancerank.processes import Processes
from dancerank.settings import load_settings
from ranking.serving.strips import challenge_strips
from schemas.modalities import Dimension
from schemas.picture_formats import STILL
from schemas.questions.retrieval import Window


def strips(
    challenge: Annotated[str, typer.Argument(help="The challenge.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File to write the picture to: .png or .svg (Fig. 9).")],
    by: Annotated[Dimension, typer.Option(help="The modality to rank by, or the fused score.")] = Dimension.FUSED,
    window: Annotated[
        Window, typer.Option(help="Only clips that were uploaded in the last hour, day or week.")
    ] = "all",
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Draw the best five and the last five clips of a challenge by any visual dimension, each as a strip of skeletons.

    Skeletons are read from the feature files that uploads named. Clips whose features came inline, or of which only a
    video is kept, are shown without one.
    """
    picture_format(out, STILL)
    processes = Processes(load_settings(config))
    with store_service(config) as service, processes.scoring() as scoring:
        skeleton_of = processes.feedback(scoring).skeleton
        found = challenge_strips(service, skeleton_of, challenge, by, generation=generation, window=window)
    write_picture(Console(), out, partial(Drawings().strips, found))
