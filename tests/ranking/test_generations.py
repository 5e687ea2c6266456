"""Which model generation is in force: who decides first, how it is changed, and what is refused."""

from collections.abc import Iterator
from contextlib import closing

import pytest
import sqlalchemy as sa

from ranking.database import open_engine, reading
from ranking.generations import Generations
from ranking.monitoring.drift import samples_of
from ranking.monitoring.samples import DriftSamples
from ranking.replicas import ALIVE_S, Replicas, ReplicaState, obstacles
from ranking.store import ScoreStore
from ranking.tables import drift_samples, scores
from schemas.errors import GenerationRefused, NotFound
from schemas.modalities import Dimension
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, scored_clip
from tests.ranking.monitoring.seen import plain_clips


@pytest.fixture
def generations(any_url: str, any_store: ScoreStore) -> Iterator[Generations]:
    with closing(Generations(any_url)) as made:
        yield made


def scored(store: ScoreStore, generation: str, clips: int, *, start: int = 0) -> None:
    apply(store, [scored_clip(f"c{n}", generation=generation) for n in range(clips)], start=start)


def states(store: ScoreStore) -> list[tuple[str, int, bool, bool]]:
    return [(s.generation, s.clips, s.in_force, s.retired) for s in store.generation_states()]


def test_the_first_clip_puts_its_generation_in_force_and_no_later_one_does(
    any_store: ScoreStore, generations: Generations
) -> None:
    assert (generations.in_force(), any_store.generation_states()) == (None, [])
    apply(any_store, [scored_clip("a"), scored_clip("b", generation="g2")])
    scored(any_store, "g3", 5, start=2)
    assert generations.in_force() == any_store.generation_in_force() == "g1"
    first = any_store.generation_states()[0]
    assert first.chosen_at_ms == scored_clip().scored_at_ms
    assert states(any_store)[0] == ("g1", 1, True, False)
    assert set(states(any_store)[1:]) == {("g2", 1, False, False), ("g3", 5, False, False)}


def test_a_deleted_clip_puts_nothing_in_force(any_store: ScoreStore, generations: Generations) -> None:
    apply_entries(any_store, deletion("c0"))
    scored(any_store, "g1", 1)
    assert generations.in_force() is None


def test_a_choice_holds_until_the_next_and_there_is_a_way_back(any_store: ScoreStore, generations: Generations) -> None:
    for number, generation in enumerate(["g1", "g2", "g3"]):
        scored(any_store, generation, 2, start=2 * number)
    with pytest.raises(GenerationRefused, match="no generation that is still held was in force before g1"):
        generations.before()
    generations.use("g3", 10)
    generations.use("g3", 11)
    assert (generations.in_force(), generations.before()) == ("g3", "g1")
    generations.use("g2", 12)
    assert generations.before() == "g3"
    assert [(s.generation, s.chosen_at_ms) for s in any_store.generation_states()[:2]] == [("g2", 12), ("g3", 10)]
    for expected in ("g3", "g2", "g3"):
        generations.use(generations.before(), 13)
        assert generations.in_force() == expected


def test_what_nobody_scored_by_cannot_be_put_in_force(any_store: ScoreStore, generations: Generations) -> None:
    with pytest.raises(NotFound, match="known are: none"):
        generations.use("g1", 1)
    scored(any_store, "g1", 1)
    with pytest.raises(NotFound, match="no clip was scored under generation g9; known are: g1"):
        generations.use("g9", 1)
    assert generations.in_force() == "g1"


def test_clips_that_a_generation_has_not_scored_are_counted(any_store: ScoreStore, generations: Generations) -> None:
    scored(any_store, "g1", 5)
    apply(any_store, [scored_clip(f"c{n}", generation="g2") for n in (1, 3, 9)], start=5)
    assert generations.lacking("g2", NOW_MS + 1000) == 3
    assert generations.lacking("g2", NOW_MS + 999) == 0
    generations.use("g2", 1)
    assert generations.lacking("g1", NOW_MS + 1000) == 1


def test_a_retired_generation_is_gone_for_good(
    any_url: str, any_store: ScoreStore, generations: Generations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranking.generations._PART", 2)
    scored(any_store, "g1", 5)
    scored(any_store, "g2", 5, start=5)
    with pytest.raises(GenerationRefused, match="g1 is in force; put another one in force first"):
        next(generations.retire("g1", 1))
    generations.use("g2", 1)
    assert list(generations.retire("g1", 2)) == [5, 3, 1, 0]
    assert list(generations.retire("g1", 3)) == [0], "it may be done again"
    scored(any_store, "g1", 7, start=10)
    assert set(states(any_store)) == {("g2", 5, True, False), ("g1", 0, False, True)}
    engine = open_engine(any_url)
    with reading(engine) as connection:
        assert set(connection.scalars(sa.select(scores.c.generation))) == {"g2"}
    engine.dispose()
    assert any_store.ranking("ch", Dimension.FUSED, "g2", order="top", k=10).clips == 5
    for refused in (generations.check, lambda name: generations.use(name, 4)):
        with pytest.raises(GenerationRefused, match="g1 is retired"):
            refused("g1")
    with pytest.raises(GenerationRefused):
        generations.before()


def test_of_a_retired_generation_no_samples_are_left(
    any_url: str, any_store: ScoreStore, generations: Generations
) -> None:
    engine = open_engine(any_url)
    DriftSamples(engine, reference_clips=10, window_clips=10).add(samples_of(plain_clips(20)))
    scored(any_store, "g2", 1)
    list(generations.retire("g1", 1))
    with reading(engine) as connection:
        assert connection.execute(sa.select(drift_samples)).all() == []
    engine.dispose()


def test_replicas_count_as_long_as_they_say_something(any_url: str, any_store: ScoreStore) -> None:
    with closing(Replicas(any_url)) as replicas:
        full, empty = ReplicaState("a:1", {"g1": 5, "g2": 3}, True), ReplicaState("b:1", {}, False)
        replicas.report(ReplicaState("a:1", {"g0": 1}, False), NOW_MS)
        replicas.report(full, NOW_MS)
        replicas.report(empty, NOW_MS + 10_000)
        alive_ms = round(ALIVE_S * 1000)
        assert replicas.alive(NOW_MS + alive_ms) == [full, empty]
        assert replicas.alive(NOW_MS + alive_ms + 1) == [empty]
        replicas.leave("b:1")
        assert replicas.alive(NOW_MS) == [full]
        replicas.report(empty, NOW_MS + 2 * 86_400_000)
        assert replicas.alive(NOW_MS) == [empty], "one that was away for long is forgotten"


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
