"""Near-duplicates of a clip: its copies, at a threshold that its neighbourhood sets."""

import numpy as np
import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.duplicates import (
    NEIGHBOUR,
    RATIO,
    SAME,
    duplicates_query,
    near_duplicates,
    neighbourhood_threshold,
)
from schemas.errors import QueryError
from schemas.questions.retrieval import DuplicatesAnswer, SimilarAnswer
from tests.ranking.vectors.plain_questions import NOW_MS, Clip, plain_hits, random_clips, space_of


def world(copies: int, noise: float) -> list[Clip]:
    """Clips, and ``copies`` of the first under other ids and dancers, with noise."""
    clips = random_clips(100, 5, presence=1.0)
    rng = np.random.default_rng(9)
    for number in range(copies):
        embeddings = {
            m: (v + noise * rng.normal(size=len(v))).astype(np.float16) for m, v in clips[0].embeddings.items()
        }
        clips.append(clips[0]._replace(clip_id=f"copy-{number}", dancer_id=f"thief-{number}", embeddings=embeddings))
    return clips


def duplicates(clips: list[Clip], k: int = 10, threshold: float | None = None) -> DuplicatesAnswer:
    query = duplicates_query(clips[0].clip_id, k, threshold)
    found = space_of(clips, FaissBackend()).similar(query, NOW_MS)
    assert isinstance(found, SimilarAnswer)
    return near_duplicates(found, clips[0].clip_id, k, threshold)


@pytest.mark.parametrize("copies", [0, 1, 3, 9])
def test_copies_are_found_and_nothing_else(copies: int) -> None:
    answer = duplicates(world(copies, 0.05))
    assert {hit.clip_id for hit in answer.hits} == {f"copy-{number}" for number in range(copies)}
    assert answer.threshold < SAME
    assert (answer.more, answer.approximate) == (False, False)


def test_many_exact_copies_do_not_hide_each_other() -> None:
    answer = duplicates(world(30, 0.0), k=20)
    assert answer.threshold == SAME
    assert len(answer.hits) == 20
    assert all(hit.clip_id.startswith("copy") for hit in answer.hits)
    assert answer.more
    assert not duplicates(world(30, 0.0), k=30).more


@pytest.mark.parametrize("threshold", [0.0, 0.5, 0.9, 1.0])
def test_with_a_threshold_they_are_those_of_brute_force(threshold: float) -> None:
    clips = world(3, 0.05)
    expected = plain_hits(clips, duplicates_query(clips[0].clip_id, 1000, threshold))
    near = [hit.clip.clip_id for hit in expected if hit.similarity >= threshold]
    assert [hit.clip_id for hit in duplicates(clips, 1000, threshold).hits] == near


def test_the_threshold_is_a_fifth_of_the_distance_of_the_tenth_neighbour() -> None:
    similarities = [0.98, *(0.8 - 0.01 * number for number in range(12))]
    tenth = similarities[NEIGHBOUR - 1]
    assert neighbourhood_threshold(similarities) == pytest.approx(1 - RATIO * (1 - tenth))
    assert neighbourhood_threshold(similarities[: NEIGHBOUR - 1]) == SAME


@pytest.mark.parametrize(
    ("k", "threshold", "field"), [(0, None, "k"), (1001, None, "k"), (1, float("nan"), "threshold")]
)
def test_what_is_wrong_is_named(k: int, threshold: float | None, field: str) -> None:
    with pytest.raises(QueryError) as raised:
        duplicates_query("a", k, threshold)
    assert raised.value.field == field
