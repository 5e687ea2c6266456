"""Writes TensorFlow Lite files of one operation, to compare its conversion with TensorFlow Lite's own kernels."""

from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
import tflite

Array = npt.NDArray[Any]
_TYPES = {"float32": tflite.TensorType.FLOAT32, "float16": tflite.TensorType.FLOAT16, "int32": tflite.TensorType.INT32}


def one_operation(
    operator: str,
    input_shape: Sequence[int],
    output_shape: Sequence[int],
    *,
    constants: Sequence[Array] = (),
    constants_first: bool = False,
    options: str | None = None,
    values: Mapping[str, int | float | bool] | None = None,
) -> bytes:
    """A file whose only subgraph applies ``operator`` to the input (and to ``constants``, behind it or before it).

    ``options``: the table of its options, with ``values``; both as the schema of TensorFlow Lite calls them.
    """
    builder = flatbuffers.Builder(1024)
    buffers = [_buffer(builder, b"")] + [_buffer(builder, constant.tobytes()) for constant in constants]
    tensors = [
        _tensor(builder, "input", input_shape, "float32", 0),
        _tensor(builder, "output", output_shape, "float32", 0),
        *(_tensor(builder, f"c{n}", c.shape, str(c.dtype), n) for n, c in enumerate(constants, start=1)),
    ]
    numbers = [*range(2, 2 + len(constants))]
    operation_inputs = _numbers(builder, [*numbers, 0] if constants_first else [0, *numbers])
    operation_outputs, inputs, outputs = _numbers(builder, [1]), _numbers(builder, [0]), _numbers(builder, [1])
    table = _options(builder, options, values or {}) if options else None
    code = getattr(tflite.BuiltinOperator, operator)
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, 0)
    tflite.OperatorAddInputs(builder, operation_inputs)
    tflite.OperatorAddOutputs(builder, operation_outputs)
    if table is not None:
        tflite.OperatorAddBuiltinOptionsType(builder, getattr(tflite.BuiltinOptions, options or ""))
        tflite.OperatorAddBuiltinOptions(builder, table)
    operations = _offsets(builder, [tflite.OperatorEnd(builder)])
    all_tensors = _offsets(builder, tensors)
    tflite.SubGraphStart(builder)
    tflite.SubGraphAddTensors(builder, all_tensors)
    tflite.SubGraphAddInputs(builder, inputs)
    tflite.SubGraphAddOutputs(builder, outputs)
    tflite.SubGraphAddOperators(builder, operations)
    subgraphs = _offsets(builder, [tflite.SubGraphEnd(builder)])
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, min(code, 127))
    tflite.OperatorCodeAddBuiltinCode(builder, code)
    tflite.OperatorCodeAddVersion(builder, 1)
    codes = _offsets(builder, [tflite.OperatorCodeEnd(builder)])
    all_buffers = _offsets(builder, buffers)
    tflite.ModelStart(builder)
    tflite.ModelAddVersion(builder, 3)
    tflite.ModelAddOperatorCodes(builder, codes)
    tflite.ModelAddSubgraphs(builder, subgraphs)
    tflite.ModelAddBuffers(builder, all_buffers)
    builder.Finish(tflite.ModelEnd(builder), b"TFL3")
    return bytes(builder.Output())


def _tensor(builder: Any, name: str, shape: Sequence[int], dtype: str, buffer: int) -> int:
    sizes, text = _numbers(builder, shape), builder.CreateString(name)
    tflite.TensorStart(builder)
    tflite.TensorAddShape(builder, sizes)
    tflite.TensorAddType(builder, _TYPES[dtype])
    tflite.TensorAddBuffer(builder, buffer)
    tflite.TensorAddName(builder, text)
    return int(tflite.TensorEnd(builder))


def _buffer(builder: Any, content: bytes) -> int:
    data = builder.CreateByteVector(content) if content else None
    tflite.BufferStart(builder)
    if data is not None:
        tflite.BufferAddData(builder, data)
    return int(tflite.BufferEnd(builder))


def _options(builder: Any, name: str, values: Mapping[str, int | float | bool]) -> int:
    getattr(tflite, f"{name}Start")(builder)
    for key, value in values.items():
        getattr(tflite, f"{name}Add{key}")(builder, value)
    return int(getattr(tflite, f"{name}End")(builder))


def _numbers(builder: Any, values: Sequence[int]) -> int:
    return int(builder.CreateNumpyVector(np.array(values, np.int32)))


def _offsets(builder: Any, offsets: Sequence[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())
