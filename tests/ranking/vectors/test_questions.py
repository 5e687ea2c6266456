"""Every question about similar clips against ``plain_questions``, over random spaces, weights, examples and filters."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ranking.vectors.similarity
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import IndexBackend
from ranking.vectors.conditions import Decisions, Undecided
from ranking.vectors.embedding_space import EmbeddingSpace
from schemas.errors import QueryError
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.questions.retrieval import Example, SimilarAnswer, SimilarQuery
from tests.ranking.vectors.own_backends import RemoteService
from tests.ranking.vectors.plain_questions import (
    DIMS,
    HOUR_MS,
    NOW_MS,
    Clip,
    InRange,
    direction_of,
    plain_hits,
    random_clips,
    space_of,
    weights_of,
)

BACKENDS: list[type[IndexBackend]] = [FaissBackend, NumpyBackend, RemoteService]
WEIGHTS = st.dictionaries(
    st.sampled_from(FUSED_MODALITIES), st.sampled_from([-2.0, -0.3, 0.0, 0.3, 1.0]), min_size=1
).filter(lambda weights: any(weights.values()))
EMBEDDINGS = st.fixed_dictionaries(
    {},
    optional={
        modality: st.lists(st.integers(-3, 3).map(float), min_size=dim, max_size=dim).filter(any)
        for modality, dim in DIMS.items()
    },
).filter(bool)


def worlds() -> st.SearchStrategy[list[Clip]]:
    return st.builds(
        random_clips,
        st.sampled_from([3, 40, 120]),
        st.integers(0, 20),
        presence=st.sampled_from([0.3, 0.8, 1.0]),
        grid=st.booleans(),
    )


def examples(clips: list[Clip]) -> st.SearchStrategy[dict[str, Any]]:
    ids, dancers = sorted(clip.clip_id for clip in clips), sorted({clip.dancer_id for clip in clips})
    held = {modality for clip in clips for modality in clip.vectors}
    known = EMBEDDINGS.filter(lambda embeddings: embeddings.keys() <= held)
    choices = [st.fixed_dictionaries({"clip_id": st.sampled_from(ids)})]
    choices.append(st.fixed_dictionaries({"dancer_id": st.sampled_from(dancers)}))
    return st.one_of(*choices, *([st.fixed_dictionaries({"embeddings": known})] if len(held) == len(DIMS) else []))


def weighted(clips: list[Clip]) -> st.SearchStrategy[Example]:
    return st.builds(
        lambda example, weight: Example(**example, weight=weight), examples(clips), st.sampled_from([0.5, 1.0, 3.0])
    )


def queries(clips: list[Clip], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[SimilarQuery]:
    ids = st.sampled_from([*(clip.clip_id for clip in clips), "unknown"])
    dancers = sorted({clip.dancer_id for clip in clips})
    challenges = sorted({clip.challenge_id for clip in clips})
    times = st.integers(-72, 1).map(lambda hours: NOW_MS + hours * HOUR_MS)
    window = st.tuples(times, times).filter(lambda ends: ends[0] < ends[1])
    options: dict[str, st.SearchStrategy[Any]] = {
        "unlike": st.lists(weighted(clips), max_size=2),
        "unlike_weight": st.sampled_from([0.0, 0.2, 1.0]),
        "challenge_ids": st.lists(st.sampled_from(challenges), max_size=2),
        "among_dancer_ids": st.just(()) | st.lists(st.sampled_from(dancers), min_size=1, max_size=8),
        "exclude_clip_ids": st.lists(ids, max_size=10),
        "exclude_dancer_ids": st.lists(st.sampled_from([*dancers, "unknown"]), max_size=3),
        "percentile_from": st.none() | st.integers(0, 60).map(float),
        "percentile_to": st.none() | st.integers(60, 100).map(float),
        "tier": st.none() | st.sampled_from(["t0", "t1", "nowhere"]),
        "k": st.sampled_from([1, 3, 10, 200]),
        "group_by": st.sampled_from(["clip", "dancer"]),
        "include_own": st.booleans(),
        "half_life_s": st.none() | st.sampled_from([600.0, 86_400.0, 1e7]),
    }
    asked = st.fixed_dictionaries({"weights": WEIGHTS}, optional=options | more)
    several = st.lists(weighted(clips), min_size=1, max_size=3).map(lambda like: {"like": like})

    def made(example: dict[str, Any], given: dict[str, Any], ends: tuple[int, int] | None) -> SimilarQuery:
        times_ms = {} if ends is None else {"uploaded_from_ms": ends[0], "uploaded_before_ms": ends[1]}
        return SimilarQuery(**example, **given, **times_ms)

    return st.builds(made, examples(clips) | several, asked, st.none() | window)


def ask(space: EmbeddingSpace, query: SimilarQuery, condition: InRange | None) -> SimilarAnswer:
    """As the index view does."""
    decisions = None if condition is None else Decisions(condition)
    for _ in range(100):
        answer = space.similar(query, NOW_MS, decisions)
        if isinstance(answer, SimilarAnswer):
            return answer
        assert isinstance(answer, Undecided)
        assert decisions is not None
        assert answer.clip_ids
        decisions.decide(answer.clip_ids)
    raise AssertionError("the search asks without end")


def scores_of(answer: SimilarAnswer) -> list[float]:
    return [hit.similarity if hit.score is None else hit.score for hit in answer.hits]


def condition_of(clips: list[Clip], query: SimilarQuery, most_listed: int) -> InRange | None:
    asks = query.tier is not None or query.asks_for_percentiles
    return InRange(clips, query, most_listed) if asks else None


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_answers_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", data.draw(st.sampled_from([1, 4, 256])))
    monkeypatch.setattr(ranking.vectors.similarity, "_GROWTH", 2)
    clips = data.draw(worlds())
    query = data.draw(queries(clips))
    space = space_of(clips, data.draw(st.sampled_from(BACKENDS))())
    condition = condition_of(clips, query, data.draw(st.sampled_from([0, 5, 1000])))
    weights = weights_of(query, direction_of(clips, query))
    if not any(weights.values()):
        with pytest.raises(QueryError) as raised:
            ask(space, query, condition)
        assert raised.value.field == "weights"
        return
    answer = ask(space, query, condition)
    expected = plain_hits(clips, query)
    assert not answer.approximate
    assert answer.weights == pytest.approx(weights)
    assert sum(map(abs, answer.weights.values())) == pytest.approx(1)
    np.testing.assert_allclose(scores_of(answer), [hit.score for hit in expected[: query.k]], atol=1e-5)
    known = {hit.clip.clip_id: hit for hit in expected}
    for hit, score in zip(answer.hits, scores_of(answer), strict=True):
        # Where another clip stands, it is as good but for rounding.
        assert known[hit.clip_id].score == pytest.approx(score, abs=1e-5)
        assert known[hit.clip_id].similarity == pytest.approx(hit.similarity, abs=1e-5)
    assert (answer.next_cursor is not None) == (len(expected) > query.k)
    assert len({hit.dancer_id if query.group_by == "dancer" else hit.clip_id for hit in answer.hits}) == len(
        answer.hits
    )


def test_a_selective_condition_is_listed_and_the_search_asks_of_nothing_else() -> None:
    clips = random_clips(120, 1, presence=1.0)
    query = SimilarQuery(clip_id="c0001", tier="t1", k=200)
    few, many = InRange(clips, query, 1000), InRange(clips, query, 0)
    space = space_of(clips, FaissBackend())
    assert ask(space, query, few).hits == ask(space, query, many).hits
    assert few.asked == []
    assert len(many.asked) == len(set(many.asked)), "no clip is asked for twice"


def test_a_clip_that_lacks_an_unwanted_modality_stands_before_those_that_have_it_and_after_their_opposites() -> None:
    def clip(name: str, room: list[float] | None) -> Clip:
        vectors = {Modality.SKELETAL: np.array([1, 0, 0, 0, 0], np.float32)}
        if room is not None:
            vectors[Modality.SCENIC] = np.array(room, np.float32)
        return Clip(name, name, "ch", NOW_MS, 50.0, "t0", vectors)

    clips = [clip("example", [1, 0]), clip("same-room", [1, 0]), clip("no-room", None), clip("opposite", [-1, 0])]
    query = SimilarQuery(clip_id="example", weights={Modality.SKELETAL: 1.0, Modality.SCENIC: -1.0})
    hits = space_of(clips, FaissBackend()).similar(query, NOW_MS)
    assert isinstance(hits, SimilarAnswer)
    assert [(hit.clip_id, hit.similarity) for hit in hits.hits] == [
        ("opposite", 1.0),
        ("no-room", 0.5),
        ("same-room", 0),
    ]
    assert hits.weights == {Modality.SKELETAL: 0.5, Modality.SCENIC: -0.5}


def test_only_unwanted_modalities_give_the_least_similar_first() -> None:
    clips = random_clips(60, 4, presence=1.0)
    query = SimilarQuery(clip_id="c0000", weights={Modality.SCENIC: -1.0}, k=59, include_own=True)
    answer = space_of(clips, FaissBackend()).similar(query, NOW_MS)
    assert isinstance(answer, SimilarAnswer)
    cosines = [hit.similarities[Modality.SCENIC] for hit in answer.hits]
    assert cosines == sorted(cosines)
    assert len(cosines) == 59


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "clip_id"),
        ({"clip_id": "a", "like": [Example(clip_id="b")]}, "clip_id"),
        ({"like": [Example(clip_id="a")] * 101}, "like"),
        ({"clip_id": "a", "unlike": [Example(clip_id="a")] * 101}, "unlike"),
        ({"clip_id": "a", "unlike_weight": 1.5}, "unlike_weight"),
        ({"clip_id": "a", "unlike_weight": float("nan")}, "unlike_weight"),
        ({"clip_id": "a", "weights": {Modality.SCENIC: float("nan")}}, "weights"),
        ({"clip_id": "a", "weights": {Modality.SCENIC: float("-inf")}}, "weights"),
        ({"clip_id": "a", "weights": {Modality.SCENIC: -0.0}}, "weights"),
        ({"clip_id": "a", "k": 0}, "k"),
        ({"clip_id": "a", "k": 1001}, "k"),
        ({"clip_id": "a", "challenge_id": "x", "challenge_ids": ["y"]}, "challenge_ids"),
        ({"clip_id": "a", "challenge_ids": ["x"] * 1001}, "challenge_ids"),
        ({"clip_id": "a", "among_dancer_ids": ["x"] * 1001}, "among_dancer_ids"),
        ({"clip_id": "a", "exclude_clip_ids": ["x"] * 10_001}, "exclude_clip_ids"),
        ({"clip_id": "a", "exclude_dancer_ids": ["x"] * 1001}, "exclude_dancer_ids"),
        ({"clip_id": "a", "uploaded_from_ms": 2, "uploaded_before_ms": 1}, "uploaded_before_ms"),
        ({"clip_id": "a", "uploaded_from_ms": 2, "uploaded_before_ms": 2}, "uploaded_before_ms"),
        ({"clip_id": "a", "uploaded_from_ms": -1}, "uploaded_from_ms"),
        ({"clip_id": "a", "uploaded_before_ms": 2**53}, "uploaded_before_ms"),
        ({"clip_id": "a", "percentile_from": 101.0}, "percentile_from"),
        ({"clip_id": "a", "percentile_to": float("nan")}, "percentile_to"),
        ({"clip_id": "a", "percentile_from": 60.0, "percentile_to": 50.0}, "percentile_to"),
        ({"clip_id": "a", "half_life_s": 0.0}, "half_life_s"),
        ({"clip_id": "a", "half_life_s": float("inf")}, "half_life_s"),
        ({"clip_id": "a", "mmr_lambda": -0.1}, "mmr_lambda"),
        ({"clip_id": "a", "mmr_lambda": float("nan")}, "mmr_lambda"),
        ({"clip_id": "a", "mmr_pool": 0}, "mmr_pool"),
        ({"clip_id": "a", "mmr_pool": 1001}, "mmr_pool"),
    ],
)
def test_a_question_that_cannot_be_asked_names_the_parameter(given: dict[str, Any], field: str) -> None:
    with pytest.raises(QueryError) as raised:
        SimilarQuery(**given)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("given", "field"),
    [({}, "clip_id"), ({"clip_id": "a", "dancer_id": "b"}, "clip_id"), ({"clip_id": "a", "weight": 0.0}, "weight")],
)
def test_an_example_that_is_none_names_the_parameter(given: dict[str, Any], field: str) -> None:
    with pytest.raises(QueryError) as raised:
        Example(**given)
    assert raised.value.field == field


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"like": [Example(clip_id="c0000"), Example(clip_id="unknown")]}, "like.1.clip_id"),
        ({"like": [Example(dancer_id="unknown")]}, "like.0.dancer_id"),
        ({"clip_id": "c0000", "unlike": [Example(clip_id="unknown")]}, "unlike.0.clip_id"),
        ({"clip_id": "c0000", "unlike": [Example(dancer_id="unknown")]}, "unlike.0.dancer_id"),
        ({"like": [Example(embeddings={Modality.SCENIC: [1.0, 0.0, 0.0]})]}, "like.0.embeddings.scenic"),
        ({"like": [Example(embeddings={Modality.SCENIC: [0.0, 0.0]})]}, "like.0.embeddings.scenic"),
        ({"like": [Example(embeddings={Modality.SCENIC: [float("nan"), 0.0]})]}, "like.0.embeddings.scenic"),
        ({"clip_id": "c0000", "unlike": [Example(embeddings={})]}, "unlike.0.embeddings"),
        ({"clip_id": "c0000", "challenge_ids": ["ch0", "unknown"]}, "challenge_ids"),
        ({"clip_id": "c0000", "among_dancer_ids": ["unknown"]}, "among_dancer_ids"),
        (
            {"clip_id": "c0000", "unlike": [Example(clip_id="c0000")], "unlike_weight": 1.0},
            "weights",
        ),
    ],
)
def test_what_is_not_known_names_the_parameter(given: dict[str, Any], field: str) -> None:
    space = space_of(random_clips(40, 1, presence=1.0), NumpyBackend())
    with pytest.raises(QueryError) as raised:
        space.similar(SimilarQuery(**given), NOW_MS)
    assert raised.value.field == field


def test_a_weight_counts_as_repeating_the_example() -> None:
    clips = random_clips(60, 2, presence=1.0)
    space = space_of(clips, FaissBackend())
    once, twice = Example(clip_id="c0003"), Example(clip_id="c0003", weight=2.0)
    repeated = space.similar(SimilarQuery(like=[once, once, Example(clip_id="c0004")]), NOW_MS)
    weighed = space.similar(SimilarQuery(like=[twice, Example(clip_id="c0004")]), NOW_MS)
    assert isinstance(repeated, SimilarAnswer)
    assert isinstance(weighed, SimilarAnswer)
    assert [hit.clip_id for hit in repeated.hits] == [hit.clip_id for hit in weighed.hits]
