"""How ACTION-NET is trained and evaluated (Section 5.1-5.2).

Legend: N routines, T segments or frames, C channels.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import torch
from msgspec import Struct
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.correlation import spearman
from networks.errors import UnusableSamples
from schemas.errors import ConfigurationError

SPLITS: Final = 5
"""Random divisions whose correlations are averaged, where a data set has no division of its own."""

MOMENTUM: Final = 0.9
WEIGHT_DECAY: Final = 1e-4
DECAY: Final = 0.1


class RoutineSample(NamedTuple):
    """``dynamic`` (T, 1024), ``static`` (T, 2048), and the ``score`` in points."""

    dynamic: NDArray[np.float32]
    static: NDArray[np.float32]
    score: float


class Recipe(Struct, frozen=True, kw_only=True):
    """The settings of one data set. The rate falls to a tenth after each of ``decay_epochs``; ``scale`` is the score,
    in points, that the network's 1 stands for. Impossible values raise ``ConfigurationError``."""

    epochs: int
    decay_epochs: tuple[int, ...]
    segments: int = 26
    frames: int = 80
    batch_size: int = 32
    scale: float = 25.0
    learning_rate: float = 0.01
    """Of the streams."""
    head_rate: float = 0.05
    """Of the two layers that score."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "segments", "frames", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigurationError(f"{name} must be at least 1", field=name)
        for name in ("scale", "learning_rate", "head_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigurationError(f"{name} must be above zero", field=name)

    def shortened(self, epochs: int | None) -> "Recipe":
        """The recipe in another number of epochs, its decays at the same shares."""
        if epochs is None:
            return self
        decays = tuple(max(1, round(at * epochs / self.epochs)) for at in self.decay_epochs)
        return msgspec.structs.replace(self, epochs=epochs, decay_epochs=decays)


def gymnastics_recipe(epochs: int) -> Recipe:
    """The rate falls in the last 100 and the last 50 epochs."""
    return Recipe(epochs=epochs, decay_epochs=(epochs - 100, epochs - 50))


RECIPES: Final[Mapping[str, Recipe]] = {
    "Ball": gymnastics_recipe(400),
    "Clubs": gymnastics_recipe(300),
    "Hoop": gymnastics_recipe(500),
    "Ribbon": gymnastics_recipe(300),
    "MIT-Skating": Recipe(epochs=200, decay_epochs=(150, 180), segments=48, frames=150, batch_size=16, scale=100.0),
}


class RoutineBatch(NamedTuple):
    """Features (N, T, C) cut or filled up to equal numbers, masks (N, T) that are true at real ones, and scores (N,) as
    shares of the recipe's scale."""

    dynamic: Tensor
    static: Tensor
    dynamic_mask: Tensor
    static_mask: Tensor
    scores: Tensor


def cut(instances: NDArray[np.float32], count: int, generator: np.random.Generator | None) -> NDArray[np.float32]:
    """``count`` consecutive of (T, C) instances, or all if there are fewer: from a random start, or the middle ones."""
    spare = max(0, len(instances) - count)
    start = spare // 2 if generator is None else int(generator.integers(spare + 1))
    return instances[start : start + count]


def collate_routines(
    samples: Sequence[RoutineSample], recipe: Recipe, generator: np.random.Generator | None = None
) -> RoutineBatch:
    """A batch of ``recipe.segments`` segments and ``recipe.frames`` frames."""
    dynamic, dynamic_mask = _padded(
        [cut(sample.dynamic, recipe.segments, generator) for sample in samples], recipe.segments
    )
    static, static_mask = _padded([cut(sample.static, recipe.frames, generator) for sample in samples], recipe.frames)
    scores = torch.tensor([sample.score / recipe.scale for sample in samples], dtype=torch.float32)
    return RoutineBatch(dynamic, static, dynamic_mask, static_mask, scores)


def _padded(rows: Sequence[NDArray[np.float32]], count: int) -> tuple[Tensor, Tensor]:
    padded = np.zeros((len(rows), count, rows[0].shape[1]), np.float32)
    for row, instances in enumerate(rows):
        padded[row, : len(instances)] = instances
    lengths = torch.tensor([len(instances) for instances in rows])
    return torch.from_numpy(padded), torch.arange(count) < lengths[:, None]


def train_routines(
    network: nn.Module,
    samples: Sequence[RoutineSample],
    recipe: Recipe,
    on_epoch: Callable[[int], None] = lambda epoch: None,
) -> list[float]:
    """Train ``network`` by ``recipe``; the mean squared error of each epoch, of scores as shares of the scale.

    SGD with momentum 0.9 and weight decay 1e-4; in each epoch every routine is cut at a random start. The last epoch's
    weights stay: no routine is held back to choose another epoch by. Raises ``UnusableSamples`` without samples, for a
    score that is not finite, and for an error that is none any more.
    """
    check_routines(samples)
    generator = np.random.default_rng(recipe.seed)
    torch.manual_seed(recipe.seed)
    head = [parameter for name, parameter in network.named_parameters() if name.startswith("head.")]
    others = [parameter for name, parameter in network.named_parameters() if not name.startswith("head.")]
    groups = [{"params": head, "lr": recipe.head_rate}, {"params": others, "lr": recipe.learning_rate}]
    optimizer = torch.optim.SGD(
        [group for group in groups if group["params"]], recipe.learning_rate, MOMENTUM, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, list(recipe.decay_epochs), DECAY)
    network.train()
    errors = []
    for epoch in range(1, recipe.epochs + 1):
        total = 0.0
        order = generator.permutation(len(samples)).tolist()
        for start in range(0, len(order), recipe.batch_size):
            rows = order[start : start + recipe.batch_size]
            *inputs, scores = collate_routines([samples[row] for row in rows], recipe, generator)
            error = nn.functional.mse_loss(network(*inputs), scores)
            optimizer.zero_grad()
            torch.autograd.backward(error)
            optimizer.step()
            total += float(error.detach()) * len(rows)
        schedule.step()
        errors.append(total / len(samples))
        if not math.isfinite(errors[-1]):
            raise UnusableSamples(f"the error is {errors[-1]} in epoch {epoch}; lower the rates, or scale the features")
        on_epoch(epoch)
    network.eval()
    return errors


@torch.inference_mode()
def predict_routines(network: nn.Module, samples: Sequence[RoutineSample], recipe: Recipe) -> NDArray[np.float64]:
    """Scores (N,) in points, from the middle segments and frames; the samples' own are not read."""
    network.eval()
    scores = []
    for start in range(0, len(samples), recipe.batch_size):
        *inputs, _ = collate_routines(samples[start : start + recipe.batch_size], recipe)
        scores.append(network(*inputs).double().numpy() * recipe.scale)
    return np.concatenate(scores)


def random_splits(count: int, train: int, *, splits: int = SPLITS, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """``splits`` random divisions of ``count`` routines into ``train`` to learn from and the rest to evaluate on.

    Raises ``UnusableSamples`` unless one can be learned from and two, for a correlation, remain.
    """
    if not 1 <= train <= count - 2:
        raise UnusableSamples(
            f"{count} routines do not give {train} to learn from and two to evaluate on", field="train"
        )
    generator = np.random.default_rng(seed)
    orders = [generator.permutation(count).tolist() for _ in range(splits)]
    return [(sorted(order[:train]), sorted(order[train:])) for order in orders]


Predict = Callable[[Sequence[RoutineSample], Sequence[RoutineSample]], Any]
"""Learns from the first routines and scores the second, (N,)."""


def split_correlations(
    samples: Sequence[RoutineSample], splits: Sequence[tuple[list[int], list[int]]], predict: Predict
) -> list[float]:
    """Spearman's rank correlation (Eq. 7) on the held-out routines of each division."""
    check_routines(samples)
    return [
        spearman(
            predict([samples[row] for row in train], [samples[row] for row in test]),
            [samples[row].score for row in test],
        )
        for train, test in splits
    ]


def check_routines(samples: Sequence[RoutineSample]) -> None:
    """Raise ``UnusableSamples`` without samples, or naming the first with features or a score that cannot be used."""
    if not samples:
        raise UnusableSamples("there is no routine to learn from")
    for row, sample in enumerate(samples, start=1):
        if not math.isfinite(sample.score):
            raise UnusableSamples(f"routine {row} has the score {sample.score}; leave it out", field="score")
        for name, width in (("dynamic", 1024), ("static", 2048)):
            shape = getattr(sample, name).shape
            if len(shape) != 2 or shape[1] != width:
                raise UnusableSamples(
                    f"the {name} features of routine {row} have shape {shape}, expected (T, {width})", field=name
                )
        if not len(sample.dynamic):
            raise UnusableSamples(f"routine {row} has no segment; leave it out", field="dynamic")
