from pathlib import Path

import msgspec
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.bundle import Bundle, BundleManifest
from schemas.errors import BundleError
from schemas.modalities import Modality
from streamer.graphs import default_opset
from streamer.sessions import BundleSessions
from tests.small_bundle import OPSET, WIDTHS, small_bundle, stream_graph


def with_graph(bundle: Bundle, file: str, graph: bytes) -> Bundle:
    return Bundle(bundle.manifest, {**bundle.graphs, file: graph})


def test_the_opset_read_is_the_one_that_onnx_reads(bundle: Bundle) -> None:
    for graph in bundle.graphs.values():
        assert default_opset(graph) == onnx.load_from_string(graph).opset_import[0].version == OPSET


def test_the_opset_of_another_domain_is_not_taken_for_the_default_one() -> None:
    model = onnx.load_from_string(stream_graph((512,), 4, np.random.default_rng(0)))
    del model.opset_import[:]
    model.opset_import.extend([onnx.helper.make_opsetid("com.microsoft", 1), onnx.helper.make_opsetid("", 21)])
    assert default_opset(model.SerializeToString()) == 21


@given(st.binary(max_size=200))
def test_bytes_that_are_no_model_have_no_opset(content: bytes) -> None:
    found = default_opset(content)
    assert found is None or found >= 0


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("facial.onnx", {"opset": 19}, "opset"),
        ("facial.onnx", {"input_channels": 2047}, "frames"),
        ("facial.onnx", {"embedding_dim": 3}, "embedding"),
    ],
)
def test_a_graph_that_is_not_what_the_manifest_says_is_refused_by_name(
    tmp_path: Path, file: str, change: dict[str, int], says: str
) -> None:
    bundle = small_bundle(tmp_path, modalities=(Modality.FACIAL,))
    manifest: BundleManifest = bundle.manifest
    if "opset" in change:
        manifest = msgspec.structs.replace(manifest, **change)
    else:
        stream = msgspec.structs.replace(manifest.stream(Modality.FACIAL), **change)
        manifest = msgspec.structs.replace(manifest, streams=(stream,))
    with pytest.raises(BundleError, match=rf"{file}.*{says}"):
        BundleSessions(Bundle(manifest, bundle.graphs))


def test_a_graph_with_other_inputs_is_refused_by_name(bundle: Bundle) -> None:
    swapped = with_graph(bundle, "facial.onnx", bundle.graphs["fusion.onnx"])
    with pytest.raises(BundleError, match=r"facial\.onnx: inputs are embeddings, present, scores, expected"):
        BundleSessions(swapped)


def test_a_graph_of_another_joint_layout_is_refused_by_name(bundle: Bundle) -> None:
    graph = stream_graph((17, 2), WIDTHS[Modality.SKELETAL], np.random.default_rng(0))
    with pytest.raises(BundleError, match=r"skeletal\.onnx: input 'frames' is .*17.* means .*16"):
        BundleSessions(with_graph(bundle, "skeletal.onnx", graph))


def test_a_graph_of_a_fixed_batch_size_is_refused_by_name(bundle: Bundle) -> None:
    graph = stream_graph((512,), WIDTHS[Modality.SCENIC], np.random.default_rng(0), fixed_clips=8)
    with pytest.raises(BundleError, match=r"scenic\.onnx: input 'frames' is .*\(8, any, 512\)"):
        BundleSessions(with_graph(bundle, "scenic.onnx", graph))


def test_bytes_that_are_no_graph_are_refused_by_name(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"holistic\.onnx: opset is None"):
        BundleSessions(with_graph(bundle, "holistic.onnx", b"no graph"))
    cut = bundle.graphs["holistic.onnx"][:5000]
    with pytest.raises(BundleError, match=r"holistic\.onnx"):
        BundleSessions(with_graph(bundle, "holistic.onnx", cut))
