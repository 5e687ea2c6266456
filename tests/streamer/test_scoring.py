import msgspec
import numpy as np
import pytest

from schemas.bundle import Bundle
from schemas.clock import ManualClock
from schemas.codec import decode, encode
from schemas.errors import InferenceFailed
from schemas.events import (
    ClipScored,
    ClipScoredV2,
    ClipScoredV3,
    ClipUploadedV2,
    FeatureFile,
    VideoFile,
    embedding_array,
    outside_training,
    training_distance,
)
from schemas.features import ClipFeatures
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Bool, Float32, FusionResult, Int64, StreamResult
from schemas.training_distribution import training_distribution
from streamer.batch_sizes import BatchSizes
from streamer.padding import PaddedBuffer
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer, ScoringInput, length_in_steps
from tests.clips import random_features, upload
from tests.small_bundle import BREAKS_ABOVE

SUBSETS = (
    FUSED_MODALITIES,
    (Modality.SKELETAL,),
    (Modality.HOLISTIC, Modality.SCENIC),
    (Modality.SKELETAL, Modality.HOLISTIC, Modality.SCENIC),
    (Modality.FACIAL,),
)


def clip(name: str, features: ClipFeatures) -> ScoringInput:
    return upload(name, features), features


def clips() -> list[ScoringInput]:
    return [
        clip(f"clip-{number}", random_features(3.0 + 1.7 * number, modalities=subset, seed=number))
        for number, subset in enumerate(SUBSETS)
    ]


def scored(scorer: Scorer, batch: list[ScoringInput]) -> list[ClipScored]:
    results = scorer.score(batch)
    assert all(isinstance(result, ClipScored) for result in results), results
    return results  # type: ignore[return-value]


def assert_alike(one: ClipScored, other: ClipScored, tolerance: float) -> None:
    assert (one.clip_id, one.missing, one.generation) == (other.clip_id, other.missing, other.generation)
    assert one.modalities.keys() == other.modalities.keys()
    assert one.fused_score == pytest.approx(other.fused_score, abs=tolerance)
    for modality, result in one.modalities.items():
        assert result.score == pytest.approx(other.modalities[modality].score, abs=tolerance)
        assert result.attention == pytest.approx(other.modalities[modality].attention, abs=tolerance)
        np.testing.assert_allclose(
            embedding_array(result), embedding_array(other.modalities[modality]), rtol=2e-3, atol=1e-4
        )


def test_a_result_is_what_the_graphs_give_for_the_clip_alone(bundle: Bundle) -> None:
    runtime = OnnxRuntime(bundle)
    upload_event, features = clip("clip-1", random_features(4.0))
    (result,) = scored(Scorer(runtime, clock=ManualClock(start_ms=77)), [(upload_event, features)])
    streams = {
        m: runtime.run_stream(m, features.frames[m][None].astype(np.float32), np.array([len(features.frames[m])]))
        for m in FUSED_MODALITIES
    }
    fused = runtime.run_fusion(
        np.concatenate([streams[m].embeddings for m in FUSED_MODALITIES], 1),
        np.stack([streams[m].scores for m in FUSED_MODALITIES], 1),
        np.ones((1, 4), np.bool_),
    )
    assert result.fused_score == pytest.approx(float(fused.scores[0]), abs=1e-6)
    for column, modality in enumerate(FUSED_MODALITIES):
        assert result.modalities[modality].score == pytest.approx(float(streams[modality].scores[0]), abs=1e-6)
        assert result.modalities[modality].attention == pytest.approx(float(fused.attention[0, column]), abs=1e-6)
        expected = streams[modality].embeddings[0].astype(np.float16)
        np.testing.assert_array_equal(embedding_array(result.modalities[modality]), expected)
    assert (result.scored_at_ms, result.generation) == (77, bundle.manifest.generation)
    assert decode(encode(result), ClipScored) == result


def test_a_clip_scores_the_same_alone_and_in_a_mixed_batch(bundle: Bundle) -> None:
    scorer, batch = Scorer(OnnxRuntime(bundle)), clips()
    for together, item in zip(scored(scorer, batch), batch, strict=True):
        assert_alike(scored(scorer, [item])[0], together, 1e-5)


def test_absent_modalities_are_named_and_the_attention_is_over_those_present(bundle: Bundle) -> None:
    for result, subset in zip(scored(Scorer(OnnxRuntime(bundle)), clips()), SUBSETS, strict=True):
        assert tuple(result.modalities) == subset
        assert result.missing == tuple(m for m in FUSED_MODALITIES if m not in subset)
        assert sum(r.attention for r in result.modalities.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_clip_whose_score_is_not_finite_fails_alone(bundle: Bundle) -> None:
    scorer, batch = Scorer(OnnxRuntime(bundle)), clips()
    extreme = random_features(5.0, seed=9)
    extreme.frames[Modality.SCENIC][0, 0] = 2 * BREAKS_ABOVE
    before, bad, after = batch[:2], clip("bad", extreme), batch[2:]
    results = scorer.score([*before, bad, *after])
    assert isinstance(results[2], InferenceFailed)
    neighbours = [*results[:2], *results[3:]]
    for result, item in zip(neighbours, batch, strict=True):
        assert isinstance(result, ClipScored)
        assert_alike(result, scored(scorer, [item])[0], 1e-6)


class FailsOnLongClips(OnnxRuntime):
    """Stands for a runtime error caused by one clip, such as too little memory."""

    def run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        if frames.shape[1] > 300:
            raise InferenceFailed("out of memory")
        return super().run_stream(modality, frames, lengths)


def test_a_failure_of_the_runtime_on_one_clip_does_not_affect_the_others(bundle: Bundle) -> None:
    durations = {"short": 5.0, "long": 20.0, "other": 8.0}
    batch = [clip(name, random_features(duration_s)) for name, duration_s in durations.items()]
    results = Scorer(FailsOnLongClips(bundle)).score(batch)
    assert [isinstance(result, ClipScored) for result in results] == [True, False, True]


class HugeEmbeddings(OnnxRuntime):
    def run_stream(self, modality: Modality, frames: Float32, lengths: Int64) -> StreamResult:
        result = super().run_stream(modality, frames, lengths)
        return StreamResult(result.embeddings * np.float32(1e6), result.scores)


def test_an_embedding_that_does_not_fit_float16_fails_the_clip_and_names_the_modality(bundle: Bundle) -> None:
    (result,) = Scorer(HugeEmbeddings(bundle)).score([clip("clip-1", random_features(3.0))])
    assert isinstance(result, InferenceFailed)
    assert result.field in FUSED_MODALITIES


class RoundedAttention(OnnxRuntime):
    def run_fusion(self, embeddings: Float32, scores: Float32, present: Bool) -> FusionResult:
        result = super().run_fusion(embeddings, scores, present)
        return result._replace(attention=result.attention + np.float32(1e-7))


def test_attention_that_rounding_put_above_one_is_still_a_valid_event(bundle: Bundle) -> None:
    only = clip("clip-1", random_features(3.0, modalities=(Modality.SCENIC,)))
    (result,) = scored(Scorer(RoundedAttention(bundle)), [only])
    assert decode(encode(result), ClipScored).modalities[Modality.SCENIC].attention == 1.0


class Stages(Observer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, Modality | None]] = []

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self.seen.append((stage, modality))


def test_every_stream_that_ran_is_timed_and_no_other(bundle: Bundle) -> None:
    stages = Stages()
    features = random_features(3.0, modalities=(Modality.SKELETAL, Modality.SCENIC))
    Scorer(OnnxRuntime(bundle), observer=stages).score([clip("clip-1", features)])
    expected = [("inference", Modality.SKELETAL), ("inference", Modality.SCENIC), ("fusion", None)]
    assert stages.seen == expected


@pytest.mark.parametrize(
    ("modalities", "steps"), [(FUSED_MODALITIES, 250), ((Modality.SCENIC,), 250), ((Modality.FACIAL,), 250)]
)
def test_the_length_of_a_clip_is_its_duration_at_25_hz_whatever_it_has(
    modalities: tuple[Modality, ...], steps: int
) -> None:
    assert length_in_steps(random_features(10.0, modalities=modalities)) == steps


def test_runs_of_any_size_and_order_give_what_each_clip_has_alone(bundle: Bundle) -> None:
    batch = [clip(f"clip-{n}", random_features(3.0 + n % 3, modalities=SUBSETS[n % 5], seed=n)) for n in range(10)]
    sizes = BatchSizes({Modality.SKELETAL: {100: 1}, Modality.SCENIC: {100: 3}, Modality.HOLISTIC: {75: 1, 125: 2}})
    scorer, buffer = Scorer(OnnxRuntime(bundle), sizes=sizes), PaddedBuffer()
    scoring = scorer.begin(batch)
    assert max(len(run.rows) for run in scoring.runs if run.modality is Modality.SKELETAL) == 1
    for run in reversed(scoring.runs):
        scorer.run(scoring, run, buffer)
    plain = Scorer(OnnxRuntime(bundle))
    for result, item in zip(scorer.finish(scoring), batch, strict=True):
        assert isinstance(result, ClipScored)
        assert_alike(result, scored(plain, [item])[0], 1e-6)


def stating(bundle: Bundle, limit: float) -> Bundle:
    """``bundle`` with a statement that puts every clip at a distance of its own from skeletons and places."""
    learned = [random_features(3.0, modalities=FUSED_MODALITIES, seed=seed).frames for seed in range(100, 160)]
    stated = training_distribution(learned, coordinates=2, modalities=(Modality.SKELETAL, Modality.SCENIC))
    limited = {m: msgspec.structs.replace(each, limit=limit) for m, each in stated.items()}
    return Bundle(msgspec.structs.replace(bundle.manifest, training_distribution=limited), bundle.graphs)


class Distances(Observer):
    def __init__(self) -> None:
        self.measured: list[tuple[Modality, float]] = []
        self.outside = 0

    def training_distance(self, modality: Modality, distance: float) -> None:
        self.measured.append((modality, distance))

    def outside_training(self) -> None:
        self.outside += 1


def test_a_clip_carries_the_greatest_of_its_distances_and_its_scores_stay(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    seen, batch = Distances(), clips()
    results = scored(Scorer(OnnxRuntime(stating(bundle, 1e-3)), observer=seen), batch)
    plain = scored(Scorer(OnnxRuntime(bundle)), batch)
    for (_, features), result, other in zip(batch, results, plain, strict=True):
        assert_alike(result, other, 0.0)
        measured = {m for m in features.frames if m in (Modality.SKELETAL, Modality.SCENIC)}
        assert isinstance(result, ClipScoredV2) == bool(measured)
        assert outside_training(training_distance(result)) == bool(measured)
    assert seen.outside == sum(isinstance(result, ClipScoredV2) for result in results) == 4
    assert training_distance(results[0]) == max(distance for _, distance in seen.measured[:2])
    assert "clip clip-0 lies outside what the model was trained on" in caplog.text


def test_a_clip_that_no_ranking_is_to_hold_is_not_logged_and_its_distance_is_answered(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Distances()
    scorer = Scorer(OnnxRuntime(stating(bundle, 1e-3)), warns_outside_training=False, observer=seen)
    results = scored(scorer, clips())
    assert seen.outside == sum(outside_training(training_distance(result)) for result in results) == 4
    assert "lies outside" not in caplog.text


def test_a_result_says_where_the_features_can_be_read_again_unless_they_came_inline(bundle: Bundle) -> None:
    features, sources = random_features(3.0), (FeatureFile("file:///a", "a" * 64), VideoFile("s3://videos/a.mp4"))
    inline = upload("inline", features)
    batch: list[ScoringInput] = [
        (inline, features),
        (upload("file", sources[0]), features),
        (ClipUploadedV2(**msgspec.structs.asdict(inline) | {"clip_id": "video", "features": sources[1]}), features),
    ]
    for runs_on, versions in ((bundle, (ClipScored,)), (stating(bundle, 1e3), (ClipScoredV2,))):
        results = scored(Scorer(OnnxRuntime(runs_on)), batch)
        assert tuple(map(type, results)) == (*versions, ClipScoredV3, ClipScoredV3)
        assert [each.features for each in results if isinstance(each, ClipScoredV3)] == list(sources)
        assert len({training_distance(each) for each in results}) == 1
        assert [decode(encode(each), ClipScored) for each in results] == results


def test_a_clip_like_the_training_clips_is_inside_and_nothing_is_reported(bundle: Bundle) -> None:
    seen = Distances()
    (result,) = scored(Scorer(OnnxRuntime(stating(bundle, 1e3)), observer=seen), clips()[:1])
    assert 0 < (training_distance(result) or 0) < 1
    assert seen.outside == 0


def test_a_distance_depends_on_neither_batch_nor_padding(bundle: Bundle) -> None:
    scorer = Scorer(OnnxRuntime(stating(bundle, 2.0)))
    together = scored(scorer, clips())
    alone = [result for clip in clips() for result in scored(scorer, [clip])]
    assert [training_distance(clip) for clip in together] == [training_distance(clip) for clip in alone]


def test_a_bundle_without_a_statement_says_so_and_its_results_are_of_the_first_version(
    bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    results = scored(Scorer(OnnxRuntime(bundle)), clips())
    assert {type(result) for result in results} == {ClipScored}
    assert f"bundle {bundle.manifest.generation} states no training distribution" in caplog.text
