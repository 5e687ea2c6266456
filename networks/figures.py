"""What the paper's figures show of a trained network, as arrays: its graphs (Fig. 7), where its attention looks
(Fig. 8), and which clips a stream puts first and last (Fig. 9).

Legend: V vertices of a layer, T' steps of an attention, H heads, N clips.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from networks.baselines.stgcn import STGCN
from networks.errors import UnusableSamples
from networks.psgcn import PSGCN, GraphBlock
from networks.rtcn import POOLED_BLOCKS, RTCN, RelationalPooling
from networks.streams import StreamNetwork

LAYERS: Final = (2, 5, 8)
"""The graph convolutions that Fig. 7 shows, counted from one."""
EXTREMES: Final = 5


def adjacency_of_layers(network: StreamNetwork, layers: Sequence[int] = LAYERS) -> dict[int, NDArray[np.float64]]:
    """Ā (V, V) of the graph convolution of each of ``layers``, summed over its subsets; vertex i gets from vertex j by
    entry (i, j).

    Of ``PSGCN`` Ā_o + A_l, in the network's vertex order, coarser from layer to layer; of ``STGCN`` the graph times its
    learned weights, in the layout's joint order. Vertices that only pad are left out. Raises ``UnusableSamples`` for a
    network of another kind and for a layer that there is not.
    """
    if not isinstance(network, PSGCN | STGCN):
        raise UnusableSamples(
            f"{type(network).__name__} has no graph convolutions; give a model of psgcn or st-gcn", field="network"
        )
    count = len(network.blocks)
    if not all(1 <= layer <= count for layer in layers):
        raise UnusableSamples(f"layers {', '.join(map(str, layers))} are not all from 1 to {count}", field="layers")
    with torch.no_grad():
        if isinstance(network, STGCN):
            # Entry (j, i) of ST-GCN's matrices is the weight of joint j in joint i.
            found = {layer: (network.adjacency * network.importance[layer - 1]).sum(0).T for layer in layers}
        else:
            found = {layer: _of_block(network, layer) for layer in layers}
    return {layer: matrix.double().cpu().numpy() for layer, matrix in found.items()}


def _of_block(network: PSGCN, layer: int) -> Tensor:
    block = network.blocks[layer - 1]
    if not isinstance(block, GraphBlock):
        raise TypeError(f"layer {layer} is a {type(block).__name__}")
    real = block.real.nonzero().squeeze(1)
    return block.connectivity().sum(0)[real][:, real]


def attention_from_centre(network: StreamNetwork, frames: NDArray[np.floating]) -> NDArray[np.float64]:
    """(H, T'): the weights of each head of the first relational pooling block, from the step in the centre of the clip
    ``frames`` (T, C) to all T' = ⌈T / 2⌉ steps. Each head's weights sum to one.

    Raises ``UnusableSamples`` for a network without relational pooling.
    """
    first = str(POOLED_BLOCKS[0])
    if not isinstance(network, RTCN) or first not in network.poolings:
        raise UnusableSamples(
            f"{type(network).__name__} without relational pooling has no attention over time; give a checkpoint of "
            "rtcn with relational_pooling",
            field="network",
        )
    pooling = network.poolings[first]
    if not isinstance(pooling, RelationalPooling):
        raise TypeError(f"the first pooling is a {type(pooling).__name__}")
    seen: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, given: tuple[Tensor, Tensor]) -> None:
        seen.append(given)

    was_training, device = network.training, next(network.parameters()).device
    hook = pooling.attention.register_forward_pre_hook(keep)
    try:
        with torch.inference_mode():
            given = torch.as_tensor(np.asarray(frames, np.float32), device=device)[None]
            network.eval()(given, torch.tensor([given.shape[1]], device=device))
            ((x, mask),) = seen
            weights = pooling.attention.weights(x, mask)[0, :, x.shape[1] // 2]
    finally:
        hook.remove()
        network.train(was_training)
    return weights.double().cpu().numpy()


def first_and_last(scores: NDArray[np.floating], count: int = EXTREMES) -> tuple[list[int], list[int]]:
    """Rows of ``scores`` (N,) with the highest, from the first on, and with the lowest, to the last; NaN has no place.

    No clip is in both: of fewer than twice ``count`` clips, the better half is first. Equal scores stay in their order.
    """
    placed = [row for row in np.argsort(-scores, kind="stable").tolist() if not np.isnan(scores[row])]
    first = min(count, (len(placed) + 1) // 2)
    last = min(count, len(placed) - first)
    return placed[:first], placed[len(placed) - last :]


def vertex_names(
    names: Sequence[str], order: Sequence[int], matrices: Mapping[int, NDArray[np.float64]]
) -> dict[int, list[str]]:
    """Names of the vertices of each layer's matrix: the joints in ``order``, and where vertices were merged, the range
    of joints in each.
    """
    placed = [names[joint] for joint in order]
    found = {}
    for layer, matrix in matrices.items():
        merged = -(-len(placed) // len(matrix))
        groups = [placed[at : at + merged] for at in range(0, len(placed), merged)]
        found[layer] = [group[0] if len(group) == 1 else f"{group[0]} … {group[-1]}" for group in groups]
    return found
