"""Model generations are shown, activated, rolled back and retired from the command line."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dancerank import processes, topics
from dancerank.checks import start as start_checks
from dancerank.cli import app
from dancerank.dead_letters import DeadLetters
from dancerank.processes import Processes
from dancerank.running import kafka_sources
from dancerank.settings import Settings, load_settings, shipped_bundle
from dancerank.topics import create_topics, topics_read
from ranking.database.connection import Database
from ranking.scores.generations import Generations
from ranking.scores.store import ScoreStore
from ranking.serving.replicas import Replicas, ReplicaState
from ranking.serving.service import RankingService
from schemas.bundle import SYNTHETIC_WARNING, read_manifest
from schemas.clock import SystemClock
from schemas.codec import encode
from schemas.errors import ConfigurationError
from schemas.events import ClipScored
from schemas.ports import Record
from schemas.questions.retrieval import Challenge, ChallengeAttention
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, scored_clip
from transport.memory import MemoryBroker, MemorySink
from transport.topics import TopicDescription, TopicSpec


class Desk:
    """A database with clips of two generations, serving processes, and the command."""

    def __init__(self, folder: Path) -> None:
        url = f"sqlite:///{folder / 'view.db'}"
        self.config = folder / "dancerank.toml"
        self.config.write_text(f'[ranking]\ndatabase_url = "{url}"\n')
        self.database = Database(url)
        self.database.migrate()
        self.store, self._replicas = ScoreStore(self.database), Replicas(self.database)
        self.scored("g1", 4)

    def scored(self, generation: str, clips: int) -> None:
        start = 100 * sum(self.store.generations().values())
        apply(self.store, [scored_clip(f"c{n}", generation=generation) for n in range(clips)], start=start)

    def serve(self, name: str, **clips: int) -> None:
        self._replicas.report(ReplicaState(name, clips, True))

    def run(self, *arguments: str, answer: str | None = None) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["generations", *arguments, "--config", str(self.config)], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())

    def close(self) -> None:
        self.database.close()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    monkeypatch.setenv("COLUMNS", "200")
    with closing(Desk(tmp_path)) as made:
        yield made


def test_a_generation_is_activated_and_rolled_back_in_one_command_each(desk: Desk) -> None:
    desk.scored("g2", 4)
    desk.serve("host:8080", g1=4, g2=4)
    assert desk.run("use", "g2") == (0, "g2 is active, instead of g1.")
    assert desk.store.active_generation() == "g2"
    assert desk.run("use", "g2") == (0, "g2 is active already.")
    assert desk.run("rollback") == (0, "g1 is active, instead of g2.")
    assert desk.store.active_generation() == "g1"


def test_what_is_held_and_by_whom_is_shown(desk: Desk) -> None:
    desk.scored("g2", 3)
    desk.serve("host:8080", g1=4, g2=2)
    desk.serve("other:8080", g1=4)
    code, shown = desk.run("list")
    assert code == 0
    assert "g1 │ 4 │ eq1 │ active since 20" in shown
    assert "host:8080 (4), other:8080 (4)" in shown
    assert "g2 │ 3 │ eq1 │ never active │ host:8080 (2)" in shown


def test_a_generation_that_cannot_answer_for_all_is_refused_with_what_is_missing(desk: Desk) -> None:
    desk.scored("g2", 3)
    desk.serve("host:8080", g1=4, g2=2)
    code, said = desk.run("use", "g2", "--patience", "0")
    assert code == 1
    assert "error (generation_refused): generation g2 cannot answer yet: it has not scored 1 clips" in said
    assert "host:8080 holds 2 of its 3 clips. Wait for it, or switch anyway with --force" in said
    assert desk.store.active_generation() == "g1"
    assert desk.run("use", "g2", "--force")[0] == 0
    assert desk.store.active_generation() == "g2"


def test_whoever_comes_up_in_time_is_waited_for(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.scored("g2", 4)
    desk.serve("host:8080", g1=4)
    waits = []

    def catch_up(seconds: float) -> None:
        waits.append(seconds)
        desk.serve("host:8080", g1=4, g2=4)

    monkeypatch.setattr("dancerank.commands.generations.time.sleep", catch_up)
    assert desk.run("use", "g2")[0] == 0
    assert len(waits) == 1


def test_a_way_back_is_open_though_clips_came_since_and_says_how_many(desk: Desk) -> None:
    desk.scored("g2", 4)
    assert desk.run("use", "g2")[0] == 0
    desk.scored("g2", 9)
    code, said = desk.run("rollback")
    assert code == 0
    assert "5 clips of g2 were not scored by it and are in no ranking now" in said
    desk.serve("host:8080", g1=4)
    code, said = desk.run("rollback", "--patience", "0")
    assert (code, "host:8080 holds 0 of its 9 clips" in said) == (1, True)


def test_there_is_no_way_back_to_what_never_was(desk: Desk) -> None:
    code, said = desk.run("rollback")
    assert (code, "error (generation_refused): there is no way back" in said) == (1, True)


def test_a_generation_is_retired_only_when_confirmed_and_not_active(desk: Desk) -> None:
    desk.scored("g2", 4)
    code, said = desk.run("retire", "g1", "--yes")
    assert (code, "g1 is active; activate another one first" in said) == (1, True)
    assert desk.run("use", "g2")[0] == 0
    assert desk.run("retire", "g1", answer="n\n")[0] == 1
    assert desk.store.generations() == {"g1": 4, "g2": 4}
    code, said = desk.run("retire", "g1", answer="y\n")
    assert (code, "g1 is retired: 4 clips dropped" in said) == (0, True)
    assert desk.store.generations() == {"g2": 4}
    assert "g1 │ 0 │ eq1 │ retired │ –" in desk.run("list")[1]
    code, said = desk.run("use", "g1", "--force")
    assert (code, "g1 is retired: what was held of it is gone" in said) == (1, True)


def test_an_unknown_generation_and_a_missing_database_are_named(desk: Desk, tmp_path: Path) -> None:
    for command in (("use", "g9"), ("retire", "g9", "--yes")):
        code, said = desk.run(*command)
        assert (code, "no clip was scored under generation g9; known are: g1" in said) == (1, True)
    desk.config.write_text(f'[ranking]\ndatabase_url = "sqlite:///{tmp_path}/absent.db"\n')
    code, said = desk.run("list")
    assert (code, "error (no_data): no rankings in" in said) == (1, True)
    assert not (tmp_path / "absent.db").exists()


def test_a_retirement_that_was_interrupted_goes_on(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ranking.scores.generations._PART", 3)
    desk.scored("g2", 4)
    assert desk.run("use", "g2")[0] == 0
    steps = Generations(desk.database).retire("g1", 1)
    assert [next(steps), next(steps)] == [4, 1]
    code, said = desk.run("retire", "g1")
    assert (code, "g1 is retired: 1 clips dropped" in said) == (0, True)
    assert desk.store.generations() == {"g2": 4}


def test_clips_that_are_deleted_while_a_choice_waits_are_not_waited_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.scored("g2", 4)
    desk.serve("host:8080", g1=4, g2=3)

    def delete(seconds: float) -> None:
        apply_entries(desk.store, deletion("c0"))

    monkeypatch.setattr("dancerank.commands.generations.time.sleep", delete)
    assert desk.run("use", "g2")[0] == 0


def test_a_table_of_challenges_is_of_one_generation(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.scored("g2", 2)
    asked, challenges, attention = [], RankingService.challenges, RankingService.attention

    def then_another_is_chosen(service: RankingService, *, generation: str | None) -> list[Challenge]:
        found = challenges(service, generation=generation)
        assert desk.run("use", "g2", "--force")[0] == 0
        return found

    def recorded(service: RankingService, challenge_id: str, **options: Any) -> ChallengeAttention:
        asked.append(attention(service, challenge_id, **options))
        return asked[-1]

    monkeypatch.setattr(RankingService, "challenges", then_another_is_chosen)
    monkeypatch.setattr(RankingService, "attention", recorded)
    assert CliRunner().invoke(app, ["rankings", "--config", str(desk.config)]).exit_code == 0
    assert [each.generation for each in asked] == ["g1"]


def test_the_active_generation_is_not_waited_for(desk: Desk) -> None:
    desk.serve("host:8080", g1=1)
    assert desk.run("use", "g1", "--patience", "0") == (0, "g1 is active already.")


LOGS = ("clips.scored", "clips.scored.v2")


@pytest.fixture
def two_logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Settings, MemoryBroker]:
    """Settings of the views while another model is built, and a broker in memory instead of Kafka."""
    broker = MemoryBroker(SystemClock())
    monkeypatch.setattr(processes, "KafkaSink", lambda *_: MemorySink(broker))
    monkeypatch.setattr(kafka_sources, "KafkaSource", lambda *_, **__: None)
    monkeypatch.setattr(topics, "ensure_topics", lambda _, specs: broker.ensure_topics(specs))
    settings = Settings(ranking={"database_url": f"sqlite:///{tmp_path / 'view.db'}", "scored_topics": LOGS})
    return settings, broker


def test_logs_of_several_generations_are_created_compacted_and_read_by_every_view(
    two_logs: tuple[Settings, MemoryBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = two_logs
    created: dict[str, TopicSpec] = {}
    monkeypatch.setattr(topics, "ensure_topics", lambda _, specs: created.update({spec.name: spec for spec in specs}))
    third = settings.model_copy(update={"ranking": settings.ranking.model_copy(update={"scored_topics": LOGS[1:]})})
    for each in (settings, third):
        created.clear()
        create_topics(each, Processes(each).connection)
        for log in LOGS:  # also the one that the streamer of these settings writes and no process reads
            assert (created[log].config["cleanup.policy"], f"{log}.dead-letter" in created) == ("compact", True)
    read = topics_read(settings)
    assert read["ranking"] == [*LOGS, "clips.deleted"]
    assert read["pools"] == [*LOGS, "clips.deleted", "clips.engagement"]


def test_a_deleted_clip_is_erased_from_the_log_of_every_generation(two_logs: tuple[Settings, MemoryBroker]) -> None:
    settings, broker = two_logs
    connection = Processes(settings).connection
    create_topics(settings, connection)
    with (
        Processes(settings, connection=connection).ranker() as loop,
    ):
        apply_entries(loop._view, deletion("c0"))
    for log in LOGS:
        erased = [(record.key, record.value) for record in broker.records(log)]
        assert erased == [(b"c0", None)] * settings.kafka.partitions


def test_the_pools_rate_by_the_log_of_every_generation(two_logs: tuple[Settings, MemoryBroker]) -> None:
    settings, _ = two_logs
    value = encode(scored_clip("c0"))
    with Processes(settings).pools() as loop:
        entries, refused = loop._read(Record(log, 0, 0, NOW_MS, None, value) for log in (*LOGS, "clips.engagement"))
    assert [entry.record.topic for entry in entries] == [*LOGS]
    assert [refusal.record.topic for refusal in refused] == ["clips.engagement"]


def test_a_log_of_any_generation_that_is_not_compacted_is_named_at_the_start(
    two_logs: tuple[Settings, MemoryBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, _ = two_logs
    policies = dict(zip(LOGS, ("compact", "delete"), strict=True))
    there = {
        name: TopicDescription(name=name, partitions=1, config={"cleanup.policy": policy})
        for name, policy in policies.items()
    }
    monkeypatch.setattr(start_checks, "describe_topics", lambda *_: there)
    (found,) = start_checks.start_warnings(settings, Processes(settings).connection, "serve")
    assert found.startswith("topic clips.scored.v2 is not compacted")


def test_a_dead_letter_from_the_log_of_any_generation_is_one_of_a_scored_clip(
    two_logs: tuple[Settings, MemoryBroker],
) -> None:
    dead_letters = DeadLetters(two_logs[0])
    assert {dead_letters._event_types(log) for log in LOGS} == {(ClipScored,)}


@pytest.mark.parametrize(
    ("topics", "problem"),
    [
        (["a", "a"], "a topic is named twice"),
        ([""], "at least 1 character"),
        (["clips.uploaded"], "clips.uploaded is already used as streamer.uploads_topic"),
        (["clips.deleted"], "clips.deleted is already used as ranking.deletions_topic"),
        (["clips.engagement"], "clips.engagement is already used as pools.engagement_topic"),
        (["clips.pool-decisions"], "clips.pool-decisions is already used as pools.decisions_topic"),
    ],
)
def test_a_log_is_named_once_and_holds_nothing_but_scored_clips(
    tmp_path: Path, topics: list[str], problem: str
) -> None:
    config = tmp_path / "dancerank.toml"
    config.write_text(f"[ranking]\nscored_topics = {topics}\n".replace("'", '"'))
    with pytest.raises(ConfigurationError, match=rf"ranking\.scored_topics.*{problem}"):
        load_settings(config)


def test_the_list_says_which_generation_was_trained_on_synthetic_clips(desk: Desk) -> None:
    generation = read_manifest(shipped_bundle()).generation
    assert SYNTHETIC_WARNING not in desk.run("list")[1]
    desk.scored(generation, 1)
    assert f"{generation}: {SYNTHETIC_WARNING}" in desk.run("list")[1]
