"""What the comparison of a snapshot with the log accepts: rounding to what a part holds, and nothing more."""

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from benchmarks.pipeline import settings_for
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.events import (
    ClipScored,
    ClipScoredV3,
    ClipUploaded,
    StyleResult,
    embedding_array,
    temporal_attention,
)
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.faults.verification import _wrong_vectors, undisturbed, wrong_results
from tests.ranking.examples import apply, result, scored_clip

CLIPS, DIM = 500, 32
CODED = Shape(capacity=64, ratio=3, exact_below=256, coded_from=128)
EXACT = Shape(capacity=64, ratio=3, exact_below=100_000, coded_from=100_000)


def clips() -> list[ClipScored]:
    rng = np.random.default_rng(0)
    return [scored_clip(f"c{n}", modalities={Modality.SCENIC: result(rng.normal(size=DIM))}) for n in range(CLIPS)]


def saved(root: Path, log: Sequence[ClipScored], shape: Shape) -> set[type]:
    """A snapshot of the log's clips; returns the types that the parts of its index hold."""
    view = IndexView(FaissBackend(shape=shape, background=False), Observer(), ManualClock())
    apply(view, log)
    assert view.save(root) is not None
    (space,) = view._spaces.values()
    (index,) = space.indexes()
    return {part.exact.dtype.type for part, _ in index._state.shown if part.filled}


def test_scores_styles_and_attention_of_other_features_are_wrong(
    feature_folder: Path, mixed_uploads: list[ClipUploaded]
) -> None:
    sent, settings = [*mixed_uploads[:2], *mixed_uploads[-2:]], settings_for(feature_folder)
    log = undisturbed(sent, settings).values()
    clips = [clip for clip in log if isinstance(clip, ClipScoredV3)]
    assert [clip.style is not None for clip in clips] == [True, True, False, False]
    assert [temporal_attention(clip) is not None for clip in clips] == [False, False, True, True]
    assert wrong_results(clips, sent, settings) == 0
    swapped = msgspec.structs.replace
    style = StyleResult(style="another", probability=0.9)
    wrong = (
        swapped(clips[0], style=style),
        swapped(clips[1], style=None),
        swapped(clips[1], fused_score=clips[1].fused_score + 1e-3),
        swapped(clips[2], temporal_attention=temporal_attention(clips[3])),
        swapped(clips[3], temporal_attention=None),
        swapped(clips[3], features=clips[2].features),
    )
    assert wrong_results(wrong, sent, settings) == len(wrong)


@pytest.mark.parametrize(("shape", "types"), [(CODED, {np.float16, np.float32}), (EXACT, {np.float32})])
def test_vectors_as_they_were_rounded_are_right(tmp_path: Path, shape: Shape, types: set[type]) -> None:
    log = clips()
    assert saved(tmp_path, log, shape) == types
    assert _wrong_vectors(log, tmp_path) == 0


@pytest.mark.parametrize("shape", [CODED, EXACT])
def test_the_vector_of_another_clip_is_wrong(tmp_path: Path, shape: Shape) -> None:
    log = clips()
    saved(tmp_path, log, shape)
    for one, other in ((3, 4), (CLIPS - 2, CLIPS - 1)):
        log[one], log[other] = (
            scored_clip(log[one].clip_id, modalities=log[other].modalities),
            scored_clip(log[other].clip_id, modalities=log[one].modalities),
        )
    assert _wrong_vectors(log, tmp_path) == 4


@pytest.mark.parametrize("shape", [CODED, EXACT])
def test_a_component_that_is_off_by_a_few_units_in_the_last_place_is_wrong(tmp_path: Path, shape: Shape) -> None:
    log = clips()
    saved(tmp_path, log, shape)
    for number in (3, CLIPS - 1):
        values = embedding_array(log[number].modalities[Modality.SCENIC]).astype(np.float16)
        values[5] += 4 * np.spacing(values[5])
        log[number] = scored_clip(log[number].clip_id, modalities={Modality.SCENIC: result(values)})
    assert _wrong_vectors(log, tmp_path) == 2


@pytest.mark.parametrize("shape", [CODED, EXACT])
def test_a_vector_that_the_snapshot_lacks_is_wrong(tmp_path: Path, shape: Shape) -> None:
    log = clips()
    saved(tmp_path, log[:-1], shape)
    assert _wrong_vectors(log, tmp_path) > 0
