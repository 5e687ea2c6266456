"""The stream of routines of the bundle that ships: it ranks planted routines that it has never seen, and says so."""

from pathlib import Path

import numpy as np
import pytest

from dancerank.settings import shipped_bundle
from dancerank.synthetic.routines import PLANTED, PlantedRoutine, long_routines
from ranking.monitoring.correlation import spearman
from schemas.bundle import Bundle, read_bundle
from schemas.clock import ManualClock
from schemas.events import ClipScored, ClipUploadedV3, InlineFeatures, outside_training, training_distance
from schemas.features import ClipFeatures
from schemas.modalities import Modality
from streamer.runtimes import contract
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.openvino_runtime import OpenVinoRuntime
from streamer.scoring import Scorer

LARGEST_BYTES = 1_000_000


@pytest.fixture(scope="module")
def shipped() -> Bundle:
    return read_bundle(shipped_bundle())


def scored(bundle: Bundle, routines: list[np.ndarray]) -> list[ClipScored]:
    uploads = [
        ClipUploadedV3(f"routine-{n}", "dancer-1", "routines", 1, float(len(frames)), InlineFeatures(b"-"))
        for n, frames in enumerate(routines)
    ]
    features = [ClipFeatures({Modality.ROUTINE: frames.astype(np.float16)}) for frames in routines]
    results = Scorer(OnnxRuntime(bundle), clock=ManualClock(start_ms=1)).score(
        list(zip(uploads, features, strict=True))
    )
    assert all(isinstance(result, ClipScored) for result in results), results
    return [result for result in results if isinstance(result, ClipScored)]


def test_it_says_that_it_was_trained_on_planted_routines_and_is_small(shipped: Bundle) -> None:
    manifest = shipped.manifest
    assert manifest.architecture["routine.trained_on"].startswith(PLANTED)
    assert manifest.architecture["routine.score_range"] == "0 is 0 points, 1 is 25 points"
    assert len(shipped.graphs[manifest.stream(Modality.ROUTINE).file]) < LARGEST_BYTES
    assert {path.name for path in Path(shipped_bundle()).iterdir()} >= set(shipped.graphs)


def test_it_ranks_planted_routines_flags_none_of_them_and_flags_others(shipped: Bundle) -> None:
    routines: list[PlantedRoutine] = long_routines(24, seed=99)
    results = scored(shipped, [one.frames for one in routines])
    assert spearman([result.fused_score for result in results], [one.score for one in routines]) > 0.9
    assert sum(outside_training(training_distance(result)) for result in results) <= 1
    odd = np.random.default_rng(0).normal(2.0, 5.0, (70, 3072)).astype(np.float32)
    (result,) = scored(shipped, [odd])
    assert outside_training(training_distance(result))


@pytest.mark.parametrize("check", [contract.check_numbers, contract.check_a_clip_alone_and_in_a_batch])
def test_runtimes_give_the_same_numbers_of_all_its_streams(shipped: Bundle, check: contract.Check) -> None:
    check(OpenVinoRuntime, shipped, ("cpu",))
