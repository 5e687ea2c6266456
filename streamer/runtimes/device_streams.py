"""A stream in ONNX Runtime whose inputs and outputs are bound to memory of a device, so that little is copied.

Frames travel to the device as they are, in float16 if they are, and are widened there. Shapes are rounded to a grid;
for each there are ``SLOTS`` sets of memory, so one thread copies a batch while the kernels of another thread's run. The
session of each modality has a CUDA stream of its own. Legend: N clips, T time steps, D embedding width, P parts of a
temporal attention.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import count
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from schemas.bundle import EMBEDDING, FRAMES, LENGTHS, SCORE, TEMPORAL_ATTENTION
from schemas.features import Frames
from schemas.ports import Int64, StreamResult
from streamer.runtimes.shape_grid import clips_rounded, steps_rounded

SLOTS: Final = 2
_MOST_SHAPES: Final = 16
"""Shapes that keep their memory; the one that was used least recently gives it back."""
_HALF: Final = "half"
_NO_GRAPH: Final = -1
WIDENING: Final = (
    b'\x08\x08:F\n\x1f\n\x04half\x12\x06frames"\x04Cast*\t\n\x02to\x18\x01\xa0\x01\x02\x12\x05widenZ\x0c\n\x04half'
    b"\x12\x04\n\x02\x08\nb\x0e\n\x06frames\x12\x04\n\x02\x08\x01B\x04\n\x00\x10\x12"
)
"""An ONNX model of one node: ``half``, float16 of any shape, to ``frames``, float32."""

Shape = tuple[int, ...]


class DeviceStream:
    """Runs the session of one stream on ``device`` (``cuda``, or ``cpu`` in tests).

    ``width`` D, ``parts`` P. ``half``: its graph reads float16 itself. ``graphs``: the session captures a CUDA graph
    for each set of memory.
    """

    def __init__(
        self,
        session: Any,
        *,
        device: str,
        providers: Sequence[Any],
        half: bool,
        width: int,
        parts: int = 0,
        graphs: bool = False,
    ) -> None:
        self._session, self._device, self._half, self._width, self._parts = session, device, half, width, parts
        self._widening = None
        if not half:
            self._widening = onnxruntime.InferenceSession(WIDENING, providers=list(providers))
        self._numbers = count(1) if graphs else None
        self._slots: OrderedDict[tuple[Shape, str], SimpleQueue[_Slot]] = OrderedDict()
        self._choosing, self._running = Lock(), Lock()

    def run(self, frames: Frames, lengths: Int64) -> StreamResult:
        """As ``ModelRuntime.run_stream``."""
        clips, steps, *rest = frames.shape
        if len(lengths) != clips:
            raise ValueError(f"{clips} clips and {len(lengths)} lengths")
        if self._half and frames.dtype != np.float16:
            frames = frames.astype(np.float16)
        slots = self._slots_of((clips_rounded(clips), steps_rounded(steps), *rest), frames.dtype)
        slot = slots.get()
        try:
            slot.fill(frames, lengths)
            with self._running:
                slot.run()
            return slot.results(clips, steps)
        finally:
            slots.put(slot)

    def _slots_of(self, shape: Shape, dtype: np.dtype[Any]) -> "SimpleQueue[_Slot]":
        with self._choosing:
            key = (shape, dtype.str)
            if key not in self._slots:
                found: SimpleQueue[_Slot] = SimpleQueue()
                for _ in range(SLOTS):
                    number = _NO_GRAPH if self._numbers is None else next(self._numbers)
                    widening = self._widening if dtype == np.float16 else None
                    results = self._results_of(*shape[:2])
                    found.put(_Slot(self._session, widening, self._device, shape, dtype, results, number))
                self._slots[key] = found
            self._slots.move_to_end(key)
            if len(self._slots) > _MOST_SHAPES:
                self._slots.popitem(last=False)  # a thread that is in one of its slots keeps that one
            return self._slots[key]

    def _results_of(self, clips: int, steps: int) -> dict[str, Shape]:
        shapes: dict[str, Shape] = {EMBEDDING: (clips, self._width), SCORE: (clips,)}
        return shapes | ({TEMPORAL_ATTENTION: (clips, self._parts, steps)} if self._parts else {})


class _Slot:
    """Memory of one batch of a shape, on the host and on the device, and the bindings that use it."""

    def __init__(
        self,
        session: Any,
        widening: Any,
        device: str,
        shape: Shape,
        dtype: np.dtype[Any],
        results: Mapping[str, Shape],
        number: int,
    ) -> None:
        clips = shape[0]
        self._host, self._pinned = _host_array(shape, dtype, device)
        self._lengths = np.ones(clips, np.int64)
        self._frames_on_device = _on_device(shape, dtype, device)
        self._lengths_on_device = _on_device((clips,), np.dtype(np.int64), device)
        self._results = {
            name: _on_device(of_result, np.dtype(np.float32), device) for name, of_result in results.items()
        }
        self._runs: list[tuple[Any, Any, Any]] = []
        frames = self._frames_on_device
        if widening is not None:
            frames = _on_device(shape, np.dtype(np.float32), device)
            self._runs.append((widening, _binding(widening, {_HALF: self._frames_on_device}, {FRAMES: frames}), None))
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("gpu_graph_id", str(number))
        inputs = {FRAMES: frames, LENGTHS: self._lengths_on_device}
        self._runs.append((session, _binding(session, inputs, self._results), options))

    def fill(self, frames: Frames, lengths: Int64) -> None:
        """Copy a batch to the device, padded to the shape: with zeros, and with clips of one step."""
        clips, steps = frames.shape[:2]
        self._host[:clips, :steps] = frames
        self._host[:clips, steps:] = 0
        self._host[clips:] = 0
        self._lengths[:clips], self._lengths[clips:] = lengths, 1
        self._frames_on_device.update_inplace(self._host)
        self._lengths_on_device.update_inplace(self._lengths)

    def run(self) -> None:
        for session, binding, options in self._runs:
            session.run_with_iobinding(binding, options)

    def results(self, clips: int, steps: int) -> StreamResult:
        """Of the first ``clips`` and ``steps``, in memory of their own."""
        found = {name: np.array(value.numpy()[:clips]) for name, value in self._results.items()}
        attention = found.get(TEMPORAL_ATTENTION)
        return StreamResult(
            found[EMBEDDING], found[SCORE], None if attention is None else np.array(attention[:, :, :steps])
        )


def _binding(session: Any, inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> Any:
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    for name, value in outputs.items():
        binding.bind_ortvalue_output(name, value)
    return binding


def _on_device(shape: Shape, dtype: np.dtype[Any], device: str) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, device)


def _host_array(shape: Shape, dtype: np.dtype[Any], device: str) -> tuple[npt.NDArray[Any], Any]:
    """An array in memory that the device reads without the processor (pinned), where it has such; and its owner."""
    for found in onnxruntime.get_ep_devices():
        pinned = found.memory_info(onnxruntime.OrtDeviceMemoryType.HOST_ACCESSIBLE)
        if device != "cpu" and device in found.ep_name.lower() and pinned is not None:
            value = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype.type, memory_info=pinned)
            return value.numpy(), value
    return np.zeros(shape, dtype), None
