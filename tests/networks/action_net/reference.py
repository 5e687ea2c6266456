"""ACTION-NET once more, in float64, one number at a time where it matters: Eq. (1-6) after the public code.

Weights have the public code's names: ``d_ct`` and ``s_ct`` are the streams, ``fc`` the head.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
SHAPES = {
    "embedding.0": lambda c: (c // 2, c),
    "embedding.2": lambda c: (256, c // 2),
    "gcn1": lambda c: (256, 256),
    "gcn2": lambda c: (256, 256),
    "att.0": lambda c: (128, 512),
    "att.2": lambda c: (1, 128),
}


def random_weights(seed: int = 0, segments: int = 26, frames: int = 80) -> dict[str, Array]:
    """A state_dict of the public code: 28 trained tensors and two constant matrices."""
    generator = np.random.default_rng(seed)
    sizes = {
        f"{stream}.{name}": shape(c) for stream, c in (("d_ct", 1024), ("s_ct", 2048)) for name, shape in SHAPES.items()
    }
    sizes |= {"fc.0": (128, 1024), "fc.3": (1, 128)}
    weights: dict[str, Array] = {}
    for name, (rows, columns) in sizes.items():
        weights[f"{name}.weight"] = generator.normal(0, 1.5 / np.sqrt(columns), (rows, columns))
        weights[f"{name}.bias"] = generator.normal(0, 0.2, rows)
    weights["adj1"] = normalised(temporal(segments))
    weights["adj2"] = normalised(temporal(frames))
    return weights


def temporal(instances: int, scale: float = 1.0) -> Array:
    """Eq. (1) as the public code reads it."""
    return np.array([[np.exp(-abs(i - j) / scale) for j in range(instances)] for i in range(instances)])


def of_features(x: Array, scale: float = 1.0) -> Array:
    """Eq. (1) as printed, with the identity of Eq. (2)."""
    adjacency = np.eye(len(x))
    for i in range(len(x)):
        for j in range(len(x)):
            adjacency[i, j] += np.exp(-np.sqrt(((x[i] - x[j]) ** 2).sum()) / scale)
    return adjacency


def normalised(adjacency: Array) -> Array:
    """Eq. (2): every entry over the roots of its row's and its column's sum."""
    degree = [sum(row) for row in adjacency.tolist()]
    result = np.empty_like(adjacency)
    for i, a in enumerate(degree):
        for j, b in enumerate(degree):
            result[i, j] = adjacency[i, j] / (a**0.5 * b**0.5)
    return result


def linear(weights: Mapping[str, Array], name: str, x: Array) -> Array:
    return np.array([weights[f"{name}.weight"] @ row + weights[f"{name}.bias"] for row in x])


def stream(
    weights: Mapping[str, Array], name: str, instances: Any, *, printed: bool = False, scale: float = 1.0
) -> tuple[Array, Array]:
    """The feature (512,) and the attention (T,) of one routine's ``instances`` (T, C)."""
    x = np.maximum(linear(weights, f"{name}.embedding.0", np.asarray(instances, np.float64)), 0)
    x = np.maximum(linear(weights, f"{name}.embedding.2", x), 0)
    adjacency = normalised(of_features(x, scale) if printed else temporal(len(x), scale))
    context = x
    for layer in ("gcn1", "gcn2"):
        gathered = np.array([sum(adjacency[i, j] * context[j] for j in range(len(x))) for i in range(len(x))])
        context = np.maximum(linear(weights, f"{name}.{layer}", gathered), 0)
    fused = np.array([np.concatenate(pair) for pair in zip(x, context, strict=True)])
    logits = linear(weights, f"{name}.att.2", np.maximum(linear(weights, f"{name}.att.0", fused), 0))[:, 0]
    attention = np.exp(logits - logits.max())
    attention /= attention.sum()
    return sum(weight * row for weight, row in zip(attention, fused, strict=True)), attention


def score(weights: Mapping[str, Array], dynamic: Any, static: Any, **reading: Any) -> float:
    """The score of one routine, with dropout off."""
    joined = np.concatenate(
        [stream(weights, "d_ct", dynamic, **reading)[0], stream(weights, "s_ct", static, **reading)[0]]
    )
    hidden = np.maximum(linear(weights, "fc.0", joined[None]), 0)
    return float(1 / (1 + np.exp(-linear(weights, "fc.3", hidden)[0, 0])))
