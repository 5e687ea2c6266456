"""``train`` and ``evaluate``: the networks on data sets of labelled clips. Both need the ``[train]`` extra."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Final

import numpy as np
import typer
from rich.table import Table
from rich.text import Text

from dancerank.console.places_to_write import check_file_to_write, check_folder_to_write
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console
from schemas.errors import ConfigurationError
from schemas.virality_target import Target
from vdv.folder import DataSet, open_data_set
from vdv.splits import ALL, Part, rows_of_part, track_folds

_NONE: Final = "–"

Data = Annotated[Path, typer.Argument(help="Folder with clips.csv and its feature files (docs/data.md).")]
Track = Annotated[str, typer.Option(help="One challenge, or all of them together.")]


def train(
    data: Data,
    run: Annotated[Path, typer.Argument(help="Folder of the run: state, history, curves, the trained model.")],
    track: Track = ALL,
    settings: Annotated[
        Path | None, typer.Option(help="TOML file with the tables \\[network] and \\[training] (docs/learning.md).")
    ] = None,
    modalities: Annotated[
        str | None, typer.Option(help="Streams to train, e.g. skeletal,facial. Default: all that the data set has.")
    ] = None,
    width: Annotated[float | None, typer.Option(help="Channels of all networks, as a share of the paper's.")] = None,
    target: Annotated[
        Target | None,
        typer.Option(help="What is learned from the reactions: Eq. (1) or one of its variants (docs/data.md)."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs: passes over the training clips.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of initial weights, order of clips and dropout.")] = None,
    validation: Annotated[
        float, typer.Option(min=0, max=0.9, help="Share of the training clips kept apart to choose the best epoch.")
    ] = 0.0,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many epochs without a better validation correlation.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume/--fresh", help="Continue what is in RUN, or delete it and start again.")
    ] = True,
) -> None:
    """Train on a data set, with what is held out never looked at; then predict that and show the correlations.

    Interrupt it at any moment: the same command goes on after the last finished epoch and comes to the same result.
    A data set with folds trains once per fold. RUN/model.safetensors goes straight into [bold]dancerank export[/].
    """
    from dancerank.fitting.recipe import read_recipe

    chosen = None if modalities is None else [name.strip() for name in modalities.split(",") if name.strip()]
    recipe = read_recipe(
        settings,
        network={
            "modalities": chosen, "graph_width": width, "temporal_width": width, "fusion_width": width,
        },
        training={"epochs": epochs, "seed": seed, "patience": patience},
        virality={"target": target},
    )  # fmt: skip
    check_folder_to_write(run)
    opened = open_data_set(data)
    track_folds(opened, track)
    learning = _loaded("dancerank.fitting.learning")
    try:
        with steps(until="reading") as on_progress:
            trained = learning.train(
                opened, run, recipe, track=track, validation_share=validation, fresh=not resume, on_progress=on_progress
            )
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted; the same command goes on after the last finished epoch")
        raise
    if trained is None:
        return
    console = Console()
    epochs_done = {name: len(history) for name, history in trained.histories.items()}
    console.print(*correlation_tables(opened, trained.predictions), sep="\n")
    console.print(f"the target is {recipe.target().target}", markup=False)
    files = "model.safetensors, history.csv, curves.png"
    where = f"in {run}" if len(epochs_done) == 1 else f"in the folders of {run}"
    console.print(f"{files} {where}; predictions of held-out clips in {trained.file}", markup=False, soft_wrap=True)


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(help="Trained model (model.safetensors of a run).")],
    data: Data,
    track: Track = ALL,
    part: Annotated[
        Part | None,
        typer.Option(help="Which clips. Default: test if the data set has a split, else all."),
    ] = None,
    target: Annotated[
        Target | None,
        typer.Option(help="Refuse a checkpoint that has learned another target. Default: whichever it has learned."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write the predictions here, as CSV.")] = None,
) -> None:
    """Predict a data set's held-out clips and show how well their order is met, with 95 % intervals.

    The clips' target is the checkpoint's, with the parameters that were fitted when it was trained. Warns of clips
    that the checkpoint was trained on.
    """
    if out is not None:
        check_file_to_write(out, "out")
    from networks.checkpoint_file import read_target

    learned = read_target(checkpoint)
    if target is not None and target is not learned.target:
        raise ConfigurationError(
            f"{checkpoint} has learned the target {learned.target}; its predictions say nothing about {target}: train "
            f"with --target {target}, or evaluate without the option",
            field="target",
        )
    opened = open_data_set(data)
    rows_of_part(opened, track, part)
    learning, predictions = _loaded("dancerank.fitting.learning"), _loaded("networks.predictions")
    with steps() as on_progress:
        evaluated = learning.evaluate(checkpoint, opened, track=track, part=part, on_progress=on_progress)
    console = Console()
    console.print(*correlation_tables(opened, evaluated.predictions), sep="\n")
    console.print(f"the target is {evaluated.target.described()}", markup=False, soft_wrap=True)
    if evaluated.seen:
        count = f"{len(evaluated.seen)} of {len(evaluated.predictions.clip_ids)} clips"
        Console(stderr=True).print(
            f"[bold yellow]warning[/]: {count} are clips that this checkpoint was trained on; "
            "these figures say nothing about new clips",
            soft_wrap=True,
        )
    if out is not None:
        try:
            predictions.write_predictions(evaluated.predictions, out)
        except OSError as error:
            raise ConfigurationError(
                f"{out} cannot be written ({error.strerror}); name another", field="out"
            ) from error
        console.print(f"predictions in {out}", markup=False, soft_wrap=True)


def correlation_tables(data: DataSet, predictions: Any) -> list[Table]:
    """Spearman's correlations of ``predictions`` with their intervals, then per challenge with the mean attention."""
    dancers = {annotation.clip_id: annotation.dancer_id for annotation in data.annotations}
    groups = [dancers[clip] for clip in predictions.clip_ids]
    compute = _loaded("networks.predictions")
    statistics = ["pooled"] + (["fold-mean"] if len(set(predictions.folds)) > 1 else [])
    with working("computing the intervals"):
        found = {s: compute.intervals(predictions, groups=groups, statistic=s) for s in statistics}
    headings = [heading for s in statistics for heading in (s.replace("-", " "), "95 % interval")]
    overall = Table("score", "clips", *headings, title="Spearman's correlation on these clips; dancers resampled")
    counts = {"fused": len(groups)}
    counts |= {m: int((~np.isnan(predictions.scores[:, i])).sum()) for i, m in enumerate(predictions.modalities)}
    for name, count in counts.items():
        cells = [cell for s in statistics for cell in _interval(found[s].get(name))]
        overall.add_row(Text(name), f"{count:,}", *cells)
    return [overall, _challenges(data, predictions)]


def _challenges(data: DataSet, predictions: Any) -> Table:
    """The attention's mean is over the clips that have the modality."""
    spearman = _loaded("networks.correlation").spearman
    challenge_of = {annotation.clip_id: annotation.challenge_id for annotation in data.annotations}
    challenges = np.array([challenge_of[clip] for clip in predictions.clip_ids])
    title = "By challenge: correlation of the fused score (pooled), and mean attention"
    table = Table("challenge", "clips", "fused", *predictions.modalities, title=title)
    for challenge in sorted(set(challenges.tolist())):
        rows = np.flatnonzero(challenges == challenge)
        fused = f"{spearman(predictions.fused[rows], predictions.truth[rows]):.3f}" if len(rows) > 1 else _NONE
        means = [_mean(column) for column in predictions.attention[rows].T]
        table.add_row(Text(challenge), f"{len(rows):,}", fused, *means)
    return table


def _mean(column: Any) -> str:
    numbers = column[~np.isnan(column)]
    return f"{numbers.mean():.2f}" if len(numbers) else _NONE


def _interval(interval: Sequence[float] | None) -> tuple[str, str]:
    if interval is None:
        return _NONE, _NONE
    estimate, low, high = interval
    return f"{estimate:.3f}", f"{low:.3f} to {high:.3f}"


def _loaded(module: str) -> ModuleType:
    """A module that needs torch, imported only here: everything else runs without."""
    with working("loading torch"):
        return importlib.import_module(module)
