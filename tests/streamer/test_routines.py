"""Clips longer than 60 s are routines: scored by ``routine`` alone, in one batch with shorter clips."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock
from schemas.codec import decode, encode
from schemas.errors import InferenceFailed, NoUsableModality
from schemas.events import ClipScored, ClipScoredV4, ClipUploadedV3, InlineFeatures, embedding_array
from schemas.features import ClipFeatures, Frames, encode_features
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import Int64, StreamResult
from streamer.loading import FeatureLoader
from streamer.roots import FeatureRoots
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer, ScoringInput
from streamer.stores import FeatureStore
from tests.clips import random_features
from tests.small_bundle import PARTS, small_bundle

ROUTINE = (Modality.ROUTINE,)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"), modalities=(*FUSED_MODALITIES, Modality.ROUTINE))


def clip(clip_id: str, duration_s: float, modalities: Sequence[Modality], seed: int) -> ScoringInput:
    features = random_features(duration_s, modalities=modalities, seed=seed)
    source = InlineFeatures(encode_features(features))
    return ClipUploadedV3(clip_id, "dancer-1", "challenge-1", 1, duration_s, source), features


def scored(bundle: Bundle, clips: Sequence[ScoringInput]) -> list[ClipScored]:
    results = Scorer(OnnxRuntime(bundle), clock=ManualClock(start_ms=1)).score(clips)
    assert all(isinstance(result, ClipScored) for result in results), results
    return [result for result in results if isinstance(result, ClipScored)]


def test_a_routine_has_all_attention_its_score_and_the_attention_of_its_graph(bundle: Bundle) -> None:
    upload, features = clip("routine", 83.0, ROUTINE, 1)
    (result,) = scored(bundle, [(upload, features)])
    frames = features.frames[Modality.ROUTINE]
    found = OnnxRuntime(bundle).run_stream(Modality.ROUTINE, frames[None].astype(np.float32), np.array([83]))
    assert isinstance(result, ClipScoredV4)
    assert result.modalities.keys() == {Modality.ROUTINE}
    assert result.modalities[Modality.ROUTINE].attention == 1.0
    assert result.fused_score == result.modalities[Modality.ROUTINE].score == pytest.approx(float(found.scores[0]))
    assert result.missing == ()
    np.testing.assert_array_equal(
        embedding_array(result.modalities[Modality.ROUTINE]), found.embeddings[0].astype(np.float16)
    )
    attended = result.temporal_attention
    assert attended is not None
    assert found.attention is not None
    assert (attended.modality, attended.rate_hz, attended.parts, attended.steps) == (Modality.ROUTINE, 1.0, PARTS, 83)
    for part, weights in zip(PARTS, found.attention[0], strict=True):
        np.testing.assert_allclose(attended.arrays()[part], weights, rtol=1e-3)
        assert float(attended.arrays()[part].astype(np.float64).sum()) == pytest.approx(1.0, abs=1e-2)
    assert decode(encode(result), ClipScored) == result


def test_routines_and_other_clips_of_one_batch_score_as_they_do_alone(bundle: Bundle) -> None:
    batch = [
        clip("short-1", 10.0, FUSED_MODALITIES, 1),
        clip("routine-1", 70.0, ROUTINE, 2),
        clip("short-2", 60.0, (Modality.SKELETAL, Modality.SCENIC), 3),
        clip("routine-2", 200.0, ROUTINE, 4),
    ]
    for together, item in zip(scored(bundle, batch), batch, strict=True):
        (alone,) = scored(bundle, [item])
        assert together.modalities.keys() == alone.modalities.keys() == item[1].frames.keys()
        assert together.scores() == pytest.approx(alone.scores(), abs=1e-5)
        assert together.missing == tuple(
            m for m in FUSED_MODALITIES if m not in item[1].frames and item[0].duration_s <= 60
        )
        assert sum(result.attention for result in together.modalities.values()) == pytest.approx(1.0, abs=1e-5)
        assert isinstance(together, ClipScoredV4) == (item[0].duration_s > 60)


class WithoutAttention(OnnxRuntime):
    """Its temporal attention is not a number in the first routine of a run."""

    def run_stream(self, modality: Modality, frames: Frames, lengths: Int64) -> StreamResult:
        found = super().run_stream(modality, frames, lengths)
        if found.attention is not None:
            found.attention[0, 1, 7] = np.nan
        return found


def test_a_routine_whose_attention_is_not_finite_fails_alone(bundle: Bundle) -> None:
    batch = [clip(f"routine-{seed}", 70.0, ROUTINE, seed) for seed in (1, 2)]
    batch.append(clip("short", 10.0, FUSED_MODALITIES, 3))
    failed, *others = Scorer(WithoutAttention(bundle), clock=ManualClock(start_ms=1)).score(batch)
    assert isinstance(failed, InferenceFailed)
    assert "the routine temporal attention is not a finite number" in str(failed)
    assert others == scored(bundle, batch)[1:]


def loader(bundle: Bundle, folder: Path) -> FeatureLoader:
    store = FeatureStore(FeatureRoots([folder.as_uri()]), max_bytes=1 << 26, patience_s=0.0, options={})
    return FeatureLoader(store, bundle.manifest, max_bytes=1 << 26)


@pytest.mark.parametrize(
    ("duration_s", "kept"), [(60.0, {Modality.SCENIC}), (61.0, {Modality.ROUTINE}), (None, {Modality.ROUTINE})]
)
def test_the_length_says_which_modalities_of_a_file_are_scored(
    bundle: Bundle, tmp_path: Path, duration_s: float | None, kept: set[Modality]
) -> None:
    scenic = random_features(60.0, modalities=(Modality.SCENIC,)).frames
    routine = random_features(61.0, modalities=ROUTINE).frames
    content = encode_features(ClipFeatures({**scenic, **routine}))
    found = loader(bundle, tmp_path).read(InlineFeatures(content), duration_s)
    assert set(found.frames) == kept


@pytest.mark.parametrize(
    ("modalities", "lasts_s", "duration_s", "wanted"),
    [
        (ROUTINE, 60.0, 60.0, "of at most 60 s is scored by skeletal"),
        ((Modality.SCENIC,), 60.0, 61.0, "longer than 60 s is scored by routine"),
    ],
)
def test_a_clip_without_what_its_length_is_scored_by_is_refused_with_what_that_is(
    bundle: Bundle, tmp_path: Path, modalities: Sequence[Modality], lasts_s: float, duration_s: float, wanted: str
) -> None:
    content = encode_features(random_features(lasts_s, modalities=modalities))
    with pytest.raises(NoUsableModality, match=wanted):
        loader(bundle, tmp_path).read(InlineFeatures(content), duration_s)


def test_a_bundle_without_the_stream_refuses_a_routine_by_name(tmp_path: Path) -> None:
    content = encode_features(random_features(90.0, modalities=ROUTINE))
    plain = small_bundle(tmp_path / "bundle")
    with pytest.raises(NoUsableModality, match="only routine; this model scores skeletal"):
        loader(plain, tmp_path).read(InlineFeatures(content), 90.0)
