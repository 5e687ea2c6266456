"""Topics get more partitions while everything runs, and while nothing runs: every view holds every clip."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

import msgspec
import pytest
from kafka import KafkaAdminClient

from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.running.replica import Replica
from dancerank.settings import Settings
from dancerank.synthetic import synthesize
from schemas.codec import encode
from schemas.events import ClipDeleted, ClipUploaded, EngagementObserved
from schemas.ports import OutgoingRecord, Record, TopicPartition
from schemas.questions.retrieval import SimilarQuery
from tests.waiting import wait_until, watching
from transport.connection import KafkaConnection, open_client
from transport.kafka_source import KafkaSource
from vdv.folder import open_data_set, write_data_set
from vdv.uploads import read_uploads

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow]

CLIPS = 36
BEFORE, THEN, LAST = 2, 5, 7  # partitions


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    write_data_set(folder, (clip.labelled() for clip in synthesize(CLIPS, seed=7)))
    return folder


@pytest.fixture
def uploads(folder: Path) -> list[ClipUploaded]:
    """Each of a dancer and a challenge of its own, so that they spread over the partitions."""
    now_ms = int(time.time() * 1000)
    return [
        msgspec.structs.replace(upload, dancer_id=f"dancer-{number}", challenge_id=f"challenge-{number}")
        for number, upload in enumerate(read_uploads(open_data_set(folder), now_ms=now_ms))
    ]


@pytest.fixture
def connection(kafka_connection: KafkaConnection) -> KafkaConnection:
    return msgspec.structs.replace(kafka_connection, metadata_refresh_s=1.0)


@pytest.fixture
def settings(
    folder: Path, tmp_path: Path, postgresql_url: str, fresh_name: Callable[[str], str], connection: KafkaConnection
) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": connection.servers,
                "partitions": BEFORE,
                **{f"{group}_group": fresh_name(group) for group in ("streamer", "ranking", "pools")},
            },
            "streamer": {
                "feature_roots": [folder.resolve().as_uri()],
                "uploads_topic": fresh_name("uploads"),
                "scored_topic": fresh_name("scored"),
                "tuning_s": 0,
            },
            "ranking": {
                "database_url": postgresql_url,
                "index_folder": tmp_path / "index",
                "deletions_topic": fresh_name("deleted"),
            },
            "pools": {"engagement_topic": fresh_name("engagement"), "decisions_topic": fresh_name("decisions")},
        }
    )


@pytest.fixture
def processes(settings: Settings, connection: KafkaConnection) -> Processes:
    return Processes(settings, connection=connection)


def add_partitions(settings: Settings, connection: KafkaConnection, total: int) -> None:
    """To every topic."""
    topics = (
        settings.streamer.uploads_topic,
        settings.streamer.scored_topic,
        settings.ranking.deletions_topic,
        settings.pools.engagement_topic,
        settings.pools.decisions_topic,
    )
    admin, _ = open_client(KafkaAdminClient, connection)
    with closing(admin):
        admin.create_partitions(dict.fromkeys(topics, total))


def await_similar(system: EmbeddedSystem, uploads: list[ClipUploaded]) -> None:
    """Both views hold all of ``uploads``: each has its ranking and its similar clips."""
    system.await_clips(len(uploads))
    for upload in uploads:
        assert system.service.clip(upload.clip_id).clip_id == upload.clip_id
        assert system.service.similar(SimilarQuery(clip_id=upload.clip_id, k=5)).hits


def until(condition: Callable[[], object], system: EmbeddedSystem) -> None:
    wait_until(condition, watching(system.raise_failures))


def delete(system: EmbeddedSystem, upload: ClipUploaded, *, partition: int) -> None:
    removal = ClipDeleted(clip_id=upload.clip_id, reason="asked for")
    topic = system.settings.ranking.deletions_topic
    system.uploads.send(OutgoingRecord(topic, upload.clip_id.encode(), encode(removal), partition=partition))
    system.uploads.flush(10.0)


def see(system: EmbeddedSystem, upload: ClipUploaded, *, partition: int) -> None:
    at_ms = int(time.time() * 1000)
    seen = EngagementObserved(clip_id=upload.clip_id, observed_at_ms=at_ms, likes=1, comments=0, reposts=0, views=9)
    topic = system.settings.pools.engagement_topic
    system.uploads.send(OutgoingRecord(topic, upload.clip_id.encode(), encode(seen), partition=partition))
    system.uploads.flush(10.0)


def log_of(system: EmbeddedSystem, partitions: int) -> Iterator[Record]:
    """The log of scored clips as it is now."""
    with closing(KafkaSource(system.connection, [system.settings.streamer.scored_topic], group=None)) as source:
        quiet_at_s = time.monotonic() + 1.0
        while time.monotonic() < quiet_at_s:
            if polled := source.poll(max_records=1000, timeout_s=0.2):
                yield from polled
                quiet_at_s = time.monotonic() + 1.0
        assert len(source.assignment()) == partitions


@pytest.mark.tried(
    kind="metadata looked up once",
    given="partitions added to all topics while all processes run, and again while none does",
    outcome="every clip is ranked and similar; deletions and engagement of new partitions count",
)
def test_clips_of_partitions_that_were_added_are_ranked_found_decided_about_and_deleted(
    processes: Processes,
    settings: Settings,
    connection: KafkaConnection,
    uploads: list[ClipUploaded],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    first, second, third = uploads[:12], uploads[12:24], uploads[24:]
    with run_embedded(processes, with_pools=True) as system:
        system.send(first)
        await_similar(system, first)
        add_partitions(settings, connection, THEN)
        until(lambda: len(_log_partitions(system)) == THEN, system)
        system.send(second)
        await_similar(system, first + second)
        see(system, second[0], partition=THEN - 1)
        system.await_observed(1)
        gone = second[1]
        delete(system, gone, partition=THEN - 1)
        until(lambda: system.replica.index.clips() == 23, system)
        until(lambda: system.service.pooled_clip(gone.clip_id).state == "deleted", system)
        scored = {r.partition for r in log_of(system, THEN) if r.value is not None}
        assert scored - set(range(BEFORE)), "no result went to a partition that was added"
        erased = {r.partition for r in log_of(system, THEN) if r.value is None and r.key == gone.clip_id.encode()}
        assert erased == set(range(THEN))  # a tombstone in every partition, the new ones too

    # The snapshot and the database hold positions of the partitions that there were.
    add_partitions(settings, connection, LAST)
    with run_embedded(processes, with_pools=True) as system:
        system.send(third)
        living = [upload for upload in uploads if upload is not gone]
        await_similar(system, living)
        assert {at.partition for at in _log_partitions(system)} == set(range(LAST))
        with rebuilt(processes, tmp_path) as fresh:
            until(lambda: fresh.index.clips() == len(living), system)
            until(lambda: fresh.loops[0].loop.caught_up, system)
            assert fresh.index.content() == system.replica.index.content()
    assert "the lag is not measured" not in caplog.text


def rebuilt(processes: Processes, tmp_path: Path) -> AbstractContextManager[Replica]:
    """Another replica, without a snapshot."""
    ranking = processes.settings.ranking.model_copy(update={"index_folder": tmp_path / "another"})
    settings = processes.settings.model_copy(update={"ranking": ranking})
    return Processes(settings, connection=processes.connection).replica()


def _log_partitions(system: EmbeddedSystem) -> set[TopicPartition]:
    source = system.replica.loops[0].loop._source
    return {at for at in source.assignment() if at.topic == system.settings.streamer.scored_topic}
