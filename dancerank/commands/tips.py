"""``tips``: which joints deserve attention in a challenge, and when."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Final

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.answer_pictures import Drawings
from dancerank.commands.options import Config, Generation
from dancerank.commands.picture_files import Out, picture_format, write_picture
from dancerank.commands.questions import store_service, titled
from dancerank.console.terminal import Console
from dancerank.processes import Processes
from dancerank.settings import load_settings
from ranking.serving.strips import example_of
from schemas.errors import QueryError
from schemas.picture_formats import STILL
from schemas.questions.tips import ChallengeTips, TipsAnswer

_CENTRE: Final = "the centre of the body (the thorax, or both shoulders) stands for moving all of it"
_FEW_CLIPS: Final = 10
"""Fewer are not the challenge: what is shown is what these dancers do."""


def tips(
    challenge: Annotated[str | None, typer.Argument(help="The challenge; without one, all are listed.")] = None,
    joints: Annotated[int, typer.Option(min=1, help="Joints to list of each moment, those that count most.")] = 3,
    out: Out = None,
    style: Annotated[str | None, typer.Option(help="Only clips that show this dance style, or unknown.")] = None,
    generation: Generation = None,
    config: Config = None,
) -> None:
    """Which joints move the score most in a challenge, and when: where it pays to practise."""
    console = Console()
    if out is not None:
        picture_format(out, STILL)
    example, processes = None, Processes(load_settings(config))
    with store_service(config) as service:
        if challenge is None:
            if style is not None:
                raise QueryError("--style goes with a challenge: name one", field="style")
            found: ChallengeTips | TipsAnswer = service.tips(generation=generation)
        else:
            found = service.challenge_tips(challenge, generation=generation, style=style)
            if out is not None:
                with processes.scoring() as scoring:
                    skeleton_of = processes.feedback(scoring).skeleton
                    example = example_of(service, skeleton_of, challenge, generation=found.generation, style=style)
    if isinstance(found, TipsAnswer):
        console.print(all_tips_table(found, joints))
    else:
        console.print(challenge_tips_table(found, joints))
        if found.clips < _FEW_CLIPS:
            console.print(
                f"[dim]of {_clips(found.clips)} only: tips of a challenge take more, and change as they come[/]"
            )
    if out is not None:
        draws = Drawings()
        draw = (
            partial(draws.overall_tips, found) if isinstance(found, TipsAnswer) else partial(draws.tips, found, example)
        )
        write_picture(console, out, draw)


def challenge_tips_table(found: ChallengeTips, joints: int) -> Table:
    """A row for each bin, and one for the whole."""
    of_style = "" if found.style is None else f", style {found.style}"
    title = f"{found.challenge_id}{of_style}: what moves the score, over {_clips(found.clips)}"
    table = Table("seconds", "clips", Column("joints that count most", overflow="fold"), title=titled(title))
    table.caption = f"in {found.unit}; {_CENTRE}"
    for number, (row, clips) in enumerate(zip(found.temporal, found.clips_by_bin, strict=True)):
        start_s = number * found.bin_s
        table.add_row(f"{start_s:.1f}–{start_s + found.bin_s:.1f}", str(clips), _most(row, found.joints, joints))
    table.add_section()
    table.add_row("all", str(found.clips), _most(found.overall, found.joints, joints), style="bold")
    return table


def all_tips_table(found: TipsAnswer, joints: int) -> Table:
    """A row for each challenge."""
    table = Table("challenge", "clips", Column("joints that count most", overflow="fold"), title="What moves the score")
    table.caption = f"in {found.unit}; {_CENTRE}"
    for each in found.challenges:
        table.add_row(Text(each.challenge_id), str(each.clips), _most(each.overall, found.joints, joints))
    return table


def _most(magnitudes: Sequence[float], names: Sequence[str], count: int) -> str:
    most = sorted(zip(magnitudes, names, strict=True), key=lambda each: -each[0])[:count]
    return ", ".join(f"{name} {value:.3g}" for value, name in most)


def _clips(count: int) -> str:
    return "1 clip" if count == 1 else f"{count} clips"
