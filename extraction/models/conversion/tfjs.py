"""TensorFlow.js graph models → ONNX, of the operations that the face networks consist of.

A graph model is JSON (``modelTopology``, a TensorFlow graph; ``weightsManifest``, the order and types of the weights)
and the bytes of the weights.
"""

import base64
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from extraction.models.conversion.graph import NetworkGraph, Value, Window
from schemas.errors import ExtractorModelInvalid
from schemas.ports import Float32

_CLIPPED_RELU: Final = "Maximum of Minimum of Relu"
_DTYPES: Final[Mapping[Any, np.dtype[Any]]] = {
    "float32": np.dtype("<f4"),
    "float16": np.dtype("<f2"),
    "int32": np.dtype("<i4"),
}


class Node(msgspec.Struct, frozen=True):
    name: str
    op: str
    input: tuple[str, ...] = ()
    attr: dict[str, Any] = {}


class _Topology(msgspec.Struct, frozen=True):
    node: tuple[Node, ...]


class _Quantisation(msgspec.Struct, frozen=True):
    dtype: str


class _Weight(msgspec.Struct, frozen=True):
    name: str
    shape: tuple[int, ...]
    dtype: str
    quantization: _Quantisation | None = None


class _Group(msgspec.Struct, frozen=True):
    weights: tuple[_Weight, ...]


class _Document(msgspec.Struct, frozen=True, rename="camel"):
    model_topology: _Topology
    weights_manifest: tuple[_Group, ...]


class GraphModel(msgspec.Struct, frozen=True):
    """``nodes`` by name; ``weights``: every constant."""

    nodes: dict[str, Node]
    weights: dict[str, npt.NDArray[Any]]


def read(document: bytes, weights: bytes) -> GraphModel:
    """A graph model of its ``model.json`` and the bytes of its weights. Raises ``ExtractorModelInvalid``."""
    try:
        found = msgspec.json.decode(document, type=_Document)
    except msgspec.DecodeError as error:
        raise ExtractorModelInvalid(f"not a TensorFlow.js graph model: {error}") from error
    arrays, offset = {}, 0
    for weight in (each for group in found.weights_manifest for each in group.weights):
        stored = weight.dtype if weight.quantization is None else weight.quantization.dtype
        if stored not in _DTYPES or weight.dtype not in _DTYPES:
            raise ExtractorModelInvalid(f"weight {weight.name}: type {stored} cannot be converted")
        dtype, count = _DTYPES[stored], int(np.prod(weight.shape, dtype=np.int64))
        if len(weights) < offset + count * dtype.itemsize:
            raise ExtractorModelInvalid(f"weight {weight.name}: the weights end after {len(weights):,} bytes")
        values = np.frombuffer(weights, dtype, count, offset).reshape(weight.shape)
        arrays[weight.name] = values.astype(_DTYPES[weight.dtype])
        offset += values.nbytes
    return GraphModel({node.name: node for node in found.model_topology.node}, arrays)


def convert(model: GraphModel, graph: NetworkGraph, prepared: Value, output: str) -> Value:
    """Add to ``graph`` what the node ``output`` of ``model`` is computed from; ``prepared`` is its only input.

    Raises ``ExtractorModelInvalid`` naming an operation that is not known, or used in a way that is not.
    """
    if output not in model.nodes:
        raise ExtractorModelInvalid(f"the network has no node {output}")
    model = _with_clipped_relu(model)
    conversion = _Conversion(model, graph, prepared)
    for name in _order(model, output):
        conversion.add(model.nodes[name])
    return conversion.values[output]


def _with_clipped_relu(model: GraphModel) -> GraphModel:
    """``Maximum(Minimum(Relu(x), c), 0)`` is one operation, which runs within the convolution before it."""
    nodes = dict(model.nodes)
    for node in model.nodes.values():
        names = [node.name]
        for op in ("Maximum", "Minimum", "Relu"):
            if names[-1] not in nodes or nodes[names[-1]].op != op:
                break
            names.append(_inputs(nodes[names[-1]])[0])
        else:
            lowest = model.weights.get(_inputs(node)[1])
            if lowest is not None and lowest.size == 1 and lowest.item() == 0:
                most = _inputs(nodes[names[1]])[1]
                nodes[node.name] = Node(node.name, _CLIPPED_RELU, (names[-1], most))
    return GraphModel(nodes, model.weights)


def _order(model: GraphModel, output: str) -> list[str]:
    """The nodes that ``output`` needs, constants excepted, each behind its inputs."""
    order: dict[str, None] = {}
    pending = [output]
    while pending:
        name = pending[-1]
        missing = [each for each in _inputs(model.nodes[name]) if each not in order and each not in model.weights]
        if name in order or not missing:
            order.setdefault(pending.pop())
        elif len(pending) > len(model.nodes):
            raise ExtractorModelInvalid("its nodes need each other in a circle")
        else:
            pending.extend(missing)
    return [*order]


def _inputs(node: Node) -> list[str]:
    return [name.removesuffix(":0") for name in node.input if not name.startswith("^")]


class _Conversion:
    def __init__(self, model: GraphModel, graph: NetworkGraph, prepared: Value) -> None:
        self._weights = model.weights
        self._graph = graph
        self._prepared = prepared
        self.values: dict[str, Value] = {}

    def add(self, node: Node) -> None:
        known = _OPERATIONS.get(node.op)
        if known is None:
            raise ExtractorModelInvalid(
                f"operation {node.op} of {node.name} cannot be converted; known are {', '.join(sorted(_OPERATIONS))}"
            )
        try:
            self.values[node.name] = known(self, node)
        except (KeyError, IndexError, ValueError) as error:
            raise ExtractorModelInvalid(f"operation {node.op} of {node.name}: {error!s}") from error

    def placeholder(self, node: Node) -> Value:
        if node.input:
            raise ValueError(f"with the inputs {', '.join(node.input)}")
        return self._prepared

    def convolution(self, node: Node) -> Value:
        kernel = self._weight(node, 1).transpose(3, 2, 0, 1)
        return self._graph.convolution(self._input(node), kernel, None, _window(node))

    def depthwise(self, node: Node) -> Value:
        height, width, channels, multiplier = self._weight(node, 1).shape
        kernel = self._weight(node, 1).reshape(height, width, channels * multiplier, 1).transpose(2, 3, 0, 1)
        return self._graph.convolution(self._input(node), kernel, None, _window(node), groups=channels)

    def add_constant(self, node: Node) -> Value:
        return self._graph.with_constant("Add", self._input(node), self._weight(node, 1))

    def multiply_by_constant(self, node: Node) -> Value:
        return self._graph.with_constant("Mul", self._input(node), self._weight(node, 1))

    def relu(self, node: Node) -> Value:
        return self._graph.pointwise("Relu", self._input(node))

    def clipped_relu(self, node: Node) -> Value:
        return self._graph.clip(self._input(node), 0.0, float(self._weight(node, 1).item()))

    def minimum(self, node: Node) -> Value:
        return self._graph.clip(self._input(node), None, float(self._weight(node, 1).item()))

    def maximum(self, node: Node) -> Value:
        return self._graph.clip(self._input(node), float(self._weight(node, 1).item()), None)

    def mean(self, node: Node) -> Value:
        axes = sorted(np.atleast_1d(self._weights[_inputs(node)[1]]).tolist())
        x = self._input(node)
        if axes != [1, 2] or not x.is_image:
            raise ValueError(f"over the axes {axes}, not over height and width")
        return self._graph.mean_of_pixels(x, keep=bool(node.attr.get("keep_dims", {}).get("b", False)))

    def _input(self, node: Node) -> Value:
        return self.values[_inputs(node)[0]]

    def _weight(self, node: Node, position: int) -> Float32:
        return self._weights[_inputs(node)[position]].astype(np.float32)


_OPERATIONS: Final[Mapping[str, Callable[[_Conversion, Node], Value]]] = {
    "Add": _Conversion.add_constant,
    "AddV2": _Conversion.add_constant,
    "BiasAdd": _Conversion.add_constant,
    _CLIPPED_RELU: _Conversion.clipped_relu,
    "Conv2D": _Conversion.convolution,
    "DepthwiseConv2dNative": _Conversion.depthwise,
    "Maximum": _Conversion.maximum,
    "Mean": _Conversion.mean,
    "Minimum": _Conversion.minimum,
    "Mul": _Conversion.multiply_by_constant,
    "Placeholder": _Conversion.placeholder,
    "Relu": _Conversion.relu,
}


def _window(node: Node) -> Window:
    if (order := _text(node, "data_format")) != "NHWC":
        raise ValueError(f"of {order}, not of NHWC")
    if (padding := _text(node, "padding")) not in ("SAME", "VALID"):
        raise ValueError(f"with the padding {padding}")
    _, *strides, _ = (int(each) for each in node.attr["strides"]["list"]["i"])
    _, *dilations, _ = (int(each) for each in node.attr["dilations"]["list"]["i"])
    return Window((strides[0], strides[1]), padding == "SAME", (dilations[0], dilations[1]))


def _text(node: Node, attribute: str) -> str:
    return base64.b64decode(node.attr[attribute]["s"]).decode("ascii", "replace")
