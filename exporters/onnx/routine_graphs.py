"""ACTION-NET as the stream of the modality ``routine``, and its parity with torch.

Legend: N clips, T seconds, S segments, C channels, D embedding width, P parts of the temporal attention.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim

from exporters.onnx.graphs import TRACED_CLIPS, TRACED_STEPS, traced_graph
from exporters.onnx.parity import EMBEDDING_TOLERANCE, SCORE_TOLERANCE, padded, session
from networks.action_net import ActionNet
from networks.action_net.context import RecurrentContext
from networks.sequences import masked, time_mask
from schemas.bundle import EMBEDDING, FRAMES, LENGTHS, SCORE, TEMPORAL_ATTENTION
from schemas.errors import BundleError
from schemas.modalities import Modality
from schemas.routines import DYNAMIC_CHANNELS, STATIC_CHANNELS, first_second, segment_at, segments_of

OUTPUTS: Final = (EMBEDDING, SCORE, TEMPORAL_ATTENTION)
BATCHES: Final[tuple[tuple[int, ...], ...]] = (
    *((1,), (3,), (4,), (60,), (83,), (150,), (600,), (1, 1), (83, 1, 4, 60, 3), (150, 61, 16, 17)),
)
"""Lengths T of the clips of each batch that is compared."""


class RoutineStreamOutput(NamedTuple):
    """``embedding`` (N, D), f_D and f_S of Eq. (6); ``score`` (N,) in [0, 1]; ``temporal_attention`` (N, P, T) of the
    parts dynamic and static, each of which sums to one, and is zero beyond the length."""

    embedding: Tensor
    score: Tensor
    temporal_attention: Tensor


class RoutineStream(nn.Module):
    """ACTION-NET over frames (N, T, 3072) at 1 Hz, as ``schemas.routines`` packs them.

    The weight of a segment is divided among the seconds that begin in it, within the length.
    """

    def __init__(self, network: ActionNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor, lengths: Tensor) -> RoutineStreamOutput:
        """Of ``lengths`` (N,) seconds; one below 1 counts as 1."""
        lengths = lengths.clamp(min=1)
        seconds = frames.shape[1]
        second = torch.arange(seconds, device=frames.device)
        segment = torch.arange(segments_of(seconds), device=frames.device)
        starts = first_second(segment)
        mask = time_mask(lengths, seconds)
        segment_mask = segment < segments_of(lengths)[:, None]
        dynamic = frames[:, starts, STATIC_CHANNELS:]
        found = self.network.assess(dynamic, frames[:, :, :STATIC_CHANNELS], segment_mask, mask)
        ends = torch.minimum(first_second(segment + 1), lengths[:, None])
        of_each = found.dynamic_attention / (ends - starts).clamp(min=1)
        by_second = masked(of_each[:, segment_at(second)], mask)
        attention = torch.stack((by_second, found.static_attention), dim=1)
        return RoutineStreamOutput(found.features, found.score, attention)


class RoutineAgreement(NamedTuple):
    """Largest differences between torch and ONNX Runtime: of scores and attention, and of embeddings relative to their
    largest entry."""

    score: float
    embedding: float


def routine_graph(network: ActionNet) -> bytes:
    """``frames`` (N, T, 3072) and ``lengths`` (N,) to ``embedding``, ``score`` and ``temporal_attention``.

    Raises ``BundleError`` for the ablations that are not exported: one stream, and recurrent context.
    """
    recurrent = any(isinstance(module, RecurrentContext) for module in network.modules())
    if recurrent or len(network.streams) == 1:
        raise BundleError("ACTION-NET is exported with both streams and without recurrent context; build it so")
    frames = torch.rand(TRACED_CLIPS, TRACED_STEPS, STATIC_CHANNELS + DYNAMIC_CHANNELS)
    lengths = torch.tensor([TRACED_STEPS, TRACED_STEPS // 2])
    clips = Dim("clips")
    axes = ({0: clips, 1: Dim("steps")}, {0: clips})
    return traced_graph(RoutineStream(network.eval()), (frames, lengths), (FRAMES, LENGTHS), OUTPUTS, axes)


def check_routine(network: ActionNet, graph: bytes, batches: Sequence[Sequence[int]] = BATCHES) -> RoutineAgreement:
    """Compare ``network`` with its ``graph`` on batches of clips of these lengths, and each clip in its batch with
    itself alone.

    Padding is filled with NaN. Raises ``BundleError`` naming batch, output and difference.
    """
    run, stream = session(graph), RoutineStream(network.eval())
    generator = np.random.default_rng(0)
    reached = dict.fromkeys(OUTPUTS, 0.0)
    for batch in batches:
        clips = [random_routine(length, generator) for length in batch]
        frames, lengths = padded(clips), np.array(batch, np.int64)
        with torch.inference_mode():
            expected = [tensor.numpy() for tensor in stream(torch.from_numpy(frames), torch.from_numpy(lengths))]
        found = run.run(list(OUTPUTS), {FRAMES: frames, LENGTHS: lengths})
        alone = [
            run.run(list(OUTPUTS), {FRAMES: clip[None], LENGTHS: lengths[row : row + 1]})
            for row, clip in enumerate(clips)
        ]
        longest = max(batch)
        for place, name in enumerate(OUTPUTS):
            rows = [one[place][0] for one in alone]
            if name == TEMPORAL_ATTENTION:
                rows = [np.pad(row, ((0, 0), (0, longest - row.shape[1]))) for row in rows]
            for what, other in (("torch", expected[place]), ("the clip alone", np.stack(rows))):
                difference = _difference(name, found[place], other)
                limit = EMBEDDING_TOLERANCE if name == EMBEDDING else SCORE_TOLERANCE
                if not difference <= limit:
                    raise BundleError(
                        f"{Modality.ROUTINE}: the graph and {what} differ by {difference:.2e} in {name} (limit "
                        f"{limit:.0e}), in a batch of lengths {', '.join(map(str, batch))} s; the graph is not fit to "
                        "serve"
                    )
                reached[name] = max(reached[name], difference)
    return RoutineAgreement(max(reached[SCORE], reached[TEMPORAL_ATTENTION]), reached[EMBEDDING])


def random_routine(seconds: int, generator: np.random.Generator) -> NDArray[np.float32]:
    """(T, 3072) features as they leave a ReLU."""
    return generator.exponential(0.5, (seconds, STATIC_CHANNELS + DYNAMIC_CHANNELS)).astype(np.float32)


def _difference(name: str, found: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    size = np.abs(other).max(axis=1, keepdims=True).clip(min=np.finfo(np.float32).tiny) if name == EMBEDDING else 1.0
    difference = np.abs(found - other) / size
    return float("inf") if np.isnan(difference).any() else float(difference.max())
