"""Runs one network that sees pictures in ONNX Runtime: the graphs of extractors, which belong to no bundle.

Legend: N pictures.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from schemas.errors import ConfigurationError, InferenceFailed
from schemas.escaping import shortened
from schemas.ports import Float32
from streamer.runtimes.onnx_runtime import choose_providers
from streamer.runtimes.session_memory import forget_file

_MAX_QUOTED: Final = 1024
_ERRORS_ONLY: Final = 3


class GraphRefused(Exception):
    """ONNX Runtime cannot load the graph; the message says why."""


class PictureNetwork:
    """One graph with one input, uint8 pictures with N free in front, and float32 outputs.

    ``input_name``; ``input_shape`` and ``output_shapes`` without N, ``None`` where an axis is free; ``floats``: the
    outputs that are known to be float32 (N, …); ``provider`` that runs it (``CUDAExecutionProvider``). Raises
    ``GraphRefused`` for a graph that cannot be loaded or has other inputs, and ``ConfigurationError`` for providers
    that are unknown, unavailable, or cannot be started.
    """

    def __init__(self, graph: bytes, *, providers: Sequence[str], threads: int) -> None:
        session = _opened(graph, providers, threads)
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(uint8)":
            raise GraphRefused(
                f"its inputs are {', '.join(f'{each.name} {each.type}' for each in inputs)}, not one uint8"
            )
        self._session = session
        self.provider: str = session.get_providers()[0]
        if "cpu" not in providers and self.provider == "CPUExecutionProvider":
            raise ConfigurationError(
                f"{', '.join(providers)} could not be started and ONNX Runtime fell back to the CPU; check the driver "
                "and its libraries, or allow cpu",
                field="providers",
            )
        self.input_name: str = inputs[0].name
        self.input_shape = _fixed(inputs[0].shape)
        self.output_shapes: Mapping[str, tuple[int | None, ...]] = {each.name: _fixed(each.shape) for each in outputs}
        self.floats: frozenset[str] = frozenset(
            each.name for each in outputs if each.type == "tensor(float)" and len(each.shape)
        )

    def run(self, pictures: npt.NDArray[np.uint8]) -> dict[str, Float32]:
        """Every output by its name, for ``pictures`` (N, …). Raises ``InferenceFailed``."""
        return _outputs(self._session, list(self.output_shapes), {self.input_name: pictures}, pictures.shape)


class LaterNetwork:
    """What of a network runs later, on tensors that its first part gave. ``output_shapes`` as ``PictureNetwork``'s."""

    def __init__(self, graph: bytes, *, providers: Sequence[str], threads: int) -> None:
        self._session = _opened(graph, providers, threads)
        outputs = self._session.get_outputs()
        self.output_shapes: Mapping[str, tuple[int | None, ...]] = {each.name: _fixed(each.shape) for each in outputs}

    def run(self, tensors: Mapping[str, npt.NDArray[Any]]) -> dict[str, Float32]:
        """Every output by its name, (N, …). Raises ``InferenceFailed``."""
        shapes = tuple(len(each) for each in tensors.values())
        return _outputs(self._session, list(self.output_shapes), tensors, shapes)


def _opened(graph: bytes, providers: Sequence[str], threads: int) -> Any:
    chosen = choose_providers(providers)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # decoding needs the cores meanwhile
    try:
        session = onnxruntime.InferenceSession(graph, options, providers=chosen, enable_fallback=int(len(chosen) > 1))
    except Exception as error:  # ONNX Runtime's exceptions have no common base class but Exception
        raise GraphRefused(shortened(str(error), _MAX_QUOTED)) from error
    if len(chosen) == 1:
        forget_file(session)
    return session


def _outputs(
    session: Any, names: list[str], inputs: Mapping[str, npt.NDArray[Any]], shape: Sequence[int]
) -> dict[str, Float32]:
    try:
        results: list[Any] = session.run(names, inputs)
    except Exception as error:
        message = shortened(str(error), _MAX_QUOTED)
        raise InferenceFailed(f"a network for pictures failed on {tuple(shape)}: {message}") from error
    return dict(zip(names, results, strict=True))


def _fixed(shape: Sequence[object]) -> tuple[int | None, ...]:
    return tuple(axis if isinstance(axis, int) else None for axis in shape[1:])
