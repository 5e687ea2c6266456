"""What no loop can read stops none of them: on a real Kafka, with compressed topics, batches that hold too much, and a
damaged disk.
"""

from collections import Counter
from pathlib import Path

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.dead_letters import DeadLetters
from dancerank.processes import Processes
from dancerank.running.embedded import run_embedded
from dancerank.settings import Settings
from schemas.bundle import Bundle
from schemas.codec import encode, encode_json
from schemas.events import ClipDeleted, EngagementObserved
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord
from tests.clips import random_features, upload
from tests.servers.kafka import KafkaServer
from tests.small_bundle import small_bundle
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.dead_letter_records import DeadLetter
from transport.group_offsets import committed_offsets, partition_ends
from transport.topics import TopicSpec, ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

CLIPS = 24
PARTITIONS = 2
LIMIT = 1024 * 1024
MARK = b"these bytes are changed on the disk"
CODECS = ["gzip", "snappy", "lz4", "zstd"]


class Counting(Observer):
    """Counts what was dead-lettered and skipped, by topic and reason."""

    def __init__(self) -> None:
        self.dead: Counter[tuple[str, str]] = Counter()
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.reconnects: Counter[str] = Counter()

    def dead_lettered(self, topic: str, reason: str) -> None:
        self.dead[topic, reason] += 1

    def skipped(self, topic: str, reason: str) -> None:
        self.left_out[topic, reason] += 1

    def interrupted(self, reason: str) -> None:
        self.reconnects[reason] += 1


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return small_bundle(tmp_path_factory.mktemp("bundle"), modalities=(Modality.SKELETAL,))


@pytest.fixture
def settings(tmp_path: Path, own_kafka_server: KafkaServer) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": [own_kafka_server.address],
                "partitions": PARTITIONS,
                "max_batch_bytes": LIMIT,
            },
            "streamer": {"tuning_s": 0},
            "ranking": {"database_url": f"sqlite:///{tmp_path / 'view.db'}", "index_folder": tmp_path / "index"},
            "pools": {"round_interval_s": 1},
        }
    )


def read_topics(settings: Settings) -> list[str]:
    return [
        settings.streamer.uploads_topic,
        settings.streamer.scored_topic,
        settings.ranking.deletions_topic,
        settings.pools.engagement_topic,
    ]


def send(address: str, topic: str, value: bytes, partition: int, codec: str = "none") -> None:
    """One record in a batch of its own."""
    producer = Producer({"bootstrap.servers": address, "compression.type": codec, "message.max.bytes": 100_000_000})
    failures: list[object] = []
    producer.produce(topic, value, key=b"key", partition=partition, on_delivery=lambda error, _: failures.append(error))
    producer.flush(60)
    assert failures == [None]


def damage_disk(server: KafkaServer) -> int:
    """Turn a bit within each ``MARK`` of the broker's logs; how many."""
    count = 0
    for segment in (server.log.parent / "data").glob("clips.*/*.log"):
        content = bytearray(segment.read_bytes())
        at = content.find(MARK)
        while at >= 0:
            with segment.open("r+b") as file:
                file.seek(at)
                file.write(bytes([MARK[0] ^ 1]))
            count, at = count + 1, content.find(MARK, at + 1)
    return count


FEATURES = random_features(3.0, modalities=(Modality.SKELETAL,))


def clips(first: int, count: int) -> list[OutgoingRecord]:
    made = [upload(f"clip-{n}", FEATURES, challenge_id=f"challenge-{n % 5}") for n in range(first, first + count)]
    return [
        OutgoingRecord("clips.uploaded", clip.clip_id.encode(), encode(clip), partition=number % PARTITIONS)
        for number, clip in enumerate(made)
    ]


def send_clips(settings: Settings, first: int, count: int) -> None:
    """Each clip by a producer with another codec."""
    for number, record in enumerate(clips(first, count)):
        assert record.value is not None
        producer = Producer(
            {"bootstrap.servers": ",".join(settings.kafka.bootstrap_servers), "compression.type": CODECS[number % 4]}
        )
        producer.produce(record.topic, record.value, key=record.key, partition=record.partition or 0)
        assert producer.flush(30) == 0


def dead_letters_of(settings: Settings, topic: str) -> list[DeadLetter]:
    dead_letters = DeadLetters(settings)
    return [found for found, _ in dead_letters.read(dead_letters.topics(topic))]


@pytest.mark.tried(
    kind="unreadable batches",
    given="flipped bits on the broker's disk and batches that hold too much, on every topic",
    outcome="dead-lettered by stream, rank and pools, skipped and counted by serve; every good record counts",
)
def test_no_loop_is_stopped_by_what_it_cannot_read(
    own_kafka_server: KafkaServer, settings: Settings, bundle: Bundle
) -> None:
    observer, connection = Counting(), KafkaConnection(servers=(own_kafka_server.address,))
    topics = read_topics(settings)
    scored = settings.streamer.scored_topic
    compacted = {"cleanup.policy": "compact", "compression.type": "zstd"}
    ensure_topics(connection, [TopicSpec(name=scored, partitions=PARTITIONS, config=compacted)])
    processes = Processes(settings, connection=connection, bundle=bundle, observer=observer)
    processes.create_topics()
    for topic in topics:
        send(own_kafka_server.address, topic, bytes(3 * LIMIT), partition=0, codec="gzip")
        if topic != scored:  # the broker compresses that one, so that no mark is found
            send(own_kafka_server.address, topic, MARK + bytes(100), partition=1)
    assert damage_disk(own_kafka_server) == len(topics) - 1
    send_clips(settings, 0, CLIPS)
    deleted = encode(ClipDeleted(clip_id="clip-0", reason="asked for"))
    seen = encode(
        EngagementObserved(clip_id="clip-1", observed_at_ms=1_700_000_000_000, likes=1, comments=0, reposts=0, views=9)
    )

    with run_embedded(processes, with_pools=True) as system:
        system.await_clips(CLIPS)
        for partition in range(PARTITIONS):
            send(own_kafka_server.address, topics[2], deleted, partition, codec="lz4")
            send(own_kafka_server.address, topics[3], seen, partition, codec="snappy")
        wait_until(lambda: system.replica.index.clips() == CLIPS - 1)
        system.await_observed(1)
        wait_until(lambda: all_is_read(settings, connection))
        wait_until(lambda: sum(observer.dead.values()) >= 10)
        assert system.streamer.waiting_for is None

    assert not observer.reconnects
    read_by = {topics[0]: 1, scored: 2, topics[2]: 2, topics[3]: 1}  # of stream, rank and pools
    assert observer.dead == Counter(
        {
            **{(topic, "oversized_batch"): times for topic, times in read_by.items()},
            **{(topic, "unreadable_batch"): times for topic, times in read_by.items() if topic != scored},
        }
    )
    assert {key: count for key, count in observer.left_out.items() if key[1].endswith("_batch")} == {
        (scored, "oversized_batch"): 1,
        (topics[2], "oversized_batch"): 1,
        (topics[2], "unreadable_batch"): 1,
    }
    for topic in topics:
        for found in dead_letters_of(settings, topic):
            assert found.source.topic == topic
            assert found.source_offset == found.last_offset == 0
            assert f"{topic}[{found.source.partition}]@0" in found.message
            assert found.size_bytes > 0


def all_is_read(settings: Settings, connection: KafkaConnection) -> bool:
    ends = partition_ends(connection, [settings.streamer.uploads_topic])
    done = committed_offsets(connection, settings.kafka.streamer_group)
    return all(done.get(at, 0) >= place.end for at, place in ends.items())


@pytest.mark.tried(
    kind="unreadable batches",
    given="an upload that held more than kafka.max_batch_bytes, after the limit was raised",
    outcome="dancerank dead-letters replay puts back what the batch held",
)
def test_what_held_too_much_is_put_back_once_the_limit_is_raised(
    own_kafka_server: KafkaServer, settings: Settings, bundle: Bundle, tmp_path: Path
) -> None:
    connection = KafkaConnection(servers=(own_kafka_server.address,))
    processes = Processes(settings, connection=connection, bundle=bundle)
    processes.create_topics()
    producer = Producer(
        {
            "bootstrap.servers": own_kafka_server.address,
            "compression.type": "zstd",
            "message.max.bytes": 100 * LIMIT,
            "batch.size": 100 * LIMIT,
            "linger.ms": 500,
        }
    )
    for number in range(CLIPS):
        clip = upload(f"clip-{number}", FEATURES, challenge_id="renegade")
        producer.produce(settings.streamer.uploads_topic, encode_json(clip) + b" " * (LIMIT // 4), partition=0)
    assert producer.flush(30) == 0
    with run_embedded(processes) as system:
        wait_until(lambda: all_is_read(settings, connection))
        (found,) = dead_letters_of(settings, settings.streamer.uploads_topic)
        assert (found.code, found.source_offset, found.last_offset) == ("oversized_batch", 0, CLIPS - 1)
        config = tmp_path / "raised.toml"
        kafka = f'bootstrap_servers = ["{own_kafka_server.address}"]\nmax_batch_bytes = {16 * LIMIT}'
        config.write_text(f"[kafka]\n{kafka}\n")
        arguments = ["dead-letters", "replay", str(found.id), "--yes", "--config", str(config)]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, result.output
        system.await_clips(CLIPS)
