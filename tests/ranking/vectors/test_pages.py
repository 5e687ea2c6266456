"""Pages of an answer together are the answer, also while clips come and go; and diversity against its definition."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ranking.vectors.ordering
import ranking.vectors.similarity
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.cursors import Cursor
from ranking.vectors.diversity import mmr_order
from ranking.vectors.embedding_space import EmbeddingSpace
from schemas.errors import ForeignCursor
from schemas.modalities import Modality
from schemas.questions.retrieval import SimilarAnswer, SimilarHit, SimilarQuery
from tests.ranking.examples import logged, result, scored_clip
from tests.ranking.vectors.plain_questions import (
    HOUR_MS,
    NOW_MS,
    direction_of,
    plain_between,
    plain_hits,
    random_clips,
    space_of,
    weights_of,
)
from tests.ranking.vectors.test_questions import condition_of, queries, worlds


def page_of(space: EmbeddingSpace, query: SimilarQuery, now_ms: int = NOW_MS) -> SimilarAnswer:
    answer = space.similar(query, now_ms)
    assert isinstance(answer, SimilarAnswer)
    return answer


def all_pages(space: EmbeddingSpace, query: SimilarQuery, *sizes: int) -> list[SimilarHit]:
    """Of ``sizes`` in turn; ages grow from page to page."""
    hits: list[SimilarHit] = []
    for number in range(1000):
        answer = page_of(space, replace(query, k=sizes[number % len(sizes)]), NOW_MS + number * HOUR_MS)
        hits += answer.hits
        if answer.next_cursor is None:
            return hits
        assert answer.hits, "a page that is followed by another has hits"
        query = replace(query, cursor=answer.next_cursor)
    raise AssertionError("the pages do not end")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_pages_together_are_the_whole_order(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", data.draw(st.sampled_from([1, 4, 256])))
    monkeypatch.setattr(ranking.vectors.similarity, "_GROWTH", 2)
    monkeypatch.setattr(ranking.vectors.ordering, "_GROWTH", 2)
    clips = data.draw(worlds())
    query = data.draw(queries(clips, percentile_from=st.none(), percentile_to=st.none(), tier=st.none()))
    assert condition_of(clips, query, 0) is None
    if not any(weights_of(query, direction_of(clips, query)).values()):
        return
    sizes = data.draw(st.lists(st.sampled_from([1, 2, 7, 50]), min_size=1, max_size=3))
    hits = all_pages(space_of(clips, FaissBackend()), query, *sizes)
    expected = plain_hits(clips, query)
    assert len({hit.clip_id for hit in hits}) == len(hits) == len(expected)
    scores = [hit.similarity if hit.score is None else hit.score for hit in hits]
    np.testing.assert_allclose(scores, [hit.score for hit in expected], atol=1e-5)


def test_clips_that_come_and_go_between_pages_leave_the_others_where_they_are() -> None:
    clips = random_clips(80, 7, presence=1.0)
    space = space_of(clips, FaissBackend())
    query = SimilarQuery(clip_id="c0000", k=10, include_own=True, half_life_s=86_400.0)
    whole = [hit.clip_id for hit in page_of(space, replace(query, k=200)).hits]
    first = page_of(space, query)
    gone, best = {whole[3], whole[9], whole[15], whole[40]}, clips[0].embeddings
    space.delete(gone)
    fresh = [
        scored_clip(f"new-{n}", dancer_id=f"n{n}", uploaded_at_ms=NOW_MS - n * HOUR_MS, modalities=modalities)
        for n in range(8)
        for modalities in [{m: result(v + 0.3 * n) for m, v in best.items()}]
    ]
    space.change(space.changes(logged(fresh, start=1000), NOW_MS))
    rest = all_pages(space, replace(query, cursor=first.next_cursor), 7, 13)
    seen = [hit.clip_id for hit in (*first.hits, *rest)]
    assert len(set(seen)) == len(seen)
    assert [clip_id for clip_id in seen if not clip_id.startswith("new")] == [
        clip_id for clip_id in whole if clip_id not in gone or clip_id in whole[:10]
    ]
    assert any(clip_id.startswith("new") for clip_id in seen), (
        "those that stand after the first page are on a later one"
    )


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    mmr_lambda=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    mmr_pool=st.sampled_from([1, 5, 30, 200]),
    sizes=st.lists(st.sampled_from([1, 4, 50]), min_size=1, max_size=2),
    group_by=st.sampled_from(["clip", "dancer"]),
    half_life_s=st.none() | st.just(86_400.0),
    weights=st.sampled_from([{Modality.SKELETAL: 1.0}, {Modality.SKELETAL: 1.0, Modality.FACIAL: -0.5}]),
)
def test_each_hit_of_mmr_is_the_best_that_is_left_of_the_pool(
    seed: int, mmr_lambda: float, mmr_pool: int, sizes: list[int], **options: Any
) -> None:
    clips = random_clips(60, seed, presence=0.9)
    query = SimilarQuery(clip_id="c0000", mmr_lambda=mmr_lambda, mmr_pool=mmr_pool, include_own=True, **options)
    if not any(weights_of(query, direction_of(clips, query)).values()):
        return
    left = {hit.clip.clip_id: hit for hit in plain_hits(clips, query)[:mmr_pool]}
    hits = all_pages(space_of(clips, FaissBackend()), query, *sizes)
    assert {hit.clip_id for hit in hits} == left.keys()
    nearest: dict[str, float] = {}  # how similar the most similar chosen hit is
    for hit in hits:
        values = {
            clip_id: mmr_lambda * each.score - (1 - mmr_lambda) * nearest.get(clip_id, 0.0)
            for clip_id, each in left.items()
        }
        assert values[hit.clip_id] >= max(values.values()) - 1e-5
        chosen = left.pop(hit.clip_id).clip
        for clip_id, each in left.items():
            similarity = plain_between(query, clips, each.clip, chosen)
            nearest[clip_id] = max(nearest.get(clip_id, similarity), similarity)


def test_mmr_puts_a_near_copy_of_the_first_hit_after_another_that_is_less_similar() -> None:
    between = np.array([[1.0, 0.99, 0.1], [0.99, 1.0, 0.1], [0.1, 0.1, 1.0]])
    relevance = np.array([0.9, 0.89, 0.5])
    assert mmr_order(relevance, between, 1.0) == [0, 1, 2]
    assert mmr_order(relevance, between, 0.5) == [0, 2, 1]
    assert mmr_order(relevance[:0], between[:0, :0], 0.5) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"clip_id": "c0001"},
        {"weights": {Modality.SKELETAL: 1.0}},
        {"challenge_ids": ["ch0"]},
        {"exclude_clip_ids": ["c0009"]},
        {"group_by": "dancer"},
        {"half_life_s": 60.0},
        {"mmr_lambda": 0.5},
        {"include_own": True},
        {"uploaded_from_ms": 5},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_a_cursor_of_another_question_is_refused(changes: dict[str, Any]) -> None:
    space = space_of(random_clips(40, 1, presence=1.0), FaissBackend())
    query = SimilarQuery(clip_id="c0000", k=2)
    cursor = page_of(space, query).next_cursor
    assert cursor is not None
    assert page_of(space, replace(query, cursor=cursor, k=5)).hits
    with pytest.raises(ForeignCursor, match="another question") as raised:
        page_of(space, replace(query, cursor=cursor, **changes))
    assert raised.value.field == "cursor"


def test_a_cursor_of_another_generation_is_refused() -> None:
    query = SimilarQuery(clip_id="c0000")
    cursor = Cursor(1, 0.5, "c", 10).encoded(query, "g1")
    assert Cursor.decoded(replace(query, cursor=cursor), "g1") == Cursor(1, 0.5, "c", 10)
    with pytest.raises(ForeignCursor, match="generation than g2"):
        Cursor.decoded(replace(query, cursor=cursor), "g2")


@given(st.text(max_size=80) | st.binary(max_size=60).map(lambda raw: raw.hex()))
def test_a_cursor_that_no_answer_gave_is_refused(cursor: str) -> None:
    with pytest.raises(ForeignCursor) as raised:
        Cursor.decoded(SimilarQuery(clip_id="c0000", cursor=cursor), "g1")
    assert raised.value.field == "cursor"


def test_any_change_of_a_cursor_is_noticed() -> None:
    query = SimilarQuery(clip_id="c0000")
    cursor = Cursor(1, 0.5, "clip", 10).encoded(query, "g1")
    for at in range(len(cursor) - 1):  # the last character has bits that no byte has
        other = "A" if cursor[at] != "A" else "B"
        with pytest.raises(ForeignCursor):
            Cursor.decoded(replace(query, cursor=cursor[:at] + other + cursor[at + 1 :]), "g1")
