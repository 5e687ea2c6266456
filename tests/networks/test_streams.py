"""The contract of stream networks: a clip's result depends on that clip alone."""

import copy
from collections.abc import Callable
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from networks.baselines.dmgnn import DMGNN, ScaleBlock
from networks.baselines.lstm import LSTM
from networks.baselines.segments import SegmentRegression
from networks.baselines.spatial_attention import SpatialAttention
from networks.baselines.stgcn import STGCN
from networks.baselines.tcn import TCN
from networks.baselines.usdl import USDL
from networks.normalisation import MaskedBatchNorm
from networks.psgcn import PSGCN, GraphBlock
from networks.rtcn import RTCN
from networks.streams import StreamNetwork, StreamOutput
from schemas.joints import LAYOUTS

LENGTHS = (1, 2, 3, 4, 5, 7, 8, 15, 33, 64, 101)
"""Among them lengths below every receptive field and below the number of segments."""

CHANNELS = 24
WITHOUT_TORSO = "coco-17"

NETWORKS: dict[str, tuple[Callable[[], StreamNetwork], tuple[int, ...]]] = {
    **{
        f"psgcn-{name}": (
            lambda layout=layout: PSGCN(layout, layout.coordinates, width=1 / 8),
            (layout.joint_count, layout.coordinates),
        )
        for name, layout in LAYOUTS.items()
    },
    "psgcn-confidence": (lambda: PSGCN(LAYOUTS["mpii-16"], 3, width=1 / 8), (16, 3)),
    "psgcn-printed": (lambda: PSGCN(LAYOUTS["mpii-16"], width=1 / 8, sampling="printed"), (16, 2)),
    "psgcn-flat": (lambda: PSGCN(LAYOUTS["mpii-16"], width=1 / 8, pyramid=False), (16, 2)),
    "rtcn": (lambda: RTCN(CHANNELS, width=1 / 32), (CHANNELS,)),
    "rtcn-flat": (lambda: RTCN(CHANNELS, width=1 / 32, relational_pooling=False), (CHANNELS,)),
    **{
        f"st-gcn-{name}": (
            lambda layout=layout: STGCN(layout, layout.coordinates, width=1 / 16),
            (layout.joint_count, layout.coordinates),
        )
        for name, layout in LAYOUTS.items()
    },
    **{
        f"dmgnn-{name}": (
            lambda layout=layout: DMGNN(layout, layout.coordinates, width=1 / 32),
            (layout.joint_count, layout.coordinates),
        )
        for name, layout in LAYOUTS.items()
        if name != WITHOUT_TORSO
    },
    "st-gcn-confidence": (lambda: STGCN(LAYOUTS["mpii-16"], 3, width=1 / 16), (16, 3)),
    "lstm": (lambda: LSTM(CHANNELS, width=1 / 32), (CHANNELS,)),
    "tcn": (lambda: TCN(CHANNELS, width=1 / 32), (CHANNELS,)),
    "segments": (lambda: SegmentRegression(CHANNELS, width=1 / 8), (CHANNELS,)),
    "spatial-attention": (lambda: SpatialAttention(CHANNELS, width=1 / 8), (CHANNELS,)),
    "usdl": (lambda: USDL(CHANNELS, width=1 / 4), (CHANNELS,)),
}
every_network = pytest.mark.parametrize("name", NETWORKS)

CANCELLED_BY_NORMALISATION = ("temporal.bias", "projection.bias", "second.bias")
"""Biases that batch normalisation subtracts again: their gradient is zero up to rounding."""


def network_and_clips(name: str) -> tuple[StreamNetwork, list[Tensor]]:
    """A network in evaluation, the caller's own, and clips to read."""
    network, clips = _made(name)
    torch.manual_seed(0)
    return copy.deepcopy(network), clips


@cache
@torch.inference_mode()
def outputs(name: str) -> StreamOutput:
    """What the network gives for all clips in one batch."""
    network, clips = _made(name)
    return network(*padded(clips, 0.0))


@cache
def _made(name: str) -> tuple[StreamNetwork, list[Tensor]]:
    build, step = NETWORKS[name]
    torch.manual_seed(0)
    network = build()
    scale = 100.0 if len(step) == 2 else 1.0
    clips = [torch.randn(length, *step) * scale + 3 * scale for length in LENGTHS]
    with torch.no_grad():  # connectivity and statistics as after training, not as initialised
        for module in network.modules():
            if isinstance(module, GraphBlock | ScaleBlock):
                nn.init.normal_(module.learned, std=0.1)
            if isinstance(module, MaskedBatchNorm | nn.BatchNorm1d):
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
    together = outputs(name)
    for row, clip in enumerate(clips):
        alone = network(*padded([clip], 0.0))
        assert abs(alone.score[0] - together.score[row]) <= 1e-5, len(clip)
        torch.testing.assert_close(alone.embedding[0], together.embedding[row], rtol=1e-4, atol=1e-5)


@every_network
@pytest.mark.parametrize("filling", [1e6, float("nan")])
@torch.inference_mode()
def test_what_stands_in_the_padding_is_of_no_consequence(name: str, filling: float) -> None:
    network, clips = network_and_clips(name)
    clean, dirty = outputs(name), network(*padded(clips, filling, extra=9))
    assert (clean.score - dirty.score).abs().max() <= 1e-5
    torch.testing.assert_close(clean.embedding, dirty.embedding, rtol=1e-4, atol=1e-5)


@every_network
@torch.inference_mode()
def test_clips_are_distinguished(name: str) -> None:
    network, clips = network_and_clips(name)
    output = outputs(name)
    assert output.embedding.shape == (len(clips), network.embedding_dim)
    assert output.score.shape == (len(clips),)
    assert output.score.std() > 1e-5


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
def test_every_parameter_gets_a_finite_gradient_whatever_the_padding(name: str) -> None:
    network, clips = network_and_clips(name)
    network.train()
    frames, lengths = padded(clips, float("nan"), extra=2)
    network(frames, lengths).score.square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert torch.isfinite(parameter.grad).all(), parameter_name
        if not parameter_name.endswith(CANCELLED_BY_NORMALISATION):
            assert parameter.grad.abs().sum() > 0, parameter_name


@every_network
def test_a_state_dict_restores_the_scores(name: str) -> None:
    network, clips = network_and_clips(name)
    restored = NETWORKS[name][0]()
    restored.load_state_dict(network.state_dict())
    with torch.inference_mode():
        expected, found = network(*padded(clips, 0.0)), restored.eval()(*padded(clips, 0.0))
    torch.testing.assert_close(found.score, expected.score, rtol=0, atol=0)
