"""Which runtime runs the networks: the one that the setting ``streamer.runtime`` names."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from schemas.bundle import Bundle
from schemas.errors import BundleError, InferenceFailed
from schemas.implementations import Implementations
from schemas.ports import ModelRuntime
from streamer.runtimes.parity_gate import check_parity_sample

RUNTIMES: Final = Implementations(
    field="streamer.runtime",
    noun="a runtime",
    group="dancerank.runtimes",
    shipped={"onnxruntime": "streamer.runtimes.onnx_runtime:OnnxRuntime"},
)


def open_runtime(name: str, bundle: Bundle, *, providers: Sequence[str] = ("cpu",), threads: int = 0) -> ModelRuntime:
    """The runtime ``name`` with the graphs of ``bundle`` loaded, each of which has run once on one clip of one step.

    ``name`` is ``onnxruntime``, an entry point of the group ``dancerank.runtimes``, or ``package.module:factory``, a
    ``schemas.ports.RuntimeFactory``, which gets the other arguments. Raises ``ConfigurationError`` for a name that does
    not lead to a runtime, what the factory raises, and ``BundleError`` if a graph cannot be run, or computes here
    something else than where it was exported.
    """
    runtime = RUNTIMES.make(name, bundle, providers=providers, threads=threads)
    if not isinstance(runtime, ModelRuntime):
        made = f"which makes a {type(runtime).__name__}"
        raise RUNTIMES.refused(name, f"{made}; expected a ModelRuntime of schemas.ports")
    try:
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
        frames = np.zeros((1, 1, *manifest.step_shape(modality)), np.float32)
        runtime.run_stream(modality, frames, np.ones(1, np.int64))
    embeddings, one_clip = np.zeros((1, manifest.embedding_width), np.float32), (1, len(manifest.streams))
    runtime.run_fusion(embeddings, np.zeros(one_clip, np.float32), np.ones(one_clip, np.bool_))
