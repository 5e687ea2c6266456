"""Graphs in float16, frames included; embeddings and scores leave them in float32."""

import warnings

import onnx
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from schemas.bundle import EMBEDDING, SCORE

_KEPT: list[str] = ["Range", "CumSum"]
"""Operators that count steps, which float16 does beyond 2,048 only in twos."""


def in_float16(graph: bytes) -> bytes:
    """``graph`` of a stream with its weights, activations and frames in float16."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the smallest numbers become 0, and masks of -3e38 the smallest of float16
        model = convert_float_to_float16(
            onnx.load_from_string(graph),
            keep_io_types=[EMBEDDING, SCORE],
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *_KEPT],
        )
    content: bytes = model.SerializeToString(deterministic=True)
    return content
