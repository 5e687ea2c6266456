"""The two formats without a runtime of their own here, computed by NumPy from the files."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[Any]


def run_graph_model(document: bytes, weights: bytes, inputs: Array, output: str) -> Array:
    """The node ``output`` of a TensorFlow.js graph model, in float64, one operation after the other."""
    model = json.loads(document)
    nodes = {node["name"]: node for node in model["modelTopology"]["node"]}
    values: dict[str, Array] = {"input_1": inputs.astype(np.float64)}
    offset = 0
    for weight in (each for group in model["weightsManifest"] for each in group["weights"]):
        dtype = np.dtype(weight.get("quantization", weight)["dtype"])
        count = int(np.prod(weight["shape"]))
        values[weight["name"]] = np.frombuffer(weights, dtype, count, offset).reshape(weight["shape"]).astype(float)
        offset += count * dtype.itemsize

    def value(name: str) -> Array:
        if name not in values:
            node = nodes[name]
            values[name] = _operation(node, *(value(each) for each in node["input"]))
        return values[name]

    return value(output)


def _operation(node: dict[str, Any], x: Array, y: Array | None = None) -> Array:
    match node["op"]:
        case "Conv2D" | "DepthwiseConv2dNative":
            assert base64.b64decode(node["attr"]["padding"]["s"]) == b"SAME"
            stride = int(node["attr"]["strides"]["list"]["i"][1])
            return _convolution(x, y, stride, depthwise=node["op"] != "Conv2D")
        case "Add":
            return x + y
        case "Mul":
            return x * y
        case "Relu":
            return np.maximum(x, 0)
        case "Minimum":
            return np.minimum(x, y)
        case "Maximum":
            return np.maximum(x, y)
        case "Mean":
            return x.mean(axis=tuple(y.astype(int)))
        case other:
            raise NotImplementedError(other)


def _convolution(x: Array, kernel: Array, stride: int, *, depthwise: bool) -> Array:
    """TensorFlow's SAME: the sum over taps of shifted pictures. ``x`` (N, H, W, C), ``kernel`` (kH, kW, C, C')."""
    pads = []
    for size, taps in zip(x.shape[1:3], kernel.shape[:2], strict=True):
        total = max((-(-size // stride) - 1) * stride + taps - size, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    height, width = (-(-size // stride) for size in x.shape[1:3])
    total = np.zeros((len(x), height, width, kernel.shape[2] if depthwise else kernel.shape[3]))
    for row in range(kernel.shape[0]):
        for column in range(kernel.shape[1]):
            shifted = padded[:, row : row + height * stride : stride, column : column + width * stride : stride]
            shifted = shifted[:, :height, :width]
            total += shifted * kernel[row, column, :, 0] if depthwise else shifted @ kernel[row, column]
    return total


def run_mobilenet(file: Path, inputs: Array) -> Array:
    """MobileNetV2 of a state dict by torch, layer by layer as the names of its tensors say."""
    tensors = torch.load(file, weights_only=True)
    x = torch.from_numpy(inputs).permute(0, 3, 1, 2)
    for stage in range(19):
        if f"features.{stage}.0.weight" in tensors:
            x = _layer(tensors, x, f"features.{stage}", 0, 2 if stage == 0 else 1)
            continue
        prefix, y = f"features.{stage}.conv", x
        numbers = [int(n) for n in range(0, 8) if tensors.get(f"{prefix}.{n}.weight", torch.zeros(1)).ndim == 4]
        stride = 2 if stage in (2, 4, 7, 14) else 1
        for number in numbers:
            is_last, groups = number == numbers[-1], tensors[f"{prefix}.{number}.weight"].shape[1] == 1
            y = _layer(tensors, y, prefix, number, stride if groups else 1, linear=is_last)
        x = x + y if x.shape == y.shape else y
    return x.mean(dim=(2, 3)).numpy()


def _layer(
    tensors: dict[str, torch.Tensor], x: torch.Tensor, prefix: str, number: int, stride: int, *, linear: bool = False
) -> torch.Tensor:
    kernel = tensors[f"{prefix}.{number}.weight"]
    y = torch.nn.functional.conv2d(
        x, kernel, stride=stride, padding=kernel.shape[2] // 2, groups=x.shape[1] // kernel.shape[1]
    )
    names = ("running_mean", "running_var", "weight", "bias")
    y = torch.nn.functional.batch_norm(y, *(tensors[f"{prefix}.{number + 1}.{name}"] for name in names))
    return y if linear else torch.nn.functional.relu6(y)
