"""Queries and the active generation: each answer is of exactly one generation, the one activated last."""

import threading
from contextlib import closing
from typing import Any

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import generation_choices
from ranking.pools.service.reading import PoolReader
from ranking.scores.generations import Generations
from ranking.scores.store import ScoreStore
from ranking.serving.replicas import Replicas
from ranking.serving.report import ServingReport
from ranking.serving.service import RankingService
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.errors import NotFound, NotReady, QueryError, StoreUnavailable
from schemas.modalities import Dimension, Modality
from schemas.observation import Observer
from schemas.questions.pools import HypotheticalClip
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import apply, apply_entries, deletion, result, scored_clip

QUERY = SimilarQuery(clip_id="a", include_own=True)
MADE_UP = HypotheticalClip(challenge_id="ch", scores={Dimension.FUSED: 0.5})


class Platform:
    """A database, two serving processes' worth of indexes, and whoever decides."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = ScoreStore(database)
        self.generations = Generations(database)
        self.indexes = [IndexView(NumpyBackend(), Observer(), ManualClock()) for _ in range(2)]
        self.services = [RankingService(self.store, index) for index in self.indexes]

    def score(self, generation: str, best: str, *, start: int, indexes: int = 2) -> None:
        """Clips a, b and c, of which ``best`` leads the ranking and is most like a."""
        clips = [
            scored_clip(
                name,
                generation=generation,
                fused_score=float(name == best),
                modalities={Modality.SKELETAL: result([1.0, float(name not in ("a", best))])},
            )
            for name in "abc"
        ]
        for view in (self.store, *self.indexes[:indexes]):
            apply(view, clips, start=start)

    def choice(self) -> tuple[int, str]:
        """Number and generation of the last choice."""
        table = generation_choices.c
        with self.database.reading() as connection:
            row = connection.execute(sa.select(table.number, table.generation).order_by(table.number.desc())).first()
        assert row is not None
        return row.number, row.generation


@pytest.fixture
def platform(any_database: Database) -> Platform:
    made = Platform(any_database)
    made.score("g1", "b", start=0)
    return made


def answers(service: RankingService) -> tuple[str, str, str, str]:
    similar, ranking = service.similar(QUERY), service.ranking("ch", Dimension.FUSED)
    return similar.generation, similar.hits[0].clip_id, ranking.generation, ranking.entries[0].clip_id


def test_all_processes_switch_together_and_back(platform: Platform) -> None:
    platform.score("g2", "c", start=3)
    first, second = ("g1", "b", "g1", "b"), ("g2", "c", "g2", "c")
    for chosen, expected in (("g1", first), ("g2", second), ("g1", first)):
        platform.generations.activate(chosen, 1)
        assert [answers(service) for service in platform.services] == [expected, expected]
        asked = platform.services[0].similar(QUERY, generation="g2")
        assert (asked.generation, asked.hits[0].clip_id) == ("g2", "c")
    assert [state.generation for state in platform.services[0].generations() if state.in_force] == ["g1"]


def test_through_a_switch_each_answer_is_of_one_generation_and_none_after_it_of_the_one_before(
    platform: Platform,
) -> None:
    platform.score("g2", "c", start=3)
    expected = {"g1": "b", "g2": "c"}
    stop, wrong, asked = threading.Event(), list[object](), [0, 0]

    def ask(number: int) -> None:
        service = platform.services[number]
        while not stop.is_set():
            asked[number] += 1
            since = platform.choice()
            similar, ranking = service.similar(QUERY), service.ranking("ch", Dimension.FUSED)
            until = platform.choice()
            for generation, best in (
                (similar.generation, similar.hits[0].clip_id),
                (ranking.generation, ranking.entries[0].clip_id),
            ):
                if expected[generation] != best or (since == until and generation != since[1]):
                    wrong.append((generation, best, since, until))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for turn in range(12):
        chosen = ("g2", "g1")[turn % 2]
        platform.generations.activate(chosen, turn)
        assert {answers(service)[0] for service in platform.services} == {chosen}
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert min(asked) > 5


def test_a_process_that_lacks_the_active_generation_says_so_and_answers_for_no_other(platform: Platform) -> None:
    platform.score("g2", "c", start=3, indexes=1)
    platform.generations.activate("g2", 1)
    whole, lacking = platform.services
    assert whole.similar(QUERY).generation == "g2"
    assert whole.readiness().ready
    with pytest.raises(NotReady, match="generation g2 is active and not indexed here yet"):
        lacking.similar(QUERY)
    assert lacking.readiness().reasons == ["generation g2 is active and not indexed here yet"]
    assert lacking.similar(QUERY, generation="g1").generation == "g1"
    with pytest.raises(QueryError, match="generation g2 is not indexed here; held are g1") as caught:
        lacking.similar(QUERY, generation="g2")
    assert caught.value.field == "generation"


def test_embeddings_are_compared_only_with_those_of_their_own_generation(platform: Platform) -> None:
    query = SimilarQuery(embeddings={Modality.SKELETAL: [1.0, 0.0]})
    with pytest.raises(QueryError, match="name the generation") as caught:
        platform.services[0].similar(query)
    assert caught.value.field == "generation"
    assert platform.services[0].similar(query, generation="g1").hits[0].clip_id in "ab"


def test_without_the_database_similarity_goes_on_with_the_generation_known_last(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.score("g2", "c", start=3)
    platform.generations.activate("g2", 1)
    service = platform.services[0]
    assert service.similar(QUERY).generation == "g2"
    calls = []

    def unreachable() -> str:
        calls.append(1)
        raise StoreUnavailable("gone")

    monkeypatch.setattr(platform.store, "active_generation", unreachable)
    assert [service.similar(QUERY).generation for _ in range(5)] == ["g2"] * 5
    assert len(calls) == 1, "an unreachable database is not asked for every question"
    monkeypatch.setattr("ranking.serving.service._ASK_AGAIN_S", 0.0)
    monkeypatch.undo()
    platform.generations.activate("g1", 2)
    monkeypatch.setattr("ranking.serving.service._ASK_AGAIN_S", -1.0)
    assert service.similar(QUERY).generation == "g1"


def test_without_an_answer_ever_no_generation_of_several_is_taken_for_the_active_one() -> None:
    store = ScoreStore(Database(UNREACHABLE))
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    apply(index, [scored_clip("a", generation="g1")])
    service = RankingService(store, index)
    assert service.similar(QUERY).generation == "g1"
    apply(index, [scored_clip("a", generation="g2")], start=1)
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="does not say which generation is active"):
            service.similar(QUERY)
    assert service.similar(QUERY, generation="g2").generation == "g2"


def test_an_index_without_rankings_answers_by_the_generation_that_came_first(any_database: Database) -> None:
    store = ScoreStore(any_database)
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    service = RankingService(store, index)
    with pytest.raises(NotFound, match="no clip has been scored yet"):
        service.similar(QUERY)
    assert service.challenges() == []
    apply(index, [scored_clip("a", generation="g7"), scored_clip("b", generation="g8")])
    assert service.similar(QUERY).generation == "g7"


class ActiveGeneration(Observer):
    def __init__(self) -> None:
        self.reported: list[str | None] = []

    def active_generation(self, generation: str | None) -> None:
        self.reported.append(generation)


def test_a_serving_process_says_what_it_holds_and_drops_what_is_retired(platform: Platform) -> None:
    platform.score("g2", "c", start=3, indexes=1)
    observer = ActiveGeneration()
    replicas = Replicas(platform.database)
    with closing(ServingReport("here:1", platform.indexes[0], lambda: True, platform.database, observer)) as report:
        report.report()
        (here,) = replicas.alive()
        assert here == ("here:1", {"g1": 3, "g2": 3}, True)
        platform.generations.activate("g2", 1)
        list(platform.generations.retire("g1", 2))
        report.report()
        assert platform.indexes[0].generations() == {"g2": 3}
    assert replicas.alive() == []
    assert observer.reported == ["g1", "g2"]


def test_a_serving_process_goes_on_when_the_database_does_not_answer(caplog: pytest.LogCaptureFixture) -> None:
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    with closing(ServingReport("here:1", index, lambda: True, Database(UNREACHABLE), Observer())) as report:
        for _ in range(3):
            report.report()
    assert caplog.text.count("here:1 cannot report its generations") == 1
    assert "here:1 stays in the table of replicas until it expires" in caplog.text
    assert "secret" not in caplog.text


def test_a_serving_process_that_still_reads_the_logs_says_so(platform: Platform) -> None:
    index = platform.indexes[0]
    with closing(ServingReport("here:1", index, lambda: False, platform.database, Observer())) as report:
        report.report()
        assert [each.caught_up for each in Replicas(platform.database).alive()] == [False]


def test_each_time_that_a_serving_process_is_not_heard_it_is_logged_once(
    platform: Platform, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def unreachable(*_: object) -> None:
        raise StoreUnavailable("gone")

    index = platform.indexes[0]
    with closing(ServingReport("here:1", index, lambda: True, platform.database, Observer())) as report:
        for times in (1, 2):
            with monkeypatch.context() as patched:
                patched.setattr("ranking.serving.report.Replicas.report", unreachable)
                report.report()
                report.report()
            assert caplog.text.count("here:1 cannot report its generations") == times
            report.report()


class Tried(PoolReader):
    """Instead of the pools: by which generations they were asked."""

    def __init__(self) -> None:
        self.generations: list[str | None] = []

    def try_clip(self, clip: HypotheticalClip, generation: str | None) -> Any:
        self.generations.append(generation)


def test_a_clip_that_is_made_up_is_tried_by_the_active_generation_or_the_one_named(platform: Platform) -> None:
    platform.score("g2", "c", start=3)
    platform.generations.activate("g2", 1)
    tried = Tried()
    service = RankingService(platform.store, pools=tried)
    for generation in (None, "g1", "g2"):
        service.try_in_pools(MADE_UP, generation=generation)
    assert tried.generations == ["g2", "g1", "g2"]
    with pytest.raises(NotFound, match="no clip was scored under generation g9"):
        service.try_in_pools(MADE_UP, generation="g9")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "a\0b", "g" * 129])
def test_what_is_no_name_of_a_generation_is_refused_before_it_is_looked_up(platform: Platform, name: str) -> None:
    service = RankingService(platform.store, platform.indexes[0], pools=Tried())
    for ask in (
        lambda: service.similar(QUERY, generation=name),
        lambda: service.ranking("ch", Dimension.FUSED, generation=name),
        lambda: service.clip("a", generation=name),
        lambda: service.challenges(generation=name),
        lambda: service.try_in_pools(MADE_UP, generation=name),
    ):
        with pytest.raises(QueryError, match="generation must be") as caught:
            ask()
        assert caught.value.field == "generation"


def test_a_question_that_was_slow_does_not_bring_back_the_generation_before(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.score("g2", "c", start=3)
    service, ask = platform.services[0], platform.store.active_generation
    has_read, go_on = threading.Event(), threading.Event()

    def slow() -> str | None:
        read = ask()
        has_read.set()
        assert go_on.wait(60)
        return read

    def unreachable() -> str:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(platform.store, "active_generation", slow)
    asking = threading.Thread(target=service.similar, args=(QUERY,))
    asking.start()
    assert has_read.wait(60)
    platform.generations.activate("g2", 1)
    monkeypatch.setattr(platform.store, "active_generation", ask)
    assert service.similar(QUERY).generation == "g2"
    go_on.set()
    asking.join()
    monkeypatch.setattr(platform.store, "active_generation", unreachable)
    assert service.similar(QUERY).generation == "g2", "it is the one known last"


def test_an_active_generation_of_which_no_clip_is_left_does_not_block_readiness(any_store: ScoreStore) -> None:
    index = IndexView(NumpyBackend(), Observer(), ManualClock())
    apply(any_store, [scored_clip("a")])
    apply_entries(any_store, deletion("a"))
    apply_entries(index, deletion("a"))
    assert RankingService(any_store, index).readiness().ready


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (UNREACHABLE, "the database does not answer (store_unavailable)"),
        ("sqlite://", "the database cannot be used (store); the log says why"),
    ],
)
def test_readiness_tells_a_database_that_does_not_answer_from_one_that_cannot_be_used(url: str, reason: str) -> None:
    with closing(Database(url)) as database:  # never migrated
        assert RankingService(ScoreStore(database)).readiness().reasons == [reason]
