"""Which runtime runs the networks: the one that the setting ``streamer.runtime`` names."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.bundle import Bundle
from schemas.errors import BundleError, InferenceFailed
from schemas.export_profiles import Precision
from schemas.features import Frames
from schemas.implementations import Implementations
from schemas.ports import ModelRuntime, PreparesShapes
from streamer.runtimes.limits import check_precisions
from streamer.runtimes.parity_gate import check_parity_sample

RUNTIMES: Final = Implementations(
    field="streamer.runtime",
    noun="a runtime",
    group="dancerank.runtimes",
    shipped={
        "onnxruntime": "streamer.runtimes.onnx_runtime:OnnxRuntime",
        "openvino": "streamer.runtimes.openvino_runtime:OpenVinoRuntime",
    },
)


def open_runtime(name: str, bundle: Bundle, *, providers: Sequence[str] = ("cpu",), threads: int = 0) -> ModelRuntime:
    """The runtime ``name`` with the graphs of ``bundle`` loaded, each of which has run on one clip of one step, and on
    each shape that the runtime prepares.

    ``name`` is ``onnxruntime``, ``openvino``, an entry point of the group ``dancerank.runtimes``, or
    ``package.module:factory``, a ``schemas.ports.RuntimeFactory``, which gets the other arguments. Raises
    ``ConfigurationError`` for a name that does not lead to a runtime, what the factory raises, and ``BundleError`` if a
    graph cannot be run, computes here something else than where it was exported, or is to be computed in a precision
    that the runtime does not state.
    """
    runtime = RUNTIMES.make(name, bundle, providers=providers, threads=threads)
    if not isinstance(runtime, ModelRuntime):
        made = f"which makes a {type(runtime).__name__}"
        raise RUNTIMES.refused(name, f"{made}; expected a ModelRuntime of schemas.ports")
    try:
        check_precisions(
            bundle,
            getattr(runtime, "precisions", (Precision.FLOAT32,)),
            f"the runtime {name}",
            "choose one that can, or export the checkpoint with --profile fast",
        )
        _warm_up(runtime)
        check_parity_sample(runtime, bundle)
    except InferenceFailed as error:
        runtime.close()
        raise BundleError(f"the runtime {name} loads the bundle but cannot run it: {error}") from error
    except BundleError:
        runtime.close()
        raise
    return runtime


def _warm_up(runtime: ModelRuntime) -> None:
    """What a first run costs (memory, libraries, kernels), and whether it works, is settled before clips arrive."""
    manifest = runtime.manifest
    for modality in manifest.modalities:
        buckets = runtime.shape_buckets(modality) if isinstance(runtime, PreparesShapes) else ()
        for clips, steps in ((1, 1), *buckets):
            half = modality in getattr(runtime, "reads_half", ())
            shape = (clips, steps, *manifest.step_shape(modality))
            frames: Frames = np.zeros(shape, np.float16) if half else np.zeros(shape, np.float32)
            runtime.run_stream(modality, frames, np.full(clips, steps))
    embeddings, one_clip = np.zeros((1, manifest.embedding_width), np.float32), (1, len(manifest.fused_streams))
    runtime.run_fusion(embeddings, np.zeros(one_clip, np.float32), np.ones(one_clip, np.bool_))
