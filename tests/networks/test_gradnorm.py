"""GradNorm against Chen et al.'s Algorithm 1 by automatic differentiation, and the constraints on its weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from networks.datasets import Sample, collate
from networks.gradnorm import SMALLEST_WEIGHT, GradNorm, gradient_norms, video_level_features
from networks.losses import loss_terms
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.errors import ConfigurationError
from schemas.modalities import FUSED_MODALITIES, Modality

FRAME = {Modality.SKELETAL: (16, 2), Modality.HOLISTIC: (2048,), Modality.FACIAL: (2048,), Modality.SCENIC: (512,)}


class PublishedGradNorm:
    """Algorithm 1 literally: L_grad is built on the gradients' graph and differentiated by w; Adam by hand."""

    def __init__(self, terms: int, a: float, rate: float) -> None:
        self.w, self.a, self.rate = torch.ones(terms, dtype=torch.float64), a, rate
        self.initial: Tensor | None = None
        self.mean, self.square, self.steps = torch.zeros_like(self.w), torch.zeros_like(self.w), 0

    def update(self, losses: Tensor, shared: Tensor) -> None:
        w = self.w.clone().requires_grad_()
        self.initial = losses.detach() if self.initial is None else self.initial
        norms = torch.stack(
            [torch.autograd.grad(w[i] * losses[i], shared, create_graph=True)[0].norm() for i in range(len(w))]
        )
        ratio = (losses / self.initial).detach()
        target = (norms.mean() * (ratio / ratio.mean()) ** self.a).detach()
        gradient = torch.autograd.grad((norms - target).abs().sum(), w)[0]
        self.steps += 1
        self.mean = 0.9 * self.mean + 0.1 * gradient
        self.square = 0.999 * self.square + 0.001 * gradient**2
        corrected = self.mean / (1 - 0.9**self.steps), self.square / (1 - 0.999**self.steps)
        stepped = self.w - self.rate * corrected[0] / (corrected[1].sqrt() + 1e-8)
        self.w = stepped / stepped.sum() * len(stepped)


def toy_losses(shared: Tensor) -> Tensor:
    """Three terms of unlike size and curvature that a shared vector reaches."""
    return torch.stack([(shared - 1).square().sum(), 7 * (shared * 0.3).cosh().sum(), (shared[0] * shared[1]).exp()])


@pytest.mark.parametrize("a", [0.0, 0.5, 1.5])
def test_the_weights_follow_the_published_algorithm(a: float) -> None:
    shared = torch.tensor([0.5, -0.8, 1.7], dtype=torch.float64, requires_grad=True)
    ours, published = GradNorm([1, 1, 1], restoring=a, rate=0.025), PublishedGradNorm(3, a, 0.025)
    for _ in range(15):
        losses = toy_losses(shared)
        published.update(losses, shared)
        ours.update(losses.tolist(), gradient_norms(list(losses), [shared]).tolist())
        assert ours.weights == pytest.approx(published.w.tolist(), rel=1e-9)
        total = (torch.tensor(ours.weights) * toy_losses(shared)).sum()
        (gradient,) = torch.autograd.grad(total, shared)
        shared = (shared - 0.02 * gradient).detach().requires_grad_()
    assert max(abs(weight - 1) for weight in ours.weights) > 0.1


def test_gradient_norms_are_those_of_finite_differences_over_all_features_together() -> None:
    generator = np.random.default_rng(0)
    first, second = (torch.tensor(generator.normal(size=(4, n)), requires_grad=True) for n in (3, 5))

    def terms(a: Tensor, b: Tensor) -> list[Tensor]:
        return [(a.sum(1) * b.mean(1)).square().sum(), a.tanh().sum(), (b * b).sum().sqrt()]

    expected = []
    for index in range(3):
        slopes = []
        for part in (first, second):
            for place in np.ndindex(*part.shape):
                values = []
                for step in (1e-6, -1e-6):
                    moved = [t.detach().clone() for t in (first, second)]
                    moved[0 if part is first else 1][place] += step
                    values.append(terms(*moved)[index].item())
                slopes.append((values[0] - values[1]) / 2e-6)
        expected.append(np.linalg.norm(slopes))
    assert gradient_norms(terms(first, second), [first, second]).tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    ("skeletal", "appearance"),
    [
        ("psgcn", "rtcn"),
        ("st-gcn", "lstm"),
        ("dmgnn", "tcn"),
        ("psgcn", "segments"),
        ("psgcn", "spatial-attention"),
        ("psgcn", "usdl"),
    ],
)
def test_every_term_reaches_the_video_level_features(skeletal: str, appearance: str, fused: bool) -> None:
    torch.manual_seed(0)
    config = ViralityModelConfig(
        graph_width=1 / 16,
        temporal_width=1 / 64,
        dropout=0.0,
        skeletal_network=skeletal,  # type: ignore[arg-type]
        appearance_network=appearance,  # type: ignore[arg-type]
        attentive_fusion=fused,
    )
    model = ViralityModel(config)
    generator = np.random.default_rng(1)
    samples: list[Sample] = [
        ({m: generator.normal(size=(24, *FRAME[m])).astype(np.float32) for m in FUSED_MODALITIES}, clip / 5)
        for clip in range(5)
    ]
    batch = collate(samples, FUSED_MODALITIES)
    with video_level_features(model) as features:
        output = model(batch.inputs, batch.present)
    terms = loss_terms(output, batch.targets, batch.present, 0.5)
    assert len(features) == len(FUSED_MODALITIES)
    for feature in features:
        assert (gradient_norms(list(terms), [feature]) > 0).all()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_the_weights_move_stay_positive_and_sum_to_the_number_of_terms() -> None:
    generator = np.random.default_rng(2)
    balance = GradNorm([1, 1, 1], restoring=1.5, rate=0.5)
    moved = False
    for _ in range(500):
        norms = 10.0 ** generator.uniform(-6, 6, 3)
        balance.update((10.0 ** generator.uniform(-6, 6, 3)).tolist(), norms.tolist())
        assert min(balance.weights) > SMALLEST_WEIGHT / 10
        assert sum(balance.weights) == pytest.approx(3)
        moved |= max(balance.weights) > 1.5
    assert moved


def test_a_term_a_hundred_times_as_large_gets_a_smaller_weight() -> None:
    balance = GradNorm([1, 1, 1], restoring=1.5, rate=0.025)
    for _ in range(300):
        balance.update([0.5, 50.0, 0.5], [1.0, 100.0, 1.0])
    error, ranking, streams = balance.weights
    assert ranking < 0.1 * min(error, streams)


def test_a_term_that_lags_behind_gets_a_larger_weight() -> None:
    balance = GradNorm([1, 1], restoring=1.5, rate=0.025)
    balance.update([1.0, 1.0], [1.0, 1.0])
    for _ in range(50):
        balance.update([1.0, 0.2], [1.0, 1.0])
    assert balance.weights[0] > balance.weights[1] + 0.5


def test_a_first_loss_of_zero_is_waited_for() -> None:
    balance = GradNorm([1, 1], restoring=1.0, rate=0.025)
    balance.update([0.0, 2.0], [0.0, 1.0])
    balance.update([0.0, 0.0], [0.0, 0.0])
    assert np.isfinite(balance.weights).all()
    balance.update([4.0, 2.0], [1.0, 1.0])
    weighted = torch.tensor([1.0, 1.0], dtype=torch.float64)
    progress = balance.targets(torch.tensor([4.0, 2.0], dtype=torch.float64), weighted)
    assert progress.tolist() == [1.0, 1.0]  # both are where they began


def test_known_initial_losses_are_used() -> None:
    balance = GradNorm([1, 1], restoring=1.0, rate=0.025, initial=[2.0, 1.0])
    ones = torch.ones(2, dtype=torch.float64)
    assert balance.targets(ones, ones).tolist() == pytest.approx([2 / 3, 4 / 3])


def test_it_goes_on_from_a_saved_state() -> None:
    first = GradNorm([1, 2, 3], restoring=1.5, rate=0.1)
    numbers = np.random.default_rng(3).uniform(0.1, 2, (20, 2, 3)).tolist()
    for losses, norms in numbers[:10]:
        first.update(losses, norms)
    second = GradNorm([1, 1, 1], restoring=1.5, rate=0.1)
    second.load_state_dict(first.state_dict())
    for losses, norms in numbers[10:]:
        first.update(losses, norms)
        second.update(losses, norms)
    assert first.weights == second.weights


@pytest.mark.parametrize("start", [[], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_weights_that_cannot_be_balanced_are_refused(start: list[float]) -> None:
    with pytest.raises(ConfigurationError, match="above zero"):
        GradNorm(start, restoring=1.5, rate=0.025)
