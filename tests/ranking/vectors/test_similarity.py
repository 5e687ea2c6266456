"""Similarity search against brute force over all clips."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ranking.vectors.similarity
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.numpy_exact import NumpyIndex
from ranking.vectors.backends.port import Filter, IndexedClip, RowNumbers, SearchResult, VectorIndex
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.similarity import SimilaritySearch
from ranking.vectors.unit_vectors import unit
from schemas.errors import NotFound, QueryError
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import Float32
from schemas.questions.retrieval import Grouping, SimilarAnswer, SimilarQuery
from tests.ranking.vectors.own_backends import LossyIndex, RemoteIndex

DIMS = dict(zip(FUSED_MODALITIES, (5, 4, 3, 2), strict=True))
Vectors = dict[Modality, np.ndarray]
Clips = dict[str, tuple[str, str, Vectors]]
"""Clip id → dancer, challenge, unit vectors."""


def random_clips(count: int, seed: int, *, presence: float = 0.7, grid: bool = False) -> Clips:
    """``grid`` draws from few directions, so that many similarities are equal."""
    rng = np.random.default_rng(seed)
    clips: Clips = {}
    for number in range(count):
        vectors = {}
        for modality, dim in DIMS.items():
            values = rng.integers(-1, 2, dim) if grid else rng.normal(size=dim)
            if rng.random() < presence and (direction := unit(values)) is not None:
                vectors[modality] = direction
        clips[f"c{number:04d}"] = (f"d{rng.integers(max(2, count // 4))}", f"ch{rng.integers(3)}", vectors)
    return clips


def without_numbers(make: Callable[[int], VectorIndex]) -> Callable[[int, RowNumbers], VectorIndex]:
    return lambda dim, _: make(dim)


def search(clips: Clips, make: Callable[[int, RowNumbers], VectorIndex] = LiveIndex) -> SimilaritySearch:
    catalogue = Catalogue()
    indexes: dict[Modality, VectorIndex] = {}
    for clip_id, (dancer, challenge, vectors) in clips.items():
        catalogue.put(CatalogueEntry(clip_id, dancer, challenge, 0, 0, 0, tuple(vectors)))
        for modality, vector in vectors.items():
            if modality not in indexes:
                indexes[modality] = make(DIMS[modality], catalogue)
            indexes[modality].upsert([IndexedClip(clip_id, challenge, dancer, catalogue.row_of(clip_id))], vector[None])
    return SimilaritySearch("g1", catalogue, {modality: {index.dim: index} for modality, index in indexes.items()})


def brute_force(clips: Clips, query: SimilarQuery) -> list[tuple[str, float]]:
    """Clip ids and similarities, best first, by the definition."""
    example, own_dancer = example_of(clips, query)
    weights = {m: query.weights.get(m, 0.0) for m in example}
    total = sum(weights.values())
    found = []
    for clip_id, (dancer, challenge, vectors) in clips.items():
        if clip_id == query.clip_id or (dancer == own_dancer and not query.include_own):
            continue
        shared = [m for m in example if m in vectors and weights[m] > 0]
        if shared and query.challenge_id in (None, challenge):
            cosines = {m: float(example[m].astype(float) @ vectors[m].astype(float)) for m in shared}
            found.append((clip_id, dancer, sum(weights[m] * cosines[m] for m in shared) / total))
    found.sort(key=lambda hit: (-round(hit[2], 7), hit[0]))
    if query.group_by == "dancer":
        dancers: set[str] = set()
        found = [hit for hit in found if not (hit[1] in dancers or dancers.add(hit[1]))]  # type: ignore[func-returns-value]
    return [(clip_id, similarity) for clip_id, _, similarity in found[: query.k]]


def example_of(clips: Clips, query: SimilarQuery) -> tuple[Vectors, str | None]:
    if query.clip_id:
        return clips[query.clip_id][2], clips[query.clip_id][0]
    if query.dancer_id:
        of_dancer = [vectors for dancer, _, vectors in clips.values() if dancer == query.dancer_id]
        means = {m: [v[m] for v in of_dancer if m in v] for m in FUSED_MODALITIES}
        mean = {m: unit(np.mean(v, axis=0, dtype=float)) for m, v in means.items() if v}
        return {m: v for m, v in mean.items() if v is not None}, query.dancer_id
    return {m: unit(v) for m, v in (query.embeddings or {}).items()}, None  # type: ignore[misc]


def assert_same(answer: SimilarAnswer, clips: Clips, query: SimilarQuery) -> None:
    """Equal to 1e-5; where another clip stands, it is as similar but for rounding."""
    expected = brute_force(clips, query)
    assert len(answer.hits) == len(expected)
    np.testing.assert_allclose([hit.similarity for hit in answer.hits], [s for _, s in expected], atol=1e-5)
    similarity = dict(brute_force(clips, replace(query, k=1000, group_by="clip")))
    for hit in answer.hits:
        assert similarity[hit.clip_id] == pytest.approx(hit.similarity, abs=1e-5)
    listed = [hit.dancer_id if query.group_by == "dancer" else hit.clip_id for hit in answer.hits]
    assert len(set(listed)) == len(listed)


WEIGHTS = st.dictionaries(st.sampled_from(FUSED_MODALITIES), st.sampled_from([0.0, 0.3, 1.0, 7.0]), min_size=1).filter(
    lambda weights: any(weights.values())
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_answers_equal_brute_force(monkeypatch: pytest.MonkeyPatch, data: st.DataObject) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", data.draw(st.sampled_from([1, 4, 256])))
    monkeypatch.setattr(ranking.vectors.similarity, "_GROWTH", 2)
    count = data.draw(st.sampled_from([3, 40, 150]))
    clips = random_clips(
        count,
        data.draw(st.integers(0, 20)),
        presence=data.draw(st.sampled_from([0.3, 0.8, 1.0])),
        grid=data.draw(st.booleans()),
    )
    kind = data.draw(st.sampled_from(["clip_id", "dancer_id", "embeddings"]))
    clip_id = data.draw(st.sampled_from(sorted(clips)))
    dancer, _, vectors = clips[clip_id]
    example = {"clip_id": clip_id, "dancer_id": dancer, "embeddings": {m: (3 * v).tolist() for m, v in vectors.items()}}
    challenges = {challenge for _, challenge, _ in clips.values()}
    query = SimilarQuery(
        **{kind: example[kind]},  # type: ignore[arg-type]
        weights=data.draw(WEIGHTS),
        challenge_id=data.draw(st.none() | st.sampled_from(sorted(challenges))),
        k=data.draw(st.sampled_from([1, 3, 10, 200])),
        group_by=data.draw(st.sampled_from(["clip", "dancer"])),
        include_own=data.draw(st.booleans()),
    )
    has = example_of(clips, query)[0]
    engine = search(
        clips, data.draw(st.sampled_from([LiveIndex, without_numbers(NumpyIndex), without_numbers(RemoteIndex)]))
    )
    if not any(query.weights.get(m) for m in has):
        with pytest.raises(QueryError):
            engine.answer(query, 0)
        return
    answer = engine.answer(query, 0)
    assert not answer.approximate
    assert_same(answer, clips, query)
    assert sum(answer.weights.values()) == pytest.approx(1)
    for hit in answer.hits:
        theirs = clips[hit.clip_id][2]
        assert (hit.dancer_id, hit.challenge_id) == clips[hit.clip_id][:2]
        assert list(hit.missing) == [m for m in FUSED_MODALITIES if m in has and m not in theirs]
        assert hit.similarities.keys() == has.keys() & theirs.keys()
        for modality, cosine in hit.similarities.items():
            assert cosine == pytest.approx(float(has[modality] @ theirs[modality]), abs=1e-5)
            assert -1 <= cosine <= 1


@pytest.mark.parametrize("group_by", ["clip", "dancer"])
@pytest.mark.parametrize("challenge_id", [None, "ch1"])
def test_with_an_approximate_index_the_answer_says_so_and_its_similarities_are_exact(
    monkeypatch: pytest.MonkeyPatch, challenge_id: str | None, group_by: Grouping
) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", 4)
    clips = random_clips(60, 3)
    found: set[str] = set()
    for clip_id in sorted(clips)[:12]:
        query = SimilarQuery(clip_id=clip_id, challenge_id=challenge_id, group_by=group_by, k=8)
        answer = search(clips, without_numbers(LossyIndex)).answer(query, 0)
        similarity = dict(brute_force(clips, replace(query, k=1000, group_by="clip")))
        assert answer.approximate
        assert len(answer.hits) == 8
        for hit in answer.hits:
            assert hit.similarity == pytest.approx(similarity[hit.clip_id], abs=1e-6)
        order = [(-hit.similarity, hit.clip_id) for hit in answer.hits]
        assert order == sorted(order)
        found |= {hit.clip_id for hit in answer.hits} & {clip_id for clip_id, _ in brute_force(clips, query)}
    assert found, "some of the nearest are found"


def test_one_approximate_index_makes_the_answer_approximate_if_its_modality_has_a_weight() -> None:
    clips = random_clips(30, 5, presence=1.0)
    engine = search(clips, lambda dim, rows: LossyIndex(dim) if dim == DIMS[Modality.FACIAL] else LiveIndex(dim, rows))
    for weights, approximate in (({Modality.SCENIC: 1.0}, False), ({Modality.SCENIC: 1.0, Modality.FACIAL: 0.1}, True)):
        assert engine.answer(SimilarQuery(clip_id="c0000", weights=weights), 0).approximate == approximate


def test_equal_clips_are_listed_by_id() -> None:
    same = unit([1, 2, 3, 4, 5])
    clips: Clips = {f"c{n}": (f"d{n}", "ch", {Modality.SKELETAL: same}) for n in (5, 3, 9, 1, 7)}  # type: ignore[dict-item]
    answer = search(clips).answer(SimilarQuery(clip_id="c5", k=3), 0)
    assert [hit.clip_id for hit in answer.hits] == ["c1", "c3", "c7"]
    assert [hit.similarity for hit in answer.hits] == pytest.approx([1, 1, 1])


def test_a_weight_of_zero_takes_the_room_out_of_the_comparison() -> None:
    a, b = np.array([1, 0], np.float32), np.array([0, 1], np.float32)
    move = np.eye(5, dtype=np.float32)
    clips: Clips = {
        "query": ("d0", "ch", {Modality.SKELETAL: move[0], Modality.SCENIC: a}),
        "same-room": ("d1", "ch", {Modality.SKELETAL: move[1], Modality.SCENIC: a}),
        "same-moves": ("d2", "ch", {Modality.SKELETAL: move[0], Modality.SCENIC: b}),
    }
    engine = search(clips)
    by_moves = engine.answer(SimilarQuery(clip_id="query", weights={Modality.SKELETAL: 1.0}, k=1), 0).hits[0]
    by_room = engine.answer(SimilarQuery(clip_id="query", weights={Modality.SCENIC: 2.0}, k=1), 0).hits[0]
    assert (by_moves.clip_id, by_room.clip_id) == ("same-moves", "same-room")
    assert by_moves.similarities == {Modality.SKELETAL: 1.0, Modality.SCENIC: 0.0}


def test_a_missing_modality_never_counts_as_likeness() -> None:
    skeleton, face = np.eye(5, dtype=np.float32)[0], np.eye(3, dtype=np.float32)[0]
    clips: Clips = {
        "query": ("d0", "ch", {Modality.SKELETAL: skeleton, Modality.FACIAL: face}),
        "no-face": ("d1", "ch", {Modality.SKELETAL: skeleton}),
        "both": ("d2", "ch", {Modality.SKELETAL: skeleton, Modality.FACIAL: unit([1, 1, 0])}),  # type: ignore[dict-item]
    }
    hits = search(clips).answer(SimilarQuery(clip_id="query"), 0).hits
    assert [(hit.clip_id, hit.missing) for hit in hits] == [("both", []), ("no-face", [Modality.FACIAL])]
    assert hits[1].similarity == pytest.approx(0.5)


def raises(clips: Clips, field: str, says: str, **query: object) -> None:
    with pytest.raises(QueryError, match=says) as raised:
        search(clips).answer(SimilarQuery(**query), 0)  # type: ignore[arg-type]
    assert raised.value.field == field


def test_misuse_is_refused_by_name() -> None:
    clips: Clips = {"c1": ("d1", "ch", {Modality.SKELETAL: np.eye(5, dtype=np.float32)[0]}), "bare": ("d2", "ch", {})}
    raises(clips, "clip_id", "not known", clip_id="c9")
    raises(clips, "dancer_id", "not known", dancer_id="d9")
    raises(clips, "challenge_id", "not known", clip_id="c1", challenge_id="nowhere")
    raises(clips, "weights", "has skeletal, and only facial", clip_id="c1", weights={Modality.FACIAL: 1.0})
    raises(clips, "weights", "no modality at all", clip_id="bare")
    raises(clips, "embeddings", "no modality", embeddings={})
    bad: Mapping[str, tuple[Mapping[Modality, list[float]], str]] = {
        "embeddings.skeletal": ({Modality.SKELETAL: [1.0] * 4}, "expected 5 numbers"),
        "embeddings.facial": ({Modality.FACIAL: [1.0]}, "no clip here has a facial"),
    }
    for field, (embeddings, says) in bad.items():
        raises(clips, field, says, embeddings=embeddings)
    for value, says in ((float("nan"), "NaN"), (float("inf"), "NaN or an infinity"), (0.0, "all zero")):
        raises(clips, "embeddings.skeletal", says, embeddings={Modality.SKELETAL: [value] * 5})
    assert issubclass(NotFound, QueryError)


def test_extreme_weights_do_not_overflow() -> None:
    clips = random_clips(10, 1, presence=1.0)
    answer = search(clips).answer(
        SimilarQuery(clip_id="c0000", weights=dict.fromkeys(FUSED_MODALITIES, 1e308), include_own=True), 0
    )
    assert list(answer.weights.values()) == pytest.approx([0.25] * 4)
    assert_same(answer, clips, SimilarQuery(clip_id="c0000", include_own=True))


def test_equal_vectors_tie_at_any_width_and_place() -> None:
    for width in (3, 7, 33, 130):
        rng = np.random.default_rng(width)
        same = unit(rng.normal(size=width))
        assert same is not None
        catalogue = Catalogue(
            CatalogueEntry(f"c{n:03d}", f"d{n}", "ch", 0, 0, 0, (Modality.SKELETAL,)) for n in range(299, -1, -1)
        )
        index = LiveIndex(width, catalogue)
        clips = [
            IndexedClip(entry.clip_id, "ch", entry.dancer_id, catalogue.row_of(entry.clip_id))
            for entry in catalogue.entries()
        ]
        index.upsert(clips[::-1], np.repeat(same[None], 300, axis=0))
        engine = SimilaritySearch("g1", catalogue, {Modality.SKELETAL: {index.dim: index}})
        query = SimilarQuery(embeddings={Modality.SKELETAL: rng.normal(size=width).tolist()}, k=5)
        assert [hit.clip_id for hit in engine.answer(query, 0).hits] == [f"c{n:03d}" for n in range(5)]


def test_an_unseen_clip_may_win_by_lacking_a_modality(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", 2)

    def at_cosine(cosine: float) -> np.ndarray:
        return np.array([cosine, (1 - cosine**2) ** 0.5], np.float32)

    # By face the first two lead, but their rooms are nearly the opposite; "wins" is third by face and shows no room.
    faces = {"a1": 0.9, "a2": 0.88, "wins": 0.8}
    rooms = {"a1": -0.96, "a2": -0.97, "p1": -0.9, "p2": -0.95}
    clips: Clips = {}
    for name in ("a1", "a2", "wins", "p1", "p2"):
        vectors = {Modality.FACIAL: faces, Modality.SCENIC: rooms}
        clips[name] = (name, "ch", {m: at_cosine(of[name]) for m, of in vectors.items() if name in of})
    monkeypatch.setitem(DIMS, Modality.FACIAL, 2)
    query = SimilarQuery(embeddings={Modality.FACIAL: [1.0, 0.0], Modality.SCENIC: [1.0, 0.0]}, k=1)
    assert [hit.clip_id for hit in search(clips).answer(query, 0).hits] == ["wins"]


def test_the_lists_of_an_approximate_index_grow_until_twice_as_many_bring_no_better_hit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking.vectors.similarity, "_FIRST_FETCH", 16)
    asked: list[int] = []

    class Counting(LossyIndex):
        def search(
            self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
        ) -> SearchResult:
            asked.append(k)
            return super().search(query, k, among=among, at_least=at_least)

    clips = random_clips(1200, 8, presence=1.0)
    engine = search(clips, without_numbers(Counting))
    for clip_id in sorted(clips)[:5]:
        query = SimilarQuery(clip_id=clip_id, k=5)
        held = {
            name: clip for number, (name, clip) in enumerate(sorted(clips.items())) if number % 3 or name == clip_id
        }
        answer = engine.answer(query, 0)
        assert [hit.clip_id for hit in answer.hits] == [name for name, _ in brute_force(held, query)]
        assert max(asked) < len(clips) / 2
