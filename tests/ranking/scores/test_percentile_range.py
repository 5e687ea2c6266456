"""Clips in a range of percentiles against the percentile of each clip, on SQLite and PostgreSQL."""

import itertools

import numpy as np
import pytest
import sqlalchemy as sa

import ranking.scores.percentile_range
from ranking.database.connection import Database
from ranking.scores.percentile_range import PercentileRange
from ranking.scores.store import ScoreStore
from schemas.modalities import Dimension
from schemas.questions.retrieval import RankedClip
from tests.ranking.examples import apply, scored_clip
from tests.ranking.scores.test_store import random_clips

CHALLENGES = ("ch-0", "ch-1", "ch-2")


def places(store: ScoreStore, dimension: Dimension) -> dict[str, dict[str, RankedClip]]:
    """By challenge and clip."""
    return {
        challenge: {
            entry.clip_id: entry for entry in store.ranking(challenge, dimension, "g1", order="top", k=1000).entries
        }
        for challenge in CHALLENGES
    }


@pytest.mark.parametrize(
    ("dimension", "read_at_once"), [(Dimension.FUSED, 256), (Dimension.SKELETAL, 256), (Dimension.FUSED, 2)]
)
def test_clips_in_a_range_are_those_whose_percentile_is_in_it(
    monkeypatch: pytest.MonkeyPatch, any_store: ScoreStore, dimension: Dimension, read_at_once: int
) -> None:
    monkeypatch.setattr(ranking.scores.percentile_range, "_MOST_READ", read_at_once)
    log = random_clips(150, seed=5)
    apply(any_store, log)
    by_challenge = places(any_store, dimension)
    percentiles = {clip: place.percentile for placed in by_challenge.values() for clip, place in placed.items()}
    ends = [0.0, 100 / 3, 50.0, 99.9, 100.0, *sorted(set(percentiles.values()))[::7]]
    for low, high in itertools.product(ends, ends):
        if low <= high:
            found = any_store.percentile_range("g1", dimension, low=low, high=high)
            expected = {clip_id for clip_id, percentile in percentiles.items() if low <= percentile <= high}
            assert set(found.satisfied([clip.clip_id for clip in log])) == expected
            assert found.listed() is None, "no challenge is named"
            of_two = any_store.percentile_range("g1", dimension, low=low, high=high, challenge_ids=CHALLENGES[:2])
            listed = of_two.listed()
            assert listed is not None
            assert set(listed) == expected & {clip for name in CHALLENGES[:2] for clip in by_challenge[name]}


def test_a_challenge_or_clip_that_is_not_known_is_in_no_range(store: ScoreStore) -> None:
    apply(store, random_clips(10, seed=1))
    found = store.percentile_range("g1", Dimension.FUSED, low=1.0, challenge_ids=["nowhere"])
    assert found.listed() == []
    assert list(found.satisfied(["nobody"])) == []
    assert list(store.percentile_range("g9", Dimension.FUSED, low=1.0).satisfied(["clip-001"])) == []


def test_a_range_of_more_clips_than_are_listed_is_asked_clip_by_clip(
    monkeypatch: pytest.MonkeyPatch, store: ScoreStore
) -> None:
    monkeypatch.setattr(ranking.scores.percentile_range, "_MOST_LISTED", 5)
    apply(store, random_clips(60, seed=2))
    asked: list[PercentileRange] = [
        store.percentile_range("g1", Dimension.FUSED, low=low, challenge_ids=["ch-0"]) for low in (10.0, 90.0)
    ]
    assert [each.listed() is None for each in asked] == [True, False]


@pytest.mark.parametrize(
    "fused",
    [
        [0.5] * 900 + [0.25] * 50 + [0.75] * 50,
        [number / 1000 for number in range(1000)],
        [2.0**-number for number in range(500)] + [-(2.0**-number) for number in range(500)],
    ],
    ids=["nearly all equal", "evenly spread", "of all magnitudes"],
)
def test_the_ends_of_a_range_are_found_in_few_statements_whatever_the_scores_are(
    store: ScoreStore, sqlite_database: Database, fused: list[float]
) -> None:
    apply(store, [scored_clip(f"c{number}", fused_score=score) for number, score in enumerate(fused)])
    statements: list[str] = []
    sa.event.listen(
        sqlite_database._engine, "before_cursor_execute", lambda c, cur, statement, *rest: statements.append(statement)
    )
    below = [np.less(fused, score).sum() + np.equal(fused, score).sum() / 2 for score in fused]
    for low, high in itertools.product((0.0, 2.0, 47.5, 50.0, 97.0), (3.0, 50.0, 97.5, 100.0)):
        statements.clear()
        found = store.percentile_range("g1", Dimension.FUSED, low=low, high=high, challenge_ids=["ch"]).listed()
        assert found is not None
        assert set(found) == {f"c{at}" for at, count in enumerate(below) if low <= count / 10 <= high}
        assert len(statements) <= 2 * 2 * 64
