"""Clips outside the training distribution: scored and answered, in no ranking, whatever comes first."""

from typing import Any

import pytest
import sqlalchemy as sa

from ranking.database.tables import unranked_scores
from ranking.scores.store import ScoreStore
from schemas.errors import NotFound
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES, Dimension, Modality
from schemas.questions.challenges import UnrankedClip
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, scored_clip


def outside(clip_id: str = "c1", distance: float = 1.5, **changes: Any) -> ClipScored:
    return scored_clip(clip_id, training_distance=distance, **changes)


@pytest.mark.tried(
    kind="trust in features",
    given="a clip outside the training distribution with the best score of its challenge",
    outcome="answered with its scores and marked; it is in no ranking and moves no percentile",
)
def test_a_clip_outside_the_training_distribution_is_kept_apart_from_the_rankings(any_store: ScoreStore) -> None:
    apply(any_store, [scored_clip(f"c{n}", fused_score=n / 10, training_distance=0.5) for n in range(5)])
    before = any_store.clip("c4", "g1").places
    apply(any_store, [outside("garbage", fused_score=9.0)], start=5)
    found = any_store.clip("garbage", "g1")
    assert (found.outside_training_distribution, found.training_distance) == (True, 1.5)
    assert found.scores[Dimension.FUSED] == 9.0
    assert set(found.attention) == set(FUSED_MODALITIES)
    assert found.places == {}
    ranking = any_store.ranking("ch", Dimension.FUSED, "g1", order="top", k=10)
    assert (ranking.clips, [entry.clip_id for entry in ranking.entries]) == (5, ["c4", "c3", "c2", "c1", "c0"])
    assert any_store.clip("c4", "g1").places == before
    assert any_store.attention("ch", "g1").present[Modality.SCENIC] == 5
    with pytest.raises(NotFound, match="garbage is in no ranking: it lies outside what the model was trained on"):
        any_store.place("garbage", Dimension.FUSED, "g1")


def test_clips_outside_are_listed_by_challenge_page_after_page(any_store: ScoreStore) -> None:
    apply(any_store, [outside(f"o{n}", challenge_id=("ch", "other")[n % 2], fused_score=n) for n in range(6)])
    apply(any_store, [scored_clip("inside", training_distance=0.5), scored_clip("alone", challenge_id="calm")], start=6)
    first = any_store.unranked("ch", "g1", k=2)
    assert first.clips == [UnrankedClip("o0", "dancer-of-o0", 1.5, 0.0), UnrankedClip("o2", "dancer-of-o2", 1.5, 2.0)]
    last = any_store.unranked("ch", "g1", k=2, after=first.after)
    assert ([clip.clip_id for clip in last.clips], last.after) == (["o4"], None)
    assert any_store.unranked("calm", "g1", k=2).clips == []
    apply_entries(any_store, deletion("o4", 8))
    assert any_store.unranked("ch", "g1", k=2, after="o2").clips == []
    with pytest.raises(NotFound, match="challenge none has no clips"):
        any_store.unranked("none", "g1", k=2)


def test_a_bundle_that_states_no_distribution_leaves_the_mark_unknown(any_store: ScoreStore) -> None:
    apply(any_store, [scored_clip("c1")])
    found = any_store.clip("c1", "g1")
    assert (found.outside_training_distribution, found.training_distance) == (False, None)


@pytest.mark.parametrize("first", [1.5, 0.5])
def test_a_clip_that_is_scored_again_moves_between_the_rankings_and_beside_them(
    any_store: ScoreStore, first: float
) -> None:
    apply(any_store, [outside("c1", first)])
    apply(any_store, [outside("c1", 2.0 - first, uploaded_at_ms=NOW_MS + 1)], start=1)
    found = any_store.clip("c1", "g1")
    assert found.outside_training_distribution == (first < 1)
    assert bool(found.places) == (first > 1)
    assert set(found.scores) == {*FUSED_MODALITIES, Dimension.FUSED}


def test_a_deleted_clip_leaves_nothing_beside_the_rankings(any_store: ScoreStore) -> None:
    apply(any_store, [outside("c1")])
    apply_entries(any_store, deletion("c1"))
    with any_store._database.reading() as connection:
        assert connection.execute(sa.select(unranked_scores)).all() == []
