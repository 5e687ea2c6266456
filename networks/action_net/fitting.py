"""ACTION-NET learned from whole routines and evaluated as it is served: on all their segments and frames."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from networks.action_net.network import ActionNet, Widths
from networks.action_net.recipe import Recipe, RoutineSample, train_routines
from networks.correlation import spearman
from schemas.routine_network import CORRELATION

FEWEST_TESTED: Final = 3
"""Routines below which no correlation is stated."""


class FittedRoutines(NamedTuple):
    """A trained network, and the rank correlation of its scores on routines that were held out, if there were any."""

    network: ActionNet
    metrics: dict[str, float]


def fit_routines(
    learned: Sequence[RoutineSample],
    tested: Sequence[RoutineSample],
    recipe: Recipe,
    widths: Widths,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> FittedRoutines:
    """Train a network of ``widths`` by ``recipe``. Equal arguments give an equal network on one machine.

    Raises ``UnusableSamples`` as ``train_routines`` does.
    """
    torch.manual_seed(recipe.seed)
    network = ActionNet(recipe.segments, recipe.frames, widths=widths)
    train_routines(network, learned, recipe, on_epoch)
    scores = [sample.score for sample in tested]
    if len(tested) < FEWEST_TESTED or len(set(scores)) == 1:
        return FittedRoutines(network, {})
    return FittedRoutines(network, {CORRELATION: round(spearman(whole_scores(network, tested), scores), 4)})


@torch.inference_mode()
def whole_scores(network: ActionNet, samples: Sequence[RoutineSample]) -> NDArray[np.float64]:
    """Scores (N,) in [0, 1] of all segments and frames of each routine."""
    network.eval()
    inputs = ((torch.from_numpy(one.dynamic)[None], torch.from_numpy(one.static)[None]) for one in samples)
    return np.array([float(network(*streams)[0]) for streams in inputs])
