from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.bundle import Bundle
from schemas.errors import BundleError
from schemas.modalities import Modality
from streamer.runtimes.onnx_runtime import OnnxRuntime
from tests.small_bundle import WIDTHS, small_bundle, stream_graph


def with_graph(bundle: Bundle, file: str, graph: bytes) -> Bundle:
    return Bundle(bundle.manifest, {**bundle.graphs, file: graph})


def test_a_graph_of_an_opset_that_the_runtime_does_not_know_is_refused_by_name(bundle: Bundle) -> None:
    model = onnx.load_from_string(bundle.graphs["scenic.onnx"])
    model.opset_import[0].version = 99
    with pytest.raises(BundleError, match=r"scenic\.onnx: ONNX Runtime cannot load this graph: .*Opset 99"):
        OnnxRuntime(with_graph(bundle, "scenic.onnx", model.SerializeToString()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_bytes_that_are_not_a_model_are_refused_by_name(bundle: Bundle, content: bytes) -> None:
    with pytest.raises(BundleError, match=r"holistic\.onnx"):
        OnnxRuntime(with_graph(bundle, "holistic.onnx", content))


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("facial.onnx", {"input_channels": 2047}, "frames"),
        ("facial.onnx", {"embedding_dim": 3}, "embedding"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_is_refused_by_name(
    tmp_path: Path, file: str, change: dict[str, int], says: str
) -> None:
    bundle = small_bundle(tmp_path, modalities=(Modality.FACIAL,))
    stream = msgspec.structs.replace(bundle.manifest.stream(Modality.FACIAL), **change)
    manifest = msgspec.structs.replace(bundle.manifest, streams=(stream,))
    with pytest.raises(BundleError, match=rf"{file}.*{says}"):
        OnnxRuntime(Bundle(manifest, bundle.graphs))


def test_a_graph_with_other_inputs_is_refused_by_name(bundle: Bundle) -> None:
    swapped = with_graph(bundle, "facial.onnx", bundle.graphs["fusion.onnx"])
    with pytest.raises(BundleError, match=r"facial\.onnx: inputs are embeddings, present, scores, expected"):
        OnnxRuntime(swapped)


def test_a_graph_of_another_joint_layout_is_refused_by_name(bundle: Bundle) -> None:
    graph = stream_graph((17, 2), WIDTHS[Modality.SKELETAL], np.random.default_rng(0))
    with pytest.raises(BundleError, match=r"skeletal\.onnx: input 'frames' is .*17.* means .*16"):
        OnnxRuntime(with_graph(bundle, "skeletal.onnx", graph))


def test_a_graph_of_a_fixed_batch_size_is_refused_by_name(bundle: Bundle) -> None:
    graph = stream_graph((512,), WIDTHS[Modality.SCENIC], np.random.default_rng(0), fixed_clips=8)
    with pytest.raises(BundleError, match=r"scenic\.onnx: input 'frames' is .*\(8, any, 512\)"):
        OnnxRuntime(with_graph(bundle, "scenic.onnx", graph))


def test_a_graph_that_is_cut_short_is_refused_by_name(bundle: Bundle) -> None:
    cut = bundle.graphs["holistic.onnx"][:5000]
    with pytest.raises(BundleError, match=r"holistic\.onnx"):
        OnnxRuntime(with_graph(bundle, "holistic.onnx", cut))
