"""Runs the style classifier of a bundle in ONNX Runtime, on the CPU: it takes less time than copying to a device.

Legend: N clips, T time steps, V joints, C coordinates, K styles.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from schemas.bundle import FRAMES, LENGTHS, Bundle
from schemas.errors import BundleError, InferenceFailed
from schemas.escaping import shortened
from schemas.ports import Float32, Int64
from schemas.style_classifier import FAMILIARITY, LOGITS, StyleClassifier
from streamer.runtimes.graph_signatures import FREE, Signature, Tensor, check_signature
from streamer.runtimes.session_memory import forget_file

_FLOAT: Final = "tensor(float)"
_MAX_QUOTED: Final = 1024
_ERRORS_ONLY: Final = 3


class Judgement(NamedTuple):
    """``logits`` (N, K) and ``familiarity`` (N,), float32."""

    logits: Float32
    familiarity: Float32


class StyleNetwork:
    """The classifier's graph, which has run on one clip of one step. Several threads may call it at once.

    Raises ``BundleError`` naming the file for a graph that cannot be loaded or run, or has other inputs or outputs.
    """

    def __init__(self, classifier: StyleClassifier, graph: bytes) -> None:
        import onnxruntime  # a bundle without a classifier may run in another runtime, with none installed

        self.classifier = classifier
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = _ERRORS_ONLY
        options.enable_mem_pattern = False  # a pattern is planned per input shape, and almost every batch has its own
        try:
            self._session: Any = onnxruntime.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
            forget_file(self._session)
            found = Signature(*(_tensors(nodes) for nodes in (self._session.get_inputs(), self._session.get_outputs())))
        except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
            message = shortened(str(error), _MAX_QUOTED)
            raise BundleError(f"{classifier.file}: ONNX Runtime cannot load this graph: {message}") from error
        shape = (classifier.layout.joint_count, classifier.layout.coordinates)
        inputs = {FRAMES: Tensor(_FLOAT, (FREE, FREE, *shape)), LENGTHS: Tensor("tensor(int64)", (FREE,))}
        outputs = {LOGITS: Tensor(_FLOAT, (FREE, len(classifier.styles))), FAMILIARITY: Tensor(_FLOAT, (FREE,))}
        check_signature(classifier.file, found, Signature(inputs, outputs))
        try:
            self.run(np.zeros((1, 1, *shape), np.float32), np.ones(1, np.int64))
        except InferenceFailed as error:
            raise BundleError(f"{classifier.file}: ONNX Runtime loads this graph but cannot run it: {error}") from error

    def run(self, frames: Float32, lengths: Int64) -> Judgement:
        """Judge poses (N, T, V, C) of the classifier's layout, of which the first ``lengths`` (N,) steps are real.

        Raises ``InferenceFailed``.
        """
        try:
            return Judgement(*self._session.run([LOGITS, FAMILIARITY], {FRAMES: frames, LENGTHS: lengths}))
        except Exception as error:
            message = shortened(str(error), _MAX_QUOTED)
            raise InferenceFailed(f"the style classifier failed on {FRAMES} {frames.shape}: {message}") from error


def style_network(bundle: Bundle) -> StyleNetwork | None:
    """The classifier of ``bundle``, if it has one. Raises as ``StyleNetwork``."""
    classifier = bundle.manifest.classifier
    return None if classifier is None else StyleNetwork(classifier, bundle.graphs[classifier.file])


def _tensors(nodes: Any) -> dict[str, Tensor]:
    return {
        node.name: Tensor(node.type, tuple(axis if isinstance(axis, int) else FREE for axis in node.shape))
        for node in nodes
    }
