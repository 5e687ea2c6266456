"""The attention of a routine is kept with its scores, per generation, and goes with them."""

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import attended_clips
from ranking.scores.generations import Generations
from ranking.scores.store import ScoreStore
from ranking.serving.service import RankingService
from schemas.errors import MomentsMissing, NotFound, QueryError
from schemas.moments import moments_of
from tests.ranking.examples import NOW_MS, apply, apply_entries, attention_over, deletion, routine, scored_clip


def held(database: Database) -> set[tuple[str, str]]:
    with database.reading() as connection:
        return {(row.generation, row.clip_id) for row in connection.execute(sa.select(attended_clips))}


def test_moments_are_those_of_the_attention_in_the_log(any_store: ScoreStore) -> None:
    apply(any_store, [routine("a", seconds=600, seed=3, score=-0.25), routine("b", seed=4)])
    found = RankingService(any_store).moments("a", count=7, apart_s=2.0)
    expected = moments_of(attention_over(600, 3), 7, 2.0)
    assert (found.clip_id, found.generation, found.score) == ("a", "g1", -0.25)
    assert {name: getattr(found, name) for name in vars(expected)} == vars(expected)
    assert len(found.moments) == 7
    assert any_store.clip("a", "g1").duration_s == 600.0


def test_the_latest_record_of_a_clip_has_its_attention_in_any_order(any_store: ScoreStore) -> None:
    first, again = routine("a", seed=1), routine("a", seed=2, seconds=90, uploaded_at_ms=NOW_MS + 1)
    for number, clips in enumerate(([first, again], [again, first])):
        apply(any_store, clips, start=2 * number)
        found = any_store.moments("a", "g1", count=5, apart_s=5.0)
        assert (found.seconds, found.weights) == (90.0, moments_of(attention_over(90, 2)).weights)


def test_a_clip_that_comes_again_shorter_keeps_no_attention(any_store: ScoreStore, any_database: Database) -> None:
    apply(any_store, [routine("a"), scored_clip("a", uploaded_at_ms=NOW_MS + 1)])
    assert held(any_database) == set()
    with pytest.raises(MomentsMissing, match="clip a is not a routine: it lasts 10 s"):
        any_store.moments("a", "g1", count=5, apart_s=5.0)


def test_each_generation_has_its_own_and_takes_it_along(any_store: ScoreStore, any_database: Database) -> None:
    for number, generation in enumerate(("g1", "g2")):
        clips = [routine(f"r{n}", generation=generation, seed=10 * number + n) for n in range(3)]
        apply(any_store, clips, start=3 * number)
    service = RankingService(any_store)
    assert service.moments("r1").weights == moments_of(attention_over(83, 1)).weights
    assert service.moments("r1", generation="g2").weights == moments_of(attention_over(83, 11)).weights
    generations = Generations(any_database)
    generations.activate("g2", NOW_MS)
    list(generations.retire("g1", NOW_MS))
    assert held(any_database) == {("g2", f"r{n}") for n in range(3)}


def test_a_deleted_routine_is_gone_and_stays_gone(any_store: ScoreStore, any_database: Database) -> None:
    apply(any_store, [routine("a"), routine("b"), routine("a", generation="g2")])
    apply_entries(any_store, deletion("a"))
    apply(any_store, [routine("a", uploaded_at_ms=NOW_MS + 9)], start=3)
    assert held(any_database) == {("g1", "b")}
    with pytest.raises(NotFound, match="clip a is not known under generation g1"):
        any_store.moments("a", "g1", count=5, apart_s=5.0)


def test_a_routine_outside_the_training_distribution_has_its_moments_and_its_score(any_store: ScoreStore) -> None:
    apply(any_store, [routine("a", training_distance=2.0, score=0.75)])
    found = any_store.moments("a", "g1", count=1, apart_s=5.0)
    assert (found.score, len(found.moments)) == (0.75, 1)


def test_a_routine_without_attention_says_so(any_store: ScoreStore) -> None:
    apply(any_store, [routine("a", temporal_attention=None)])
    with pytest.raises(MomentsMissing, match="generation g1 scored clip a without attention over time"):
        any_store.moments("a", "g1", count=5, apart_s=5.0)


def test_attention_of_a_modality_that_this_release_does_not_know_is_said_by_name(
    any_store: ScoreStore, any_database: Database
) -> None:
    apply(any_store, [routine("a")])
    with any_database.writing() as connection:  # by a process with a package that this one lacks
        connection.execute(sa.update(attended_clips).values(modality="audio_later"))
    with pytest.raises(MomentsMissing, match="scored clip a by audio_later, which this release does not know"):
        any_store.moments("a", "g1", count=5, apart_s=5.0)


def test_a_question_that_cannot_be_answered_names_its_parameter(any_store: ScoreStore) -> None:
    apply(any_store, [routine("a")])
    service = RankingService(any_store)
    for asked, field in (({"count": 0}, "count"), ({"apart_s": 601.0}, "apart_s"), ({"generation": "x"}, "generation")):
        with pytest.raises(QueryError) as refused:
            service.moments("a", **asked)  # type: ignore[arg-type]
        assert refused.value.field == field
