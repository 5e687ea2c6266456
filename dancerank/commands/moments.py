"""``moments``: the seconds that made the score of a routine."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.answer_pictures import Drawings
from dancerank.commands.options import Config, Generation
from dancerank.commands.picture_files import picture_format, write_picture
from dancerank.commands.questions import store_service, titled
from dancerank.console.terminal import Console
from schemas.moments import DEFAULT_APART_S, DEFAULT_MOMENTS, MOST_APART_S, MOST_MOMENTS, ClipMoments
from schemas.picture_formats import STILL


def moments(
    clip: Annotated[str, typer.Argument(help="A routine: a clip longer than 60 s.")],
    count: Annotated[int, typer.Option(min=1, max=MOST_MOMENTS, help="How many moments to choose.")] = DEFAULT_MOMENTS,
    apart: Annotated[
        float, typer.Option(min=0, max=MOST_APART_S, help="The fewest seconds between any two.")
    ] = DEFAULT_APART_S,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", "--picture", help="File to write a picture to: .png or .svg."),
    ] = None,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Which seconds made the score of a routine: the heaviest moments of its attention, apart."""
    console = Console()
    if out is not None:
        picture_format(out, STILL)
    with store_service(config) as service:
        found = service.moments(clip, count=count, apart_s=apart, generation=generation)
    console.print(moments_table(found))
    if out is not None:
        write_picture(console, out, partial(Drawings().moments, found))


def moments_table(found: ClipMoments) -> Table:
    """A row for each moment, the heaviest first."""
    title = f"{found.clip_id}: what made its score of {found.score:.4f}, over {found.seconds:g} s"
    table = Table(
        *(Column(name, justify="right") for name in ("", "seconds", "weight", "× equal")), "part", title=titled(title)
    )
    table.caption = "weight: share of the attention of its part; × equal: compared with attention to all alike"
    for number, each in enumerate(found.moments, 1):
        table.add_row(
            f"{number}",
            f"{each.start_s:.1f}–{each.end_s:.1f}",
            f"{each.weight:.3f}",
            f"{each.times_equal:.2f}",
            Text(each.part),
        )
    return table
