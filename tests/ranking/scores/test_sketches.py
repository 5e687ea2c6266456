"""The distribution of all scores is within its stated error, and counts each score once however it was written."""

import random
import threading
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database, lock_clips
from ranking.database.round_trip import Sending
from ranking.database.tables import score_sketches
from ranking.scores.generations import Generations
from ranking.scores.sketches import Key, add_scores, asking_due, distribution, merge_sketches
from ranking.scores.store import ScoreStore
from schemas.errors import NotFound
from schemas.modalities import Dimension, Modality
from tests.ranking.examples import NOW_MS, apply, scored_clip, with_scores

FUSED = Dimension.FUSED


def add(database: Database, scores: Mapping[Key, Sequence[float]]) -> None:
    """To generation g1, and merge what is due."""
    with database.writing() as connection:
        lock_clips(connection, alone=False)
        sending = Sending(connection)
        add_scores(sending, scores)
        (due,) = sending.rows(asking_due("g1"))
        merge_sketches(sending, "g1", [row.dimension for row in due])
        sending.flush()


def rows(database: Database) -> int:
    with database.reading() as connection:
        return connection.scalars(sa.select(sa.func.count()).select_from(score_sketches)).one()


def test_percentiles_of_a_long_stream_are_within_the_stated_error(any_database: Database) -> None:
    draw = np.random.default_rng(3)
    values = np.concatenate([draw.normal(0, 1, 20_000), np.full(5000, 0.5), draw.exponential(3, 15_000)])
    draw.shuffle(values)
    start = 0
    while start < len(values):
        size = int(draw.choice([1, 7, 100, 2000]))
        add(any_database, {("g1", "fused"): values[start : start + size].tolist()})
        start += size
    assert rows(any_database) < 8
    with any_database.reading() as connection:
        found = distribution(connection, "g1", FUSED, 0.5)
    assert found is not None
    assert (found.scores, found.lowest, found.highest) == (len(values), values.min(), values.max())
    assert 0 < found.rank_error < 0.4
    for quantile in found.quantiles:
        low, high = 100 * np.mean(values < quantile.score), 100 * np.mean(values <= quantile.score)
        assert low - found.rank_error <= quantile.percentile <= high + found.rank_error
    expected = 100 * (np.mean(values < 0.5) + np.mean(values <= 0.5)) / 2
    assert found.percentile == pytest.approx(expected, abs=found.rank_error)


def test_few_scores_are_exact_and_as_a_ranking_has_them(any_store: ScoreStore) -> None:
    apply(
        any_store, [with_scores(f"c{n}", {Modality.FACIAL: 0.5}, n // 2, challenge_id=f"ch-{n % 3}") for n in range(8)]
    )
    found = any_store.distribution(FUSED, "g1", score=1.0)
    assert (found.scores, found.rank_error, found.lowest, found.highest) == (8, 0.0, 0.0, 3.0)
    assert found.percentile == 37.5
    assert [q.score for q in found.quantiles if q.percentile in (25.0, 50.0, 99.0)] == [0.0, 1.0, 3.0]
    assert any_store.distribution(Dimension.FACIAL, "g1", score=9.0).percentile == 100.0
    assert any_store.distribution(FUSED, "g1").percentile is None


def test_a_record_that_is_read_again_adds_nothing_and_one_outside_the_training_never_does(
    any_store: ScoreStore,
) -> None:
    clips = [scored_clip(f"c{n}") for n in range(5)] + [scored_clip("out", training_distance=2.0)]
    for _ in range(3):
        apply(any_store, clips)
    assert any_store.distribution(FUSED, "g1").scores == 5


def test_what_no_clip_has_is_named(any_store: ScoreStore) -> None:
    apply(any_store, [with_scores("c", {Modality.FACIAL: 0.5}, 0.5)])
    with pytest.raises(NotFound, match="no clip has a scenic score under generation g1") as raised:
        any_store.distribution(Dimension.SCENIC, "g1")
    assert raised.value.field == "by"


def test_a_retired_generation_takes_its_sketches_along(any_store: ScoreStore, any_database: Database) -> None:
    for start, name in enumerate(["g1", "g2"]):
        apply(any_store, [scored_clip("c", generation=name)], start=start)
    generations = Generations(any_database)
    generations.activate("g2", NOW_MS)
    list(generations.retire("g1", NOW_MS))
    assert any_store.distribution(FUSED, "g2").scores == 1
    with pytest.raises(NotFound):
        any_store.distribution(FUSED, "g1")


def test_workers_that_write_at_once_lose_no_score(any_database: Database) -> None:
    failures: list[Exception] = []

    def work(worker: int) -> None:
        draw = random.Random(worker)
        try:
            for _ in range(30):
                add(any_database, {("g1", name): [draw.random()] * 3 for name in ("facial", "fused")})
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with any_database.reading() as connection:
        found = distribution(connection, "g1", FUSED, None)
    assert found is not None
    assert found.scores == 3 * 30 * 3
