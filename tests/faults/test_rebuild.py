"""Database and snapshots are deleted and rebuilt from the log: bit by bit the same, however the log is read."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import pytest

from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.settings import Settings
from dancerank.synthetic import synthesize
from dancerank.topics import scored_topics
from schemas.codec import encode
from schemas.events import (
    ClipDeleted,
    ClipScored,
    ClipScoredV4,
    ClipUploaded,
    ModalityResult,
    TemporalAttention,
    embedding_bytes,
)
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord
from tests.servers.postgresql import PostgresqlServer
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.group_offsets import committed_offsets, partition_ends
from vdv.folder import open_data_set, write_data_set
from vdv.uploads import read_uploads

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(1200)]

CLIPS = 30
PARTITIONS = 3
HOUR_MS = 3_600_000
FIRST_MS = 1_700_000_000_000
NewDatabase = Callable[[], str]


class Contents(NamedTuple):
    sql: str
    index: str


@pytest.fixture
def new_database(postgresql_server: PostgresqlServer) -> Iterator[NewDatabase]:
    """Drops the database that it gave last and gives a fresh one."""
    urls: list[str] = []

    def replaced() -> str:
        while urls:
            postgresql_server.drop_database(urls.pop())
        urls.append(postgresql_server.new_database())
        return urls[-1]

    yield replaced
    while urls:
        postgresql_server.drop_database(urls.pop())


@pytest.fixture
def uploads(tmp_path: Path) -> list[ClipUploaded]:
    """An hour from one to the next, in the order of their names."""
    folder = tmp_path / "clips"
    write_data_set(folder, (clip.labelled() for clip in synthesize(CLIPS, seed=9)))
    read = sorted(read_uploads(open_data_set(folder), now_ms=FIRST_MS), key=lambda upload: upload.clip_id)
    return [msgspec.structs.replace(each, uploaded_at_ms=FIRST_MS + n * HOUR_MS) for n, each in enumerate(read)]


@pytest.fixture
def settings(tmp_path: Path, fresh_name: Callable[[str], str], kafka_connection: KafkaConnection) -> Settings:
    scored, older = fresh_name("scored"), fresh_name("scored-older")
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": kafka_connection.servers,
                "streamer_group": fresh_name("streamer"),
                "ranking_group": fresh_name("ranking"),
                "partitions": PARTITIONS,
            },
            "streamer": {
                "feature_roots": [(tmp_path / "clips").resolve().as_uri()],
                "uploads_topic": fresh_name("uploads"),
                "scored_topic": scored,
                "tuning_s": 0,
            },
            "ranking": {
                "index_folder": tmp_path / "index",
                "deletions_topic": fresh_name("deleted"),
                "scored_topics": (scored, older),
            },
        }
    )


class Platform:
    """One deployment over several lives; each has a database, snapshots and a size of batches of its own."""

    def __init__(self, settings: Settings, connection: KafkaConnection) -> None:
        self._settings, self._connection = settings, connection
        self._bundle = Processes(settings).bundle

    def run(self, database_url: str, *, batch: int = 500) -> AbstractContextManager[EmbeddedSystem]:
        changes = {"database_url": database_url, "batch_records": batch}
        ranking = self._settings.ranking.model_copy(update=changes)
        settings = self._settings.model_copy(update={"ranking": ranking})
        return run_embedded(Processes(settings, connection=self._connection, bundle=self._bundle, observer=Observer()))

    @contextmanager
    def rebuilt(self, database_url: str, *, batch: int = 500) -> Iterator[EmbeddedSystem]:
        """A life that begins without snapshots, once it has read everything."""
        shutil.rmtree(self._settings.ranking.index_folder)
        with self.run(database_url, batch=batch) as system:
            system.await_ready()
            yield system

    def await_streamer(self) -> None:
        """Until every upload that was sent has its results in the log."""
        topic, group = self._settings.streamer.uploads_topic, self._settings.kafka.streamer_group
        ends = {at: each.end for at, each in partition_ends(self._connection, [topic]).items() if each.end}
        wait_until(lambda: committed_offsets(self._connection, group) == ends, what="the streamer was not through")


def content(system: EmbeddedSystem) -> Contents:
    return Contents(system.replica.store.content(), system.replica.index.content())


def of_older_generation(upload: ClipUploaded, score: float) -> ClipScored:
    vector = embedding_bytes(np.array([1.0, score, 0.5]))
    return ClipScored(
        clip_id=upload.clip_id,
        dancer_id=upload.dancer_id,
        challenge_id=upload.challenge_id,
        uploaded_at_ms=upload.uploaded_at_ms,
        duration_s=upload.duration_s,
        generation="older",
        modalities={modality: ModalityResult(score, 0.5, vector) for modality in FUSED_MODALITIES[:2]},
        missing=FUSED_MODALITIES[2:],
        fused_score=score / 3,
        scored_at_ms=upload.uploaded_at_ms + 1000,
    )


def routine_of_older_generation(upload: ClipUploaded, score: float) -> ClipScored:
    """Of 61 to 69 s, with as many weights."""
    clip = msgspec.structs.asdict(of_older_generation(upload, score))
    duration_s = 61 + round(8 * score) % 9
    weights = np.full((2, duration_s), 1 / duration_s, "<f2")
    clip |= {
        "duration_s": float(duration_s),
        "modalities": {Modality.ROUTINE: ModalityResult(score, 1.0, embedding_bytes(np.array([score, 1.0])))},
        "missing": (),
    }
    attention = TemporalAttention(
        modality=Modality.ROUTINE, rate_hz=1.0, parts=("dynamic", "static"), weights=weights.tobytes()
    )
    return ClipScoredV4(**clip, temporal_attention=attention)


def send_scored(system: EmbeddedSystem, topic: str, clips: Sequence[ClipScored]) -> None:
    for clip in clips:
        record = OutgoingRecord(topic, clip.clip_id.encode(), encode(clip), partition_by=clip.challenge_id)
        system.uploads.send(record)
    system.uploads.flush(30.0)


def delete(system: EmbeddedSystem, clip_ids: Sequence[str]) -> None:
    for clip_id in clip_ids:
        removal = encode(ClipDeleted(clip_id=clip_id, reason="asked for"))
        system.uploads.send(OutgoingRecord(system.settings.ranking.deletions_topic, clip_id.encode(), removal))
    system.uploads.flush(30.0)


def test_views_that_are_rebuilt_from_the_log_hold_what_they_held_bit_by_bit(
    settings: Settings, uploads: list[ClipUploaded], kafka_connection: KafkaConnection, new_database: NewDatabase
) -> None:
    platform, first_database = Platform(settings, kafka_connection), new_database()
    scored, older = scored_topics(settings)
    challenges = sorted({upload.challenge_id for upload in uploads})
    gone = [upload.clip_id for upload in uploads[:4]]
    routines = {upload.clip_id for upload in uploads[1:20:4]}

    def moved(upload: ClipUploaded, by_ms: int) -> ClipUploaded:
        """The same clip, uploaded for another challenge at another time."""
        other = next(challenge for challenge in challenges if challenge != upload.challenge_id)
        return msgspec.structs.replace(upload, challenge_id=other, uploaded_at_ms=upload.uploaded_at_ms + by_ms)

    def of_older(upload: ClipUploaded, score: float) -> ClipScored:
        made = routine_of_older_generation if upload.clip_id in routines else of_older_generation
        return made(upload, score)

    with platform.run(first_database) as system:
        delete(system, gone[:1])  # before it comes
        send_scored(system, older, [of_older(upload, n / 7) for n, upload in enumerate(uploads[:20])])
        system.send(uploads[:20])
        platform.await_streamer()
        delete(system, gone[1:])
        system.send([*uploads[20:], *uploads[2:8]])  # late, and sent twice
        system.send([moved(uploads[10], HOUR_MS // 2), moved(uploads[11], -HOUR_MS // 2)])
        system.uploads.send(OutgoingRecord(scored, b"?", b"neither a clip nor anything else"))
        send_scored(system, older, [of_older(moved(upload, 1), 0.9) for upload in uploads[8:13]])
        platform.await_streamer()
    with platform.run(first_database) as system:  # from what is stored, and the rest of the log
        system.await_ready()
        before = content(system)
        assert sum(system.replica.store.generations().values()) == CLIPS - 4 + 20 - 4

    for batch in (1, 7):
        with platform.rebuilt(new_database(), batch=batch) as system:
            assert content(system) == before
    with platform.rebuilt(new_database(), batch=10_000) as system:
        assert content(system) == before
        again = msgspec.structs.replace(of_older_generation(uploads[9], 0.9), uploaded_at_ms=FIRST_MS + 99 * HOUR_MS)
        send_scored(system, older, [again])
        wait_until(
            lambda: all(now != then for now, then in zip(content(system), before, strict=True)),
            what="a later upload was not seen in both",
        )
