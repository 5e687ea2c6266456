"""A partition whose only broker is down: others are read, lag and readiness name it, it is read once that is back."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import httpx
import pytest
from kafka import KafkaAdminClient
from kafka.admin import NewPartitions

from schemas.codec import encode
from schemas.errors import TransportError
from schemas.ports import OutgoingRecord, TopicPartition
from tests.faults.conftest import Scene
from tests.faults.processes import Worker, ranker, server, streamer
from tests.ranking.examples import scored_clip
from tests.servers import ServerUnavailable, unavailable
from tests.servers.kafka import KafkaServer
from tests.servers.second_broker import SecondBroker
from tests.waiting import wait_until
from transport.connection import KafkaConnection, open_client
from transport.group_offsets import set_offsets
from transport.kafka_sink import KafkaSink
from transport.kafka_transactions import KafkaTransactionalSink
from transport.topics import describe_topics

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(1200)]

MakeScene = Callable[[KafkaConnection, str, int], Scene]
BOTH = 3
"""Records that are sent to each of two partitions."""
LAG = "dancerank_consumer_lag_records{"


class Cluster:
    """Two brokers. ``second`` leads the last partition of uploads and of the log, ``first`` everything else."""

    def __init__(self, here: Scene, second: SecondBroker) -> None:
        self.here, self.connection = here, here.connection
        self.uploads, self.log = here.settings.streamer.uploads_topic, here.settings.streamer.scored_topic
        # Kafka's own topics come with their first use, while there is one broker.
        set_offsets(self.connection, "first-use", {TopicPartition(self.uploads, 0): 0})
        KafkaTransactionalSink(self.connection, "first-use").close()
        self.second = second

    def add_partitions(self) -> None:
        total = self.here.settings.kafka.partitions + 1
        admin, _ = open_client(KafkaAdminClient, self.connection)
        with closing(admin):
            added = NewPartitions(total, new_assignments=[[SecondBroker.NODE]])
            admin.create_partitions({self.uploads: added, self.log: added})
            admin.wait_for_topics([self.uploads, self.log])

    @property
    def last(self) -> int:
        return self.here.settings.kafka.partitions

    def kill_second(self) -> None:
        self.second.kill()
        wait_until(lambda: self.leaderless() == 1, what="the partition kept its leader")

    def leaderless(self) -> int:
        with suppress(TransportError):  # the client asks the broker that is down, too
            return describe_topics(self.connection, [self.uploads])[self.uploads].leaderless
        return 0

    def upload(self, *partitions: int) -> None:
        self._send(self.uploads, [(clip.clip_id, encode(clip)) for clip in self.here.sent[:BOTH]], partitions)

    def score(self, name: str, *partitions: int) -> None:
        for partition in partitions:
            clips = [scored_clip(f"{name}-{partition}-{number}") for number in range(BOTH)]
            self._send(self.log, [(clip.clip_id, encode(clip)) for clip in clips], [partition])

    def _send(self, topic: str, values: list[tuple[str, bytes]], partitions: tuple[int, ...] | list[int]) -> None:
        with closing(KafkaSink(self.connection)) as sink:
            for partition in partitions:
                for key, value in values:
                    sink.send(OutgoingRecord(topic, key.encode(), value, partition=partition))
            sink.flush(60.0)


@pytest.fixture(scope="module")
def brokers() -> Iterator[tuple[KafkaServer, SecondBroker]]:
    """The first runs; topics of a test are created before the second does, so that none of their partitions is its."""
    try:
        first = KafkaServer()
    except ServerUnavailable as error:
        unavailable(error)
    with first, ExitStack() as stack:
        second = SecondBroker(first)
        stack.push(second)
        yield first, second


@pytest.fixture
def cluster(scene: MakeScene, brokers: tuple[KafkaServer, SecondBroker], postgresql_url: str) -> Iterator[Cluster]:
    first, second = brokers
    made = Cluster(scene(KafkaConnection(servers=(first.address,)), postgresql_url, BOTH), second)
    second.start()
    made.add_partitions()
    yield made
    second.stop()


def is_ready(worker: Worker) -> bool:
    return worker.waiting() == []


def names_it(worker: Worker, topic: str, partition: int) -> bool:
    return any(f"{topic}[{partition}]: it has no leader" in said for said in worker.waiting() or ())


def has_lag(worker: Worker, partition: int) -> bool:
    lines = httpx.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=10.0).text.splitlines()
    return any(line.startswith(LAG) and f'partition="{partition}"' in line for line in lines)


@pytest.mark.tried(
    kind="readiness by memory",
    given="a partition of uploads whose only broker is killed while a streamer runs",
    outcome="not ready, naming it; its lag is unknown after 30 s; others are scored, and it is once it is back",
)
def test_uploads_of_other_partitions_are_scored_while_one_has_no_leader(cluster: Cluster) -> None:
    with streamer("streamer-0", cluster.here.config, is_static=False) as streaming:
        wait_until(lambda: is_ready(streaming) and streaming.progress() == BOTH, what="it was never ready")
        wait_until(lambda: has_lag(streaming, cluster.last), what="its lag was not measured")
        cluster.kill_second()
        cluster.upload(0)
        wait_until(lambda: names_it(streaming, cluster.uploads, cluster.last), what="nothing named the partition")
        wait_until(lambda: streaming.progress() == 2 * BOTH, what="another partition stood still")
        wait_until(lambda: not has_lag(streaming, cluster.last), what="a lag was reported that is not known")
        assert has_lag(streaming, 0)
        assert streaming.metric("dancerank_ready{") == 0
        cluster.second.start()
        cluster.upload(cluster.last)
        wait_until(lambda: is_ready(streaming) and streaming.progress() == 3 * BOTH, what="it was not read again")


@pytest.mark.tried(
    kind="readiness by memory",
    given="a streamer that starts while a partition of uploads has no leader",
    outcome="other partitions are scored, and it is once it is back",
)
def test_a_streamer_that_starts_while_a_partition_has_no_leader_reads_the_others(cluster: Cluster) -> None:
    cluster.kill_second()
    with streamer("streamer-0", cluster.here.config, is_static=False) as streaming:
        wait_until(lambda: streaming.progress() == BOTH, what="the others were not read")
        cluster.second.start()
        cluster.upload(cluster.last)
        wait_until(lambda: is_ready(streaming) and streaming.progress() == 2 * BOTH, what="it was not read")


@pytest.mark.tried(
    kind="readiness by memory",
    given="a partition of the log whose only broker is killed while rank and serve run",
    outcome="both name it and read the others; serve stays ready with what it holds",
)
def test_clips_of_other_partitions_are_ranked_and_found_while_one_has_no_leader(
    cluster: Cluster, tmp_path: Path
) -> None:
    with (
        ranker("ranker-0", cluster.here.config) as ranking,
        server("server-0", cluster.here.config, tmp_path / "index") as serving,
    ):
        cluster.score("before", 0, cluster.last)
        for worker in (ranking, serving):
            wait_until(lambda worker=worker: is_ready(worker) and worker.progress() == 2 * BOTH, what=worker.name)
        cluster.kill_second()
        cluster.score("meanwhile", 0)
        for worker in (ranking, serving):
            wait_until(lambda worker=worker: worker.progress() == 3 * BOTH, what=f"{worker.name} stood still")
            wait_until(lambda worker=worker: names_it(worker, cluster.log, cluster.last), what=worker.name)
        assert serving.metric("dancerank_ready{") == 1, "what it holds can be asked for"
        cluster.second.start()
        cluster.score("after", cluster.last)
        for worker in (ranking, serving):
            wait_until(lambda worker=worker: is_ready(worker) and worker.progress() == 4 * BOTH, what=worker.name)
