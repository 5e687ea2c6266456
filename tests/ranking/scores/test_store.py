import itertools
import random
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import percentileofscore, rankdata

from ranking.database.connection import Database
from ranking.database.tables import clips, scored_clips, scores
from ranking.scores.store import ScoreStore
from ranking.views.log_records import positions_after
from schemas.errors import DancerankError, NotFound, QueryError, StoreRefused, StoreUnavailable
from schemas.events import ClipScored
from schemas.modalities import DIMENSIONS, FUSED_MODALITIES, Dimension, Modality
from schemas.ports import ScoredRecord
from schemas.questions.retrieval import MAX_HITS, Challenge
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import apply, at, logged, result, scored_clip, with_scores

FUSED = Dimension.FUSED


def contents(database: Database) -> list[list[tuple[object, ...]]]:
    with database.reading() as connection:
        return [
            sorted(tuple(row) for row in connection.execute(sa.select(table)))
            for table in (clips, scored_clips, scores)
        ]


def random_clips(count: int, seed: int) -> list[ClipScored]:
    """Clips of three challenges with many equal scores, some without some modalities."""
    draw = random.Random(seed)
    made = []
    for number in range(count):
        present = [m for m in FUSED_MODALITIES if draw.random() < 0.8] or [Modality.SCENIC]
        made.append(
            with_scores(
                f"clip-{number:03d}",
                {m: draw.choice([0.1, 0.2, 0.3, draw.random()]) for m in present},
                draw.choice([0.4, 0.5, draw.random()]),
                challenge_id=f"ch-{draw.randrange(3)}",
                dancer_id=f"d-{draw.randrange(7)}",
            )
        )
    return made


@pytest.mark.parametrize("order", ["top", "bottom"])
def test_rankings_equal_sorting_the_scores_in_plain_python(any_store: ScoreStore, order: str) -> None:
    log = random_clips(120, seed=3)
    apply(any_store, log)
    for challenge, dimension, k in itertools.product(("ch-0", "ch-1", "ch-2"), DIMENSIONS, (1, 7, 1000)):
        within = [clip for clip in log if clip.challenge_id == challenge and dimension in clip.scores()]
        values = [clip.scores()[dimension] for clip in within]
        ranks = dict(zip((c.clip_id for c in within), rankdata([-v for v in values], method="min"), strict=True))
        sign = -1 if order == "top" else 1
        expected = sorted(within, key=lambda c: (sign * c.scores()[dimension], c.clip_id))[:k]
        found = any_store.ranking(challenge, dimension, "g1", order=order, k=k)  # type: ignore[arg-type]
        assert found.clips == len(within)
        assert [entry.clip_id for entry in found.entries] == [clip.clip_id for clip in expected]
        for entry, clip in zip(found.entries, expected, strict=True):
            assert (entry.dancer_id, entry.score) == (clip.dancer_id, clip.scores()[dimension])
            assert entry.rank == ranks[clip.clip_id]
            assert entry.percentile == pytest.approx(percentileofscore(values, entry.score, kind="mean"))
            assert any_store.place(clip.clip_id, dimension, "g1") == entry


def test_clip_ids_are_ordered_by_code_point_on_every_database(any_store: ScoreStore) -> None:
    ids = ["a", "B", "b", "A", "ä", "z", "_", "Z-1", "é", "1", "日本", "🕺"]
    apply(any_store, [with_scores(i, {Modality.FACIAL: 1.0}, 1.0) for i in ids])
    assert [e.clip_id for e in any_store.ranking("ch", FUSED, "g1", order="top", k=99).entries] == sorted(ids)


def test_a_clip_summary_holds_what_was_scored(any_store: ScoreStore) -> None:
    clip = with_scores("c1", {Modality.SKELETAL: 0.2, Modality.FACIAL: 0.9}, 0.7)
    apply(any_store, [clip, with_scores("c2", {Modality.SKELETAL: 0.8}, 0.1)])
    summary = any_store.clip("c1", "g1")
    assert summary.scores == clip.scores()
    assert summary.attention == {Modality.SKELETAL: 0.5, Modality.FACIAL: 0.5}
    assert summary.missing == [Modality.HOLISTIC, Modality.SCENIC]
    assert {d: (p.rank, p.percentile) for d, p in summary.places.items()} == {
        Dimension.SKELETAL: (2, 25.0),
        Dimension.FACIAL: (1, 50.0),
        FUSED: (1, 75.0),
    }
    assert (summary.uploaded_at_ms, summary.scored_at_ms) == (clip.uploaded_at_ms, clip.scored_at_ms)


def test_mean_attention_is_over_the_clips_that_have_the_modality(any_store: ScoreStore) -> None:
    share = {Modality.SKELETAL: result(attention=0.75), Modality.SCENIC: result(attention=0.25)}
    apply(
        any_store,
        [scored_clip("c1", modalities=share), scored_clip("c2", modalities={Modality.SKELETAL: result(attention=1.0)})],
    )
    answer = any_store.attention("ch", "g1")
    assert answer.clips == 2
    assert answer.mean_attention == {Modality.SKELETAL: 0.875, Modality.SCENIC: 0.25}
    assert answer.present == {Modality.SKELETAL: 2, Modality.SCENIC: 1}


def test_mean_attentions_sum_to_one_if_no_modality_is_missing(store: ScoreStore) -> None:
    apply(store, [with_scores(f"c{n}", dict.fromkeys(FUSED_MODALITIES, 0.1), 0.5) for n in range(5)])
    assert sum(store.attention("ch", "g1").mean_attention.values()) == pytest.approx(1)


@pytest.mark.parametrize("arrival", [(0, 1), (1, 0)], ids=["in order", "late first"])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_the_later_upload_of_a_clip_holds_also_if_its_challenge_moved_it_to_a_lower_partition(
    any_store: ScoreStore, arrival: tuple[int, int], together: bool
) -> None:
    older = logged([scored_clip("c1", challenge_id="old", uploaded_at_ms=1000)], start=50, partition=3)
    later = logged([scored_clip("c1", challenge_id="new", uploaded_at_ms=2000)], start=4, partition=1)
    records = [(older, later)[number][0] for number in arrival]
    for batch in [records] if together else [[entry] for entry in records]:
        any_store.apply(batch, positions_after(entry.record for entry in batch))
    summary = any_store.clip("c1", "g1")
    assert (summary.challenge_id, summary.uploaded_at_ms) == ("new", 2000)
    assert [challenge.challenge_id for challenge in any_store.challenges("g1")] == ["new"]
    assert [entry.clip_id for entry in any_store.ranking("new", FUSED, "g1", order="top", k=9).entries] == ["c1"]


def test_a_replay_changes_nothing(any_store: ScoreStore, any_database: Database) -> None:
    log = random_clips(30, seed=5)
    apply(any_store, log)
    before = contents(any_database)
    apply(any_store, log[10:20], start=10)
    apply(any_store, log)
    assert contents(any_database) == before
    assert any_store.positions([at()]) == {at(): 30}


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.permutations(range(6)), st.integers(1, 6))
def test_late_duplicates_leave_the_same_rows_in_whichever_order_they_come(order: list[int], batch: int) -> None:
    versions = [
        with_scores("c1", {Modality.SKELETAL: 0.1, Modality.FACIAL: 0.2}, 0.3, dancer_id="d1"),
        with_scores("c1", {Modality.SKELETAL: 0.5}, 0.6, dancer_id="d2", challenge_id="other"),
        with_scores("c1", {Modality.SCENIC: 0.7}, 0.8, generation="g2"),
    ]
    log = [entry for partition in (0, 1) for entry in logged(versions, partition=partition)]
    database = Database("sqlite://")
    database.migrate()
    store = ScoreStore(database)
    mixed: list[ScoredRecord] = [log[i] for i in order]
    for start in range(0, 6, batch):
        store.apply(mixed[start : start + batch], {})
    held = store.clip("c1", "g1")
    assert (held.scores, held.challenge_id) == (versions[1].scores(), "other")
    assert held.missing == [Modality.HOLISTIC, Modality.FACIAL, Modality.SCENIC]
    assert store.clip("c1", "g2").scores == versions[2].scores()
    assert held.dancer_id == versions[2].dancer_id  # the clip itself is described by its last record
    assert store.challenges("g1") == [Challenge("other", 1)]
    database.close()


def test_generations_are_kept_apart_and_the_newest_comes_first(store: ScoreStore) -> None:
    apply(store, [scored_clip("c1"), scored_clip("c2")])
    apply(store, [scored_clip("c1", generation="g0", scored_at_ms=1)], start=2)
    assert list(store.generations().items()) == [("g1", 2), ("g0", 1)]
    assert store.ranking("ch", FUSED, "g0", order="top", k=5).clips == 1


def test_a_position_never_goes_back(store: ScoreStore) -> None:
    store.apply([], {at(): 7, at(1): 3})
    store.apply([], {at(): 5})
    assert store.positions([at(), at(1), at(2)]) == {at(): 7, at(1): 3}


def test_data_and_positions_are_stored_together_or_not_at_all(any_store: ScoreStore, any_database: Database) -> None:
    apply(any_store, [scored_clip("c1")])
    before = contents(any_database)
    entries = logged([scored_clip("c2")], start=1)
    with pytest.raises((StoreRefused, OverflowError)):
        any_store.apply(entries, {at(): 2, at(1): 2**70})
    assert contents(any_database) == before
    assert any_store.positions([at()]) == {at(): 1}


def test_workers_that_write_the_same_clips_do_not_deadlock(any_database: Database) -> None:
    log = random_clips(40, seed=8)
    failures: list[Exception] = []

    def work(seed: int) -> None:
        store = ScoreStore(any_database)
        draw = random.Random(seed)
        try:
            for start in range(0, 40, 10):
                mixed = draw.sample(log, 30)
                store.apply(logged(mixed, start=start, partition=seed), {at(seed): start + 30})
        except Exception as error:  # noqa: BLE001 - reported below
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_what_is_unknown_is_named(store: ScoreStore) -> None:
    apply(store, [with_scores("c1", {Modality.SKELETAL: 1.0}, 1.0)])
    with pytest.raises(NotFound, match="challenge nowhere") as raised:
        store.ranking("nowhere", FUSED, "g1", order="top", k=1)
    assert raised.value.field == "challenge_id"
    with pytest.raises(NotFound, match="generation g9"):
        store.attention("ch", "g9")
    with pytest.raises(NotFound) as raised:
        store.clip("c9", "g1")
    assert raised.value.field == "clip_id"
    with pytest.raises(NotFound, match="has no facial score; it has skeletal, fused"):
        store.place("c1", Dimension.FACIAL, "g1")
    assert store.ranking("ch", Dimension.FACIAL, "g1", order="top", k=1).entries == []


@pytest.mark.parametrize("k", [0, -1, MAX_HITS + 1])
def test_k_has_limits(store: ScoreStore, k: int) -> None:
    with pytest.raises(QueryError) as raised:
        store.ranking("ch", FUSED, "g1", order="top", k=k)
    assert raised.value.field == "k"


def test_text_is_never_taken_for_sql(store: ScoreStore) -> None:
    hostile = "x'); DROP TABLE clips;--"
    apply(store, [scored_clip("c1", challenge_id=hostile.replace(" ", "_"))])
    with pytest.raises(NotFound):
        store.ranking(hostile, FUSED, "g1", order="top", k=1)
    assert store.challenges("g1") == [Challenge(hostile.replace(" ", "_"), 1)]


def test_a_database_without_our_tables_says_to_migrate(empty_database: Database) -> None:
    with pytest.raises(StoreRefused, match="migrations"):
        ScoreStore(empty_database).generations()


@pytest.mark.parametrize(
    ("url", "error"), [("sqlite:///{}/absent/x.db", StoreRefused), (UNREACHABLE, StoreUnavailable)]
)
def test_a_server_that_does_not_answer_may_answer_later_and_a_wrong_path_stays_wrong(
    tmp_path: Path, url: str, error: type[DancerankError]
) -> None:
    with pytest.raises(error):
        ScoreStore(Database(url.format(tmp_path))).generations()


def test_rankings_are_ranges_of_an_index(store: ScoreStore, sqlite_database: Database) -> None:
    apply(store, random_clips(50, seed=1))
    statements: list[tuple[str, object]] = []
    sa.event.listen(
        sqlite_database._engine,
        "before_cursor_execute",
        lambda c, cur, statement, params, ctx, many: statements.append((statement, params)),
    )
    store.ranking("ch-0", FUSED, "g1", order="top", k=3)
    store.ranking("ch-0", FUSED, "g1", order="bottom", k=3)
    store.attention("ch-0", "g1")
    store.clip("clip-000", "g1")
    with sqlite_database.reading() as connection:
        for statement, parameters in statements:
            if statement.startswith("SELECT"):
                plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
                steps = [row.detail for row in plan]
                assert not [step for step in steps if step.startswith("SCAN") and step != "SCAN anon_1"], steps
