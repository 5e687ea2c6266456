"""The index view over pgvector: questions, dancers and restarts, beside plain loops over the same clips."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.vectors.backends.pgvector.backend import PgvectorBackend
from ranking.vectors.backends.pgvector.index import Graphs
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry
from schemas.clock import ManualClock
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.questions.dancers import SimilarDancersQuery
from schemas.questions.retrieval import SimilarAnswer, SimilarQuery
from tests.ranking.examples import apply_entries, at, deletion, logged, result, scored_clip
from tests.ranking.vectors.plain_questions import (
    NOW_MS,
    direction_of,
    plain_hits,
    random_clips,
    space_of,
    weights_of,
)
from tests.ranking.vectors.test_profiles import answered, plain_dancers
from tests.ranking.vectors.test_questions import ask, condition_of, queries, scores_of, worlds
from tests.servers.postgresql import PostgresqlServer

pytestmark = pytest.mark.postgresql

HALF = 1e-3
"""By which similarities of float16 vectors are off."""
QUESTIONS = (
    SimilarQuery(clip_id="c0001", k=10),
    SimilarQuery(clip_id="c0002", k=40, challenge_id="ch1", group_by="dancer"),
    SimilarQuery(dancer_id="d1", k=7, weights={Modality.SKELETAL: 1.0, Modality.SCENIC: -0.3}),
    SimilarQuery(clip_id="c0003", k=9, among_dancer_ids=("d1", "d2", "d3"), include_own=True),
    SimilarQuery(clip_id="c0004", k=9, uploaded_from_ms=NOW_MS - 20 * 3_600_000, half_life_s=86_400.0),
)


@pytest.fixture(scope="module")
def url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    made = postgresql_server.new_database()
    yield made
    postgresql_server.drop_database(made)


@pytest.fixture(params=[Graphs(), Graphs(starting_at=8, background=False)], ids=["exact", "graphs"])
def backend(url: str, request: pytest.FixtureRequest) -> Iterator[PgvectorBackend]:
    with closing(PgvectorBackend(database_url=url, graphs=request.param)) as made:
        yield made
        for modality in FUSED_MODALITIES:
            made.drop("g1", modality)


@pytest.fixture
def exact(url: str) -> Iterator[PgvectorBackend]:
    with closing(PgvectorBackend(database_url=url)) as made:
        yield made
        for modality in FUSED_MODALITIES:
            made.drop("g1", modality)


@pytest.mark.parametrize("query", QUESTIONS, ids=range(len(QUESTIONS)))
def test_answers_are_those_of_brute_force(backend: PgvectorBackend, query: SimilarQuery) -> None:
    clips = random_clips(70, 5, presence=0.8)
    answer, expected = space_of(clips, backend).similar(query, NOW_MS), plain_hits(clips, query)
    assert isinstance(answer, SimilarAnswer)
    known = {hit.clip.clip_id: hit.score for hit in expected}
    found = [hit.similarity if hit.score is None else hit.score for hit in answer.hits]
    np.testing.assert_allclose(found, [known[hit.clip_id] for hit in answer.hits], atol=HALF)
    assert found == sorted(found, reverse=True)
    assert len(found) == min(query.k, len(expected))
    if answer.approximate:
        best = {hit.clip.clip_id for hit in expected[: query.k]}
        assert len(best & {hit.clip_id for hit in answer.hits}) >= 0.9 * len(best)
    else:
        np.testing.assert_allclose(found, [hit.score for hit in expected[: query.k]], atol=HALF)
    assert answer.approximate == (backend._graphs.starting_at == 8)


# Few examples: each fills tables anew. The same property holds for other backends with many in ``test_questions``.
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_question_is_answered_as_by_brute_force(exact: PgvectorBackend, data: st.DataObject) -> None:
    clips = data.draw(worlds())
    query = data.draw(queries(clips).filter(lambda asked: any(weights_of(asked, direction_of(clips, asked)).values())))
    for modality in FUSED_MODALITIES:
        exact.drop("g1", modality)
    answer = ask(space_of(clips, exact), query, condition_of(clips, query, data.draw(st.sampled_from([0, 5, 1000]))))
    expected, scores = plain_hits(clips, query), scores_of(answer)
    assert not answer.approximate
    np.testing.assert_allclose(scores, [hit.score for hit in expected[: query.k]], atol=HALF)
    known = {hit.clip.clip_id: hit for hit in expected}
    for hit, score in zip(answer.hits, scores, strict=True):
        assert known[hit.clip_id].score == pytest.approx(score, abs=HALF)
        assert known[hit.clip_id].similarity == pytest.approx(hit.similarity, abs=HALF)


def test_similar_dancers_are_those_of_brute_force(backend: PgvectorBackend) -> None:
    clips = random_clips(60, 4, presence=0.8)
    query = SimilarDancersQuery(dancer_id=clips[0].dancer_id, k=5)
    expected, answer = plain_dancers(clips, query), answered(space_of(clips, backend), query)
    best = sorted(expected.values(), reverse=True)[:5]
    np.testing.assert_allclose([hit.similarity for hit in answer.hits], best, atol=HALF)
    for hit in answer.hits:
        assert hit.similarity == pytest.approx(expected[hit.dancer_id], abs=HALF)


def entries(start: int, count: int) -> list[LogEntry]:
    rng = np.random.default_rng(start)
    scored = [
        scored_clip(
            f"c{number}",
            uploaded_at_ms=start + number,
            modalities={Modality.SKELETAL: result(rng.normal(size=6)), Modality.FACIAL: result(rng.normal(size=3))},
        )
        for number in rng.permutation(12)[:count].tolist()
    ]
    return [*logged(scored, start=start)]


def test_a_process_that_is_killed_at_any_moment_holds_the_same_after_its_restart(url: str, tmp_path: Path) -> None:
    """The state is older than the vectors, by changes and by deletions; what was deleted does not come back."""

    def process(backend: PgvectorBackend) -> IndexView:
        return IndexView(backend, Observer(), ManualClock())

    log = [entries(0, 8), [*entries(8, 6), deletion("c1")], [deletion("c2"), *entries(14, 8)], entries(22, 5)]
    with closing(PgvectorBackend(database_url=url)) as backend:
        view = process(backend)
        assert not view.restore(tmp_path)
        apply_entries(view, *log[0])
        view.save(tmp_path)
        for batch in log[1:]:
            apply_entries(view, *batch)
        content, generations = view.content(), view.generations()
        killed = process(backend)
        assert killed.restore(tmp_path)
        assert killed.positions([at()]) == {at(): 8}
        for batch in log[1:]:
            apply_entries(killed, *batch)
        assert (killed.content(), killed.generations()) == (content, generations)
        killed.save(tmp_path)
        restarted = process(backend)
        assert restarted.restore(tmp_path)
        assert restarted.positions([at()]) == killed.positions([at()])
        assert restarted.content() == content
        found = restarted.similar(SimilarQuery(clip_id="c0", k=50))
        assert not {"c1", "c2"} & {hit.clip_id for hit in found.hits}
        restarted.retire(["g1"])
        assert restarted.clips() == 0
        assert len(backend.open("g1", Modality.SKELETAL, 6)) == 0
    assert not [*tmp_path.iterdir()]
