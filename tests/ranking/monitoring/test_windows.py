"""What is read for the measurement of agreement, against the same chosen from all clips in Python."""

import numpy as np
import pytest

from ranking.database.connection import Database
from ranking.monitoring.agreement import ChallengeWindow
from ranking.monitoring.calibration import Bounds
from ranking.monitoring.windows import challenge_bounds, challenge_windows
from schemas.modalities import DIMENSIONS, MODALITIES, Modality
from tests.ranking.examples import NOW_MS
from tests.ranking.monitoring.seen import Seen, observe, random_clips


def read(
    database: Database, generation: str = "g1", *, most_clips: int = 500, least_clips: int = 2, least_days: float = 1.0
) -> dict[str, ChallengeWindow]:
    with database.reading() as connection:
        found = list(
            challenge_windows(
                connection, generation, most_clips=most_clips, least_clips=least_clips, least_days=least_days
            )
        )
    return {clips.challenge_id: clips for clips in found}


def seen(clip_id: str, virality: float, **changes: object) -> Seen:
    return Seen(clip_id, "ch", {Modality.SKELETAL: virality}, virality, virality)._replace(**changes)


def rows(clips: ChallengeWindow) -> list[list[float]]:
    """Virality and scores, in an order that does not depend on the database's."""
    table = np.column_stack([clips.virality, clips.scores])
    return sorted(np.nan_to_num(table, nan=-99.0).tolist())


def test_the_clips_observed_last_are_read_with_what_was_predicted(any_database: Database) -> None:
    generator = np.random.default_rng(5)
    clips = random_clips("ch-1", 60, generator) + random_clips("ch-2", 25, generator)
    observe(any_database, clips)
    found = read(any_database, most_clips=15)
    assert set(found) == {"ch-1", "ch-2"}
    for challenge_id, read_clips in found.items():
        of_challenge = [clip for clip in clips if clip.challenge_id == challenge_id]
        old_enough = [clip for clip in of_challenge if clip.days_online >= 1.0]
        latest = sorted(old_enough, key=lambda clip: -clip.observed_at_ms)[:15]
        expected = [[clip.virality, *(clip.scores.get(m, -99.0) for m in MODALITIES), clip.fused] for clip in latest]
        assert rows(read_clips) == pytest.approx(np.array(sorted(expected)))
        assert read_clips.observed == len(of_challenge)
        virality = [clip.virality for clip in of_challenge]
        assert read_clips.bounds == pytest.approx((min(virality), max(virality)))


def test_only_clips_that_the_generation_scored_count(any_database: Database) -> None:
    observe(any_database, [seen("a", 1.0), seen("b", 2.0), seen("c", 3.0, generation="g2"), seen("d", 4.0)])
    assert read(any_database)["ch"].virality.tolist() == pytest.approx([1.0, 2.0, 4.0])
    assert read(any_database, "g2")["ch"].virality.tolist() == [3.0]
    assert read(any_database, "g3")["ch"].scores.shape == (0, len(DIMENSIONS))


def test_of_clips_observed_at_the_same_time_always_the_same_are_read(any_database: Database) -> None:
    observe(any_database, [seen(name, float(number)) for number, name in enumerate("cabd")])
    assert sorted(read(any_database, most_clips=2)["ch"].virality.tolist()) == [1.0, 2.0]


def test_challenges_with_fewer_clips_are_left_out(any_database: Database) -> None:
    observe(any_database, [seen("a", 1.0), seen("b", 2.0), seen("c", 3.0, challenge_id="other")])
    assert set(read(any_database)) == {"ch"}


def test_the_bounds_are_those_of_all_clips_however_young_or_long_ago(any_database: Database) -> None:
    young, long_ago = seen("a", -1.0, days_online=0.1), seen("b", 9.0, observed_at_ms=NOW_MS - 10**9)
    observe(any_database, [young, long_ago, seen("c", 3.0), seen("d", 100.0, challenge_id="other")])
    with any_database.reading() as connection:
        assert challenge_bounds(connection, "ch") == Bounds(-1.0, 9.0)
        assert challenge_bounds(connection, "nothing-observed") == Bounds(0.0, 0.0)


def test_the_bounds_are_two_looks_at_an_index(sqlite_database: Database) -> None:
    observe(sqlite_database, [seen("a", 1.0), seen("b", 2.0)])
    statements: list[str] = []
    with sqlite_database.reading() as connection:
        raw = connection.connection.dbapi_connection
        raw.set_trace_callback(statements.append)
        challenge_bounds(connection, "ch")
        raw.set_trace_callback(None)
        plan = [row[3] for row in raw.execute(f"EXPLAIN QUERY PLAN {statements[-1]}")]
    searches = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert len([s for s in searches if "ix_engagement_challenge_id_virality (challenge_id=?)" in s]) == 2
    assert not [s for s in plan if s.startswith("SCAN engagement")]
