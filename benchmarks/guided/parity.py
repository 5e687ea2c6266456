"""Gradient graphs beside torch's automatic differentiation, and beside central differences in float64.

Legend: N clips, T time steps, V joints, C channels.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime
import torch
from torch import Tensor

from exporters.onnx.gradients import with_gradients
from exporters.onnx.graphs import stream_graph
from networks.model_config import ViralityModelConfig
from networks.streams import StreamNetwork
from networks.virality_model import ViralityModel
from schemas.bundle import EMBEDDING, EMBEDDING_SEED, FRAMES, FRAMES_GRADIENT, LENGTHS, SCORE, SCORE_SEED
from schemas.export_profiles import Profile
from schemas.joints import LAYOUTS, MPII_16, layout_named
from schemas.modalities import Modality

TOLERANCE: Final = 1e-4
LENGTHS_OF_BATCHES: Final = ((1,), (75, 40, 9))
_SIZE: Final = 60.0
"""Of the bodies, in pixels."""
_STEP: Final = 1e-6
"""Of the central differences, as a share of that size."""

_SMALL: Final[Mapping[str, Any]] = {"graph_width": 0.25}
CONFIGURATIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "an eighth of the width": {"graph_width": 0.125},
    "a quarter (as the bundle that ships)": _SMALL,
    "the paper's width": {"graph_width": 1.0},
    "Eq. (6) as printed": {**_SMALL, "sampling": "printed"},
    "without the pyramid": {**_SMALL, "pyramid": False},
    "with a confidence": {**_SMALL, "joint_channels": 3},
    **{
        name: {**_SMALL, "joint_layout": name, "joint_channels": layout.coordinates}
        for name, layout in LAYOUTS.items()
        if name != MPII_16.name
    },
    "ST-GCN": {**_SMALL, "skeletal_network": "st-gcn"},
}


class Differences(NamedTuple):
    """One number for each clip."""

    each: tuple[float, ...]

    @property
    def typical(self) -> float:
        """The median."""
        return float(np.median(self.each))

    @property
    def accepted(self) -> float:
        """The largest, but for a tenth of the clips."""
        return sorted(self.each)[len(self.each) - len(self.each) // 10 - 1]

    @property
    def alike(self) -> float:
        """The share of clips that ``TOLERANCE`` holds for."""
        return float(np.mean(np.array(self.each) <= TOLERANCE))


class Parity(NamedTuple):
    """Differences of a gradient as it is served, in float32, from what it is compared with, of each clip.

    ``torch``: of an entry from torch's automatic differentiation, relative to the clip's largest entry. ``central``: of
    the derivative along random directions from central differences in float64, relative to the gradient's norm. In a
    few clips rounding puts the input of a ReLU on the other side of zero, where the derivative is another.
    """

    torch: Differences
    central: Differences


def parity(
    configuration: Mapping[str, Any], profile: Profile = Profile.FAST, *, batches: int = 10, seed: int = 0
) -> Parity:
    """Of the gradient graph of a skeletal network of ``configuration``, on ``batches`` of each composition."""
    network, config = _network(configuration, seed)
    session = onnxruntime.InferenceSession(graph(network, config, profile))
    exact = deepcopy(network).double()
    generator = np.random.default_rng(seed)
    by_torch: list[float] = []
    by_differences: list[float] = []
    for frames, lengths in (_batch(config, each, generator) for each in LENGTHS_OF_BATCHES * batches):
        clips = len(lengths)
        (found,) = session.run([FRAMES_GRADIENT], _inputs(frames, lengths, network.embedding_dim))
        by_torch += _differences(found, automatic(network, frames, lengths))
        direction = generator.standard_normal(frames.shape)
        along = (found * direction).sum(axis=(1, 2, 3))
        norm = np.linalg.norm(found.reshape(clips, -1).astype(np.float64), axis=1)
        by_differences += (np.abs(along - central(exact, frames, direction, lengths)) / norm).tolist()
    return Parity(Differences(tuple(by_torch)), Differences(tuple(by_differences)))


def graph(network: StreamNetwork, config: ViralityModelConfig, profile: Profile) -> bytes:
    """The stream with its derivatives."""
    model = ViralityModel(config).eval()
    model.streams[str(Modality.SKELETAL)] = network
    content = stream_graph(model, Modality.SKELETAL, profile)
    return with_gradients(content, {SCORE: SCORE_SEED, EMBEDDING: EMBEDDING_SEED}, {FRAMES: FRAMES_GRADIENT})


def automatic(network: StreamNetwork, frames: Any, lengths: Any) -> Any:
    """torch's derivative of each clip's score by its frames."""
    given = torch.from_numpy(frames).requires_grad_()
    (gradient,) = torch.autograd.grad(network(given, torch.from_numpy(lengths)).score.sum(), given)
    return gradient.numpy()


def central(network: StreamNetwork, frames: Any, direction: Any, lengths: Any) -> Any:
    """(N,): the derivative of each score along ``direction``, as a difference over a small step in float64."""
    step = _STEP * _SIZE

    @torch.inference_mode()
    def scores(sign: int) -> Tensor:
        moved = torch.from_numpy(frames.astype(np.float64) + sign * step * direction)
        return network(moved, torch.from_numpy(lengths)).score

    return ((scores(1) - scores(-1)) / (2 * step)).numpy()


def _network(configuration: Mapping[str, Any], seed: int) -> tuple[StreamNetwork, ViralityModelConfig]:
    """With weights, edges, biases and statistics as after training: none is zero or one."""
    torch.manual_seed(seed)
    config = ViralityModelConfig(modalities=(Modality.SKELETAL,), **configuration)
    network = ViralityModel(config).stream(Modality.SKELETAL)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 0.3 if parameter.ndim == 1 else 0.1 * float(parameter.abs().mean() + 0.1)
            parameter += spread * torch.randn_like(parameter)
        for name, buffer in network.named_buffers():
            if name.endswith("running_var"):
                torch.nn.init.uniform_(buffer, 0.5, 2)
    return network.eval(), config


def _batch(config: ViralityModelConfig, lengths: Sequence[int], generator: np.random.Generator) -> tuple[Any, Any]:
    """Frames (N, T, V, C), zero at padding, and lengths (N,)."""
    shape = (layout_named(config.joint_layout).joint_count, config.joint_channels)
    frames = np.zeros((len(lengths), max(lengths), *shape), np.float32)
    for row, length in enumerate(lengths):
        pose = generator.normal(0, _SIZE, shape)
        frames[row, :length] = 300 + pose + generator.normal(0, _SIZE / 4, (length, *shape))
    return frames, np.array(lengths, np.int64)


def _inputs(frames: Any, lengths: Any, width: int) -> dict[str, Any]:
    """Of the gradient graph, for the derivative of the score alone."""
    clips = len(lengths)
    seeds = {SCORE_SEED: np.ones(clips, frames.dtype), EMBEDDING_SEED: np.zeros((clips, width), frames.dtype)}
    return {FRAMES: frames, LENGTHS: lengths, **seeds}


def _differences(found: Any, expected: Any) -> list[float]:
    """Of each clip's entries, relative to the largest of them."""
    largest = np.abs(expected).max(axis=(1, 2, 3))
    differences: list[float] = (np.abs(found - expected).max(axis=(1, 2, 3)) / largest).tolist()
    return differences
