"""Clips that an earlier release wrote are counted when the database is brought to this one."""

import random
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import ranking.database.migrations
from ranking.database.connection import Database
from ranking.database.tables import clips, scored_clips, scores, unranked_scores
from ranking.scores.runs.audit import differences
from ranking.scores.store import ScoreStore
from schemas.modalities import FUSED_MODALITIES, Dimension
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, scored_clip


def config(connection: sa.Connection) -> Config:
    found = Config()
    found.set_main_option("script_location", str(Path(ranking.database.migrations.__file__).parent).replace("%", "%%"))
    found.attributes["connection"] = connection
    return found


def write(connection: sa.Connection, count: int) -> None:
    """As release 0007 did: many equal scores, clips of two challenges and generations, some in no ranking."""
    draw = random.Random(1)
    for number in range(count):
        clip_id, challenge = f"c{number:04d}", draw.choice(["x", "y"])
        place = {"challenge_id": challenge, "uploaded_at_ms": NOW_MS, "log_partition": 0, "log_offset": number}
        connection.execute(sa.insert(clips), {**place, "clip_id": clip_id, "dancer_id": "d", "duration_s": 1.0})
        for generation in draw.sample(["g1", "g2"], draw.randint(1, 2)):
            of = {"generation": generation, "clip_id": clip_id}
            row = {**place, **of, "scored_at_ms": NOW_MS, "missing": "", "training_distance": None}
            connection.execute(sa.insert(scored_clips), row)
            outside = draw.random() < 0.1
            for name in (*FUSED_MODALITIES, Dimension.FUSED):
                value = {"dimension": str(name), "score": draw.choice([0.5, draw.gauss(0, 1)])}
                value["attention"] = None if name == Dimension.FUSED else draw.random()
                if outside:
                    connection.execute(sa.insert(unranked_scores), of | value)
                else:
                    connection.execute(sa.insert(scores), of | value | {"challenge_id": challenge})


def test_an_upgrade_counts_the_clips_that_are_there_and_goes_on(empty_database: Database) -> None:
    with empty_database.writing() as connection:
        command.upgrade(config(connection), "0007")
        write(connection, 400)
    empty_database.migrate()
    store = ScoreStore(empty_database)
    assert store.count_differences() == []
    assert sum(challenge.clips for challenge in store.challenges("g1")) == store.generations()["g1"]
    ranked = sum(store.ranking(name, Dimension.FUSED, "g1", order="top", k=1).clips for name in ("x", "y"))
    assert store.distribution(Dimension.FUSED, "g1").scores == ranked
    apply(store, [scored_clip(f"c{n:04d}", challenge_id="x", uploaded_at_ms=NOW_MS + 1) for n in range(0, 500, 3)])
    apply_entries(store, *(deletion(f"c{n:04d}", n) for n in range(0, 400, 7)))
    assert store.count_differences() == []


def test_a_downgrade_leaves_the_rows_of_the_release_before(empty_database: Database) -> None:
    empty_database.migrate()
    apply(ScoreStore(empty_database), [scored_clip(f"c{n}") for n in range(3)])
    with empty_database.writing() as connection:
        command.downgrade(config(connection), "0007")
        assert connection.scalars(sa.select(sa.func.count()).select_from(scores)).one() == 15
        connection.execute(sa.delete(clips).where(clips.c.clip_id == "c1"))
        assert connection.scalars(sa.select(sa.func.count()).select_from(scores)).one() == 10
    empty_database.migrate()
    with empty_database.reading() as connection:
        assert list(differences(connection)) == []
