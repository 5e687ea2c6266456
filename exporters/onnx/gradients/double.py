"""A graph in double precision, in which differences of its outputs say what its derivatives are."""

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

_FROM, _TO = TensorProto.FLOAT, TensorProto.DOUBLE


def in_float64(content: bytes) -> bytes:
    """The graph ``content`` with double in place of every float32: inputs, weights, constants, results of Cast."""
    model = onnx.load_from_string(content)
    graph = model.graph
    del graph.value_info[:]
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == _FROM:
            value.type.tensor_type.elem_type = _TO
    for tensor in graph.initializer:
        _widen(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                _widen(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to" and attribute.i == _FROM:
                attribute.i = _TO
    return bytes(model.SerializeToString(deterministic=True))


def _widen(tensor: onnx.TensorProto) -> None:
    if tensor.data_type == _FROM:
        tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name))
