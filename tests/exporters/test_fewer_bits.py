"""Streams in fewer bits: which are admitted, and what is refused."""

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from exporters.onnx import fewer_bits, gate
from exporters.onnx.fewer_bits import Calibration, in_fewer_bits, server_of
from exporters.onnx.gate import Kept, kept
from exporters.onnx.quantisation import quantised
from exporters.onnx.running import StreamOutputs, in_onnx_runtime, in_openvino, one_by_one
from schemas.errors import BundleError
from schemas.export_profiles import Precision, Profile, Server
from schemas.modalities import Modality
from tests import exported

SOURCE = "dances: 100 clips"

pytestmark = [pytest.mark.slow, pytest.mark.exported]


@pytest.fixture(scope="module")
def graphs() -> tuple[dict[Modality, bytes], bytes]:
    stream, fusion = exported.scenic()
    return {Modality.SCENIC: stream}, fusion


def clips(count: int) -> list[dict[Modality, NDArray[np.float16]]]:
    generator = np.random.default_rng(1)
    shift = generator.normal(0, 1, (count, 1, 512))
    frames = np.maximum(generator.normal(0.2, 0.5, (count, 8, 512)) + shift, 0).astype(np.float16)
    return [{Modality.SCENIC: clip} for clip in frames]


CALIBRATION = Calibration(clips(100), SOURCE)


def made_up(seed: int, count: int = 60) -> StreamOutputs:
    generator = np.random.default_rng(seed)
    return StreamOutputs(
        generator.normal(size=(count, 16)).astype(np.float32), generator.normal(size=count).astype(np.float32)
    )


def test_equal_outputs_keep_everything_and_unrelated_ones_next_to_nothing() -> None:
    assert kept(made_up(0), made_up(0)) == pytest.approx((1.0, 1.0))
    other = kept(made_up(0), made_up(1))
    assert abs(other.spearman) < 0.5
    assert other.recall < 0.4
    assert not other.enough


def test_recall_counts_the_neighbours_that_are_left() -> None:
    reference = made_up(0)
    moved = reference.embeddings.copy()
    moved[:7] = made_up(1).embeddings[:7]
    expected = [len(a & b) / 10 for a, b in zip(nearest(reference.embeddings), nearest(moved), strict=True)]
    assert kept(reference, reference._replace(embeddings=moved)).recall == pytest.approx(np.mean(expected))


def nearest(embeddings: NDArray[np.float32]) -> list[set[int]]:
    """The ten nearest other rows by the cosine's definition, one pair after the other."""
    wide = embeddings.astype(float)
    lengths = np.sqrt((wide * wide).sum(axis=1))
    cosines = [
        [a @ b / (x * y) for b, y in zip(wide, lengths, strict=True)] for a, x in zip(wide, lengths, strict=True)
    ]
    return [{*sorted(range(len(row)), key=lambda j: (i == j, -row[j]))[:10]} for i, row in enumerate(cosines)]


def test_outputs_that_are_not_finite_keep_nothing() -> None:
    broken = made_up(0)
    broken.scores[3] = np.nan
    assert kept(made_up(0), broken) == Kept(0.0, 0.0)


def test_a_stream_in_eight_bits_stays_close(
    graphs: tuple[dict[Modality, bytes], bytes],
) -> None:
    frames = [clip[Modality.SCENIC] for clip in clips(40)]
    before = graphs[0][Modality.SCENIC]
    after = quantised(before, frames[::2])
    reference = one_by_one(in_onnx_runtime(before), frames[1::2])
    assert before != after
    for run in (in_onnx_runtime(after), in_openvino(after, Precision.FLOAT32)):
        keeps = kept(reference, one_by_one(run, frames[1::2]))
        assert keeps.spearman > 0.95
        assert keeps.recall > 0.7


def test_bfloat16_moves_numbers_a_little_and_float32_does_not(graphs: tuple[dict[Modality, bytes], bytes]) -> None:
    graph, frames = graphs[0][Modality.SCENIC], [clip[Modality.SCENIC] for clip in clips(10)]
    reference = one_by_one(in_onnx_runtime(graph), frames)
    same = one_by_one(in_openvino(graph, Precision.FLOAT32), frames)
    rounded = one_by_one(in_openvino(graph, Precision.BFLOAT16), frames)
    largest = np.abs(reference.embeddings).max()
    assert np.abs(same.embeddings - reference.embeddings).max() < 1e-5 * largest
    assert 1e-5 * largest < np.abs(rounded.embeddings - reference.embeddings).max() < 0.1 * largest


def test_a_stream_that_keeps_enough_is_admitted_with_what_it_keeps(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LEAST_SPEARMAN", 0.9)
    monkeypatch.setattr(gate, "LEAST_RECALL", 0.5)
    monkeypatch.setattr(fewer_bits, "LEAST_SPEARMAN", 0.9)
    streams, reached, longest = in_fewer_bits(*graphs, Profile.INT8, CALIBRATION, Server.ONNX_RUNTIME)
    form = streams[Modality.SCENIC]
    assert (form.quantised, form.precision) == (True, Precision.FLOAT32)
    assert reached.keys() == {"scenic int8 spearman", "scenic int8 recall", "fused spearman"}
    assert all(0.5 <= value <= 1 for value in reached.values())
    assert longest == {Modality.SCENIC: 8}


def test_bfloat16_leaves_the_graph_as_it_is(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LEAST_RECALL", 0.5)
    monkeypatch.setattr(gate, "LEAST_SPEARMAN", 0.9)
    monkeypatch.setattr(fewer_bits, "LEAST_SPEARMAN", 0.9)
    streams, reached, _ = in_fewer_bits(*graphs, Profile.BF16, CALIBRATION, Server.OPENVINO)
    form = streams[Modality.SCENIC]
    assert (form.graph, form.precision) == (graphs[0][Modality.SCENIC], Precision.BFLOAT16)
    assert reached.keys() == {"scenic bf16 spearman", "scenic bf16 recall", "fused spearman"}


def test_float16_reads_and_computes_in_float16(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewer_bits, "kept", lambda *_: Kept(1.0, 1.0))
    monkeypatch.setattr(fewer_bits, "LEAST_SPEARMAN", 0.0)
    form = in_fewer_bits(*graphs, Profile.FP16, CALIBRATION, Server.ONNX_RUNTIME).streams[Modality.SCENIC]
    assert form.smaller
    model = onnx.load_from_string(form.graph)
    kinds = {value.name: value.type.tensor_type.elem_type for value in (*model.graph.input, *model.graph.output)}
    half, full = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
    assert kinds == {"frames": half, "lengths": onnx.TensorProto.INT64, "embedding": full, "score": full}
    weights = [each for each in model.graph.initializer if len(each.dims) > 1]
    assert weights
    assert all(each.data_type == half for each in weights)
    frames = [clip[Modality.SCENIC] for clip in clips(20)]
    reference = one_by_one(in_onnx_runtime(graphs[0][Modality.SCENIC]), frames)
    difference = np.abs(one_by_one(form.run, frames).embeddings - reference.embeddings).max()
    assert 0 < difference < 0.02 * np.abs(reference.embeddings).max()


def test_float16_is_not_exported_for_openvino() -> None:
    with pytest.raises(BundleError, match="fp16 is for ONNX Runtime on a GPU; export bf16 for openvino"):
        server_of(Profile.FP16, Server.OPENVINO)


def test_a_stream_that_loses_too_much_in_eight_bits_is_tried_in_bfloat16(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([Kept(0.5, 0.5), Kept(1.0, 1.0)])
    monkeypatch.setattr(fewer_bits, "kept", lambda *_: next(answers))
    monkeypatch.setattr(fewer_bits, "LEAST_SPEARMAN", 0.0)
    streams, reached, _ = in_fewer_bits(*graphs, Profile.INT8, CALIBRATION, Server.OPENVINO)
    form = streams[Modality.SCENIC]
    assert (form.quantised, form.precision) == (False, Precision.BFLOAT16)
    assert reached["scenic int8 recall"] == 0.5
    assert reached["scenic bf16 recall"] == 1


def test_fused_scores_that_change_order_are_refused_with_the_next_best(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fewer_bits, "kept", lambda *_: Kept(1.0, 1.0))
    monkeypatch.setattr(fewer_bits, "spearman", lambda *_: 0.9)
    with pytest.raises(BundleError, match=r"as int8 the fused scores keep .* 0\.90000, .* --profile bf16"):
        in_fewer_bits(*graphs, Profile.INT8, CALIBRATION, Server.OPENVINO)


def test_bfloat16_is_not_exported_for_onnx_runtime() -> None:
    assert server_of(Profile.BF16, None) is Server.OPENVINO
    assert server_of(Profile.INT8, None) is Server.ONNX_RUNTIME
    with pytest.raises(BundleError, match=r"ONNX Runtime has no bfloat16 .* --profile fast"):
        server_of(Profile.BF16, Server.ONNX_RUNTIME)


def test_without_a_stream_that_keeps_enough_the_profile_is_refused_with_the_next_best(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "LEAST_RECALL", 1.01)
    with pytest.raises(BundleError, match=rf"^{SOURCE}: as int8 no stream keeps .* --profile fast"):
        in_fewer_bits(*graphs, Profile.INT8, CALIBRATION, Server.ONNX_RUNTIME)


@pytest.mark.parametrize("count", [0, 99])
def test_too_few_clips_are_refused_with_their_number(graphs: tuple[dict[Modality, bytes], bytes], count: int) -> None:
    with pytest.raises(BundleError, match=rf"^{SOURCE}: {count} clips have scenic, and calibration takes at least 100"):
        in_fewer_bits(*graphs, Profile.BF16, Calibration(clips(count), SOURCE), Server.OPENVINO)
