"""``figures``: the paper's figures of a trained model and of a challenge's clips. Needs the ``[train]`` extra."""

import importlib
from pathlib import Path
from typing import Annotated

import typer

from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from schemas.picture_formats import PictureFormat, StillFormat
from vdv.folder import open_data_set
from vdv.splits import Part


def figures(
    checkpoint: Annotated[Path, typer.Argument(help="Trained model (model.safetensors of a run).")],
    data: Annotated[Path, typer.Argument(help="Folder with clips.csv and its feature files (docs/data.md).")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write the pictures to.")],
    challenge: Annotated[
        str | None, typer.Option(help="Whose clips are ranked. Default: the challenge with most clips.")
    ] = None,
    part: Annotated[
        Part | None, typer.Option(help="Which clips. Default: test if the data set has a split, else all.")
    ] = None,
    beside: Annotated[
        Path | None,
        typer.Option(help="Checkpoint of ST-GCN, whose graphs to show too. Default: those that it starts with."),
    ] = None,
    kind: Annotated[StillFormat, typer.Option("--format", help="Of the pictures.")] = PictureFormat.PNG,
) -> None:
    """Draw the graphs of a model's layers, what its attention looks at, and the first and last clips by each stream.

    Writes adjacency (the paper's Fig. 7), attention-STREAM (Fig. 8: the four heads of the first relational pooling,
    from the centre of the clip that the fused score puts first) and ends-STREAM (Fig. 9).
    """
    check_folder_to_write(out)
    opened = open_data_set(data)
    with working("loading torch"):
        drawing = importlib.import_module("dancerank.answer_pictures.paper_figures")
    console = Console()
    out.mkdir(parents=True, exist_ok=True)
    with steps() as on_progress:
        drawn = list(
            drawing.draw_figures(
                checkpoint, opened, challenge=challenge, part=part, beside=beside, kind=kind, on_progress=on_progress
            )
        )
    for name, content in drawn:
        (out / f"{name}.{kind.value}").write_bytes(content)
    console.print(f"{len(drawn)} pictures in {out}", markup=False, soft_wrap=True)
