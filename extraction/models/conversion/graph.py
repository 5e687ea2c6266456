"""Writes ONNX of networks that come as (N, H, W, C): what the readers of TensorFlow's formats have in common.

ONNX Runtime is fastest on (N, C, H, W), so images are kept in that order within the graph, and put into the order of
the source where their elements are laid out in a row (``reshape``, outputs). Shapes here are those of the source
without N, which is free. Legend: N pictures, H, W height and width, C channels.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from extraction.models.manifest import IMAGES, Preparation
from schemas.ports import Float32

OPSET: Final = 18
IR_VERSION: Final = 9
_IMAGE_AXES: Final = {1: 2, 2: 3, 3: 1}
"""From an axis of (N, H, W, C) to the same of (N, C, H, W)."""


class Value(NamedTuple):
    """One tensor of the graph: its name, and its shape without N, (H, W, C) of an image."""

    name: str
    shape: tuple[int, ...]

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


class Window(NamedTuple):
    """How a convolution or a pooling moves: ``strides`` and ``dilations`` by height and width; ``same``: TensorFlow's
    padding SAME, which depends on the size and may be uneven; otherwise ``margin`` pixels on each side.
    """

    strides: tuple[int, int]
    same: bool = False
    dilations: tuple[int, int] = (1, 1)
    margin: int = 0

    def pads(self, size: Sequence[int], kernel: Sequence[int]) -> list[int]:
        """ONNX's pads for an input of ``size``: top, left, bottom, right."""
        if not self.same:
            return [self.margin] * 4
        before, after = [], []
        for length, taps, stride, dilation in zip(size, kernel, self.strides, self.dilations, strict=True):
            reach = (taps - 1) * dilation + 1
            total = max((-(-length // stride) - 1) * stride + reach - length, 0)
            before.append(total // 2)
            after.append(total - total // 2)
        return [*before, *after]

    def output(self, size: Sequence[int], kernel: Sequence[int]) -> tuple[int, int]:
        """(H, W) of what comes out."""
        pads = self.pads(size, kernel)
        height, width = (
            (size[axis] + pads[axis] + pads[axis + 2] - (kernel[axis] - 1) * self.dilations[axis] - 1)
            // self.strides[axis]
            + 1
            for axis in (0, 1)
        )
        return height, width


class NetworkGraph:
    """A graph under construction. The same calls give the same bytes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []

    # Inputs and outputs

    def pictures(self, height: int, width: int) -> Value:
        """The input ``images``, uint8 (N, H, W, 3) RGB."""
        shape: list[str | int | None] = ["N", height, width, 3]
        self._inputs.append(helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, shape))
        planes = self._node("Transpose", IMAGES, perm=[0, 3, 1, 2])
        return Value(self._node("Cast", planes, to=TensorProto.FLOAT), (height, width, 3))

    def prepared(self, pictures: Value, preparation: Preparation) -> Value:
        """``pictures`` as the network expects them: its order of colours, x · scale, less mean, by std."""
        name = pictures.name
        if preparation.colours == "BGR":
            name = self._node("Gather", name, self.constant(np.array([2, 1, 0], np.int64)), axis=1)
        factor = preparation.scale / np.array(preparation.std, np.float64)
        offset = -np.array(preparation.mean, np.float64) / np.array(preparation.std, np.float64)
        if np.any(factor != 1):
            name = self._node("Mul", name, self.constant(factor.astype(np.float32).reshape(3, 1, 1)))
        if np.any(offset != 0):
            name = self._node("Add", name, self.constant(offset.astype(np.float32).reshape(3, 1, 1)))
        return Value(name, pictures.shape)

    def output(self, name: str, value: Value, shape: Sequence[int]) -> None:
        """``value`` is the output ``name``, laid out as (N, ``shape``)."""
        placed = self._in_source_order(value)
        if tuple(shape) != value.shape:
            placed = self._node("Reshape", placed, self._shape(shape))
        self._nodes.append(helper.make_node("Identity", [placed], [name], name=name))
        self._outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *shape]))

    def to_bytes(self) -> bytes:
        """The ONNX file. Raises ``onnx.checker.ValidationError`` for a graph that is not consistent."""
        graph = helper.make_graph(self._nodes, self._name, self._inputs, self._outputs, self._weights)
        model = helper.make_model(
            graph,
            producer_name="dancerank",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )
        onnx.checker.check_model(model, full_check=True)
        content: bytes = model.SerializeToString(deterministic=True)
        return content

    # Operations with weights

    def convolution(self, x: Value, kernel: Float32, bias: Float32 | None, window: Window, *, groups: int = 1) -> Value:
        """``kernel`` (C', C / groups, kH, kW), ``bias`` (C',)."""
        size, taps = x.shape[:2], kernel.shape[2:]
        inputs = [x.name, self.constant(kernel), *([] if bias is None else [self.constant(bias)])]
        name = self._node(
            "Conv",
            *inputs,
            kernel_shape=list(taps),
            strides=list(window.strides),
            dilations=list(window.dilations),
            pads=window.pads(size, taps),
            group=groups,
        )
        return Value(name, (*window.output(size, taps), kernel.shape[0]))

    def transposed_convolution(
        self, x: Value, kernel: Float32, bias: Float32 | None, window: Window, size: tuple[int, int]
    ) -> Value:
        """``kernel`` (C, C', kH, kW); ``size`` (H', W') of the result, of which ``x`` would be the convolution."""
        taps = kernel.shape[2:]
        pads = window.pads(size, taps)
        missing = [
            size[axis] - ((x.shape[axis] - 1) * window.strides[axis] + taps[axis] - pads[axis] - pads[axis + 2])
            for axis in (0, 1)
        ]
        inputs = [x.name, self.constant(kernel), *([] if bias is None else [self.constant(bias)])]
        name = self._node(
            "ConvTranspose",
            *inputs,
            kernel_shape=list(taps),
            strides=list(window.strides),
            pads=pads,
            output_padding=missing,
        )
        return Value(name, (*size, kernel.shape[1]))

    def fully_connected(self, x: Value, weights: Float32, bias: Float32 | None) -> Value:
        """``weights`` (C', C), ``bias`` (C',); ``x`` is laid out as (N, C)."""
        flat = self.reshape(x, (weights.shape[1],))
        inputs = [flat.name, self.constant(weights), *([] if bias is None else [self.constant(bias)])]
        return Value(self._node("Gemm", *inputs, transB=1), (weights.shape[0],))

    def with_constant(self, operator: str, x: Value, constant: Float32) -> Value:
        """``Add``, ``Mul``, ``Sub`` or ``PRelu`` of ``x`` and a constant that broadcasts as in the source."""
        return Value(self._node(operator, x.name, self.constant(self._broadcast(x, constant))), x.shape)

    def constant(self, content: npt.NDArray[np.generic]) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.ascontiguousarray(content), name))
        return name

    # Operations without weights

    def pointwise(self, operator: str, *values: Value) -> Value:
        """An operation on each element, of values of one shape."""
        return Value(self._node(operator, *(value.name for value in values)), values[0].shape)

    def clip(self, x: Value, low: float | None, high: float | None) -> Value:
        bounds = ["" if bound is None else self.constant(np.array(bound, np.float32)) for bound in (low, high)]
        return Value(self._node("Clip", x.name, *bounds), x.shape)

    def leaky_relu(self, x: Value, alpha: float) -> Value:
        return Value(self._node("LeakyRelu", x.name, alpha=alpha), x.shape)

    def softmax(self, x: Value) -> Value:
        return Value(self._node("Softmax", x.name, axis=1 if x.is_image else -1), x.shape)

    def max_pool(self, x: Value, kernel: tuple[int, int], window: Window) -> Value:
        return self._pool("MaxPool", x, kernel, window)

    def average_pool(self, x: Value, kernel: tuple[int, int], window: Window) -> Value:
        """Padding is not counted, as in TensorFlow."""
        return self._pool("AveragePool", x, kernel, window)

    def mean_of_pixels(self, x: Value, *, keep: bool) -> Value:
        """(1, 1, C) if dimensions are to be kept, else (C,)."""
        mean = self._node("GlobalAveragePool", x.name)
        channels = x.shape[-1]
        return Value(mean, (1, 1, channels)) if keep else Value(self._node("Flatten", mean), (channels,))

    def pad(self, x: Value, padding: Sequence[Sequence[int]], value: float = 0.0) -> Value:
        """``padding``: before and after of each axis of ``x``, without N."""
        order = self._order(x)
        pads = [0, *(padding[axis][0] for axis in order), 0, *(padding[axis][1] for axis in order)]
        filling = self.constant(np.array(value, np.float32))
        name = self._node("Pad", x.name, self.constant(np.array(pads, np.int64)), filling)
        shape = tuple(size + sum(each) for size, each in zip(x.shape, padding, strict=True))
        return Value(name, shape)

    def resize_bilinear(self, x: Value, size: tuple[int, int], *, coordinates: str) -> Value:
        """``coordinates``: ONNX's ``coordinate_transformation_mode``."""
        scales = [1.0, 1.0, *(_scale(before, after) for before, after in zip(x.shape[:2], size, strict=True))]
        name = self._node(
            "Resize",
            x.name,
            "",
            self.constant(np.array(scales, np.float32)),
            mode="linear",
            coordinate_transformation_mode=coordinates,
        )
        return Value(name, (*size, x.shape[-1]))

    def depth_to_space(self, x: Value, block: int) -> Value:
        height, width, channels = x.shape
        name = self._node("DepthToSpace", x.name, blocksize=block, mode="DCR")
        return Value(name, (height * block, width * block, channels // block**2))

    def concatenate(self, values: Sequence[Value], axis: int) -> Value:
        """``axis`` counts N as 0, as in the source."""
        first = values[0]
        position = axis if axis > 0 else axis + len(first.shape) + 1
        placed = _IMAGE_AXES[position] if first.is_image else position
        shape = list(first.shape)
        shape[position - 1] = sum(value.shape[position - 1] for value in values)
        return Value(self._node("Concat", *(value.name for value in values), axis=placed), tuple(shape))

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The elements of each picture, in the order of the source, as ``shape``."""
        if tuple(shape) == x.shape:
            return x
        name = self._node("Reshape", self._in_source_order(x), self._shape(shape))
        if len(shape) == 3:
            name = self._node("Transpose", name, perm=[0, 3, 1, 2])
        return Value(name, tuple(shape))

    # The order of axes

    def _pool(self, operator: str, x: Value, kernel: tuple[int, int], window: Window) -> Value:
        size = x.shape[:2]
        name = self._node(
            operator,
            x.name,
            kernel_shape=list(kernel),
            strides=list(window.strides),
            pads=window.pads(size, kernel),
        )
        return Value(name, (*window.output(size, kernel), x.shape[-1]))

    @staticmethod
    def _order(x: Value) -> list[int]:
        return [2, 0, 1] if x.is_image else list(range(len(x.shape)))

    def _broadcast(self, x: Value, constant: Float32) -> Float32:
        if constant.ndim == len(x.shape) + 1:
            constant = constant[0]
        if not x.is_image or constant.ndim == 0:
            return constant
        full = constant.reshape((1,) * (3 - constant.ndim) + constant.shape)
        return full.transpose(2, 0, 1)

    def _in_source_order(self, x: Value) -> str:
        return self._node("Transpose", x.name, perm=[0, 2, 3, 1]) if x.is_image else x.name

    def _shape(self, shape: Sequence[int]) -> str:
        return self.constant(np.array([0, *shape], np.int64))

    def _node(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"t{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [name], name=name, **attributes))
        return name


def _scale(before: int, after: int) -> np.float32:
    """The factor by which ONNX makes ``after`` pixels of ``before``: it rounds their product down."""
    scale = np.float32(after / before)
    return scale if int(np.float32(before) * scale) == after else np.nextafter(scale, np.float32(np.inf))
