"""Streams with bound memory, on the CPU as the device: the same numbers, by whatever shape, type and thread.

What only a GPU shows (pinned memory, CUDA graphs, copies beside kernels) runs nowhere in these tests.
"""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from schemas.bundle import Bundle
from schemas.features import Frames
from schemas.modalities import Modality
from streamer.padding import PaddedBuffer
from streamer.runtimes import contract, device_streams, onnx_runtime
from streamer.runtimes.device_streams import SLOTS, WIDENING, DeviceStream
from streamer.runtimes.onnx_runtime import OnnxRuntime, choose_providers
from streamer.runtimes.shape_grid import clips_rounded
from tests.small_bundle import small_bundle

MODALITIES = (Modality.SKELETAL, Modality.SCENIC)


class BoundRuntime(OnnxRuntime):
    """As on a GPU, with memory of the CPU."""

    def _bound_to(self, devices, chosen):  # type: ignore[no-untyped-def]
        return super()._bound_to(dict.fromkeys(self.manifest.modalities, "cpu"), chosen)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"), modalities=MODALITIES)


def frames(clips: int, steps: int, dtype: type = np.float16) -> Frames:
    generator = np.random.default_rng(clips)
    return generator.normal(1, 0.5, (clips, steps, 512)).astype(dtype)


@pytest.mark.parametrize("check", contract.RUNTIME_CHECKS, ids=lambda check: check.__name__)
def test_bound_streams_pass_the_checks_of_the_port(check: contract.Check, bundle: Bundle, tmp_path: Path) -> None:
    check(BoundRuntime, bundle, ("cpu",))
    check(BoundRuntime, small_bundle(tmp_path, modalities=(Modality.SCENIC, Modality.ROUTINE)), ("cpu",))


def test_the_widening_graph_is_one_cast() -> None:
    node = helper.make_node("Cast", ["half"], ["frames"], to=TensorProto.FLOAT)
    ports = [
        [helper.make_tensor_value_info(name, kind, None)]
        for name, kind in (("half", TensorProto.FLOAT16), ("frames", TensorProto.FLOAT))
    ]
    graph = helper.make_graph([node], "widen", *ports)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    assert onnx.load_from_string(WIDENING) == made


def test_a_stream_widens_float16_itself_and_gives_what_it_gives_of_float32(bundle: Bundle) -> None:
    runtime = BoundRuntime(bundle)
    assert runtime.reads_half == frozenset(MODALITIES)
    for clips, steps in ((1, 1), (3, 17), (9, 40)):
        batch, lengths = frames(clips, steps), np.arange(clips) % steps + 1
        half = runtime.run_stream(Modality.SCENIC, batch, lengths)
        full = OnnxRuntime(bundle).run_stream(Modality.SCENIC, batch.astype(np.float32), lengths)
        np.testing.assert_allclose(half.embeddings, full.embeddings, atol=1e-6)
        np.testing.assert_allclose(half.scores, full.scores, atol=1e-6)


def test_results_stay_while_the_memory_of_their_shape_is_used_again(bundle: Bundle) -> None:
    runtime = BoundRuntime(bundle)
    lengths = np.full(2, 8)
    first = runtime.run_stream(Modality.SCENIC, frames(2, 8), lengths)
    kept = first.embeddings.copy()
    for _ in range(2 * SLOTS):
        runtime.run_stream(Modality.SCENIC, frames(2, 8) + np.float16(1), lengths)
    np.testing.assert_array_equal(first.embeddings, kept)


def test_more_threads_than_sets_of_memory_and_more_shapes_than_are_kept_get_what_one_gets(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_streams, "_MOST_SHAPES", 2)
    runtime, plain = BoundRuntime(bundle), OnnxRuntime(bundle)
    batches = [(frames(1 + number % 5, 4 + number), np.full(1 + number % 5, 4 + number)) for number in range(24)]
    with ThreadPoolExecutor(4 * SLOTS) as threads:
        found = threads.map(lambda batch: runtime.run_stream(Modality.SCENIC, *batch), batches)
        for result, (batch, lengths) in zip(found, batches, strict=True):
            expected = plain.run_stream(Modality.SCENIC, batch.astype(np.float32), lengths)
            np.testing.assert_allclose(result.scores, expected.scores, atol=1e-6)


def test_each_set_of_memory_captures_a_graph_of_its_own(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    entries: list[str] = []

    class Noted(onnx_runtime.onnxruntime.RunOptions):  # type: ignore[misc, name-defined]
        def add_run_config_entry(self, name: str, value: str) -> None:
            entries.append(value)
            super().add_run_config_entry(name, value)

    monkeypatch.setattr(device_streams.onnxruntime, "RunOptions", Noted)
    session = OnnxRuntime(bundle)._streams[Modality.SCENIC]
    for graphs, expected in ((True, {"1", "2", "3", "4"}), (False, {"-1"})):
        entries.clear()
        stream = DeviceStream(
            session, device="cpu", providers=["CPUExecutionProvider"], half=False, width=5, graphs=graphs
        )
        for steps in (8, 16, 8):
            stream.run(frames(1, steps), np.array([steps]))
        assert set(entries) == expected
        assert len(entries) == 2 * SLOTS


def test_the_providers_of_a_gpu_are_tried_in_order_and_graphs_are_captured_only_for_streams(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    available = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnx_runtime.onnxruntime, "get_available_providers", lambda: available)
    monkeypatch.setattr(onnx_runtime.onnxruntime, "preload_dlls", lambda: None)
    chosen = choose_providers(("tensorrt", "cuda-graphs", "cpu"))
    assert [name for name, _ in chosen] == available
    assert chosen[1][1]["enable_cuda_graph"] == "1"
    assert chosen[1][1]["use_tf32"] == 0
    assert not any("enable_cuda_graph" in options for _, options in onnx_runtime.without_cuda_graphs(chosen))


def test_the_grid_of_clips_pads_by_an_eighth_at_most() -> None:
    for clips in range(1, 1000):
        rounded = clips_rounded(clips)
        assert clips <= rounded <= 1.125 * clips
        assert clips_rounded(rounded) == rounded


@pytest.mark.parametrize("half", [True, False])
def test_padding_stays_in_float16_only_where_it_may_and_all_clips_are(half: bool) -> None:
    clips = [frames(1, steps)[0] for steps in (5, 3)]
    buffer, seen = PaddedBuffer(), list[Frames]()
    padded, lengths = buffer.fill(clips, lambda clip: seen.append(clip.copy()), half=half)
    assert padded.dtype == (np.float16 if half else np.float32)
    np.testing.assert_array_equal(padded[1], np.concatenate([clips[1], np.zeros((2, 512))]))
    assert [len(clip) for clip in seen] == lengths.tolist() == [5, 3]
    mixed, _ = buffer.fill([clips[0], clips[1].astype(np.float32)], half=half)
    assert mixed.dtype == np.float32
    np.testing.assert_array_equal(mixed[0], clips[0].astype(np.float32))
