"""The benchmark of rankings asks every question of a real store, and holds its figures against the bars."""

from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest
import sqlalchemy as sa

from benchmarks.rankings import (
    AT,
    BAR_CLIPS_PER_S,
    BAR_MS,
    GENERATION,
    Found,
    Latency,
    measure,
    measured,
    recorded,
    table,
)
from benchmarks.rankings_filling import fill
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from schemas.modalities import Dimension
from schemas.questions.retrieval import Window


def test_every_question_is_asked_of_a_challenge_of_the_size(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'rankings.db'}")) as database:
        database.migrate()
        found = measure(database, "sqlite", 600, batch=50, asked_times=20)
    assert (found.database, found.clips) == ("sqlite", 600)
    assert {"place", "neighbours", "mean attention", "top 10 in 7 d"} <= set(found.questions)
    assert all(0 < each.p50_ms <= each.p99_ms for each in found.questions.values())
    assert all(each.processor_ms > 0 for each in found.questions.values())
    assert found.clips_per_s > 0
    assert found.per_processor_s > 0
    assert found.bytes_per_clip > 100
    assert table([found], "batches of 50").row_count == len(found.questions) + 4


def test_figures_have_bars_at_every_size_and_ratios_between_the_ends() -> None:
    small = Found("sqlite", 10, 2 * BAR_CLIPS_PER_S, 9e3, 1.0, 1.0, {"place": Latency(0.2, 0.5, 0.1)})
    large = Found("sqlite", 1000, BAR_CLIPS_PER_S / 2, 9e3, 1.0, 1.0, {"place": Latency(0.3, 2 * BAR_MS, 0.1)})
    figures = {each.name: each for each in measured([small, large])}
    assert figures["sqlite, 10 clips: place, p99"].met is True
    assert figures["sqlite, 1000 clips: place, p99"].met is False
    assert figures["sqlite, 1000 clips: written"].met is False
    assert figures["sqlite: place, p50, most over fewest clips"].value == pytest.approx(1.5)
    assert figures["sqlite: written, most over fewest clips"].value == 0.25


def test_a_filled_database_equals_one_that_was_written(tmp_path: Path) -> None:
    """The benchmark fills at once what it does not time; SQLite and PostgreSQL go through the same statements."""
    with (
        closing(Database(f"sqlite:///{tmp_path / 'filled.db'}")) as filled,
        closing(Database(f"sqlite:///{tmp_path / 'written.db'}")) as written,
    ):
        _equal(filled, written)


@pytest.mark.postgresql
def test_a_filled_database_of_postgresql_equals_one_that_was_written(tmp_path: Path, postgresql_url: str) -> None:
    with (
        closing(Database(postgresql_url)) as filled,
        closing(Database(f"sqlite:///{tmp_path / 'written.db'}")) as written,
    ):
        _equal(filled, written)
        indexes = {name for table in ("clips", "scored_clips", "scores") for name in _indexes(filled, table)}
    assert indexes == {
        *("pk_clips", "pk_scored_clips", "pk_scores"),
        *("ix_scores_ranking", "ix_scores_ranking_of_style"),
    }


def _indexes(database: Database, table: str) -> list[str]:
    with database.reading() as connection:
        query = sa.text("SELECT indexname FROM pg_indexes WHERE tablename = :table")
        return [str(name) for name in connection.scalars(query, {"table": table})]


def _equal(filled: Database, written: Database) -> None:
    batches = [recorded(start, 150, 1_700_000_000_000, 600) for start in (0, 150, 300)]
    for database in (filled, written):
        database.migrate()
    fill(filled, batches, {AT: 450})
    for batch in batches:
        ScoreStore(written).apply(batch, {AT: 450})
    one, other = ScoreStore(filled), ScoreStore(written)
    assert one.content() == other.content()
    assert one.count_differences() == other.count_differences() == []
    assert one.positions([AT]) == other.positions([AT])
    assert one.active_generation() == other.active_generation()
    clip_id = batches[1][7].clip.clip_id
    for window in get_args(Window):
        assert one.ranking("viral", Dimension.FUSED, GENERATION, order="top", k=20, window=window) == other.ranking(
            "viral", Dimension.FUSED, GENERATION, order="top", k=20, window=window
        )
    assert one.neighbours(clip_id, Dimension.FUSED, GENERATION, k=5) == other.neighbours(
        clip_id, Dimension.FUSED, GENERATION, k=5
    )
    assert one.distribution(Dimension.FUSED, GENERATION) == other.distribution(Dimension.FUSED, GENERATION)


def test_two_writers_fill_one_challenge(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'rankings.db'}")) as database:
        database.migrate()
        found = measure(database, "sqlite", 600, batch=50, asked_times=10, writers=2)
        assert ScoreStore(database).count_differences() == []
        assert ScoreStore(database).generations() == {GENERATION: 600}
    assert found.clips_per_s > 0
