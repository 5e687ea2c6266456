"""What both stream networks owe their callers: a clip's result depends on that clip alone."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from networks.normalisation import MaskedBatchNorm
from networks.psgcn import PSGCN, GraphBlock
from networks.rtcn import RTCN
from schemas.joints import LAYOUTS

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 15, 33, 64, 101)
"""Among them lengths below every receptive field."""


def psgcn(name: str = "mpii-16") -> nn.Module:
    return PSGCN(LAYOUTS[name], LAYOUTS[name].coordinates, width=0.125)


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **{
        name: (lambda name=name: psgcn(name), (layout.joint_count, layout.coordinates))
        for name, layout in LAYOUTS.items()
    },
    "psgcn-confidence": (lambda: PSGCN(LAYOUTS["mpii-16"], 3, width=0.125), (16, 3)),
    "psgcn-printed": (lambda: PSGCN(LAYOUTS["mpii-16"], width=0.125, sampling="printed"), (16, 2)),
    "psgcn-flat": (lambda: PSGCN(LAYOUTS["mpii-16"], width=0.125, pyramid=False), (16, 2)),
    "rtcn": (lambda: RTCN(24, width=1 / 32), (24,)),
    "rtcn-flat": (lambda: RTCN(24, width=1 / 32, relational_pooling=False), (24,)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)


def network_and_clips(name: str) -> tuple[nn.Module, list[Tensor]]:
    build, step = NETWORKS[name]
    torch.manual_seed(0)
    network = build()
    scale = 100.0 if len(step) == 2 else 1.0
    clips = [torch.randn(length, *step) * scale + 3 * scale for length in LENGTHS]
    with torch.no_grad():  # connectivity and statistics as after training, not as initialised
        for module in network.modules():
            if isinstance(module, GraphBlock):
                nn.init.normal_(module.learned, std=0.1)
            if isinstance(module, MaskedBatchNorm):
                module.momentum = 1.0
        network.train()(*padded(clips, 0.0))
    return network.eval(), clips


def padded(clips: list[Tensor], filling: float, extra: int = 0) -> tuple[Tensor, Tensor]:
    steps = max(map(len, clips)) + extra
    frames = torch.full((len(clips), steps, *clips[0].shape[1:]), filling)
    for row, clip in enumerate(clips):
        frames[row, : len(clip)] = clip
    return frames, torch.tensor([len(clip) for clip in clips])


@every_network
@torch.inference_mode()
def test_a_clip_scores_the_same_alone_and_in_a_batch(name: str) -> None:
    network, clips = network_and_clips(name)
    together = network(*padded(clips, 0.0))
    for row, clip in enumerate(clips):
        alone = network(*padded([clip], 0.0))
        assert abs(alone.score[0] - together.score[row]) <= 1e-5, len(clip)
        torch.testing.assert_close(alone.embedding[0], together.embedding[row], rtol=1e-4, atol=1e-5)


@every_network
@pytest.mark.parametrize("filling", [1e6, float("nan")])
@torch.inference_mode()
def test_what_stands_in_the_padding_is_of_no_consequence(name: str, filling: float) -> None:
    network, clips = network_and_clips(name)
    clean, dirty = network(*padded(clips, 0.0)), network(*padded(clips, filling, extra=9))
    assert (clean.score - dirty.score).abs().max() <= 1e-5
    torch.testing.assert_close(clean.embedding, dirty.embedding, rtol=1e-4, atol=1e-5)


@every_network
@torch.inference_mode()
def test_clips_are_told_apart(name: str) -> None:
    network, clips = network_and_clips(name)
    output = network(*padded(clips, 0.0))
    assert output.embedding.shape == (len(clips), network.embedding_dim)
    assert output.score.shape == (len(clips),)
    assert output.score.std() > 1e-4


@every_network
def test_training_statistics_do_not_see_the_padding(name: str) -> None:
    network, clips = network_and_clips(name)
    twin, _ = network_and_clips(name)
    for model, filling in ((network, 0.0), (twin, 1e6)):
        model.train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        model(*padded(clips, filling, extra=3))
    for ours, theirs in zip(network.buffers(), twin.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs)


@every_network
def test_every_parameter_gets_a_finite_gradient(name: str) -> None:
    network, clips = network_and_clips(name)
    network.train()
    frames, lengths = padded(clips, 0.0)
    network(frames, lengths).score.square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        assert parameter.grad.abs().sum() > 0, parameter_name
