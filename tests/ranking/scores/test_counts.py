"""Ranks, percentiles and means that are counted from runs equal those of a plain list of the clips that are there."""

import random
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import Database
from ranking.database.tables import metadata, ranking_parts, ranking_runs, scores
from ranking.scores.generations import Generations
from ranking.scores.ranks import place
from ranking.scores.runs.audit import differences, rebuild
from ranking.scores.standings import standings
from ranking.scores.store import ScoreStore
from ranking.views.log_records import LogEntry, positions_after
from schemas.events import ClipScored
from schemas.modalities import DIMENSIONS, FUSED_MODALITIES, Dimension, Modality
from schemas.ports import ScoredRecord
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, logged, record, result, scored_clip

FUSED = Dimension.FUSED


def made(number: int, draw: random.Random, *, version: int = 0) -> ClipScored:
    """A clip of one of two challenges, with scores of which many are equal, and some modalities."""
    modalities = [m for m in FUSED_MODALITIES if draw.random() < 0.8] or [Modality.FACIAL]
    return scored_clip(
        f"clip-{number:05d}",
        challenge_id=draw.choice(["x", "x", "x", "y"]),
        uploaded_at_ms=NOW_MS + version,
        modalities={
            m: result(score=draw.choice([-0.5, 0.0, -0.0, 0.25, draw.gauss(0, 1)]), attention=draw.random())
            for m in modalities
        },
        fused_score=draw.choice([0.5, draw.random()]),
        **({"training_distance": 2.0} if draw.random() < 0.05 else {}),
    )


class Reference:
    """The clips that are there, and what follows from them by brute force."""

    def __init__(self) -> None:
        self.clips: dict[str, ClipScored] = {}
        self.deleted: set[str] = set()

    def take(self, entries: Iterable[LogEntry]) -> None:
        for entry in entries:
            if isinstance(entry, ScoredRecord):
                held = self.clips.get(entry.clip.clip_id)
                if held is None or entry.clip.uploaded_at_ms > held.uploaded_at_ms:
                    self.clips[entry.clip.clip_id] = entry.clip
            else:
                self.deleted.add(entry.event.clip_id)
        for clip_id in self.deleted:
            self.clips.pop(clip_id, None)

    def check(self, store: ScoreStore) -> None:
        ranked = [c for c in self.clips.values() if getattr(c, "training_distance", None) is None]
        with store._database.reading() as connection:
            assert list(differences(connection)) == []
            found = standings(connection, [c.clip_id for c in ranked], "g1")
        assert set(found) == {c.clip_id for c in ranked}
        for challenge in ("x", "y"):
            within = [c for c in ranked if c.challenge_id == challenge]
            for dimension in DIMENSIONS:
                values = [c.scores()[dimension] for c in within if dimension in c.scores()]
                for clip in within:
                    if (own := clip.scores().get(dimension)) is not None:
                        expected = place(sum(v > own for v in values), values.count(own), len(values))
                        assert found[clip.clip_id][dimension].place == expected
                        assert found[clip.clip_id][dimension].clips == len(values)
        sizes = Counter(c.challenge_id for c in self.clips.values())
        assert {c.challenge_id: c.clips for c in store.challenges("g1")} == sizes
        for challenge in sizes:
            answer, within = store.attention(challenge, "g1"), [c for c in ranked if c.challenge_id == challenge]
            means = {}
            for modality in FUSED_MODALITIES:
                shares = [c.modalities[modality].attention for c in within if modality in c.modalities]
                if shares:
                    means[modality] = sum(shares) / len(shares)
            assert answer.mean_attention == pytest.approx(means, abs=1e-12)


def forget(database: Database) -> None:
    with database.writing() as connection:
        for table in metadata.sorted_tables:
            connection.execute(sa.delete(table).where(sa.true())) if table.name != "pool_counters" else None


step = st.tuples(
    st.sampled_from(["score", "score", "score again", "delete", "replay"]), st.integers(1, 90), st.integers(0, 2**16)
)


def follow(store: ScoreStore, steps: Sequence[tuple[str, int, int]]) -> None:
    """Batches of new clips, of clips that are scored or uploaded again, and deletions; checked after each."""
    reference, offset, log = Reference(), 0, list[list[LogEntry]]()
    for number, (kind, size, seed) in enumerate(steps):
        draw = random.Random(seed)
        if kind == "replay" and log:
            batch = log[seed % len(log)]
        elif kind == "delete":
            batch = [deletion(f"clip-{n:05d}", offset + n) for n in draw.sample(range(300), min(size, 20))]
        else:
            start = draw.randrange(300) if kind == "score" else 0
            drawn = [made(start + n, draw, version=number) for n in range(size)]
            batch = [ScoredRecord(record(clip, offset + n), clip) for n, clip in enumerate(drawn)]
        offset += size
        log.append(batch)
        reference.take(batch)
        store.apply(batch, {})
    reference.check(store)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=st.lists(step, min_size=1, max_size=10))
def test_counts_follow_the_rows(shared_store: ScoreStore, steps: list[tuple[str, int, int]]) -> None:
    forget(shared_store._database)
    follow(shared_store, steps)


@pytest.mark.postgresql
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(step, min_size=1, max_size=10))
def test_counts_follow_the_rows_on_postgresql_too(
    postgresql_database: Database, steps: list[tuple[str, int, int]]
) -> None:
    forget(postgresql_database)
    follow(ScoreStore(postgresql_database), steps)


def test_a_challenge_has_few_runs_however_many_clips_and_batches_it_had(any_store: ScoreStore) -> None:
    draw = random.Random(1)
    reference, number = Reference(), 0
    for size in [1] * 70 + [7] * 40 + [200] * 12:
        batch = logged([made(number + n, draw) for n in range(size)], start=number)
        number += size
        reference.take(batch)
        any_store.apply(batch, positions_after(entry.record for entry in batch))
    with any_store._database.reading() as connection:
        of_x = ranking_runs.c.challenge_id == "x"
        of_all = connection.scalars(sa.select(sa.func.count()).where(of_x, ranking_runs.c.minutes == 0)).one()
    assert of_all <= 3 * 7  # three of each level, 4**0 to 4**6
    reference.check(any_store)


def test_a_clip_that_leaves_a_ranking_and_one_that_enters_in_its_minute_do_not_cancel(any_store: ScoreStore) -> None:
    reference = Reference()
    inside = [scored_clip(f"c{n}", fused_score=n / 7, challenge_id="x") for n in range(8)]
    outside = [
        scored_clip(f"c{n}", training_distance=2.0, challenge_id="x", uploaded_at_ms=NOW_MS + 1) for n in range(4)
    ]
    for number, clips in enumerate([inside, *([clip] for clip in outside)]):
        batch = logged(clips, start=10 * number)
        reference.take(batch)
        any_store.apply(batch, {})
        reference.check(any_store)


def test_equal_scores_of_all_clips_are_one_entry(any_store: ScoreStore) -> None:
    same = {m: result(score=0.5) for m in FUSED_MODALITIES}
    for start in range(0, 2000, 500):
        apply(any_store, [scored_clip(f"c{start + n}", modalities=same) for n in range(500)], start=start)
    found = any_store.place("c7", FUSED, "g1")
    assert (found.rank, found.percentile) == (1, 50.0)
    with any_store._database.reading() as connection:
        assert connection.scalars(sa.select(sa.func.count()).select_from(ranking_parts)).one() <= 5 * 4 * 3


def workers(database: Database, batches: Sequence[Sequence[Sequence[LogEntry]]]) -> list[Exception]:
    """A thread for each sequence of batches; returns what failed."""
    failures: list[Exception] = []

    def work(own: Sequence[Sequence[LogEntry]]) -> None:
        try:
            for batch in own:
                ScoreStore(database).apply(batch, {})
        except Exception as error:  # noqa: BLE001 - reported by the caller
            failures.append(error)

    threads = [threading.Thread(target=work, args=(own,)) for own in batches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


def test_workers_that_write_to_one_challenge_at_once_count_every_clip_once(any_database: Database) -> None:
    draw, reference = random.Random(5), Reference()
    batches: list[list[list[LogEntry]]] = []
    for worker in range(3):
        own: list[list[LogEntry]] = []
        for number in range(12):
            # All write the same clips, each later than the worker before; the greatest version holds.
            clips = [made(n, draw, version=100 * worker + number) for n in draw.sample(range(150), 40)]
            own.append(list(logged(clips, start=number * 40, partition=worker)))
        own.insert(6, [deletion(f"clip-{n:05d}", n, partition=worker) for n in range(worker, 150, 17)])
        batches.append(own)
    assert workers(any_database, batches) == []
    for own in batches:
        for batch in own:
            reference.take(batch)
    reference.check(ScoreStore(any_database))


def test_a_transaction_that_fails_leaves_the_counts_as_they_were(any_store: ScoreStore) -> None:
    draw, reference = random.Random(2), Reference()
    first = logged([made(n, draw) for n in range(100)])
    reference.take(first)
    any_store.apply(first, {})
    with pytest.raises(Exception, match=r".*"):
        any_store.apply(logged([made(n, draw, version=1) for n in range(300)]), {record_position(): 2**70})
    reference.check(any_store)


def record_position() -> object:
    return logged([scored_clip()])[0].record.topic_partition


def test_a_retired_generation_takes_its_runs_along(any_store: ScoreStore, any_database: Database) -> None:
    draw = random.Random(3)
    apply(any_store, [made(n, draw) for n in range(80)])
    apply(any_store, [scored_clip(f"clip-{n:05d}", generation="g2") for n in range(80)], start=80)
    generations = Generations(any_database)
    generations.activate("g2", NOW_MS)
    list(generations.retire("g1", NOW_MS))
    apply_entries(any_store, deletion("clip-00001"))
    with any_database.reading() as connection:
        assert set(connection.scalars(sa.select(ranking_runs.c.generation))) == {"g2"}
        kept = set(connection.scalars(sa.select(ranking_runs.c.run)))
        assert set(connection.scalars(sa.select(ranking_parts.c.run))) <= kept
        assert list(differences(connection)) == []
    assert any_store.ranking("ch", FUSED, "g2", order="top", k=1).clips == 79


def damaged(store: ScoreStore) -> Iterator[str]:
    with store._database.reading() as connection:
        yield from map(str, differences(connection))


def test_the_audit_names_what_differs_and_a_rebuild_mends_it(any_store: ScoreStore, any_database: Database) -> None:
    draw, reference = random.Random(4), Reference()
    batch = logged([made(n, draw) for n in range(300)])
    reference.take(batch)
    any_store.apply(batch, {})
    assert list(damaged(any_store)) == []
    with any_database.writing() as connection:
        connection.execute(
            sa.update(scores).values(score=9.0).where(scores.c.dimension == "facial", scores.c.challenge_id == "y")
        )
        connection.execute(sa.delete(ranking_runs).where(ranking_runs.c.challenge_id == "x"))
    (*lost, changed) = damaged(any_store)
    assert len(lost) == 6
    assert lost[0].startswith("x under g1: 0 clips counted scored, ")
    assert changed.startswith("y under g1: the scores of ")
    with any_database.writing() as connection:
        rebuild(connection, NOW_MS)
    assert list(damaged(any_store)) == []


def test_neighbours_beyond_deleted_clips_are_found(any_store: ScoreStore) -> None:
    """The part of a run beside a clip holds the nearest scores; where those were lost it takes more than one look."""
    clips = [scored_clip(f"c{number:03d}", fused_score=number / 1000) for number in range(300)]
    apply(any_store, clips)
    gone = {*range(140, 150), *range(151, 163)}
    apply_entries(any_store, *(deletion(f"c{number:03d}", number) for number in sorted(gone)))
    found = any_store.neighbours("c150", Dimension.FUSED, "g1", k=5)
    assert [clip.clip_id for clip in found.above] == [f"c{number:03d}" for number in range(163, 168)]
    assert [clip.clip_id for clip in found.below] == [f"c{number:03d}" for number in range(139, 134, -1)]
    assert [clip.rank for clip in found.above] == [300 - number for number in range(163, 168)]
    assert found.clip.rank == 300 - 150 - 12
    assert found.clips == 300 - len(gone)


def test_neighbours_among_equal_scores_are_the_nearest_in_the_order_of_the_ranking(any_store: ScoreStore) -> None:
    """Also where more clips have a score than are asked for, on this side or at the end of it."""
    of_score = {0.1: 2, 0.3: 5, 0.4: 1, 0.5: 7, 0.6: 2, 0.7: 1, 0.8: 3}
    draw = random.Random(9)
    scores_of = [score for score, count in of_score.items() for _ in range(count)]
    clips = [scored_clip(f"c{draw.randrange(10**6):06d}", fused_score=score) for score in scores_of]
    apply(any_store, clips)
    ranked = sorted(clips, key=lambda clip: (-clip.fused_score, clip.clip_id))
    rank = {score: 1 + sum(clip.fused_score > score for clip in clips) for score in of_score}
    for at, clip in enumerate(ranked):
        for k in (1, 3, 6):
            found = any_store.neighbours(clip.clip_id, Dimension.FUSED, "g1", k=k)
            above, below = ranked[max(0, at - k) : at][::-1], ranked[at + 1 : at + 1 + k]
            assert [each.clip_id for each in found.above] == [each.clip_id for each in above]
            assert [each.clip_id for each in found.below] == [each.clip_id for each in below]
            assert [each.rank for each in found.above] == [rank[each.fused_score] for each in above]
            assert [each.rank for each in found.below] == [rank[each.fused_score] for each in below]
            assert found.clip.rank == rank[clip.fused_score]
