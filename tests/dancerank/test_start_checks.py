"""Missing prerequisites are reported before a process starts, one sentence each."""

import logging
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest
from kafka import KafkaAdminClient
from kafka.errors import GroupAuthorizationFailedError, TopicAuthorizationFailedError

import schemas.bundle as bundle_module
from dancerank.checks import start as start_checks
from dancerank.checks.start import CannotStart, Process, check_start
from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.scores.store import ScoreStore
from schemas import local_files
from schemas.errors import BundleError, ConfigurationError, DancerankError, StoreRefused, TopicsMissing, TransportError
from tests.small_bundle import write_small_bundle
from transport.connection import KafkaConnection
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

NOWHERE = "127.0.0.1:1"


@pytest.fixture
def settings(tmp_path: Path, fresh_name: Callable[[str], str]) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": [NOWHERE],
                "timeout_s": 0.5,
                "partitions": 2,
                **{f"{name}_group": fresh_name(name) for name in ("streamer", "ranking", "pools")},
            },
            "streamer": {
                "feature_roots": [tmp_path.as_uri()],
                "uploads_topic": fresh_name("up"),
                "scored_topic": fresh_name("scored"),
            },
            "ranking": {"database_url": f"sqlite:///{tmp_path / 'view.db'}", "deletions_topic": fresh_name("deleted")},
            "pools": {"engagement_topic": fresh_name("engagement"), "decisions_topic": fresh_name("decisions")},
        }
    )


def changed(settings: Settings, group: str, **values: object) -> Settings:
    return settings.model_copy(
        update={group: type(getattr(settings, group))(**{**vars(getattr(settings, group)), **values})}
    )


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the checks log; Kafka's client has lines of its own."""
    return [record.getMessage() for record in caplog.records if record.name == start_checks.__name__]


def check(settings: Settings, process: Process, connection: KafkaConnection | None = None) -> None:
    check_start(Processes(settings, connection=connection), process)


@pytest.mark.parametrize("process", ["stream", "rank", "pools run", "serve"])
def test_no_broker_is_named_with_what_to_look_at(settings: Settings, process: Process) -> None:
    with pytest.raises(TransportError, match=rf"cannot connect; check the address.*{NOWHERE}"):
        check(settings, process)


def test_an_index_that_cannot_be_had_is_named_before_kafka_is_asked(settings: Settings) -> None:
    wrong = changed(settings, "ranking", index="json:dumps")
    with pytest.raises(ConfigurationError, match=r"ranking\.index"):
        check(wrong, "serve")


def test_all_that_is_missing_is_said_at_once(settings: Settings, tmp_path: Path) -> None:
    nothing = changed(settings, "ranking", database_url=f"sqlite:///{tmp_path / 'absent' / 'view.db'}")
    with pytest.raises(CannotStart) as refused:
        check(nothing, "rank")
    broker, database = str(refused.value).splitlines()
    assert NOWHERE in broker
    assert "ranking.database_url" in database
    with pytest.raises(CannotStart, match="no readable manifest"):
        check(settings.model_copy(update={"bundle": tmp_path}), "stream")


@pytest.mark.kafka
def test_topics_that_must_not_be_created_are_named(
    settings: Settings, kafka_connection: KafkaConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_topics(kafka_connection, [TopicSpec(name=settings.streamer.uploads_topic)])

    def forbidden(*_: object, **__: object) -> None:
        raise TopicAuthorizationFailedError

    monkeypatch.setattr(KafkaAdminClient, "create_topics", forbidden)
    with pytest.raises(TopicsMissing, match=r"may not create topics, and these are absent: .*; have them") as refused:
        check(settings, "stream", kafka_connection)
    assert settings.streamer.scored_topic in str(refused.value)
    assert f" {settings.streamer.uploads_topic}," not in str(refused.value)


@pytest.mark.kafka
def test_where_all_is_there_the_topics_and_tables_are_made_and_nothing_is_said(
    settings: Settings, kafka_connection: KafkaConnection, caplog: pytest.LogCaptureFixture
) -> None:
    for process in ("stream", "rank", "serve"):
        check(settings, process, kafka_connection)  # type: ignore[arg-type]
    assert warnings(caplog) == []
    with Processes(settings).database() as database:
        assert ScoreStore(database).generations() == {}


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("process", "error", "says"),
    [
        ("stream", BundleError, "no readable manifest"),
        ("rank", StoreRefused, r"the database sqlite:////.*absent/view\.db \(ranking\.database_url\) cannot be used"),
        ("serve", StoreRefused, "cannot be used"),
        ("pools run", StoreRefused, "cannot be used"),
    ],
)
def test_a_bundle_or_database_that_is_not_there_is_named(
    settings: Settings,
    kafka_connection: KafkaConnection,
    tmp_path: Path,
    process: Process,
    error: type[DancerankError],
    says: str,
) -> None:
    nothing = changed(settings, "ranking", database_url=f"sqlite:///{tmp_path / 'absent' / 'view.db'}")
    nothing = nothing.model_copy(update={"bundle": tmp_path})
    with pytest.raises(error, match=says):
        check(nothing, process, kafka_connection)


@pytest.mark.kafka
def test_what_lets_it_run_but_not_well_is_warned_of(
    settings: Settings, kafka_connection: KafkaConnection, caplog: pytest.LogCaptureFixture
) -> None:
    names = (settings.streamer.scored_topic, settings.ranking.deletions_topic)
    ensure_topics(kafka_connection, [TopicSpec(name=name, partitions=2) for name in names])
    with caplog.at_level(logging.WARNING):
        check(changed(settings, "streamer", feature_roots=()), "stream", kafka_connection)
    compacted, kept, roots = warnings(caplog)
    assert f"topic {names[0]} is not compacted (cleanup.policy=delete)" in compacted
    assert f"topic {names[1]} forgets after 7 days" in kept
    assert "feature_roots is empty: uploads that name feature files will be refused" in roots


@pytest.mark.kafka
def test_pools_without_rankings_are_warned_of(
    settings: Settings, kafka_connection: KafkaConnection, caplog: pytest.LogCaptureFixture
) -> None:
    check(settings, "pools run", kafka_connection)
    assert [f"group {settings.kafka.ranking_group} has no member" in warning for warning in warnings(caplog)] == [True]


@pytest.mark.kafka
@pytest.mark.parametrize("partitions", [1, 2])
def test_a_worker_beyond_the_number_of_partitions_is_warned_that_it_is_idle(
    settings: Settings, kafka_connection: KafkaConnection, caplog: pytest.LogCaptureFixture, partitions: int
) -> None:
    uploads, group = settings.streamer.uploads_topic, settings.kafka.streamer_group
    ensure_topics(kafka_connection, [TopicSpec(name=uploads, partitions=partitions)])
    with closing(KafkaSource(kafka_connection, [uploads], group=group)) as source:
        while not source.assignment():
            source.poll(max_records=1, timeout_s=1.0)
        check(settings, "stream", kafka_connection)
    found = [f"group {group} has a member for each of its 1 partitions" in message for message in warnings(caplog)]
    assert found == ([True] if partitions == 1 else [])


@pytest.mark.kafka
def test_who_may_not_describe_groups_may_still_run(
    settings: Settings,
    kafka_connection: KafkaConnection,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise GroupAuthorizationFailedError("the group")

    monkeypatch.setattr(KafkaAdminClient, "describe_groups", forbidden)
    check(settings, "pools run", kafka_connection)
    (warning,) = warnings(caplog)
    assert "cannot check the topics and groups any further: cannot describe group" in warning


@pytest.mark.usefixtures("groups_without_members")
def test_each_file_of_the_bundle_is_read_and_hashed_once_until_the_streamer_runs(
    settings: Settings, embedded_broker: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_small_bundle(tmp_path / "bundle")
    reads, hashes = Counter[str](), Counter[int]()
    open_file, sha256_hex = local_files.open_file, bundle_module.sha256_hex

    def counted_open(path: Path) -> BinaryIO:
        reads[path.name] += path.parent == folder
        return open_file(path)

    def counted_hash(content: bytes) -> str:
        hashes[len(content)] += 1
        return sha256_hex(content)

    monkeypatch.setattr(local_files, "open_file", counted_open)
    monkeypatch.setattr(bundle_module, "sha256_hex", counted_hash)
    processes = Processes(settings.model_copy(update={"bundle": folder}), connection=embedded_broker)
    check_start(processes, "stream")
    with processes.runtime() as runtime, processes.streamer(runtime):
        pass
    assert reads == dict.fromkeys((path.name for path in folder.iterdir()), 1)
    for graph in folder.glob("*.onnx"):
        assert hashes[graph.stat().st_size] == 1


@pytest.mark.usefixtures("groups_without_members")
def test_no_content_of_the_bundles_files_is_kept_while_the_streamer_runs(
    settings: Settings, embedded_broker: KafkaConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents, sha256_hex = list[bytes](), bundle_module.sha256_hex

    def noted(content: bytes) -> str:
        contents.append(content)
        return sha256_hex(content)

    folder = write_small_bundle(tmp_path / "bundle")
    monkeypatch.setattr(bundle_module, "sha256_hex", noted)
    processes = Processes(settings.model_copy(update={"bundle": folder}), connection=embedded_broker)
    with processes.runtime() as runtime, processes.streamer(runtime):
        graphs = [content for content in contents if content[:1] != b"{"]
        contents.clear()
        assert len(graphs) >= len(list(folder.glob("*.onnx")))
        assert {sys.getrefcount(graph) for graph in graphs} == {3}  # the list, the loop, and the question itself
