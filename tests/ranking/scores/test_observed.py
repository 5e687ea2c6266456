"""Counts are read with what the ranking knows of each clip, in an order that does not depend on the database."""

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import engagement
from ranking.scores.observations import Observations, ObservedClip
from ranking.scores.store import ScoreStore
from schemas.errors import NotFound, StoreRefused
from tests.ranking.scores.observed_rows import UPLOADED_AT_MS, observed, write_observed


def read(database: Database, **wanted: object) -> list[ObservedClip]:
    return list(Observations(database).clips(**wanted))  # type: ignore[arg-type]


def test_every_clip_with_counts_is_read_as_it_was_written_by_id(any_database: Database) -> None:
    rows = [
        observed("b", likes=2**40, views=None, days_online=0.0),
        observed("Ä", "other", uploaded_at_ms=5, duration_s=3.25),
        observed("a", days_online=1 / 3),
        observed("B", dancer_id="ada", comments=0, reposts=0),
    ]
    write_observed(any_database, rows)
    assert read(any_database) == sorted(rows, key=lambda row: row.clip_id)


def test_more_clips_than_are_read_at_once_come_each_once(any_database: Database) -> None:
    rows = [observed(f"clip-{i:05d}", likes=i) for i in range(2500)]
    write_observed(any_database, reversed(rows))
    assert read(any_database) == rows


def test_clips_without_counts_are_not_read_and_counts_without_a_clip_say_so(any_database: Database) -> None:
    write_observed(any_database, [observed("a"), observed("deleted"), observed("b", upload=None)])
    with any_database.writing() as connection:
        connection.execute(sa.delete(engagement).where(engagement.c.clip_id == "deleted"))
    assert [(row.clip_id, row.upload is None) for row in read(any_database)] == [("a", False), ("b", True)]


def test_challenges_and_the_time_of_upload_narrow_what_is_read(any_database: Database) -> None:
    rows = [
        observed("a", "x", uploaded_at_ms=UPLOADED_AT_MS - 1),
        observed("b", "x"),
        observed("c", "y"),
        observed("d", "z"),
        observed("e", upload=None),
    ]
    write_observed(any_database, rows, unranked_challenge="y")
    assert [row.clip_id for row in read(any_database, challenges=["y", "x"])] == ["a", "b", "c", "e"]
    assert [row.clip_id for row in read(any_database, since_ms=UPLOADED_AT_MS)] == ["b", "c", "d", "e"]
    assert [row.clip_id for row in read(any_database, challenges=["x"], since_ms=UPLOADED_AT_MS)] == ["b"]
    assert Observations(any_database).challenges() == {"x", "y", "z"}


def test_a_reader_that_stops_early_keeps_nothing_open(any_database: Database) -> None:
    write_observed(any_database, [observed(f"clip-{i:05d}") for i in range(1200)])
    observations = Observations(any_database)
    rows = observations.clips()
    assert next(rows).clip_id == "clip-00000"
    rows.close()  # type: ignore[attr-defined]
    write_observed(any_database, [observed("later")])
    assert len(list(observations.clips())) == 1201


def test_an_empty_database_holds_no_counts(any_database: Database) -> None:
    assert read(any_database) == []


def test_a_database_without_our_tables_is_an_error_that_says_so(empty_database: Database) -> None:
    with empty_database.reading():
        pass  # creates the file
    with pytest.raises(StoreRefused, match="lacks our tables"):
        read(empty_database)


def test_a_reception_has_its_place_among_the_counted_clips_of_its_challenge(any_database: Database) -> None:
    of_challenge = {"a": 4.0, "b": 2.5, "c": 2.5, "d": -1.0, "e": 9.0}
    write_observed(any_database, [observed(clip_id) for clip_id in of_challenge])
    write_observed(any_database, [observed("elsewhere", "other", views=None)])
    with any_database.writing() as connection:
        for clip_id, virality in of_challenge.items():
            of_clip = engagement.c.clip_id == clip_id
            connection.execute(sa.update(engagement).where(of_clip).values(virality=virality))
    store = ScoreStore(any_database)
    for clip_id, virality in of_challenge.items():
        found, others = store.observed(clip_id), list(of_challenge.values())
        assert found.rank == 1 + sum(other > virality for other in others)
        below = sum(other < virality for other in others) + others.count(virality) / 2
        assert found.percentile == pytest.approx(100 * below / len(others))
        assert (found.virality, found.clips) == (virality, len(others))
        assert (found.lowest_virality, found.highest_virality) == (-1.0, 9.0)
    assert (found.likes, found.comments, found.reposts, found.views, found.days_online) == (10, 2, 1, 500, 3.0)
    alone = store.observed("elsewhere")
    assert (alone.rank, alone.percentile, alone.clips, alone.views) == (1, 50.0, 1, None)


def test_a_clip_that_was_never_counted_is_not_found(any_database: Database) -> None:
    with pytest.raises(NotFound, match="not been counted"):
        ScoreStore(any_database).observed("a")
