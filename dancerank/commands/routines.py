"""``routines``: train ACTION-NET on routines with judges' scores, make it part of a bundle, and pack features for it.

``train`` needs the ``[train]`` extra.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from dancerank.commands.options import MOST_SEED
from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.progress import counted, steps, working
from dancerank.console.terminal import Console
from dancerank.fitting.routine_data import Layout, Published, Routines, featured_routines, published_routines
from exporters.onnx.attached_routines import attach_routines, detach_routines
from exporters.onnx.bundle_folders import check_folder
from schemas.bundle import BundleManifest
from schemas.errors import ConfigurationError
from schemas.modalities import Modality
from schemas.routine_network import CORRELATION, MANIFEST_NAME, RoutineNetwork, ScoreRange
from vdv.folder import write_data_set
from vdv.importers.routines import Target

PUBLISHED_SKATING: Final = "MIT-Skating"

Data = Annotated[
    Layout,
    typer.Option(
        help="What the folder is. gymnastics: Rhythmic Gymnastics, skating: MIT-Skating, both in the published layout; "
        "features: clips.csv with judges' scores beside feature files with a tensor routine."
    ),
]
Apparatus = Annotated[str | None, typer.Option(help="Of gymnastics: Ball, Clubs, Hoop or Ribbon.")]
TargetOption = Annotated[
    Target,
    typer.Option(
        help="The published score. gymnastics: difficulty, execution or total; skating: elements, components or total."
    ),
]
Out = Annotated[Path | None, typer.Option(help="Folder of a new bundle. Default: the bundle itself is changed.")]


def train(
    folder: Annotated[Path, typer.Argument(help="Folder of the routines.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write the network to.")],
    apparatus: Apparatus = None,
    target: TargetOption = "total",
    lowest: Annotated[
        float | None, typer.Option(help="Lowest possible score, in points. Default: 0 of published data.")
    ] = None,
    highest: Annotated[
        float | None, typer.Option(help="Highest possible score. Default: 25 of gymnastics, 100 of skating.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Epochs. Default: those of the published recipe (200 to 500).")
    ] = None,
    small: Annotated[
        bool, typer.Option("--small", help="A network of 0.1 million parameters in place of the paper's 3.5 million.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(min=0, max=MOST_SEED, help="Seed of what is held out, of first weights and of random starts."),
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a network that is there.")] = False,
) -> None:
    """Learn to score routines from judges' scores, by the recipe of ACTION-NET.

    Scores are learned as shares of their range. Routines of the part or split [bold]test[/] are held out, and the rank
    correlation with their scores is stated; without parts, every fifth dancer is held out. Routines last longer than 60
    s and 600 s at most.
    """
    known = _range(lowest, highest)
    check_folder(out, MANIFEST_NAME, "a network of routines", overwrite=overwrite)
    check_folder_to_write(out)
    with steps(until="reading") as on_progress:
        if data == "features":
            if known is None:
                raise ConfigurationError(
                    "name the range of the scores with --lowest and --highest: clips.csv does not say it",
                    field="lowest",
                )
            _refuse_of_published(apparatus, target)
            routines = featured_routines(folder, known, on_progress, seed=seed)
        else:
            routines = published_routines(Published(folder, data, apparatus, target), known, seed=seed)
    with working("loading torch"):
        training = importlib.import_module("dancerank.fitting.routines")
    published = PUBLISHED_SKATING if data == "skating" else apparatus
    recipe = training.recipe_of(published, epochs=epochs, seed=seed)
    chosen = {"widths": training.SMALL_WIDTHS} if small else {}
    with steps() as on_progress:
        network = training.train_network(routines, out, recipe, on_progress=on_progress, overwrite=overwrite, **chosen)
    console = Console()
    console.print(network_table(f"Network of routines {out}", network, routines))
    for line in warnings_of(network):
        console.print(line, style="bold yellow", markup=False)


def attach(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    network: Annotated[Path, typer.Argument(help="Folder of the network, as train wrote it.")],
    out: Out = None,
) -> None:
    """Make a network the stream routine of a bundle, which then scores clips longer than 60 s.

    The generation changes. The other graphs stay byte for byte, but their embeddings belong to the new generation, as
    after any export: switch with `dancerank generations`.
    """
    _say(attach_routines(bundle, network, out=out), out or bundle)


def detach(bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")], out: Out = None) -> None:
    """Take the stream routine out of a bundle. The generation changes."""
    _say(detach_routines(bundle, out=out), out or bundle)


def features(
    folder: Annotated[Path, typer.Argument(help="Folder in a published layout.")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder to write clips.csv and the feature files to.")],
    apparatus: Apparatus = None,
    target: TargetOption = "total",
) -> None:
    """Pack published features into feature files with a tensor routine, which produce sends and train reads.

    Of each second, a step is the static feature of its frame and the dynamic feature of the segment of 3.2 s that it
    begins in. clips.csv has the judges' scores too. A routine without a frame in some seconds has those that it has
    spread evenly.
    """
    if data == "features":
        raise ConfigurationError("--data is gymnastics or skating: these are feature files already", field="data")
    check_folder_to_write(out)
    clips = Published(folder, data, apparatus, target).clips()
    written = write_data_set(out, counted(clips, "Writing"))
    Console().print(f"{len(written)} routines are in {out}", markup=False)


def network_table(title: str, network: RoutineNetwork, routines: Routines) -> Table:
    """What is known of a network that was just trained."""
    table = Table(title=Text(title, style="table.title"), show_header=False)
    facts = {
        "trained on": network.training_data,
        "held out": f"{len(routines.tested)} routines",
        "rank correlation on those": f"{network.metrics[CORRELATION]:.3f}" if network.metrics else "–",
        "scores": str(network.score_range),
        "parameters": f"{network.parameters:,}",
        "embedding": str(network.embedding_dim),
        **{f"torch against ONNX: {name}": f"{value:.3g}" for name, value in network.agreement.items()},
    }
    for name, value in facts.items():
        table.add_row(name, Text(value))
    return table


def warnings_of(network: RoutineNetwork) -> list[str]:
    """What the data were too few for."""
    lines = []
    if not network.metrics:
        lines.append("Too few routines were held out to say how well it ranks; give more the split test.")
    if network.distribution is None:
        lines.append(
            "Fewer than 50 routines: their distribution is not stated, so none will be flagged as unlike them."
        )
    return lines


def _range(lowest: float | None, highest: float | None) -> ScoreRange | None:
    if lowest is None and highest is None:
        return None
    if lowest is None or highest is None:
        raise ConfigurationError("--lowest and --highest go together", field="lowest" if lowest is None else "highest")
    known = ScoreRange(lowest, highest)
    if (problem := known.problem()) is not None:
        raise ConfigurationError(f"{problem}; give --highest above --lowest", field="highest")
    return known


def _refuse_of_published(apparatus: str | None, target: str) -> None:
    if apparatus is not None or target != "total":
        raise ConfigurationError(
            "--apparatus and --target are for published layouts; of features the column score is learned",
            field="target",
        )


def _say(manifest: BundleManifest, folder: Path) -> None:
    has_stream = Modality.ROUTINE in manifest.modalities
    said = "scores clips longer than 60 s" if has_stream else f"has no stream {Modality.ROUTINE} any more"
    Console().print(f"bundle {folder}: generation {manifest.generation} {said}", markup=False)


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "train": train,
    "attach": attach,
    "detach": detach,
    "features": features,
}
