"""The exported graphs compute what the networks compute, on clips of any length, alone or in any batch.

One small model is exported for the whole module: skeletal, scenic and fusion. The other streams are scenic's twins.
"""

from typing import Any

import numpy as np
import onnxruntime
import pytest

from exporters.onnx import graphs as onnx_graphs
from exporters.onnx.graphs import OPSET, fusion_graph, stream_graph
from exporters.onnx.inference.psgcn import InferenceGraphBlock
from exporters.onnx.parity import check_fusion, check_stream
from networks.evaluation import predict
from networks.virality_model import ViralityModel
from schemas.bundle import SUPPORTED_OPSETS
from schemas.errors import BundleError
from schemas.export_profiles import Profile
from schemas.modalities import Modality
from tests import exported
from tests.exported import CONFIG, MODALITIES, build

pytestmark = [pytest.mark.slow, pytest.mark.exported]


@pytest.fixture(scope="module")
def model() -> ViralityModel:
    return exported.model()


@pytest.fixture(scope="module", params=[Profile.EXACT, Profile.FAST])
def graphs(request: pytest.FixtureRequest) -> dict[str, bytes]:
    """The other profiles have the graphs of the fast one, as the test below holds."""
    return {**{m: exported.stream(m, request.param) for m in MODALITIES}, "fusion": exported.fusion()}


@pytest.mark.parametrize("profile", sorted({*Profile} - {Profile.EXACT}))
def test_graphs_of_all_profiles_but_the_exact_one_are_traced_alike(
    model: ViralityModel, profile: Profile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_graphs, "traced_graph", lambda network, *_: repr(network).encode())
    for modality in MODALITIES:
        assert stream_graph(model, modality, profile) == stream_graph(model, modality, Profile.FAST)


def session(graph: bytes) -> Any:
    return onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("modality", MODALITIES)
def test_a_stream_passes_the_parity_check(model: ViralityModel, graphs: dict[str, bytes], modality: Modality) -> None:
    check_stream(model, modality, graphs[modality])


def test_the_fusion_passes_the_parity_check(model: ViralityModel, graphs: dict[str, bytes]) -> None:
    check_fusion(model, graphs["fusion"])


@pytest.mark.parametrize("modality", MODALITIES)
def test_the_graph_of_another_network_fails_the_parity_check(graphs: dict[str, bytes], modality: Modality) -> None:
    with pytest.raises(BundleError, match=rf"{modality}: torch and ONNX differ by .* at length 1, "):
        check_stream(build(1), modality, graphs[modality])


def test_the_fusion_of_another_model_fails_the_parity_check(graphs: dict[str, bytes]) -> None:
    with pytest.raises(BundleError, match=r"fusion: torch and ONNX differ by .* for a clip with skeletal, scenic"):
        check_fusion(build(1), graphs["fusion"])


@pytest.mark.parametrize("modality", MODALITIES)
@pytest.mark.parametrize("filling", [1e6, float("nan")])
def test_clips_score_the_same_alone_and_in_any_batch(
    graphs: dict[str, bytes], modality: Modality, filling: float
) -> None:
    run, generator = session(graphs[modality]), np.random.default_rng(5)
    lengths = np.array([*range(1, 20), 50, 125, 250])
    frames = np.full((len(lengths), 300, *CONFIG.frame_shape(modality)), filling, np.float32)
    for row, length in enumerate(lengths):
        frames[row, :length] = generator.random(frames[row, :length].shape)
    _, together = run.run(None, {"frames": frames, "lengths": lengths})
    for row, length in enumerate(lengths):
        alone = run.run(None, {"frames": frames[[row], :length], "lengths": lengths[[row]]})[1]
        assert abs(alone[0] - together[row]) <= 1e-5, length


def test_streams_and_fusion_chained_as_a_server_does_give_the_models_scores(
    model: ViralityModel, graphs: dict[str, bytes]
) -> None:
    generator = np.random.default_rng(2)
    samples = []
    for length, kept in ((1, MODALITIES), (40, MODALITIES[:1]), (9, MODALITIES[1:]), (130, MODALITIES)):
        clip = {m: generator.random((length, *CONFIG.frame_shape(m))).astype(np.float32) for m in kept}
        samples.append((clip, 0.0))
    expected = predict(model, samples)
    embeddings, scores, present = np.zeros_like(expected.embeddings), np.zeros_like(expected.scores), []
    ends = np.cumsum([0, *model.embedding_dims])
    for row, (clip, _) in enumerate(samples):
        present.append([m in clip for m in MODALITIES])
        for index, modality in enumerate(MODALITIES):
            if modality in clip:
                inputs = {"frames": clip[modality][None], "lengths": np.array([len(clip[modality])])}
                embedding, score = session(graphs[modality]).run(["embedding", "score"], inputs)
                embeddings[row, ends[index] : ends[index + 1]], scores[row, index] = embedding[0], score[0]
    inputs = {"embeddings": embeddings, "scores": scores, "present": np.array(present)}
    attention, fused = session(graphs["fusion"]).run(["attention", "fused_score"], inputs)
    np.testing.assert_allclose(fused, expected.fused.numpy(), atol=1e-5)
    np.testing.assert_allclose(attention, expected.attention.numpy(), atol=1e-5)


def test_graphs_have_the_agreed_names_shapes_and_opset(graphs: dict[str, bytes]) -> None:
    onnx = pytest.importorskip("onnx")
    expected = {
        Modality.SKELETAL: ([["frames", 4], ["lengths", 1]], [["embedding", 2], ["score", 1]]),
        Modality.SCENIC: ([["frames", 3], ["lengths", 1]], [["embedding", 2], ["score", 1]]),
        "fusion": ([["embeddings", 2], ["scores", 2], ["present", 2]], [["attention", 2], ["fused_score", 1]]),
    }
    for name, interface in expected.items():
        run = session(graphs[name])
        found = tuple(
            [[value.name, len(value.shape)] for value in values] for values in (run.get_inputs(), run.get_outputs())
        )
        assert found == interface
        assert all(isinstance(value.shape[0], str) for value in (*run.get_inputs(), *run.get_outputs()))
        proto = onnx.load_from_string(graphs[name])
        assert [entry.version for entry in proto.opset_import if entry.domain == ""] == [OPSET]
    assert OPSET in SUPPORTED_OPSETS


def test_equal_networks_give_equal_bytes_without_a_path_of_the_exporting_machine(
    model: ViralityModel, graphs: dict[str, bytes]
) -> None:
    assert fusion_graph(model) == graphs["fusion"]
    for graph in graphs.values():
        assert b"site-packages" not in graph
        assert b".py" not in graph


def test_the_connectivity_is_a_constant_of_the_graph(model: ViralityModel, graphs: dict[str, bytes]) -> None:
    onnx = pytest.importorskip("onnx")
    proto = onnx.load_from_string(graphs[Modality.SKELETAL])
    stored = [onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer]
    for block in model.stream(Modality.SKELETAL).blocks:
        subsets = block.connectivity().detach().transpose(1, 2)
        spread = InferenceGraphBlock(block).spread.numpy()  # what the fast profile stores
        for wanted in [spread] if any(a.shape == spread.shape for a in stored) else subsets.numpy():
            assert any(a.shape == wanted.shape and np.allclose(a, wanted, atol=1e-6) for a in stored)
