"""Eight bits: which streams are admitted, and what is refused."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exporters.onnx import quantisation
from exporters.onnx.graphs import fusion_graph, stream_graph
from exporters.onnx.quantisation import Calibration, Kept, StreamOutputs, kept, outputs, quantised, quantised_streams
from networks.virality_model import ViralityModel, ViralityModelConfig
from schemas.errors import BundleError
from schemas.modalities import Modality

CONFIG = ViralityModelConfig(modalities=(Modality.SCENIC,), temporal_width=1 / 64, fusion_width=1 / 8)
SOURCE = "dances: 100 clips"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> ViralityModel:
    torch.manual_seed(0)
    return ViralityModel(CONFIG).eval()


@pytest.fixture(scope="module")
def graphs(model: ViralityModel) -> tuple[dict[Modality, bytes], bytes]:
    return {Modality.SCENIC: stream_graph(model, Modality.SCENIC)}, fusion_graph(model)


def clips(count: int) -> list[dict[Modality, NDArray[np.float16]]]:
    generator = np.random.default_rng(1)
    shift = generator.normal(0, 1, (count, 1, 512))
    frames = np.maximum(generator.normal(0.2, 0.5, (count, 8, 512)) + shift, 0).astype(np.float16)
    return [{Modality.SCENIC: clip} for clip in frames]


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
    keeps = kept(outputs(before, frames[1::2]), outputs(after, frames[1::2]))
    assert before != after
    assert keeps.spearman > 0.95
    assert keeps.recall > 0.7


def test_a_stream_that_keeps_enough_is_admitted_with_what_it_keeps(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantisation, "LEAST_SPEARMAN", 0.9)
    monkeypatch.setattr(quantisation, "LEAST_RECALL", 0.5)
    admitted, reached = quantised_streams(*graphs, Calibration(clips(100), SOURCE))
    assert list(admitted) == [Modality.SCENIC]
    assert reached.keys() == {"scenic spearman", "scenic recall", "fused spearman"}
    assert all(0.5 <= value <= 1 for value in reached.values())


def test_without_a_stream_that_keeps_enough_the_profile_is_refused_with_the_next_best(
    graphs: tuple[dict[Modality, bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantisation, "LEAST_RECALL", 1.01)
    with pytest.raises(BundleError, match=rf"^{SOURCE}: in eight bits no stream keeps .* --profile fast"):
        quantised_streams(*graphs, Calibration(clips(100), SOURCE))


@pytest.mark.parametrize("count", [0, 99])
def test_too_few_clips_are_refused_with_their_number(graphs: tuple[dict[Modality, bytes], bytes], count: int) -> None:
    with pytest.raises(BundleError, match=rf"^{SOURCE}: {count} clips have scenic, and calibration takes at least 100"):
        quantised_streams(*graphs, Calibration(clips(count), SOURCE))
