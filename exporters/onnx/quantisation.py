"""Convolutions in eight bits.

Static quantisation by ONNX Runtime, in its QDQ form: weights per output channel, activations by their smallest and
largest value.
"""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from exporters.onnx.running import Frames
from schemas.bundle import FRAMES, LENGTHS


def quantised(graph: bytes, clips: Sequence[Frames]) -> bytes:
    """``graph`` of a stream with its convolutions in eight bits, calibrated on ``clips``."""
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        before.write_bytes(graph)
        quantize_static(
            before,
            after,
            _Reader(clips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return after.read_bytes()


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, clips: Sequence[Frames]) -> None:
        self._rest: Iterator[Frames] = iter(clips)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        frames = next(self._rest, None)
        if frames is None:
            return None
        return {FRAMES: frames[None].astype(np.float32), LENGTHS: np.array([len(frames)])}
