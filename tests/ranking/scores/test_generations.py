"""The active model generation: how it is set at first, how it is changed, and what is refused."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config

import ranking.database.migrations
import ranking.scores.generations
from ranking.database.connection import Database
from ranking.database.monitoring_tables import drift_samples
from ranking.database.tables import clips, replicas, scored_clips, scores
from ranking.monitoring.drift import samples_of
from ranking.monitoring.samples import DriftSamples
from ranking.scores.generations import Generations, activate_first, active_generation
from ranking.scores.held import scored_generations
from ranking.scores.rows import write_entries
from ranking.scores.store import ScoreStore
from ranking.serving.replicas import ALIVE_S, Replicas, ReplicaState, obstacles
from schemas.errors import GenerationRefused, NotFound
from schemas.modalities import Dimension
from schemas.virality_target import Target
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, logged, scored_clip
from tests.ranking.monitoring.seen import plain_clips


@pytest.fixture
def generations(any_database: Database) -> Generations:
    return Generations(any_database)


def scored(store: ScoreStore, generation: str, clips: int, *, start: int = 0) -> None:
    apply(store, [scored_clip(f"c{n}", generation=generation) for n in range(clips)], start=start)


def states(store: ScoreStore) -> list[tuple[str, int, bool, bool]]:
    return [(s.generation, s.clips, s.in_force, s.retired) for s in store.generation_states()]


def test_the_first_clip_activates_its_generation_and_no_later_one_does(
    any_store: ScoreStore, generations: Generations
) -> None:
    assert (generations.active(), any_store.generation_states()) == (None, [])
    apply(any_store, [scored_clip("a"), scored_clip("b", generation="g2")])
    scored(any_store, "g3", 5, start=2)
    assert generations.active() == any_store.active_generation() == "g1"
    first = any_store.generation_states()[0]
    assert first.chosen_at_ms == scored_clip().scored_at_ms
    assert states(any_store)[0] == ("g1", 1, True, False)
    assert set(states(any_store)[1:]) == {("g2", 1, False, False), ("g3", 5, False, False)}


def test_the_state_of_a_generation_says_what_its_scores_predict(any_store: ScoreStore) -> None:
    for number, name in enumerate(["0123456789abcdef", "per-view-0123456789abcdef"]):
        scored(any_store, name, 1, start=number)
    assert {s.generation: s.target for s in any_store.generation_states()} == {
        "0123456789abcdef": Target.EQ1,
        "per-view-0123456789abcdef": Target.PER_VIEW,
    }


def test_all_generations_that_have_scored_clips_are_found_by_their_key(
    any_store: ScoreStore, any_database: Database
) -> None:
    def found() -> list[str]:
        with any_database.reading() as connection:
            return scored_generations(connection)

    assert found() == []
    for start, generation in enumerate(("g2", "g1", "g10")):
        apply(any_store, [scored_clip(clip, generation=generation) for clip in "abc"], start=3 * start)
    assert found() == ["g1", "g10", "g2"]


def test_a_deleted_clip_activates_nothing(any_store: ScoreStore, generations: Generations) -> None:
    apply_entries(any_store, deletion("c0"))
    scored(any_store, "g1", 1)
    assert generations.active() is None


def test_a_choice_holds_until_the_next_and_there_is_a_way_back(any_store: ScoreStore, generations: Generations) -> None:
    for number, generation in enumerate(["g1", "g2", "g3"]):
        scored(any_store, generation, 2, start=2 * number)
    with pytest.raises(GenerationRefused, match="no generation that is still held was active before g1"):
        generations.before()
    generations.activate("g3", 10)
    generations.activate("g3", 11)
    assert (generations.active(), generations.before()) == ("g3", "g1")
    generations.activate("g2", 12)
    assert generations.before() == "g3"
    assert [(s.generation, s.chosen_at_ms) for s in any_store.generation_states()[:2]] == [("g2", 12), ("g3", 10)]
    for expected in ("g3", "g2", "g3"):
        generations.activate(generations.before(), 13)
        assert generations.active() == expected


def test_a_generation_without_clips_cannot_be_activated(any_store: ScoreStore, generations: Generations) -> None:
    with pytest.raises(NotFound, match="known are: none"):
        generations.activate("g1", 1)
    scored(any_store, "g1", 1)
    with pytest.raises(NotFound, match="no clip was scored under generation g9; known are: g1"):
        generations.activate("g9", 1)
    assert generations.active() == "g1"


def test_clips_that_a_generation_has_not_scored_are_counted(any_store: ScoreStore, generations: Generations) -> None:
    scored(any_store, "g1", 5)
    apply(any_store, [scored_clip(f"c{n}", generation="g2") for n in (1, 3, 9)], start=5)
    assert generations.lacking("g2", NOW_MS + 1000) == 3
    assert generations.lacking("g2", NOW_MS + 999) == 0
    generations.activate("g2", 1)
    assert generations.lacking("g1", NOW_MS + 1000) == 1


def test_a_retired_generation_is_gone_for_good(
    any_database: Database, any_store: ScoreStore, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranking.scores.generations._PART", 2)
    scored(any_store, "g1", 5)
    scored(any_store, "g2", 5, start=5)
    with pytest.raises(GenerationRefused, match="g1 is active; activate another one first"):
        next(generations.retire("g1", 1))
    generations.activate("g2", 1)
    assert list(generations.retire("g1", 2)) == [5, 3, 1, 0]
    assert list(generations.retire("g1", 3)) == [0], "it may be done again"
    scored(any_store, "g1", 7, start=10)
    assert set(states(any_store)) == {("g2", 5, True, False), ("g1", 0, False, True)}
    with any_database.reading() as connection:
        assert set(connection.scalars(sa.select(scores.c.generation))) == {"g2"}
    assert any_store.ranking("ch", Dimension.FUSED, "g2", order="top", k=10).clips == 5
    for refused in (generations.check, lambda name: generations.activate(name, 4)):
        with pytest.raises(GenerationRefused, match="g1 is retired"):
            refused("g1")
    with pytest.raises(GenerationRefused):
        generations.before()


def test_of_a_retired_generation_no_samples_are_left(
    any_database: Database, any_store: ScoreStore, generations: Generations
) -> None:
    samples = DriftSamples(any_database, reference_clips=10, window_clips=10)
    samples.add(samples_of(plain_clips(20)))
    scored(any_store, "g2", 1)
    others = plain_clips(20, generation="g2")
    samples.add(samples_of(others))
    list(generations.retire("g1", 1))
    samples.add(samples_of(plain_clips(5)))  # of a worker that lags
    with any_database.reading() as connection:
        assert set(connection.scalars(sa.select(drift_samples.c.generation))) == {"g2"}


def test_replicas_count_as_long_as_they_say_something(any_database: Database, any_store: ScoreStore) -> None:

    def pass_by(seconds: float) -> None:
        with any_database.writing() as connection:
            connection.execute(sa.update(replicas).values(seen_at_ms=replicas.c.seen_at_ms - round(seconds * 1000)))

    serving = Replicas(any_database)
    full, empty = ReplicaState("a:1", {"g1": 5, "g2": 3}, True), ReplicaState("b:1", {}, False)
    serving.report(ReplicaState("a:1", {"g0": 1}, False))
    serving.report(full)
    pass_by(ALIVE_S - 10)
    serving.report(empty)
    assert serving.alive() == [full, empty]
    pass_by(11)
    assert serving.alive() == [empty]
    serving.leave("b:1")
    pass_by(-11)
    assert serving.alive() == [full]
    pass_by(2 * 86_400)
    serving.report(empty)
    pass_by(-2 * 86_400)
    assert serving.alive() == [empty], "one that has not reported for long is removed"


def test_whoever_could_not_answer_for_a_generation_is_named() -> None:
    serving = [
        ReplicaState("whole", {"g2": 100}, True),
        ReplicaState("ahead", {"g1": 7, "g2": 101}, True),
        ReplicaState("behind", {"g2": 99}, True),
        ReplicaState("without", {"g1": 100}, True),
        ReplicaState("reading", {"g2": 100}, False),
    ]
    assert obstacles("g2", 100, serving) == [
        "behind holds 99 of its 100 clips",
        "without holds 0 of its 100 clips",
        "reading has not read the logs to their end",
    ]
    assert obstacles("g2", 100, []) == []


def test_generations_are_listed_by_when_they_were_activated_then_by_when_they_scored(
    any_store: ScoreStore, generations: Generations
) -> None:
    ages_s = {"g1": 0, "g3": 7, "g2": 9, "g5": 6, "g4": 8}
    for number, (generation, age_s) in enumerate(ages_s.items()):
        clip = scored_clip(generation=generation, scored_at_ms=NOW_MS + 1000 * age_s)
        apply(any_store, [clip], start=number)
    for at_ms, generation in enumerate(["g3", "g1"], start=NOW_MS + 10):
        generations.activate(generation, at_ms)
    list(generations.retire("g4", 1))
    shown = [(s.generation, s.chosen_at_ms) for s in any_store.generation_states()]
    assert shown == [("g1", NOW_MS + 11), ("g3", NOW_MS + 10), ("g2", None), ("g5", None), ("g4", None)]


def test_only_clips_of_the_active_generation_can_be_lacking(any_store: ScoreStore, generations: Generations) -> None:
    scored(any_store, "g1", 2)
    scored(any_store, "g2", 2, start=2)
    scored(any_store, "g3", 9, start=4)
    assert generations.lacking("g2", NOW_MS + 1000) == 0


@pytest.fixture
def beside() -> Iterator[ThreadPoolExecutor]:
    """Whoever does something at the same time."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


def waits(done: Future[Any]) -> bool:
    """Whether it has not come to an end within a moment."""
    with pytest.raises(TimeoutError):
        done.result(0.3)
    return True


def test_of_two_workers_with_the_first_clips_one_decides(
    any_database: Database, any_store: ScoreStore, beside: ThreadPoolExecutor
) -> None:

    def adopt(generation: str) -> str | None:
        with any_database.writing() as connection:
            activate_first(connection, generation, 1)
            return active_generation(connection)

    with any_database.writing() as connection:
        activate_first(connection, "g1", 1)
        second = beside.submit(adopt, "g2")
        assert waits(second)
    assert second.result(10) == any_store.active_generation() == "g1"


def test_a_clip_that_is_being_written_is_dropped_with_its_retired_generation(
    any_database: Database, any_store: ScoreStore, generations: Generations, beside: ThreadPoolExecutor
) -> None:
    scored(any_store, "g1", 1)
    with any_database.writing() as connection:
        write_entries(connection, logged([scored_clip("c9", generation="g2")], start=9), NOW_MS)
        done = beside.submit(lambda: list(generations.retire("g2", 1)))
        assert waits(done)
    assert done.result(10) == [1, 0]
    assert any_store.generations() == {"g1": 1}


class Halt:
    """Stands in for a step of a transaction: waits there until it is released."""

    def __init__(self, step: Callable[..., Any]) -> None:
        self._step = step
        self.is_there, self.go_on = threading.Event(), threading.Event()

    def __call__(self, *arguments: Any) -> Any:
        self.is_there.set()
        assert self.go_on.wait(60)
        return self._step(*arguments)


@pytest.mark.parametrize("first", ["use", "retire"])
def test_the_active_generation_is_never_retired_whoever_comes_first(
    any_store: ScoreStore, generations: Generations, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    scored(any_store, "g1", 1)
    scored(any_store, "g2", 1, start=1)
    acts = {"use": lambda: generations.activate("g2", 1), "retire": lambda: list(generations.retire("g2", 1))}
    step = {"use": "_check", "retire": "insert_into"}[first]
    halt = Halt(getattr(ranking.scores.generations, step))
    with ThreadPoolExecutor(2) as pool:
        with monkeypatch.context() as patched:
            patched.setattr(f"ranking.scores.generations.{step}", halt)
            before = pool.submit(acts.pop(first))
            assert halt.is_there.wait(60)
        after = pool.submit(acts.popitem()[1])
        assert waits(after)
        halt.go_on.set()
        before.result(10)
        with pytest.raises(GenerationRefused):
            after.result(10)
    assert generations.active() == ("g2" if first == "use" else "g1")
    assert generations.retired() == (set() if first == "use" else {"g2"})


def test_retiring_ends_though_clips_are_deleted_meanwhile(
    any_store: ScoreStore, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranking.scores.generations._PART", 2)
    scored(any_store, "g1", 5)
    scored(any_store, "g2", 5, start=5)
    generations.activate("g2", 1)
    steps = generations.retire("g1", 2)
    assert next(steps) == 5
    apply_entries(any_store, deletion("c0"))
    assert [left for left, _ in zip(steps, range(9), strict=False)] == [3, 1, 0]
    assert any_store.generations() == {"g2": 4}


def test_what_is_lacking_does_not_depend_on_clocks(any_store: ScoreStore, generations: Generations) -> None:
    assert generations.scored_until() == 0
    scored(any_store, "g1", 2)
    scored(any_store, "g2", 1, start=2)
    assert generations.scored_until() == NOW_MS + 1000
    assert generations.lacking("g2", generations.scored_until()) == generations.lacking("g2") == 1


def test_a_database_of_an_earlier_release_goes_on_with_the_generation_scored_last(empty_database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(ranking.database.migrations.__file__).parent).replace("%", "%%"))
    place = {"challenge_id": "ch", "uploaded_at_ms": 1, "log_partition": 0, "log_offset": 0}
    with empty_database.writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        clip = {**place, "clip_id": "a", "dancer_id": "d", "duration_s": 1.0}
        connection.execute(sa.insert(clips), clip)
        rows = [
            {**place, "clip_id": "a", "generation": name, "scored_at_ms": at_ms, "missing": ""}
            for name, at_ms in (("g1", 5), ("g2", 7), ("g3", 6))
        ]
        connection.execute(sa.insert(scored_clips), rows)
    empty_database.migrate()
    store = ScoreStore(empty_database)
    assert [(s.generation, s.chosen_at_ms) for s in store.generation_states() if s.in_force] == [("g2", 7)]
