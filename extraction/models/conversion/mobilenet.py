"""MobileNetV2 (Sandler et al. 2018) without its classifier, from the tensors of a state dict.

Tensors are named as in torchvision and in the repositories before it: ``features.0`` is a convolution with stride 2,
``features.N.conv`` an inverted residual, ``features.18`` a convolution to 1,280 channels. Each convolution is followed
by a batch normalisation, which is folded into it in float64.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from extraction.models.conversion.graph import NetworkGraph, Value, Window
from schemas.errors import ExtractorModelInvalid

_EPSILON: Final = 1e-5
"""Of torch's batch normalisation."""
_STAGES: Final = ((1, 1), (2, 2), (3, 2), (4, 2), (3, 1), (3, 2), (1, 1))
"""Inverted residuals of each stage, and the stride of its first."""

Tensors = Mapping[str, npt.NDArray[Any]]


def add_mobilenet(graph: NetworkGraph, prepared: Value, tensors: Tensors) -> Value:
    """The mean over all pixels of the last convolution: (1280,) for each picture.

    Raises ``ExtractorModelInvalid`` naming a tensor that is missing.
    """
    try:
        return _mobilenet(graph, prepared, tensors)
    except KeyError as error:
        raise ExtractorModelInvalid(f"not a MobileNetV2: it has no tensor {error.args[0]}") from error


def _mobilenet(graph: NetworkGraph, prepared: Value, tensors: Tensors) -> Value:
    x = _convolution(graph, prepared, tensors, "features.0", (0, 1), stride=2)
    number = 1
    for blocks, first_stride in _STAGES:
        for block in range(blocks):
            x = _inverted_residual(graph, x, tensors, f"features.{number}.conv", first_stride if block == 0 else 1)
            number += 1
    x = _convolution(graph, x, tensors, f"features.{number}", (0, 1))
    return graph.mean_of_pixels(x, keep=False)


def _inverted_residual(graph: NetworkGraph, x: Value, tensors: Tensors, prefix: str, stride: int) -> Value:
    expands = f"{prefix}.6.weight" in tensors
    inner = _convolution(graph, x, tensors, prefix, (0, 1)) if expands else x
    depthwise = 3 if expands else 0
    inner = _convolution(graph, inner, tensors, prefix, (depthwise, depthwise + 1), stride=stride)
    last = depthwise + 3
    inner = _convolution(graph, inner, tensors, prefix, (last, last + 1), activated=False)
    return graph.pointwise("Add", x, inner) if inner.shape == x.shape else inner


def _convolution(
    graph: NetworkGraph,
    x: Value,
    tensors: Tensors,
    prefix: str,
    numbers: tuple[int, int],
    *,
    stride: int = 1,
    activated: bool = True,
) -> Value:
    """A convolution of odd size with padding on all sides, the batch normalisation behind it, and ReLU6."""
    kernel = tensors[f"{prefix}.{numbers[0]}.weight"].astype(np.float64)
    weight, bias, mean, variance = (
        tensors[f"{prefix}.{numbers[1]}.{name}"].astype(np.float64)
        for name in ("weight", "bias", "running_mean", "running_var")
    )
    factor = weight / np.sqrt(variance + _EPSILON)
    y = graph.convolution(
        x,
        (kernel * factor[:, None, None, None]).astype(np.float32),
        (bias - mean * factor).astype(np.float32),
        Window((stride, stride), margin=kernel.shape[2] // 2),
        groups=x.shape[-1] // kernel.shape[1],
    )
    return graph.clip(y, 0.0, 6.0) if activated else y
