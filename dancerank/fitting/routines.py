"""ACTION-NET learned from routines with judges' scores, exported, and attached to bundles.

Needs the ``[train]`` extra.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from dancerank.console.progress import OnProgress
from dancerank.fitting.routine_data import Labelled, Routines
from dancerank.synthetic.routines import HIGHEST_SCORE, PLANTED, long_routines
from exporters.onnx.attached_routines import attach_routines
from exporters.onnx.routine_networks import check_network_folder, write_routine_network
from networks.action_net import PAPER_WIDTHS, Widths
from networks.action_net.fitting import fit_routines
from networks.action_net.recipe import RECIPES, Recipe, RoutineSample, gymnastics_recipe
from networks.errors import UnusableSamples
from schemas.modalities import Modality
from schemas.routine_network import RoutineNetwork, ScoreRange
from schemas.routines import unpacked
from schemas.training_distribution import training_distribution
from vdv.errors import Finding, refusal

SMALL_WIDTHS: Final = Widths(dynamic=(32, 32), static=(32, 32), attention=16, head=32)
"""A network of less than half a megabyte."""

DEFAULT_EPOCHS: Final = 300
PLANTED_ROUTINES: Final = 480
PLANTED_HELD_OUT: Final = 120
PLANTED_SEED: Final = 29
PLANTED_EPOCHS: Final = 30


def recipe_of(published: str | None, *, epochs: int | None, seed: int) -> Recipe:
    """The published recipe of an apparatus or of MIT-Skating, in ``epochs`` if they are given; of other routines that
    of gymnastics."""
    recipe = gymnastics_recipe(DEFAULT_EPOCHS) if published is None else RECIPES[published]
    return msgspec.structs.replace(recipe.shortened(epochs), seed=seed)


def train_network(
    routines: Routines,
    folder: Path,
    recipe: Recipe,
    *,
    widths: Widths = PAPER_WIDTHS,
    on_progress: OnProgress = lambda *_: None,
    overwrite: bool = False,
) -> RoutineNetwork:
    """Learn the scores of ``routines``, evaluate on those held out, and write the network to ``folder``.

    Scores are learned as shares of their range. Raises ``DataSetError`` for routines that cannot be learned from, and
    ``BundleError`` if ``folder`` cannot be written or the graph does not compute what torch computes.
    """
    check_network_folder(folder, overwrite=overwrite)
    span = routines.score_range.highest - routines.score_range.lowest
    recipe = msgspec.structs.replace(recipe, scale=span)
    learned, tested = (_samples(part, routines.score_range) for part in (routines.learned, routines.tested))
    on_progress("learning", 0, recipe.epochs)
    try:
        fitted = fit_routines(
            learned, tested, recipe, widths, lambda epoch: on_progress("learning", epoch, recipe.epochs)
        )
    except UnusableSamples as error:
        raise refusal([Finding(routines.table, error.message, "")]) from error
    on_progress("exporting, and comparing torch with ONNX Runtime", 0, 0)
    clips = [{Modality.ROUTINE: one.frames} for one in routines.learned]
    stated = training_distribution(clips, coordinates=0, modalities=(Modality.ROUTINE,))
    return write_routine_network(
        fitted.network,
        folder,
        score_range=routines.score_range,
        training_data=routines.source,
        architecture=_architecture(widths, recipe),
        metrics=fitted.metrics,
        distribution=stated.get(Modality.ROUTINE),
        overwrite=overwrite,
    )


def attach_planted_routines(
    bundle: Path,
    *,
    routines: int = PLANTED_ROUTINES,
    epochs: int = PLANTED_EPOCHS,
    on_progress: OnProgress = lambda *_: None,
) -> None:
    """Make a small network that has learned from planted routines the stream ``routine`` of ``bundle``.

    Equal arguments give an equal network on one machine.
    """
    learned, tested = (
        [Labelled(f"{part}-{number}", one.frames, one.score) for number, one in enumerate(made)]
        for part, made in (
            ("learned", long_routines(routines, seed=PLANTED_SEED)),
            ("tested", long_routines(PLANTED_HELD_OUT, seed=PLANTED_SEED + 1)),
        )
    )
    source = f"{PLANTED}={routines} seed={PLANTED_SEED} epochs={epochs}"
    planted = Routines(bundle, learned, tested, ScoreRange(0.0, HIGHEST_SCORE), source)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "network"
        recipe = recipe_of(None, epochs=epochs, seed=PLANTED_SEED)
        train_network(planted, folder, recipe, widths=SMALL_WIDTHS, on_progress=on_progress)
        attach_routines(bundle, folder)


def _samples(routines: Sequence[Labelled], score_range: ScoreRange) -> list[RoutineSample]:
    """The score counts from the lowest."""
    return [RoutineSample(*unpacked(one.frames), one.score - score_range.lowest) for one in routines]


def _architecture(widths: Widths, recipe: Recipe) -> dict[str, str]:
    dynamic, static = (
        "-".join(map(str, (channels, *layers))) for channels, layers in ((1024, widths.dynamic), (2048, widths.static))
    )
    return {
        "network": "action-net",
        "dynamic": dynamic,
        "static": static,
        "attention": str(widths.attention),
        "head": str(widths.head),
        "epochs": str(recipe.epochs),
        "segments": str(recipe.segments),
        "frames": str(recipe.frames),
    }
