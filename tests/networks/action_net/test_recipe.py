"""ACTION-NET's recipe: cuts, rates, decays, divisions, and that it learns what is planted."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from networks.action_net import ActionNet
from networks.action_net.baselines import RecurrentRegressor, pooled_svr
from networks.action_net.recipe import (
    RECIPES,
    Recipe,
    RoutineSample,
    collate_routines,
    cut,
    predict_routines,
    random_splits,
    split_correlations,
    train_routines,
)
from networks.errors import UnusableSamples
from schemas.errors import ConfigurationError

SMALL = Recipe(epochs=3, decay_epochs=(2,), segments=3, frames=4, batch_size=8)


def sample(segments: int = 5, frames: int = 6, score: float = 12.5, seed: int = 0) -> RoutineSample:
    generator = np.random.default_rng(seed)
    return RoutineSample(
        generator.random((segments, 1024)).astype(np.float32),
        generator.random((frames, 2048)).astype(np.float32),
        score,
    )


def planted(count: int = 32) -> list[RoutineSample]:
    """Routines whose score is how strongly one direction shows in both streams."""
    generator = np.random.default_rng(0)
    directions = [np.maximum(generator.normal(0, 1, width), 0) for width in (1024, 2048)]
    samples = []
    for quality in generator.uniform(0, 1, count):
        dynamic, static = (
            (generator.random((instances, len(direction))) + direction * quality).astype(np.float32)
            for direction, instances in zip(directions, (5, 6), strict=True)
        )
        samples.append(RoutineSample(dynamic, static, 25 * float(quality)))
    return samples


def test_the_published_settings() -> None:
    assert {name: (one.epochs, one.decay_epochs) for name, one in RECIPES.items()} == {
        "Ball": (400, (300, 350)),
        "Clubs": (300, (200, 250)),
        "Hoop": (500, (400, 450)),
        "Ribbon": (300, (200, 250)),
        "MIT-Skating": (200, (150, 180)),
    }
    assert [(one.segments, one.frames, one.batch_size) for one in RECIPES.values()] == [
        *[(26, 80, 32)] * 4,
        (48, 150, 16),
    ]
    assert all((one.learning_rate, one.head_rate) == (0.01, 0.05) for one in RECIPES.values())


def test_training_cuts_start_anywhere_and_evaluation_takes_the_middle() -> None:
    instances = np.arange(10.0, dtype=np.float32)[:, None]
    generator = np.random.default_rng(0)
    starts = {int(cut(instances, 7, generator)[0, 0]) for _ in range(60)}
    assert starts == {0, 1, 2, 3}
    assert cut(instances, 7, None)[:, 0].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert len(cut(instances, 12, generator)) == len(cut(instances, 10, generator)) == 10


def test_short_routines_are_masked_and_scores_are_shares() -> None:
    batch = collate_routines([sample(2, 0, 20.0), sample(9, 9, 5.0)], SMALL)
    assert batch.dynamic.shape == (2, 3, 1024)
    assert batch.static.shape == (2, 4, 2048)
    assert batch.dynamic_mask.tolist() == [[True, True, False], [True] * 3]
    assert batch.static_mask.tolist() == [[False] * 4, [True] * 4]
    assert batch.scores.tolist() == pytest.approx([0.8, 0.2])


def test_the_head_learns_five_times_as_fast_and_rates_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[float]] = []
    step = torch.optim.SGD.step

    def watching(self: Any, *arguments: Any, **named: Any) -> Any:
        seen.append([group["lr"] for group in self.param_groups])
        options = [(group["momentum"], group["weight_decay"]) for group in self.param_groups]
        assert options == [(0.9, 1e-4)] * 2
        assert sum(p.numel() for p in self.param_groups[0]["params"]) == 1024 * 128 + 128 + 129
        return step(self, *arguments, **named)

    monkeypatch.setattr(torch.optim.SGD, "step", watching)
    train_routines(ActionNet(3, 4), [sample()], SMALL)
    assert seen == [[0.05, 0.01], [0.05, 0.01], [pytest.approx(0.005), pytest.approx(0.001)]]


def test_the_recipe_learns_what_is_planted() -> None:
    samples = planted()
    recipe = Recipe(epochs=6, decay_epochs=(5,), segments=4, frames=5, batch_size=8)

    def predict(train: Sequence[RoutineSample], test: Sequence[RoutineSample]) -> Any:
        torch.manual_seed(0)
        network = ActionNet(4, 5)
        errors = train_routines(network, train, recipe)
        assert errors[-1] < errors[0]
        return predict_routines(network, [one._replace(score=math.nan) for one in test], recipe)

    assert split_correlations(samples, random_splits(32, 22, splits=1), predict)[0] > 0.8


@pytest.mark.parametrize("pooling", ["average", "maximum"])
def test_pooled_features_and_an_svr_rank_what_is_planted(pooling: Any) -> None:
    for stream in ("dynamic", "static"):
        found = split_correlations(planted(), random_splits(32, 22, splits=2), pooled_svr(stream, pooling))  # type: ignore[arg-type]
        assert min(found) > 0.9


@torch.inference_mode()
def test_recurrent_baselines_read_their_stream_alone_and_no_padding() -> None:
    dynamic, static = torch.rand(1, 5, 1024), torch.rand(1, 4, 2048)
    for bidirectional in (False, True):
        network = RecurrentRegressor("dynamic", bidirectional=bidirectional)
        padded = torch.cat([dynamic, torch.full((1, 3, 1024), 9.0)], dim=1)
        mask = torch.arange(8)[None] < 5
        torch.testing.assert_close(network(padded, static * math.nan, mask), network(dynamic, static))
        _, (last, _) = network.recurrent.recurrent(dynamic)
        expected = torch.sigmoid(network.head(last.transpose(0, 1).flatten(1))).squeeze(1)
        torch.testing.assert_close(network(dynamic, static), expected)


def test_divisions_are_random_and_leave_enough_to_rank() -> None:
    splits = random_splits(150, 100)
    assert len(splits) == 5
    assert all((len(train), len(test)) == (100, 50) for train, test in splits)
    assert all(sorted(train + test) == list(range(150)) for train, test in splits)
    assert len({tuple(test) for _, test in splits}) == 5
    with pytest.raises(UnusableSamples, match="10 routines do not give 9"):
        random_splits(10, 9)


def test_unusable_routines_are_named() -> None:
    wide = sample()._replace(static=np.ones((3, 512), np.float32))
    for samples, message in (
        ([], "no routine to learn from"),
        ([sample(), sample(score=math.nan)], "routine 2 has the score nan"),
        ([sample(), wide], r"static features of routine 2 have shape \(3, 512\), expected \(T, 2048\)"),
        ([sample(0)], "routine 1 has no segment"),
    ):
        with pytest.raises(UnusableSamples, match=message):
            train_routines(ActionNet(3, 4), samples, SMALL)
    with pytest.raises(UnusableSamples, match="routine 1 has no static features to pool"):
        pooled_svr("static", "average")([sample(5, 0)], [])
    for options in ({"epochs": 0}, {"scale": 0.0}, {"head_rate": math.inf}):
        with pytest.raises(ConfigurationError):
            Recipe(**({"epochs": 1, "decay_epochs": ()} | options))
