"""A feature store that hangs: what waits is counted, readiness says for what, and all is scored once it answers."""

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final

import fsspec
import pytest
from fsspec.registry import _registry as registered

from dancerank.processes import Processes
from dancerank.settings import Settings
from dancerank.topics import create_topics
from exporters.prometheus import PrometheusObserver
from schemas.codec import encode
from schemas.events import ClipUploaded, FeatureFile
from schemas.features import encode_features
from schemas.modalities import Modality
from schemas.ports import OutgoingRecord
from schemas.questions.readiness import WaitsFor
from tests.clips import random_features, upload
from tests.integration.scored_log import read_log
from tests.small_bundle import small_bundle
from tests.waiting import read, wait_until, watching
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic
from transport.dead_letter_records import read_dead_letter
from transport.group_offsets import members_of
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

FEATURES: Final = random_features(4.0, modalities=[Modality.SKELETAL])


class Bucket(fsspec.AbstractFileSystem):
    """An object store that accepts questions and answers none, as a server that is frozen, until ``answers`` is set."""

    protocol = "s3"
    cachable = False
    answers: ClassVar[threading.Event]
    asked: ClassVar[Counter[str]]

    def info(self, path: str, **_: object) -> dict[str, object]:
        self.asked[path] += 1
        self.answers.wait()
        return {"name": path, "size": len(encode_features(FEATURES)), "type": "file"}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        return encode_features(FEATURES)[start:end]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Bucket]]:
    monkeypatch.setattr(Bucket, "answers", threading.Event(), raising=False)
    monkeypatch.setattr(Bucket, "asked", Counter(), raising=False)
    monkeypatch.setitem(registered, "s3", Bucket)
    yield Bucket
    Bucket.answers.set()


@dataclass
class Scene:
    """A streamer on topics of two partitions, with two threads that load features from a folder and a bucket."""

    settings: Settings
    connection: KafkaConnection
    folder: Path

    @contextmanager
    def streaming(self) -> Iterator[tuple[Processes, PrometheusObserver, Callable[[], object]]]:
        """The process, its metrics, and a check that it has not ended."""
        observer, stop = PrometheusObserver(), threading.Event()
        bundle = small_bundle(self.folder.parent / "bundle", modalities=(Modality.SKELETAL,))
        processes = Processes(self.settings, observer=observer, bundle=bundle)
        observer.watch("stream", processes.state)
        with (
            ThreadPoolExecutor(1) as thread,
            processes.runtime() as runtime,
            processes.streamer(runtime) as streamer,
        ):
            running: Future[None] = thread.submit(streamer.run, stop)
            try:
                yield processes, observer, lambda: running.done() and running.result()
            finally:
                stop.set()
            running.result()

    def send(self, *clips: ClipUploaded, partition: int) -> None:
        topic = self.settings.streamer.uploads_topic
        with closing(KafkaSink(self.connection)) as sink:
            for clip in clips:
                sink.send(OutgoingRecord(topic, clip.clip_id.encode(), encode(clip), partition=partition))
            sink.flush(30.0)

    def scored(self) -> list[str]:
        return sorted(clip.clip_id for clip in read_log(self.settings, self.connection))


@pytest.fixture
def scene(kafka_connection: KafkaConnection, tmp_path: Path, fresh_name: Callable[[str], str]) -> Scene:
    folder = tmp_path / "features"
    folder.mkdir()
    settings = Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": kafka_connection.servers,
                "streamer_group": fresh_name("streamer"),
                "partitions": 2,
                "session_timeout_s": 6,
            },
            "streamer": {
                "feature_roots": [folder.as_uri(), "s3://features"],
                "uploads_topic": fresh_name("uploads"),
                "scored_topic": fresh_name("scored"),
                "loader_threads": 2,
                "store_patience_s": 1.0,
                "drain_timeout_s": 1.0,
                "max_batch_wait_s": 0.0,
                "tuning_s": 0,
            },
            "ranking": {"deletions_topic": fresh_name("deleted")},
            "pools": {"engagement_topic": fresh_name("engagement"), "decisions_topic": fresh_name("decisions")},
        }
    )
    create_topics(settings, kafka_connection)
    return Scene(settings, kafka_connection, folder)


def in_bucket(name: str) -> ClipUploaded:
    return upload(name, FeatureFile(f"s3://features/{name}"))


def metric(observer: PrometheusObserver, beginning: str) -> float:
    lines = observer.render()[1].decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginning))


@pytest.mark.tried(
    kind="readiness by memory",
    given="an object store that accepts connections and does not answer",
    outcome="not ready, for the feature store; what waits is the lag; other partitions are scored",
)
def test_a_store_that_hangs_is_waited_for_by_name_and_holds_up_no_other_partition(
    scene: Scene, bucket: type[Bucket]
) -> None:
    with scene.streaming() as (processes, observer, check):
        wait_until(lambda: processes.state().ready, watching(check), what="it was never ready")
        (member,) = members_of(scene.connection, scene.settings.kafka.streamer_group)
        scene.send(in_bucket("hangs"), partition=0)
        wait_until(lambda: bucket.asked["features/hangs"] == 1, watching(check), what="the store was not asked")
        scene.send(*(upload(f"behind-{number}", FEATURES) for number in range(3)), partition=0)
        scene.send(*(upload(f"beside-{number}", FEATURES) for number in range(3)), partition=1)
        produced = "dancerank_records_produced_total"
        wait_until(lambda: metric(observer, produced) == 3, watching(check), what="the other partition stood still")
        wait_until(lambda: not processes.state().ready, watching(check), what="it was ready all the time")
        (reason,) = processes.state().reasons
        assert reason.waits_for is WaitsFor.FEATURE_STORE
        assert reason.sentence.startswith("a feature file has been loading for")
        assert metric(observer, 'dancerank_waiting{process="stream",reason="feature_store"}') == 1
        lag = "dancerank_consumer_lag_records{"
        wait_until(lambda: metric(observer, lag) == 4, watching(check), what="the lag is not what waits")
        assert [each.id for each in members_of(scene.connection, scene.settings.kafka.streamer_group)] == [member.id]
        assert metric(observer, "dancerank_interruptions_total") == 0
        bucket.answers.set()
        wait_until(lambda: processes.state().ready, watching(check), what="it was not ready again")
        wait_until(lambda: metric(observer, lag) == 0, watching(check), what="it did not catch up")
    expected = ["hangs", *(f"{place}-{number}" for place in ("behind", "beside") for number in range(3))]
    assert scene.scored() == sorted(expected)


@pytest.mark.tried(
    kind="readiness by memory",
    given="an object store that hangs under every loader thread, and a stop meanwhile",
    outcome="the process ends; what waited is scored once after the next start",
)
def test_a_stop_does_not_wait_for_a_store_that_hangs_and_loses_nothing(scene: Scene, bucket: type[Bucket]) -> None:
    names = [f"hangs-{number}" for number in range(3)]
    with scene.streaming() as (processes, _, check):
        wait_until(lambda: processes.state().ready, watching(check), what="it was never ready")
        scene.send(*map(in_bucket, names), partition=0)
        wait_until(lambda: bucket.asked.total() == 2, watching(check), what="the store was not asked")
    assert scene.scored() == []
    bucket.answers.set()
    with scene.streaming() as (_, observer, check):
        produced = "dancerank_records_produced_total"
        wait_until(lambda: metric(observer, produced) == 3, watching(check), what="not all were scored")
    assert scene.scored() == names


@pytest.mark.usefixtures("bucket")
@pytest.mark.tried(
    kind="readiness by memory",
    given="a named pipe without a writer in place of a feature file, which opening would wait for",
    outcome="dead-lettered as a file that is missing; the process is ready, and clips behind it are scored",
)
def test_a_named_pipe_in_place_of_a_feature_file_is_not_waited_for(scene: Scene) -> None:
    os.mkfifo(scene.folder / "pipe")
    uri = (scene.folder / "pipe").as_uri()
    with scene.streaming() as (processes, observer, check):
        wait_until(lambda: processes.state().ready, watching(check), what="it was never ready")
        scene.send(*(upload(f"pipe-{number}", FeatureFile(uri)) for number in range(3)), partition=0)
        scene.send(upload("behind", FEATURES), partition=0)
        dead = "dancerank_records_dead_lettered_total"
        produced = "dancerank_records_produced_total"
        wait_until(
            lambda: (metric(observer, dead), metric(observer, produced) >= 1) == (3, True),
            watching(check),
            what="a pipe was waited for",
        )
        assert processes.state().ready
    assert scene.scored() == ["behind"]
    topic = dead_letter_topic(scene.settings.streamer.uploads_topic)
    with closing(KafkaSource(scene.connection, [topic], group=None)) as source:
        letters = read(source, 3)
    assert {read_dead_letter(letter).code for letter in letters} == {"feature_file_missing"}
