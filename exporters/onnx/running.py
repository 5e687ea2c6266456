"""Runs the graph of a stream as the runtime does that will serve it, to see what it computes there.

Legend: N clips, T time steps, D embedding width.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exporters.onnx.parity import session
from schemas.bundle import EMBEDDING, FRAMES, LENGTHS, SCORE
from schemas.errors import BundleError
from schemas.export_profiles import Precision

_OPENVINO_PRECISIONS: Final = {Precision.FLOAT32: "f32", Precision.BFLOAT16: "bf16"}


class StreamOutputs(NamedTuple):
    """Embeddings (N, D) and scores (N,) of clips."""

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float32]


Frames = NDArray[np.floating[Any]]
Run = Callable[[Frames, NDArray[np.int64]], StreamOutputs]
"""A batch (N, T, ...) with its lengths (N,) to what the stream makes of it."""


def in_onnx_runtime(graph: bytes) -> Run:
    """``graph`` in ONNX Runtime on the CPU."""
    opened = session(graph)
    types = {each.name: each.type for each in opened.get_inputs()}
    dtype = np.float16 if types[FRAMES] == "tensor(float16)" else np.float32

    def run(frames: Frames, lengths: NDArray[np.int64]) -> StreamOutputs:
        return StreamOutputs(*opened.run([EMBEDDING, SCORE], {FRAMES: frames.astype(dtype), LENGTHS: lengths}))

    return run


def in_openvino(graph: bytes, precision: Precision, *, threads: int = 0) -> Run:
    """``graph`` in OpenVINO on the CPU, with one thread for each core or ``threads``. Raises ``BundleError`` if this
    processor does not compute in ``precision``."""
    import openvino  # of the extra openvino

    core = openvino.Core()
    if precision is Precision.BFLOAT16 and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise BundleError(
            "this processor has no instructions for bfloat16, so nothing can be checked in it; export on one that has "
            "(avx512_bf16 or AMX), or with --profile fast"
        )
    options = {
        "INFERENCE_PRECISION_HINT": _OPENVINO_PRECISIONS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    compiled = core.compile_model(core.read_model(graph), "CPU", options)

    def run(frames: Frames, lengths: NDArray[np.int64]) -> StreamOutputs:
        found = compiled({FRAMES: frames.astype(np.float32), LENGTHS: lengths})
        return StreamOutputs(np.array(found[EMBEDDING]), np.array(found[SCORE]))

    return run


def one_by_one(run: Run, clips: Sequence[Frames]) -> StreamOutputs:
    """What ``run`` makes of ``clips``, each alone."""
    results = [run(frames[None], np.array([len(frames)])) for frames in clips]
    return StreamOutputs(*(np.concatenate(parts) for parts in zip(*results, strict=True)))
