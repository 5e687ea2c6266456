"""Guidance is computed with the scores of a share of the clips, alike in every batch, and costs no clip its scores."""

import threading

import numpy as np
import pytest

from dancerank.settings import video_bundle
from schemas.bundle import Bundle, read_bundle
from schemas.clock import SystemClock
from schemas.errors import InferenceFailed
from schemas.events import ClipScored, ClipScoredV3, FeatureFile, JointGuidance
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import Float32, Int64
from streamer.guidance.clip_guidance import magnitude_bins
from streamer.guidance.guide import Guide
from streamer.guiding import Guiding, is_chosen, open_gradients
from streamer.inference import Inference
from streamer.runtimes.gradients import OnnxGradients
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer, ScoringInput
from streamer.settings import StreamerSettings
from tests.clips import random_features, upload
from tests.streaming import Log, quick_settings, running
from tests.waiting import wait_until

BOTH = (Modality.SKELETAL, Modality.SCENIC)


@pytest.fixture(scope="module")
def guided_bundle() -> Bundle:
    return read_bundle(video_bundle())


@pytest.fixture(scope="module")
def runtime(guided_bundle: Bundle) -> OnnxRuntime:
    return OnnxRuntime(guided_bundle, threads=1)


@pytest.fixture(scope="module")
def gradients(guided_bundle: Bundle) -> OnnxGradients:
    return OnnxGradients(guided_bundle, threads=1)


def clips(count: int, modalities: tuple[Modality, ...] = BOTH) -> list[ScoringInput]:
    made = [random_features(3.0 + n % 3, modalities=modalities, seed=n) for n in range(count)]
    return [(upload(f"clip-{n}", features), features) for n, features in enumerate(made)]


def guidance_of(results: list[ClipScored | InferenceFailed]) -> list[JointGuidance | None]:
    assert all(isinstance(result, ClipScored) for result in results), results
    return [result.guidance if isinstance(result, ClipScoredV3) else None for result in results]


def test_a_share_of_the_ids_is_chosen_and_a_larger_share_keeps_them() -> None:
    ids = [f"clip-{n}" for n in range(5000)]
    chosen = {share: {clip_id for clip_id in ids if is_chosen(clip_id, share)} for share in (0.0, 0.1, 0.5, 1.0)}
    assert [len(chosen[share]) / len(ids) for share in chosen] == pytest.approx([0, 0.1, 0.5, 1], abs=0.02)
    assert chosen[0.0] < chosen[0.1] < chosen[0.5] < chosen[1.0] == set(ids)


def test_a_result_carries_what_the_guide_says_of_the_clip_and_is_otherwise_the_same(
    runtime: OnnxRuntime, gradients: OnnxGradients
) -> None:
    batch, guide = clips(4), Guide(runtime, gradients)
    results = Scorer(runtime, guiding=Guiding(runtime, gradients, 1.0)).score(batch)
    plain = Scorer(runtime).score(batch)
    for (_, features), found, result, other in zip(batch, guidance_of(results), results, plain, strict=True):
        assert found == magnitude_bins(guide.guidance(features, smoothing="raw"))
        assert isinstance(result, ClipScored)
        assert isinstance(other, ClipScored)
        assert (result.modalities, result.fused_score) == (other.modalities, other.fused_score)


def test_guidance_depends_on_neither_batch_nor_threads(runtime: OnnxRuntime, gradients: OnnxGradients) -> None:
    scorer, batch = Scorer(runtime, guiding=Guiding(runtime, gradients, 1.0)), clips(9)
    alone = [guidance_of(scorer.score([clip]))[0] for clip in batch]
    assert guidance_of(scorer.score(batch)) == alone
    ended = threading.Event()
    inference = Inference[str](scorer, workers=3, clock=SystemClock(), ended=ended.set)
    inference.submit([upload.clip_id for upload, _ in batch], scorer.begin(batch))
    assert ended.wait(60)
    (scored,) = inference.collect()
    inference.close()
    assert guidance_of(scored.results) == alone


def test_only_chosen_clips_with_a_skeleton_get_guidance(runtime: OnnxRuntime, gradients: OnnxGradients) -> None:
    scorer, batch = Scorer(runtime, guiding=Guiding(runtime, gradients, 0.4)), clips(12)
    has = [found is not None for found in guidance_of(scorer.score(batch))]
    assert has == [is_chosen(upload.clip_id, 0.4) for upload, _ in batch]
    assert 0 < sum(has) < 12
    faceless = [upload.clip_id for upload, _ in batch if is_chosen(upload.clip_id, 0.4)][:1]
    features = random_features(3.0, modalities=(Modality.SCENIC,))
    (result,) = scorer.score([(upload(faceless[0], features), features)])
    assert guidance_of([result]) == [None]


def test_a_clip_in_a_file_keeps_both_its_source_and_its_guidance(
    runtime: OnnxRuntime, gradients: OnnxGradients
) -> None:
    source, features = FeatureFile("file:///a"), random_features(3.0, modalities=BOTH)
    (result,) = Scorer(runtime, guiding=Guiding(runtime, gradients, 1.0)).score([(upload("a", source), features)])
    assert isinstance(result, ClipScoredV3)
    assert (result.features, result.guidance is None) == (source, False)


class Failing(OnnxGradients):
    """Fails on clips of four seconds, and has NaN for those of five."""

    def stream_gradient(self, frames: Float32, lengths: Int64, score_seed: Float32, embedding_seed: Float32) -> Float32:
        if lengths[0] == 100:
            raise InferenceFailed("out of memory")
        found = super().stream_gradient(frames, lengths, score_seed, embedding_seed)
        return found * np.float32(np.nan) if lengths[0] == 125 else found


class Failures(Observer):
    def __init__(self) -> None:
        self.failed, self.timed = 0, 0

    def guidance_failed(self) -> None:
        self.failed += 1

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self.timed += stage == "guidance"


def test_a_clip_whose_guidance_fails_is_scored_without_counted_and_named(
    guided_bundle: Bundle, runtime: OnnxRuntime, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Failures()
    guiding = Guiding(runtime, Failing(guided_bundle, threads=1), 1.0, observer=seen)
    found = guidance_of(Scorer(runtime, guiding=guiding).score(clips(6)))
    assert [each is None for each in found] == [False, True, True] * 2
    assert (seen.failed, seen.timed) == (4, 2)
    assert "clip clip-1 is scored without guidance: out of memory" in caplog.text
    assert "clip clip-2 is scored without guidance: the gradient is not a finite number" in caplog.text


def test_a_bundle_without_gradient_graphs_gives_none_and_says_what_adds_them(
    bundle: Bundle, guided_bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    assert open_gradients(StreamerSettings(guidance_share=0), guided_bundle, 1) is None
    assert caplog.text == ""
    assert open_gradients(StreamerSettings(providers=("cpu",)), bundle, 1) is None
    assert "no clip gets guidance and there are no tips; run `dancerank add-guidance`" in caplog.text
    assert open_gradients(StreamerSettings(providers=("cpu",)), guided_bundle, 1) is not None


def test_uploads_that_are_read_again_get_the_same_guidance(guided_bundle: Bundle, gradients: OnnxGradients) -> None:
    settings = quick_settings(guidance_share=0.5)
    logs = []
    for _ in range(2):
        log = Log(partitions=1)
        log.upload(*(event for event, _ in clips(8)))
        with running(log.streamer(guided_bundle, settings, gradients=gradients)):
            wait_until(lambda log=log: log.settled() >= 8)
        logs.append({clip.clip_id: clip for clip in log.scored()})
    first, again = (guidance_of([log[f"clip-{n}"] for n in range(8)]) for log in logs)
    assert first == again
    assert [found is not None for found in first] == [is_chosen(f"clip-{n}", 0.5) for n in range(8)]
