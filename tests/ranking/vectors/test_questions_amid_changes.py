"""Clips come, change and go in the course of a question: its answer is that of brute force at its end."""

import functools
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ranking.vectors.similarity
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import FoundRows, IndexBackend, RowSearch, VectorIndex
from ranking.vectors.conditions import Decisions, Undecided
from ranking.vectors.row_changes import ChangesForgotten, RowChanges
from ranking.vectors.similarity import SimilaritySearch
from schemas.errors import NotFound, StoreUnavailable
from schemas.modalities import Modality
from schemas.questions.dancers import SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.retrieval import SimilarAnswer, SimilarQuery
from tests.ranking.examples import logged, result, scored_clip
from tests.ranking.vectors.own_backends import RemoteService
from tests.ranking.vectors.plain_questions import (
    NOW_MS,
    Clip,
    InRange,
    direction_of,
    plain_hits,
    random_clips,
    space_of,
    weights_of,
)
from tests.ranking.vectors.test_questions import EMBEDDINGS, WEIGHTS, scores_of

Change = Callable[[], None]


class ChangingSpace:
    """A space that changes wherever a question lets it: between the moments at which nothing may, and before each
    search and each comparison of an index outside of them.
    """

    def __init__(self, clips: list[Clip], backend: IndexBackend, changes: list[Change]) -> None:
        self.clips = {clip.clip_id: clip for clip in clips}
        self._changes, self._offsets = changes, itertools.count(1_000_000)
        self._began = self._held = False
        self.space = space_of(clips, backend)
        for of_width in self.space._indexes.values():
            for width, index in of_width.items():
                of_width[width] = _Interrupted(index, self._let)  # type: ignore[assignment, index]

    @contextmanager
    def reading(self) -> Iterator[None]:
        if self._began:
            self._let()
        assert not self._held, "the lock is not reentrant"
        self._began = self._held = True
        try:
            yield
        finally:
            self._held = False

    def put(self, clip: Clip) -> None:
        """Add a clip, or what is known of it from now on."""
        made = scored_clip(
            clip.clip_id,
            dancer_id=clip.dancer_id,
            challenge_id=clip.challenge_id,
            uploaded_at_ms=clip.uploaded_at_ms,
            modalities={modality: result(vector) for modality, vector in clip.embeddings.items()},
        )
        self.space.change(self.space.changes(logged([made], start=next(self._offsets)), NOW_MS))
        self.clips[clip.clip_id] = clip

    def delete(self, clip_id: str) -> None:
        self.space.delete([clip_id])
        self.clips.pop(clip_id, None)

    def _let(self) -> None:
        if not self._held and self._changes:
            self._changes.pop(0)()


class _Interrupted:
    def __init__(self, index: VectorIndex, let: Change) -> None:
        self._index, self._let = index, let

    def __len__(self) -> int:
        return len(self._index)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._index, name)
        if name in ("search", "row_search", "vectors", "cosines"):
            self._let()
        return (lambda *of, **only: _Search(found(*of, **only), self._let)) if name == "row_search" else found


class _Search:
    """A search that something changes during, before each of its rounds."""

    def __init__(self, search: RowSearch, let: Change) -> None:
        self._search, self._let = search, let

    def nearest(self, k: int) -> FoundRows:
        self._let()
        return self._search.nearest(k)


def random_change(space: ChangingSpace, kind: str, which: int, fresh: Clip) -> None:
    ids = sorted(space.clips)
    if kind == "new" or not ids:
        space.put(fresh._replace(clip_id=f"n{which:04d}-{fresh.clip_id}"))
        return
    clip_id = ids[which % len(ids)]
    if kind == "delete":
        space.delete(clip_id)
    elif kind == "replace":
        held = space.clips[clip_id]
        space.put(fresh._replace(clip_id=clip_id, uploaded_at_ms=max(held.uploaded_at_ms, fresh.uploaded_at_ms)))
    else:  # what is deleted leaves its row to the next clip
        space.delete(clip_id)
        space.put(fresh._replace(clip_id=f"r{which:04d}-{fresh.clip_id}"))


QUERIES = st.fixed_dictionaries(
    {"embeddings": EMBEDDINGS, "weights": WEIGHTS},
    optional={
        "challenge_ids": st.lists(st.sampled_from(["ch0", "ch1"]), min_size=1, max_size=2),
        "exclude_clip_ids": st.lists(st.sampled_from(["c0001", "c0002", "c0005"]), max_size=3),
        "exclude_dancer_ids": st.lists(st.sampled_from(["d1", "d2"]), max_size=2),
        "among_dancer_ids": st.lists(st.sampled_from(["d0", "d1", "d2", "d3"]), min_size=2, max_size=4, unique=True),
        "uploaded_from_ms": st.just(NOW_MS - 36 * 3_600_000),
        "k": st.sampled_from([1, 3, 10, 200]),
        "group_by": st.sampled_from(["clip", "dancer"]),
        "half_life_s": st.sampled_from([86_400.0]),
    },
)
CHANGES = st.lists(
    st.tuples(st.sampled_from(["new", "delete", "replace", "reuse"]), st.integers(0, 200), st.integers(0, 39)),
    max_size=40,
)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    options=QUERIES,
    planned=CHANGES,
    world=st.tuples(st.sampled_from([12, 60]), st.integers(0, 20), st.booleans()),
    backend=st.sampled_from([FaissBackend, NumpyBackend, RemoteService]),
    first=st.sampled_from([1, 4, 256]),
)
def test_an_answer_is_that_of_the_moment_in_which_it_is_given(
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    planned: list[tuple[str, int, int]],
    world: tuple[int, int, bool],
    backend: type[IndexBackend],
    first: int,
) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", first)
    monkeypatch.setattr(ranking.vectors.similarity, "_GROWTH", 2)
    count, seed, grid = world
    clips, fresh = random_clips(count, seed, grid=grid), random_clips(40, seed + 100, grid=grid)
    changes: list[Change] = []
    space = ChangingSpace(clips, backend(), changes)
    changes += [lambda each=each: random_change(space, each[0], each[1], fresh[each[2]]) for each in planned]
    query = SimilarQuery(**options)
    if not any(weights_of(query, direction_of(clips, query)).values()):
        return
    try:
        answer = space.space.similar(query, NOW_MS, None, space.reading)
    except NotFound:
        return  # a challenge or dancer that nothing was of from the beginning
    assert isinstance(answer, SimilarAnswer)
    assert not answer.approximate
    expected = plain_hits([*space.clips.values()], query)
    np.testing.assert_allclose(scores_of(answer), [hit.score for hit in expected[: query.k]], atol=1e-5)
    known = {hit.clip.clip_id: hit for hit in expected}
    for hit, score in zip(answer.hits, scores_of(answer), strict=True):
        assert known[hit.clip_id].score == pytest.approx(score, abs=1e-5)
        assert hit.challenge_id == known[hit.clip_id].clip.challenge_id
    assert len({hit.dancer_id if query.group_by == "dancer" else hit.clip_id for hit in answer.hits}) == len(
        answer.hits
    )


def test_a_question_ends_although_clips_of_which_a_database_knows_nothing_stream_in() -> None:
    clips = random_clips(60, 3, presence=1.0)
    query = SimilarQuery(embeddings={Modality.SCENIC: [1.0, 0.5]}, tier="t1", k=200)
    changes: list[Change] = []
    space = ChangingSpace(clips, FaissBackend(), changes)
    changes += [
        lambda number=number: space.put(clips[0]._replace(clip_id=f"new{number}", tier="t1")) for number in range(1000)
    ]
    decisions, answer = Decisions(InRange(clips, query, most_listed=0)), None
    for _ in range(3):
        answer = space.space.similar(query, NOW_MS, decisions, space.reading)
        if isinstance(answer, SimilarAnswer):
            break
        assert isinstance(answer, Undecided)
        decisions.decide(answer.clip_ids)
    assert isinstance(answer, SimilarAnswer)
    assert {hit.clip_id for hit in answer.hits} == {clip.clip_id for clip in clips if clip.tier == "t1"}
    assert changes, "there were more changes than the question took"


def test_lists_grow_no_longer_because_a_hit_comes_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    fetched = list[int]()
    nearest = SimilaritySearch._nearest
    monkeypatch.setattr(SimilaritySearch, "_nearest", lambda self, of, k: fetched.append(k) or nearest(self, of, k))
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", 4)
    clips = random_clips(400, 8, presence=1.0)
    query = SimilarQuery(embeddings={m: each.tolist() for m, each in clips[0].embeddings.items()}, k=10)
    changes: list[Change] = []
    codes = Shape(capacity=64, ratio=2, exact_below=64, coded_from=64, scanned=8)
    space = ChangingSpace(clips, FaissBackend(shape=codes, background=False), changes)

    def longest(before: int) -> int:
        """Of the lists that are fetched if a clip like the example comes after so many moments."""
        fetched.clear()
        changes[:] = [*[lambda: None] * before, lambda: space.put(clips[0]._replace(clip_id="new"))]
        answer = space.space.similar(query, NOW_MS, None, space.reading)
        assert isinstance(answer, SimilarAnswer)
        assert answer.approximate
        assert (not changes) == ("new" in {hit.clip_id for hit in answer.hits})
        changes.clear()
        space.delete("new")
        return max(fetched)

    undisturbed = longest(1000)
    assert undisturbed > 22, "this question needs several rounds"
    assert max(map(longest, range(60))) == undisturbed


def test_dancers_who_go_while_they_are_compared_are_in_no_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranking.vectors.dancers._SMALL", 10)
    clips = random_clips(60, 5, presence=1.0)
    for by in ("profile", "clips"):
        changes: list[Change] = []
        space = ChangingSpace(clips, FaissBackend(), changes)
        query = SimilarDancersQuery(dancer_id="d1", by=by, k=60)
        gone = sorted({clip.dancer_id for clip in clips} - {"d1"})[:5]
        ids = [clip.clip_id for clip in clips if clip.dancer_id in gone]
        changes += [functools.partial(space.delete, clip_id) for clip_id in ids]
        answer = space.space.similar_dancers(query, space.reading)
        assert isinstance(answer, SimilarDancersAnswer)
        held = {clip.dancer_id for clip in space.clips.values()} - {"d1"}
        assert len(space.clips) < len(clips)
        assert {hit.dancer_id for hit in answer.hits} <= held


def test_a_dancer_whose_best_clip_becomes_that_of_another_in_the_last_moment_is_in_no_answer() -> None:
    clips = random_clips(60, 5, presence=1.0)
    query = SimilarDancersQuery(dancer_id="d1", by="clips", k=60)
    space, moments = ChangingSpace(clips, FaissBackend(), []), itertools.count()
    space._changes += [functools.partial(next, moments) for _ in range(100)]
    answer = space.space.similar_dancers(query, space.reading)
    assert isinstance(answer, SimilarDancersAnswer)
    best = answer.hits[0]
    clip = next(clip for clip in clips if clip.clip_id == best.clip_id)
    space = ChangingSpace(
        [each for each in clips if each.dancer_id != best.dancer_id or each == clip], FaissBackend(), []
    )
    space._changes += [lambda: None] * (next(moments) - 1)
    space._changes.append(lambda: space.put(clip._replace(dancer_id="another")))
    answer = space.space.similar_dancers(query, space.reading)
    assert isinstance(answer, SimilarDancersAnswer)
    assert not space._changes
    assert best.dancer_id not in {hit.dancer_id for hit in answer.hits}
    assert all(hit.clips for hit in answer.hits)


def test_a_question_that_more_changes_overtake_than_are_remembered_holds_the_others_up() -> None:
    clips = random_clips(60, 7, presence=1.0)
    query = SimilarQuery(embeddings={Modality.SCENIC: [1.0, 0.5]}, k=60)
    changes: list[Change] = []
    space = ChangingSpace(clips, FaissBackend(), changes)
    space.space._catalogue._changes = RowChanges(remembered=2)

    def many() -> None:
        for number in range(10):
            space.put(clips[0]._replace(clip_id=f"new{number}"))

    changes += [many, lambda: space.delete("c0000")]
    answer = space.space.similar(query, NOW_MS, None, space.reading)
    assert isinstance(answer, SimilarAnswer)
    expected = plain_hits([*space.clips.values()], query)[: query.k]
    np.testing.assert_allclose(scores_of(answer), [hit.score for hit in expected], atol=1e-5)


def test_the_latest_changes_are_remembered() -> None:
    changes, rows = RowChanges(remembered=4), list[int]()
    for row in (3, 1, 3, 2, 9, 9, 0, 5, 4, 8, 7, 6, 11):
        changes.add(row)
        rows.append(row)
        assert changes.count == len(rows)
        for count in range(max(0, len(rows) - 4), len(rows) + 1):
            assert changes.since(count).tolist() == sorted(set(rows[count:]))
    with pytest.raises(ChangesForgotten):
        changes.since(0)


def test_a_question_to_a_remote_index_that_is_retired_meanwhile_says_so() -> None:
    clips = random_clips(10, 1, presence=1.0)
    space = space_of(clips, RemoteService())

    def refused(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("dropped")

    for of_width in space._indexes.values():
        for index in of_width.values():
            index.search = refused  # type: ignore[method-assign]
    query = SimilarQuery(embeddings={Modality.SCENIC: [1.0, 0.5]})
    with pytest.raises(StoreUnavailable):
        space.similar(query, NOW_MS)
    space.drop()
    with pytest.raises(NotFound) as raised:
        space.similar(query, NOW_MS)
    assert raised.value.field == "generation"
