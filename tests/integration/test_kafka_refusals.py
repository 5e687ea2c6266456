"""What no waiting mends ends a process that starts; a right that is taken from a running one is waited for, aloud."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dancerank.checks.start import check_start
from dancerank.processes import Processes
from dancerank.settings import Settings
from schemas.bundle import Bundle
from schemas.codec import encode
from schemas.errors import (
    AccessDenied,
    ConfigurationError,
    CredentialsRefused,
    DancerankError,
    FinalError,
    RequestRefused,
)
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, Record
from tests.clips import random_features, upload
from tests.servers import ServerUnavailable, unavailable
from tests.servers.guarded_kafka import GuardedKafkaServer, Right
from tests.small_bundle import small_bundle
from tests.waiting import wait_until
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.slow,
]

TOPICS = ("clips.uploaded", "clips.scored", "clips.deleted", "clips.engagement")


@pytest.fixture(scope="module")
def server() -> Iterator[GuardedKafkaServer]:
    try:
        server = GuardedKafkaServer()
    except ServerUnavailable as error:
        unavailable(error)
    with server:
        yield server


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"), modalities=(Modality.SKELETAL,))


@pytest.fixture
def settings(server: GuardedKafkaServer, tmp_path: Path) -> Settings:
    given = dict(server.security("SASL_PLAINTEXT", "PLAIN"))
    password = given.pop("sasl_plain_password")
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": [server.address_of("SASL_PLAINTEXT")],
                "partitions": 2,
                "security": given,
                "secrets": {"sasl_plain_password": password},
                "timeout_s": 5,
            },
            "streamer": {"tuning_s": 0},
            "ranking": {"database_url": f"sqlite:///{tmp_path / 'view.db'}", "index_folder": tmp_path / "index"},
        }
    )


def rights(settings: Settings) -> list[Right]:
    """All that the processes need."""
    kafka = settings.kafka
    topics = [*TOPICS, *(f"{name}.dead-letter" for name in TOPICS), "clips.pool-decisions"]
    return [
        *(("topic", name, operation) for name in topics for operation in ("read", "write")),
        *(("group", name, "read") for name in (kafka.streamer_group, kafka.ranking_group, kafka.pools_group)),
        *(("transactional_id", "*", operation) for operation in ("write", "describe")),
    ]


@pytest.fixture
def granted(server: GuardedKafkaServer, settings: Settings) -> Iterator[list[Right]]:
    """The topics exist, and the user has all rights."""
    open_settings = settings.model_copy(
        update={"kafka": settings.kafka.model_copy(update={"security": {}, "secrets": {}})}
    )
    Processes(open_settings, connection=KafkaConnection(servers=(server.address,))).create_topics()
    server.grant(rights(settings))
    yield rights(settings)
    server.revoke(rights(settings))


@pytest.mark.parametrize("process", ["stream", "rank", "pools run", "serve"])
@pytest.mark.tried(
    kind="unreadable batches",
    given="a Kafka user without the right to read or write a topic, at the start",
    outcome="the process ends with the right and the command that grants it",
)
def test_a_missing_right_ends_each_process_at_its_start(
    server: GuardedKafkaServer, settings: Settings, bundle: Bundle, granted: list[Right], process: str
) -> None:
    processes = Processes(settings, bundle=bundle)
    check_start(processes, process)  # type: ignore[arg-type]
    read = "clips.uploaded" if process == "stream" else "clips.deleted"
    server.revoke([("topic", read, "read")])
    with pytest.raises(AccessDenied, match=rf"lacks READ on {read} .*kafka-acls.sh.*--operation Read --topic {read}"):
        check_start(processes, process)  # type: ignore[arg-type]
    server.revoke([("topic", read, "write")])
    with pytest.raises(AccessDenied, match=rf"lacks READ on {read}"):
        check_start(processes, process)  # type: ignore[arg-type]
    if process != "serve":
        server.grant([("topic", read, "read")])
        server.revoke([("topic", f"{read}.dead-letter", "write")])
        with pytest.raises(AccessDenied, match=rf"lacks WRITE on {read}.dead-letter"):
            check_start(processes, process)  # type: ignore[arg-type]


REFUSED: dict[str, tuple[Right, Callable[[Processes, Bundle], object]]] = {
    "group": (("group", "dancerank-ranking", "read"), lambda processes, _: run_ranker(processes)),
    "transactional id": (("transactional_id", "*", "write"), lambda processes, _: run_streamer(processes)),
}


def run_ranker(processes: Processes) -> None:
    with processes.ranker() as loop:
        loop.run(threading.Event())


def run_streamer(processes: Processes) -> None:
    with processes.runtime() as runtime, processes.streamer(runtime) as streamer:
        streamer.run(threading.Event())


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.tried(
    kind="unreadable batches",
    given="a Kafka user without the right to its consumer group or transactional id",
    outcome="the process ends with the right named",
)
def test_a_right_that_shows_at_first_use_ends_the_process(
    server: GuardedKafkaServer, settings: Settings, bundle: Bundle, granted: list[Right], name: str
) -> None:
    right, run = REFUSED[name]
    server.revoke([right])
    with pytest.raises(AccessDenied, match="grant user dancer"):
        run(Processes(settings, bundle=bundle), bundle)


class Interruptions(Observer):
    def __init__(self) -> None:
        self.reasons: list[str] = []

    def interrupted(self, reason: str) -> None:
        self.reasons.append(reason)


@pytest.mark.tried(
    kind="unreadable batches",
    given="the right to read a topic taken from a running process",
    outcome="it waits, not ready, with an error a minute, and continues once the right is back",
)
def test_a_right_taken_from_a_running_loop_is_waited_for(
    server: GuardedKafkaServer,
    settings: Settings,
    bundle: Bundle,
    granted: list[Right],
    caplog: pytest.LogCaptureFixture,
) -> None:
    observer, stop = Interruptions(), threading.Event()
    with Processes(settings, bundle=bundle, observer=observer).ranker() as loop:
        running = threading.Thread(target=loop.run, args=(stop,))
        running.start()
        try:
            wait_until(lambda: loop.caught_up)
            taken: list[Right] = [("topic", "clips.deleted", "read"), ("topic", "clips.deleted", "write")]
            server.revoke(taken)
            wait_until(lambda: "kafka_access_denied" in (loop.waiting_for or ""))
            assert running.is_alive()
            assert "kafka_access_denied" in observer.reasons
            errors = [record for record in caplog.records if record.levelno == logging.ERROR]
            assert any("grant user dancer Read" in record.getMessage() for record in errors)
            server.grant(taken)
            wait_until(lambda: loop.waiting_for is None)
        finally:
            stop.set()
            running.join(30)


@pytest.mark.parametrize(
    ("protocol", "mechanism", "changed", "error"),
    [
        ("SASL_PLAINTEXT", "PLAIN", {"sasl_plain_password": "wrong"}, CredentialsRefused),
        ("SASL_PLAINTEXT", "SCRAM-SHA-256", {"sasl_plain_username": "stranger"}, CredentialsRefused),
        ("SASL_SSL", "SCRAM-SHA-512", {"sasl_plain_password": "wrong"}, CredentialsRefused),
        ("SASL_SSL", "PLAIN", {"ssl_cafile": "other.crt"}, CredentialsRefused),
        ("SASL_SSL", "PLAIN", {"ssl_cafile": "absent.crt"}, ConfigurationError),
    ],
)
@pytest.mark.tried(
    kind="unreadable batches",
    given="a wrong Kafka password, user or certificate, or a file of one that is absent",
    outcome="the process ends with what to correct",
)
def test_credentials_that_are_refused_are_final(
    server: GuardedKafkaServer, protocol: str, mechanism: str, changed: dict[str, str], error: type[DancerankError]
) -> None:
    changed = {name: str(server.folder / text) if name == "ssl_cafile" else text for name, text in changed.items()}
    security = {**server.security(protocol, mechanism), **changed}
    connection = KafkaConnection(servers=(server.address_of(protocol),), security=security, timeout_s=3.0)
    with pytest.raises(error, match=r"kafka\.security"):
        KafkaSource(connection, ["t"], group="g")
    assert issubclass(error, FinalError)


@pytest.mark.tried(
    kind="unreadable batches",
    given="a session timeout, a topic's name or a number of replicas that the broker refuses",
    outcome="the process ends with the setting named",
)
def test_settings_that_the_broker_refuses_are_final(
    server: GuardedKafkaServer, fresh_name: Callable[[str], str]
) -> None:
    connection, topic = KafkaConnection(servers=(server.address,), timeout_s=5.0), fresh_name("clips")
    with pytest.raises(RequestRefused, match=r"kafka\.replication"):
        ensure_topics(connection, [TopicSpec(name=topic, replication=3)])
    with pytest.raises(RequestRefused, match="topic's name"):
        ensure_topics(connection, [TopicSpec(name="not a name")])
    ensure_topics(connection, [TopicSpec(name=topic)])
    options = ConsumerOptions(session_timeout_s=0.5, heartbeat_interval_s=0.1)
    with (
        closing(KafkaSource(connection, [topic], group=fresh_name("g"), options=options)) as source,
        pytest.raises(RequestRefused, match=r"kafka\.session_timeout_s"),
    ):
        wait_until(lambda: source.poll(max_records=1, timeout_s=0.5))


@pytest.mark.tried(
    kind="unreadable batches",
    given="a result larger than max.message.bytes of the log",
    outcome="its upload is dead-lettered as record_refused; the others are scored",
)
def test_a_result_that_its_topic_never_takes_is_dead_lettered(
    server: GuardedKafkaServer, settings: Settings, bundle: Bundle
) -> None:
    connection = KafkaConnection(servers=(server.address,))
    names = {"uploads_topic": "small.uploaded", "scored_topic": "small.scored", "commit_interval_s": 0.2}
    changed = settings.model_copy(
        update={
            "streamer": settings.streamer.model_copy(update=names),
            "kafka": settings.kafka.model_copy(update={"streamer_group": "small"}),
        }
    )
    limit = {"max.message.bytes": "300"}
    ensure_topics(connection, [TopicSpec(name="small.scored", partitions=1, config=limit)])
    processes = Processes(changed, bundle=bundle, connection=connection)
    processes.create_topics()
    clip = upload("clip-1", random_features(3.0, modalities=(Modality.SKELETAL,)), challenge_id="renegade")
    with closing(KafkaSink(connection)) as sink:
        sink.send(OutgoingRecord("small.uploaded", b"clip-1", encode(clip)))
        sink.flush(10.0)
    stop = threading.Event()
    with processes.runtime() as runtime, processes.streamer(runtime) as streamer:
        running = threading.Thread(target=streamer.run, args=(stop,))
        running.start()
        try:
            with closing(KafkaSource(connection, ["small.uploaded.dead-letter"], group=None)) as source:
                found: list[Record] = []
                wait_until(lambda: found, act=lambda: found.extend(source.poll(max_records=10, timeout_s=0.5)))
            assert dict(found[0].headers)["code"] == b"record_refused"
            wait_until(lambda: streamer.waiting_for is None)
        finally:
            stop.set()
            running.join(30)
