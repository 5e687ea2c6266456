"""TensorFlow Lite → ONNX, of the operations that networks for pictures consist of."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import tflite

from extraction.models.conversion.graph import NetworkGraph, Value, Window
from extraction.models.conversion.tflite_reading import DAMAGES, Network, Operation
from schemas.errors import ExtractorModelInvalid
from schemas.ports import Float32

_ACTIVATIONS: Final = {
    number: name for name, number in vars(tflite.ActivationFunctionType).items() if not name.startswith("_")
}


def convert(network: Network, graph: NetworkGraph, prepared: Value) -> dict[str, Value]:
    """Add ``network``, which sees ``prepared``, to ``graph``. The outputs by their name in the file.

    Raises ``ExtractorModelInvalid`` naming an operation that is not known, or used in a way that is not.
    """
    if len(network.inputs) != 1:
        raise ExtractorModelInvalid(
            f"the network has {len(network.inputs)} inputs, not one picture of {prepared.shape}"
        )
    if (expected := network.tensors[network.inputs[0]].shape) != (1, *prepared.shape):
        raise ExtractorModelInvalid(f"the network's input is {expected}, not one picture of {prepared.shape}")
    return _Conversion(network, graph, prepared).run()


class _Conversion:
    def __init__(self, network: Network, graph: NetworkGraph, prepared: Value) -> None:
        self._network = network
        self._graph = graph
        self._values: dict[int, Value] = {network.inputs[0]: prepared}
        self._constants: dict[int, npt.NDArray[Any]] = {
            number: tensor.constant for number, tensor in enumerate(network.tensors) if tensor.constant is not None
        }

    def run(self) -> dict[str, Value]:
        for operation in self._network.operations:
            known = _OPERATIONS.get(operation.operator)
            if known is None:
                raise ExtractorModelInvalid(
                    f"operation {operation.operator} of {self._result(operation)} cannot be converted; "
                    f"known are {', '.join(sorted(_OPERATIONS))}"
                )
            try:
                known(self, operation)
            except DAMAGES as error:
                raise ExtractorModelInvalid(
                    f"operation {operation.operator} of {self._result(operation)}: {error!s}"
                ) from error
        for number in self._network.outputs:
            if number not in self._values:
                raise ExtractorModelInvalid(f"no operation computes the output {self._name(number)}")
        return {self._name(number): self._values[number] for number in self._network.outputs}

    # Constants are computed here, not in the graph

    def densify(self, operation: Operation) -> None:
        self._constants[operation.outputs[0]] = self._constants[operation.inputs[0]]

    def dequantize(self, operation: Operation) -> None:
        half = self._constants[operation.inputs[0]]
        if half.dtype != np.float16:
            raise ValueError(f"of {half.dtype}, not of float16")
        self._constants[operation.outputs[0]] = half.astype(np.float32)

    # Operations with weights

    def convolution(self, operation: Operation) -> None:
        options = _options(operation, tflite.Conv2DOptions)
        kernel = self._weights(operation, 1).transpose(0, 3, 1, 2)
        x = self._input(operation)
        groups = x.shape[-1] // kernel.shape[1]
        value = self._graph.convolution(x, kernel, self._bias(operation, 2), _window(options), groups=groups)
        self._done(operation, value, options.FusedActivationFunction())

    def depthwise(self, operation: Operation) -> None:
        options = _options(operation, tflite.DepthwiseConv2DOptions)
        kernel = self._weights(operation, 1).transpose(3, 0, 1, 2)
        x = self._input(operation)
        value = self._graph.convolution(x, kernel, self._bias(operation, 2), _window(options), groups=x.shape[-1])
        self._done(operation, value, options.FusedActivationFunction())

    def transposed(self, operation: Operation) -> None:
        options = _options(operation, tflite.TransposeConvOptions)
        size = self._constants[operation.inputs[0]]
        kernel = self._weights(operation, 1).transpose(3, 0, 1, 2)
        window = Window((options.StrideH(), options.StrideW()), options.Padding() == tflite.Padding.SAME)
        value = self._graph.transposed_convolution(
            self._input(operation, 2), kernel, self._bias(operation, 3), window, (int(size[1]), int(size[2]))
        )
        self._done(operation, value, options.FusedActivationFunction())

    def fully_connected(self, operation: Operation) -> None:
        options = _options(operation, tflite.FullyConnectedOptions)
        value = self._graph.fully_connected(
            self._input(operation), self._weights(operation, 1), self._bias(operation, 2)
        )
        self._done(operation, value, options.FusedActivationFunction())

    # Operations of two values

    def add(self, operation: Operation) -> None:
        self._binary(operation, "Add", _options(operation, tflite.AddOptions))

    def multiply(self, operation: Operation) -> None:
        self._binary(operation, "Mul", _options(operation, tflite.MulOptions))

    def subtract(self, operation: Operation) -> None:
        if operation.inputs[0] in self._constants:
            raise ValueError("from a constant")
        self._binary(operation, "Sub", _options(operation, tflite.SubOptions))

    def prelu(self, operation: Operation) -> None:
        self._done(operation, self._graph.with_constant("PRelu", self._input(operation), self._weights(operation, 1)))

    def _binary(self, operation: Operation, operator: str, options: Any) -> None:
        first, second = operation.inputs
        if first in self._constants:
            first, second = second, first
        x = self._values[first]
        if second in self._constants:
            value = self._graph.with_constant(operator, x, self._constants[second].astype(np.float32))
        else:
            value = self._graph.pointwise(operator, x, self._values[second])
            value = value._replace(shape=self._network.tensors[operation.outputs[0]].shape[1:])
        self._done(operation, value, 0 if options is None else options.FusedActivationFunction())

    # Operations of one value

    def max_pool(self, operation: Operation) -> None:
        options = _options(operation, tflite.Pool2DOptions)
        kernel = options.FilterHeight(), options.FilterWidth()
        value = self._graph.max_pool(self._input(operation), kernel, _window(options))
        self._done(operation, value, options.FusedActivationFunction())

    def average_pool(self, operation: Operation) -> None:
        options = _options(operation, tflite.Pool2DOptions)
        kernel = options.FilterHeight(), options.FilterWidth()
        value = self._graph.average_pool(self._input(operation), kernel, _window(options))
        self._done(operation, value, options.FusedActivationFunction())

    def mean(self, operation: Operation) -> None:
        x, axes = self._input(operation), self._constants[operation.inputs[1]]
        if not x.is_image or sorted(np.atleast_1d(axes).tolist()) != [1, 2]:
            raise ValueError(f"over the axes {axes}, not over height and width")
        keep = _options(operation, tflite.ReducerOptions).KeepDims()
        self._done(operation, self._graph.mean_of_pixels(x, keep=keep))

    def pad(self, operation: Operation) -> None:
        padding = self._constants[operation.inputs[1]].tolist()
        if padding[0] != [0, 0]:
            raise ValueError("of the batch")
        filling = float(self._constants[operation.inputs[2]].item()) if len(operation.inputs) > 2 else 0.0
        self._done(operation, self._graph.pad(self._input(operation), padding[1:], filling))

    def resize_bilinear(self, operation: Operation) -> None:
        options = _options(operation, tflite.ResizeBilinearOptions)
        height, width = self._constants[operation.inputs[1]].tolist()
        coordinates = (
            "align_corners" if options.AlignCorners() else "half_pixel" if options.HalfPixelCenters() else "asymmetric"
        )
        value = self._graph.resize_bilinear(self._input(operation), (height, width), coordinates=coordinates)
        self._done(operation, value)

    def depth_to_space(self, operation: Operation) -> None:
        block = _options(operation, tflite.DepthToSpaceOptions).BlockSize()
        self._done(operation, self._graph.depth_to_space(self._input(operation), block))

    def concatenate(self, operation: Operation) -> None:
        options = _options(operation, tflite.ConcatenationOptions)
        values = [self._values[number] for number in operation.inputs]
        self._done(operation, self._graph.concatenate(values, options.Axis()), options.FusedActivationFunction())

    def reshape(self, operation: Operation) -> None:
        shape = self._network.tensors[operation.outputs[0]].shape
        if shape[0] != 1:
            raise ValueError(f"to {shape}, where the pictures of a batch mix")
        self._done(operation, self._graph.reshape(self._input(operation), shape[1:]))

    def softmax(self, operation: Operation) -> None:
        if _options(operation, tflite.SoftmaxOptions).Beta() != 1:
            raise ValueError("with another beta than 1")
        self._done(operation, self._graph.softmax(self._input(operation)))

    def relu6(self, operation: Operation) -> None:
        self._done(operation, self._graph.clip(self._input(operation), 0.0, 6.0))

    def leaky_relu(self, operation: Operation) -> None:
        alpha = _options(operation, tflite.LeakyReluOptions).Alpha()
        self._done(operation, self._graph.leaky_relu(self._input(operation), float(alpha)))

    def elementwise(self, operation: Operation) -> None:
        self._done(operation, self._graph.pointwise(_ELEMENTWISE[operation.operator], self._input(operation)))

    # What they have in common

    def _result(self, operation: Operation) -> str:
        return self._name(operation.outputs[0]) if operation.outputs else "nothing"

    def _name(self, number: int) -> str:
        return self._network.tensors[number].name

    def _input(self, operation: Operation, position: int = 0) -> Value:
        return self._values[operation.inputs[position]]

    def _weights(self, operation: Operation, position: int) -> Float32:
        return self._constants[operation.inputs[position]].astype(np.float32)

    def _bias(self, operation: Operation, position: int) -> Float32 | None:
        given = len(operation.inputs) > position and operation.inputs[position] >= 0
        return self._weights(operation, position) if given else None

    def _done(self, operation: Operation, value: Value, activation: int = 0) -> None:
        expected = self._network.tensors[operation.outputs[0]].shape
        if (1, *value.shape) != expected:
            raise ValueError(f"its shape would be {(1, *value.shape)}, the file says {expected}")
        match _ACTIVATIONS.get(activation):
            case "NONE":
                pass
            case "RELU":
                value = self._graph.pointwise("Relu", value)
            case "RELU6":
                value = self._graph.clip(value, 0.0, 6.0)
            case "RELU_N1_TO_1":
                value = self._graph.clip(value, -1.0, 1.0)
            case "TANH":
                value = self._graph.pointwise("Tanh", value)
            case unknown:
                raise ValueError(f"the activation {unknown or activation} cannot be converted")
        self._values[operation.outputs[0]] = value


_ELEMENTWISE: Final[Mapping[str, str]] = {
    "LOGISTIC": "Sigmoid",
    "RELU": "Relu",
    "TANH": "Tanh",
    "HARD_SWISH": "HardSwish",
    "EXP": "Exp",
}
_OPERATIONS: Final[Mapping[str, Callable[[_Conversion, Operation], None]]] = {
    "ADD": _Conversion.add,
    "AVERAGE_POOL_2D": _Conversion.average_pool,
    "CONCATENATION": _Conversion.concatenate,
    "CONV_2D": _Conversion.convolution,
    "DENSIFY": _Conversion.densify,
    "DEPTHWISE_CONV_2D": _Conversion.depthwise,
    "DEPTH_TO_SPACE": _Conversion.depth_to_space,
    "DEQUANTIZE": _Conversion.dequantize,
    "FULLY_CONNECTED": _Conversion.fully_connected,
    "LEAKY_RELU": _Conversion.leaky_relu,
    "MAX_POOL_2D": _Conversion.max_pool,
    "MEAN": _Conversion.mean,
    "MUL": _Conversion.multiply,
    "PAD": _Conversion.pad,
    "PADV2": _Conversion.pad,
    "PRELU": _Conversion.prelu,
    "RELU6": _Conversion.relu6,
    "RESHAPE": _Conversion.reshape,
    "RESIZE_BILINEAR": _Conversion.resize_bilinear,
    "SOFTMAX": _Conversion.softmax,
    "SUB": _Conversion.subtract,
    "TRANSPOSE_CONV": _Conversion.transposed,
    **dict.fromkeys(_ELEMENTWISE, _Conversion.elementwise),
}


def _options(operation: Operation, kind: Any) -> Any:
    """The operator's options; those of a file that leaves them out are the defaults."""
    options = kind()
    if operation.options is None:
        raise ValueError("without options")
    options.Init(operation.options.Bytes, operation.options.Pos)
    return options


def _window(options: Any) -> Window:
    dilations = (
        (options.DilationHFactor(), options.DilationWFactor()) if hasattr(options, "DilationHFactor") else (1, 1)
    )
    return Window((options.StrideH(), options.StrideW()), options.Padding() == tflite.Padding.SAME, dilations)
