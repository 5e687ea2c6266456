"""``styles``: train a style classifier, make it part of a bundle, and list the styles of clips.

``train`` needs the ``[train]`` extra.
"""

import importlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table
from rich.text import Text

from dancerank.commands.options import MOST_SEED, Config, Generation
from dancerank.commands.questions import of_window, store_service, titled
from dancerank.console.places_to_write import check_folder_to_write
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from exporters.onnx.attached_styles import attach_classifier, detach_classifier
from schemas.questions.retrieval import Window
from schemas.questions.styles import StyleCounts
from schemas.style_classifier import DEFAULT_NETWORK, StyleClassifier
from vdv.folder import open_data_set


def train(
    data: Annotated[
        Path, typer.Argument(help="Folder with clips.csv, which has a column of styles, and its features.")
    ],
    classifier: Annotated[Path, typer.Argument(help="Folder to write the classifier to.")],
    label: Annotated[str, typer.Option(help="The column of the styles.")] = "style",
    layout: Annotated[
        str | None, typer.Option(help="Convert poses to this joint layout. Default: that of all clips.")
    ] = None,
    network: Annotated[
        str,
        typer.Option(help="movement, lstm, attentive-lstm, tcn, psgcn, rtcn, or package.module:fit of your own."),
    ] = DEFAULT_NETWORK,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=MOST_SEED,
            help="Seed of the network, and of the folds that temperature and threshold are fitted to.",
        ),
    ] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a classifier that is there.")] = False,
) -> None:
    """Learn to distinguish dance styles by poses, and to refuse others; clips of the split [bold]test[/] are tested."""
    check_folder_to_write(classifier)
    opened = open_data_set(data)
    with working("loading torch"):
        training = importlib.import_module("dancerank.fitting.styles")
    with steps(until="reading") as on_progress:
        result = training.train_styles(
            opened,
            classifier,
            label=label,
            layout=layout,
            network=network,
            seed=seed,
            on_progress=on_progress,
            overwrite=overwrite,
        )
    Console().print(classifier_table(f"Style classifier {classifier}", result.classifier))


def attach(
    bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")],
    classifier: Annotated[Path, typer.Argument(help="Folder of the classifier, as train wrote it.")],
) -> None:
    """Make a classifier part of a bundle. Its generation stays, as scores and embeddings do."""
    manifest = attach_classifier(bundle, classifier)
    if manifest.classifier is not None:
        Console().print(classifier_table(f"Styles of bundle {bundle}", manifest.classifier))


def detach(bundle: Annotated[Path, typer.Argument(help="Folder of the bundle.")]) -> None:
    """Take the classifier out of a bundle."""
    manifest = detach_classifier(bundle)
    Console().print(f"generation {manifest.generation} has no style classifier any more", markup=False)


def list_styles(
    challenge: Annotated[str | None, typer.Argument(help="The challenge; without one, all together.")] = None,
    window: Annotated[
        Window, typer.Option(help="Only clips that were uploaded in the last hour, day or week.")
    ] = "all",
    generation: Generation = None,
    config: Config = None,
) -> None:
    """How many clips show each dance style."""
    with store_service(config) as service:
        found = service.styles(challenge, generation=generation, window=window)
    Console().print(counts_table(found))


def counts_table(found: StyleCounts) -> Table:
    """A row for each style, most clips first."""
    where = "all challenges" if found.challenge_id is None else found.challenge_id
    title = f"Styles of {found.clips} clips of {where}{of_window(found.window)}"
    table = Table("style", "clips", "share", title=titled(title))
    for each in found.styles:
        table.add_row(Text(each.style), str(each.clips), f"{each.clips / found.clips:.1%}")
    if found.not_judged:
        table.add_row("not judged", str(found.not_judged), f"{found.not_judged / found.clips:.1%}", style="dim")
    return table


def classifier_table(title: str, classifier: StyleClassifier) -> Table:
    """What is known of a classifier."""
    table = Table(title=Text(title, style="table.title"), show_header=False)
    for name, value in classifier_facts(classifier).items():
        table.add_row(name, Text(value))
    return table


def classifier_facts(classifier: StyleClassifier) -> dict[str, str]:
    """By name, for tables."""
    return {
        "styles": ", ".join(classifier.styles),
        "network": classifier.network,
        "poses": classifier.joint_layout,
        "temperature": f"{classifier.temperature:.3g}",
        "least familiarity of a named style": f"{classifier.threshold:.3g}",
        "torch against ONNX: styles": f"{classifier.agreement:.3g}",
        "styles learned from": classifier.training_data or "–",
        **{name: f"{value:.3f}" for name, value in classifier.metrics.items() if math.isfinite(value)},
    }


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "train": train,
    "attach": attach,
    "detach": detach,
    "list": list_styles,
}
