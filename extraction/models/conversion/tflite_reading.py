"""Reads a TensorFlow Lite file: its operations in order, with constants as dense arrays."""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import tflite

from extraction.models.conversion.sparse import Dimension, densify
from schemas.errors import ExtractorModelInvalid

_DTYPES: Final[Mapping[Any, np.dtype[Any]]] = {
    tflite.TensorType.FLOAT32: np.dtype("<f4"),
    tflite.TensorType.FLOAT16: np.dtype("<f2"),
    tflite.TensorType.INT32: np.dtype("<i4"),
    tflite.TensorType.INT64: np.dtype("<i8"),
}
_INDEX_VECTORS: Final = {
    tflite.SparseIndexVector.Int32Vector: tflite.Int32Vector,
    tflite.SparseIndexVector.Uint16Vector: tflite.Uint16Vector,
    tflite.SparseIndexVector.Uint8Vector: tflite.Uint8Vector,
}
_OPERATORS: Final = {number: name for name, number in vars(tflite.BuiltinOperator).items() if not name.startswith("_")}
DAMAGES: Final = (
    LookupError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
    struct.error,
)
"""What reading a damaged file raises: flatbuffers follows its offsets wherever they lead."""
_DENSE: Final = tflite.DimensionType.DENSE


class Tensor(NamedTuple):
    """``shape`` with N in front; ``constant``: its elements, ``None`` if they are computed."""

    name: str
    shape: tuple[int, ...]
    constant: npt.NDArray[Any] | None


class Operation(NamedTuple):
    """``operator``: TensorFlow Lite's name (``CONV_2D``), of custom ones ``CUSTOM NAME``; ``inputs``, ``outputs``:
    numbers of tensors, -1 for an input that is left out; ``options``: the table of the operator's options.
    """

    operator: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


class Network(NamedTuple):
    tensors: tuple[Tensor, ...]
    operations: tuple[Operation, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def read(content: bytes) -> Network:
    """The only subgraph of a file. Raises ``ExtractorModelInvalid`` naming what cannot be read."""
    if content[4:8] != b"TFL3":
        raise ExtractorModelInvalid("not a TensorFlow Lite file: its identifier is not TFL3")
    try:
        return _read(content)
    except DAMAGES as error:
        raise ExtractorModelInvalid(f"a damaged TensorFlow Lite file: {error}") from error


def _read(content: bytes) -> Network:
    model = tflite.Model.GetRootAs(content)
    if model.SubgraphsLength() != 1:
        raise ExtractorModelInvalid(f"{model.SubgraphsLength()} subgraphs; only files with one can be converted")
    graph = model.Subgraphs(0)
    network = Network(
        tuple(_tensor(model, graph.Tensors(number)) for number in range(graph.TensorsLength())),
        tuple(_operation(model, graph.Operators(number)) for number in range(graph.OperatorsLength())),
        tuple(int(graph.Inputs(number)) for number in range(graph.InputsLength())),
        tuple(int(graph.Outputs(number)) for number in range(graph.OutputsLength())),
    )
    named = {number for each in network.operations for number in (*each.inputs, *each.outputs)} - {-1}
    if strangers := {*network.inputs, *network.outputs, *named} - {*range(len(network.tensors))}:
        raise ValueError(f"it has {len(network.tensors)} tensors and names number {min(strangers)}")
    return network


def _operation(model: Any, operation: Any) -> Operation:
    code = model.OperatorCodes(operation.OpcodeIndex())
    number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
    name = _OPERATORS.get(number, f"number {number}")
    if number == tflite.BuiltinOperator.CUSTOM:
        name = f"CUSTOM {(code.CustomCode() or b'?').decode(errors='replace')}"
    inputs = tuple(int(operation.Inputs(each)) for each in range(operation.InputsLength()))
    outputs = tuple(int(operation.Outputs(each)) for each in range(operation.OutputsLength()))
    return Operation(name, inputs, outputs, operation.BuiltinOptions())


def _tensor(model: Any, tensor: Any) -> Tensor:
    name = (tensor.Name() or b"?").decode(errors="replace")
    shape = tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
    dtype = _DTYPES.get(tensor.Type())
    if dtype is None:
        raise ExtractorModelInvalid(
            f"tensor {name}: type {tensor.Type()} is not float or integer; quantised files cannot be converted"
        )
    raw = model.Buffers(tensor.Buffer()).DataAsNumpy()
    if not isinstance(raw, np.ndarray) or raw.size == 0:
        return Tensor(name, shape, None)
    values = np.frombuffer(raw.tobytes(), dtype)
    sparsity = tensor.Sparsity()
    return Tensor(name, shape, values.reshape(shape) if sparsity is None else _dense(values, shape, sparsity))


def _dense(values: npt.NDArray[Any], shape: Sequence[int], sparsity: Any) -> npt.NDArray[Any]:
    order = [int(sparsity.TraversalOrder(level)) for level in range(sparsity.TraversalOrderLength())]
    blocks = [int(sparsity.BlockMap(level)) for level in range(sparsity.BlockMapLength())]
    dimensions = [_dimension(sparsity.DimMetadata(level)) for level in range(sparsity.DimMetadataLength())]
    return densify(values, shape, order, blocks, dimensions)


def _dimension(metadata: Any) -> Dimension:
    if metadata.Format() == _DENSE:
        return Dimension(int(metadata.DenseSize()))
    segments = _indices(metadata.ArraySegmentsType(), metadata.ArraySegments())
    return Dimension(0, segments, _indices(metadata.ArrayIndicesType(), metadata.ArrayIndices()))


def _indices(kind: int, table: Any) -> npt.NDArray[np.int64]:
    if kind not in _INDEX_VECTORS or table is None:
        raise ValueError(f"sparse indices of type {kind}")
    vector = _INDEX_VECTORS[kind]()
    vector.Init(table.Bytes, table.Pos)
    return np.asarray(vector.ValuesAsNumpy(), np.int64)
