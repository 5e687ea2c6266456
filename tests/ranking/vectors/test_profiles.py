"""Profiles of dancers that are kept equal those that are summed again, whatever changed; similar dancers by them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import ranking.vectors.dancers
import ranking.vectors.profiles
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend, NumpyIndex
from ranking.vectors.backends.port import IndexedClip
from ranking.vectors.embedding_space import EmbeddingSpace
from ranking.vectors.profiles import Profiles, Sum, Sums, Unsummed, mean_directions
from ranking.vectors.unit_vectors import unit
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.errors import NotFound, QueryError, StoreUnavailable
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import Float32
from schemas.questions.dancers import SimilarDancersAnswer, SimilarDancersQuery
from schemas.questions.retrieval import SimilarAnswer, SimilarQuery
from tests.ranking.examples import apply, logged, result, scored_clip
from tests.ranking.vectors.own_backends import LossyBackend
from tests.ranking.vectors.plain_questions import DIMS, NOW_MS, Clip, random_clips, space_of, weights_of
from tests.ranking.vectors.test_questions import WEIGHTS

DANCERS = ("d0", "d1", "d2")


class HalvingIndex(NumpyIndex):
    """Rounds what it holds to float16 some time after it got it, as merges do; fails when it is made to."""

    failing = False

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        super().upsert(clips, vectors)
        if self.failing:
            raise StoreUnavailable("the index does not answer")

    def halve(self) -> None:
        self._vectors = {name: row.astype(np.float16).astype(np.float32) for name, row in self._vectors.items()}


class HalvingBackend(NumpyBackend):
    def __init__(self) -> None:
        self.made: list[HalvingIndex] = []

    def create(self, dim: int, *_: object) -> HalvingIndex:
        self.made.append(HalvingIndex(dim))
        return self.made[-1]


@dataclass
class World:
    """A space, and one change after another to it."""

    backend: HalvingBackend = field(default_factory=HalvingBackend)
    written: int = 0

    def __post_init__(self) -> None:
        self.space = EmbeddingSpace("g1", self.backend)

    def put(self, clip_id: str, dancer_id: str, embeddings: Mapping[Modality, list[float]]) -> None:
        modalities = {modality: result(values) for modality, values in embeddings.items()}
        clip = scored_clip(clip_id, dancer_id=dancer_id, modalities=modalities)
        self.written += 1
        self.space.change(self.space.changes(logged([clip], start=self.written), NOW_MS))

    def check(self, dancer_ids: Collection[str] = DANCERS) -> None:
        catalogue, indexes = self.space.parts()
        profiles = self.space._profiles
        for dancer_id in dancer_ids:
            if catalogue.clips_of_dancer(dancer_id) <= ranking.vectors.profiles.FEW // 2:
                assert dancer_id not in profiles._kept
            if not catalogue.clips_of_dancer(dancer_id):
                with pytest.raises(NotFound):
                    profiles.directions(dancer_id, catalogue, indexes)
                continue
            rows = catalogue.rows_of_dancers([dancer_id])
            if (kept := profiles._kept.get(dancer_id)) is not None:
                sum_all(profiles, dancer_id, self.space)
                again = summed_again(dancer_id, self.space)
                for key in kept.sums.keys() | again.keys():
                    nothing = Sum(0, np.zeros(key[1]))
                    sums, expected = kept.sums.get(key, nothing), again.get(key, nothing)
                    assert sums.clips == expected.clips
                    np.testing.assert_array_equal(sums.total, expected.total)
            found = profiles.directions(dancer_id, catalogue, indexes)
            mean = mean_directions(rows, catalogue, indexes)
            for modality in found.keys() & mean.keys():
                np.testing.assert_allclose(found[modality], mean[modality], atol=2e-3)
                assert len(found[modality]) == len(mean[modality])


def sum_all(profiles: Profiles, dancer_id: str, space: EmbeddingSpace) -> None:
    """However few the clips are: a kept profile stays kept until there are half as many as make one kept."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranking.vectors.profiles, "FEW", 0)
        while not profiles.sum_more(dancer_id, *space.parts()):
            pass


def summed_again(dancer_id: str, space: EmbeddingSpace) -> Sums:
    fresh = Profiles()
    sum_all(fresh, dancer_id, space)
    return fresh._kept[dancer_id].sums


EMBEDDING = st.lists(st.integers(-3, 3).map(float), min_size=3, max_size=3).filter(any)
CHANGES = st.one_of(
    st.tuples(
        st.just("put"),
        st.sampled_from([f"c{number}" for number in range(12)]),
        st.sampled_from(DANCERS),
        st.dictionaries(st.sampled_from([Modality.SKELETAL, Modality.SCENIC]), EMBEDDING),
    ),
    st.tuples(st.just("delete"), st.sampled_from([f"c{number}" for number in range(12)])),
    st.tuples(st.just("halve")),
    st.tuples(st.just("ask"), st.sampled_from(DANCERS)),
    st.tuples(st.just("sum more"), st.sampled_from(DANCERS)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=st.lists(CHANGES, max_size=60))
@example(
    changes=[
        ("put", "c0", "d0", {}),
        ("put", "c1", "d0", {Modality.SKELETAL: [0.0, 0.0, 1.0]}),
        ("ask", "d0"),
        ("delete", "c0"),
    ]
).via("one clip is left of a kept profile")
@example(
    changes=[("put", "c0", "d0", {}), ("put", "c1", "d0", {}), ("ask", "d0"), ("delete", "c0"), ("delete", "c1")]
).via("all clips of a kept profile go, and none had an embedding")
@example(
    changes=[
        ("put", "c0", "d0", {}),
        ("put", "c1", "d0", {}),
        ("ask", "d0"),
        ("put", "c0", "d1", {}),
        ("put", "c1", "d1", {}),
    ]
).via("all clips of a kept profile move, and none had an embedding")
def test_a_kept_profile_equals_one_that_is_summed_again(monkeypatch: pytest.MonkeyPatch, changes: list[tuple]) -> None:  # type: ignore[type-arg]
    monkeypatch.setattr(ranking.vectors.profiles, "FEW", 1)
    monkeypatch.setattr(ranking.vectors.profiles, "_CLIPS_AT_ONCE", 2)
    world = World()
    for kind, *given_ in changes:
        if kind == "put":
            world.put(*given_)
        elif kind == "delete":
            world.space.delete(given_)
        elif kind == "halve":
            for index in world.backend.made:
                index.halve()
        elif kind == "sum more":
            world.space.sum_more(given_[0])
        elif world.space.parts()[0].clips_of_dancer(given_[0]):
            world.space._profiles.directions(given_[0], *world.space.parts())
    world.check()


def test_a_profile_of_many_clips_is_read_from_the_index_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    rng = np.random.default_rng(1)
    for number in range(100):
        world.put(f"c{number}", "d0", {Modality.SKELETAL: rng.normal(size=3).tolist()})
    read: list[int] = []
    plain = NumpyIndex.vectors

    def counted(index: NumpyIndex, clip_ids: Sequence[str]) -> Float32:
        read.append(len(clip_ids))
        return plain(index, clip_ids)

    monkeypatch.setattr(NumpyIndex, "vectors", counted)
    world.space._profiles.directions("d0", *world.space.parts())
    assert sum(read) == 100
    for number in range(20):
        world.space._profiles.directions("d0", *world.space.parts())
        world.put(f"c{number}", "d0", {Modality.SKELETAL: rng.normal(size=3).tolist()})
    assert sum(read) == 120, "one for each clip that was replaced"
    monkeypatch.setattr(NumpyIndex, "vectors", plain)
    world.check(["d0"])


def test_after_a_change_that_failed_halfway_a_profile_is_summed_again() -> None:
    world = World()
    rng = np.random.default_rng(2)
    for number in range(50):
        world.put(f"c{number}", "d0", {Modality.SKELETAL: rng.normal(size=3).tolist()})
    world.space._profiles.directions("d0", *world.space.parts())
    world.backend.made[0].failing = True
    with pytest.raises(StoreUnavailable):
        world.put("c1", "d0", {Modality.SKELETAL: [1.0, 2.0, 3.0]})
    world.check(["d0"])
    world.backend.made[0].failing = False
    world.put("c1", "d0", {Modality.SKELETAL: [1.0, 2.0, 3.0]})
    world.check(["d0"])


def test_the_profile_is_that_of_the_width_of_most_clips() -> None:
    world = World()
    for number in range(40):
        world.put(f"c{number}", "d0", {Modality.SKELETAL: [1.0, 0.0] if number % 3 else [0.0, 1.0, 0.0]})
    found = world.space._profiles.directions("d0", *world.space.parts())
    np.testing.assert_allclose(found[Modality.SKELETAL], [1.0, 0.0])
    for number in range(40):
        world.put(f"c{number}", "d0", {Modality.SKELETAL: [1.0, 0.0] if number < 5 else [0.0, 1.0, 0.0]})
    found = world.space._profiles.directions("d0", *world.space.parts())
    np.testing.assert_allclose(found[Modality.SKELETAL], [0.0, 1.0, 0.0])


def answered(space: EmbeddingSpace, query: SimilarDancersQuery) -> SimilarDancersAnswer:
    answer = space.similar_dancers(query)
    assert isinstance(answer, SimilarDancersAnswer)
    return answer


def plain_profile(clips: list[Clip], dancer_id: str, few: int = 32) -> dict[Modality, np.ndarray]:
    """Of more than ``few`` clips each vector is rounded to float16."""
    own = [clip.vectors for clip in clips if clip.dancer_id == dancer_id]
    if len(own) > few:
        own = [{m: v.astype(np.float32).astype(np.float16).astype(float) for m, v in of.items()} for of in own]
    means = {m: np.mean([v[m] for v in own if m in v], axis=0) for m in FUSED_MODALITIES if any(m in v for v in own)}
    return {m: mean / np.linalg.norm(mean) for m, mean in means.items() if np.linalg.norm(mean) > 1e-6}


def plain_dancers(clips: list[Clip], query: SimilarDancersQuery, few: int = 32) -> dict[str, float]:
    """Every dancer that is comparable, and the similarity of the profiles."""
    asked = plain_profile(clips, query.dancer_id, few)
    weights = weights_of(SimilarQuery(dancer_id=query.dancer_id, weights=query.weights), asked)
    found = {}
    for dancer_id in {clip.dancer_id for clip in clips} - {query.dancer_id}:
        theirs = plain_profile(clips, dancer_id, few)
        shared = [m for m in asked if m in theirs]
        if any(weights[m] for m in shared):
            found[dancer_id] = sum(weights[m] * float(asked[m] @ theirs[m]) for m in shared)
    return found


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 50),
    presence=st.sampled_from([0.3, 0.8, 1.0]),
    weights=WEIGHTS,
    k=st.sampled_from([1, 3, 50]),
    few=st.sampled_from([1, 32]),
)
def test_similar_dancers_by_profile_are_those_of_brute_force(
    monkeypatch: pytest.MonkeyPatch, seed: int, presence: float, weights: dict[Modality, float], k: int, few: int
) -> None:
    monkeypatch.setattr(ranking.vectors.profiles, "FEW", few)
    clips = random_clips(60, seed, presence=presence)
    query = SimilarDancersQuery(dancer_id=clips[0].dancer_id, weights=weights, k=k)
    space = space_of(clips, FaissBackend())
    asked = plain_profile(clips, query.dancer_id, few)
    if not any(weights.get(modality) for modality in asked):
        with pytest.raises(QueryError):
            space.similar_dancers(query)
        return
    expected = plain_dancers(clips, query, few)
    answer = answered(space, query)
    assert not answer.approximate
    assert len(answer.hits) == min(k, len(expected))
    best = sorted(expected.values(), reverse=True)[:k]
    np.testing.assert_allclose([hit.similarity for hit in answer.hits], best, atol=1e-5)
    for hit in answer.hits:
        assert hit.similarity == pytest.approx(expected[hit.dancer_id], abs=1e-5)
        assert hit.clips == sum(clip.dancer_id == hit.dancer_id for clip in clips)
        assert {*hit.similarities, *hit.missing} == asked.keys()


def test_similar_dancers_by_clips_have_the_most_similar_clip_of_each() -> None:
    clips = random_clips(80, 3, presence=1.0)
    space = space_of(clips, FaissBackend())
    dancer_id = clips[0].dancer_id
    answer = answered(space, SimilarDancersQuery(dancer_id=dancer_id, by="clips", k=8))
    of_clips = space.similar(SimilarQuery(dancer_id=dancer_id, group_by="dancer", k=8), NOW_MS)
    assert isinstance(of_clips, SimilarAnswer)
    found = [(hit.dancer_id, hit.clip_id, hit.similarity) for hit in answer.hits]
    assert found == [(hit.dancer_id, hit.clip_id, hit.similarity) for hit in of_clips.hits]


def test_in_a_large_space_the_answer_says_that_it_is_approximate_and_finds_the_nearest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking.vectors.dancers, "_SMALL", 10)
    monkeypatch.setattr(ranking.vectors.dancers, "_LEAST_COMPARED", 8)
    clips = random_clips(100, 6, presence=1.0)
    twin = [clip._replace(clip_id=f"t-{clip.clip_id}", dancer_id="twin") for clip in clips if clip.dancer_id == "d1"]
    space = space_of(clips + twin, FaissBackend())
    query = SimilarDancersQuery(dancer_id="d1", k=2)
    answer = answered(space, query)
    assert answer.approximate
    assert answer.hits[0].dancer_id == "twin"
    assert answer.hits[0].similarity == pytest.approx(1.0, abs=1e-5)
    expected = plain_dancers(clips + twin, query)
    for hit in answer.hits:
        assert hit.similarity == pytest.approx(expected[hit.dancer_id], abs=1e-5)


def test_an_approximate_index_makes_the_answer_by_clips_approximate() -> None:
    space = space_of(random_clips(60, 6, presence=1.0), LossyBackend())
    assert answered(space, SimilarDancersQuery(dancer_id="d1", by="clips")).approximate
    assert not answered(space, SimilarDancersQuery(dancer_id="d1")).approximate, "all dancers are compared"


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"k": 0}, "k"),
        ({"k": 1001}, "k"),
        ({"weights": {Modality.SCENIC: 0.0}}, "weights"),
        ({"weights": {Modality.SCENIC: float("nan")}}, "weights"),
        ({"dancer_id": "unknown"}, "dancer_id"),
    ],
)
def test_what_is_wrong_names_the_parameter(given: dict[str, object], field: str) -> None:
    space = space_of(random_clips(10, 1, presence=1.0), NumpyBackend())
    for by in ("profile", "clips"):
        with pytest.raises(QueryError) as raised:
            space.similar_dancers(SimilarDancersQuery(**({"dancer_id": "d1", "by": by} | given)))  # type: ignore[arg-type]
        assert raised.value.field == field


def test_sums_are_exact_whatever_the_order() -> None:
    rng = np.random.default_rng(4)
    vectors = np.stack([unit(rng.normal(size=DIMS[Modality.SKELETAL])) for _ in range(500)]).astype(np.float32)
    halved = vectors.astype(np.float16).astype(np.float32)
    totals = []
    for each in (vectors, vectors[rng.permutation(500)], halved):
        kept = ranking.vectors.profiles._Kept()
        for vector in (*each, *each[:100]):
            kept.add(Modality.SKELETAL, vector[None])
        for vector in each[:100]:
            kept.add(Modality.SKELETAL, vector[None], -1)
        totals.append(kept.sums[Modality.SKELETAL, DIMS[Modality.SKELETAL]])
    for clips, total in totals:
        assert clips == 500
        np.testing.assert_array_equal(total, totals[0].total)


def test_a_profile_of_very_many_clips_is_summed_in_parts_between_which_clips_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ranking.vectors.profiles, "_CLIPS_AT_ONCE", 10)
    world, rng = World(), np.random.default_rng(5)
    for number in range(100):
        world.put(f"c{number}", "d0", {Modality.SKELETAL: rng.normal(size=3).tolist()})
    world.put("other", "d1", {Modality.SKELETAL: [1.0, 0.0, 0.0]})
    asked = SimilarDancersQuery(dancer_id="d1")
    assert world.space.similar_dancers(asked) == Unsummed(["d0"])
    assert world.space.similar(SimilarQuery(dancer_id="d0"), NOW_MS) == Unsummed(["d0"])
    parts = 0
    while not world.space.sum_more("d0"):
        parts += 1
        for number in rng.integers(0, 100, 3).tolist():
            world.put(f"c{number}", "d0", {Modality.SKELETAL: rng.normal(size=3).tolist()})
        world.space.delete([f"c{rng.integers(0, 100)}"])
        world.put(f"n{parts}", "d0", {Modality.SKELETAL: rng.normal(size=3).tolist()})
    assert parts > 5
    world.check(["d0"])
    assert isinstance(world.space.similar_dancers(asked), SimilarDancersAnswer)
    assert isinstance(world.space.similar(SimilarQuery(dancer_id="d0"), NOW_MS), SimilarAnswer)


def test_the_view_sums_what_is_missing_and_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking.vectors.profiles, "_CLIPS_AT_ONCE", 10)
    view, rng = IndexView(NumpyBackend(), Observer(), ManualClock(start_ms=NOW_MS)), np.random.default_rng(6)
    clips = [
        scored_clip(f"c{n}", dancer_id=f"d{n % 2}", modalities={Modality.SKELETAL: result(rng.normal(size=3))})
        for n in range(100)
    ]
    apply(view, clips)
    assert [hit.dancer_id for hit in view.similar_dancers(SimilarDancersQuery(dancer_id="d0")).hits] == ["d1"]
    assert len(view.similar(SimilarQuery(dancer_id="d1", k=50)).hits) == 50
