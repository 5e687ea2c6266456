"""Raw records on a real Kafka, through the real processes: any keys, values, headers, time stamps and codecs."""

import uuid
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final

from confluent_kafka import KafkaException, Producer

from dancerank.processes import Processes
from dancerank.running.embedded import EmbeddedSystem, run_embedded
from dancerank.settings import Settings
from ranking.views.log_records import read_log
from schemas.clock import SystemClock
from schemas.codec import encode
from schemas.events import ClipDeleted, EngagementObserved, InlineFeatures
from schemas.modalities import Modality
from schemas.ports import Record, TopicPartition
from tests.clips import upload
from tests.fuzz.event_inputs import event_value
from tests.fuzz.mutations import BYTES
from tests.ranking.examples import NOW_MS, scored_clip
from tests.ranking.views.test_ordering import model
from tests.small_bundle import small_bundle
from tests.waiting import wait_until
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic
from transport.dead_letter_records import read_dead_letter
from transport.group_offsets import committed_offsets
from transport.kafka_source import KafkaSource
from transport.reading import read_to_end
from transport.topics import TopicSpec, ensure_topics

PARTITIONS: Final = 2
CODECS: Final = ("none", "gzip", "snappy", "lz4", "zstd")
STAMPS_MS: Final = (NOW_MS, NOW_MS, NOW_MS, -1, 0, 1, NOW_MS * 1000, 2**62)
_LARGEST_BYTES: Final = 3 * 1024 * 1024
_KEPT: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "-1",
    "message.timestamp.after.max.ms": str(2**63 - 1),
    "max.message.bytes": str(_LARGEST_BYTES),
}
"""Records of any time, none of which Kafka removes before they are counted."""
_PER_TRANSACTION: Final = 20
_BOMB: Final = bytes(2_500_000)
_LIMIT_BYTES: Final = 2_000_000
_PATIENCE_S: Final = 30.0


def fuzz_topics(
    connection: KafkaConnection, *, records: int, seed: int, progress: Callable[[], object] = lambda: None
) -> Counter[str]:
    """Write so many records to topics of their own, have all processes read them, and account for each: by the code of
    its dead letter, as accepted, aborted, a tombstone, or refused by the broker. Raises what a process ended with.
    """
    with TemporaryDirectory() as folder:
        settings = _settings(connection, Path(folder))
        bundle = small_bundle(Path(folder) / "bundle", modalities=(Modality.FACIAL,))
        processes = Processes(settings, connection=connection, bundle=bundle)
        for topic in _read_topics(settings):
            ensure_topics(connection, [TopicSpec(name=topic, partitions=PARTITIONS, config=_KEPT)])
        processes.create_topics()
        outcomes = _write(connection, settings, Random(seed), records, progress)
        with run_embedded(processes, with_pools=True) as system:
            _await_read(system, _sentinels(connection, settings), progress)
            outcomes += _accounted(connection, settings, system, bundle.manifest.generation)
    return outcomes


def _settings(connection: KafkaConnection, folder: Path) -> Settings:
    name = f"fuzz-{uuid.uuid4().hex[:8]}"
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": connection.servers,
                "partitions": PARTITIONS,
                "max_batch_bytes": _LIMIT_BYTES,
                **{f"{group}_group": f"{name}-{group}" for group in ("streamer", "ranking", "pools")},
            },
            "streamer": {"uploads_topic": f"{name}.uploaded", "scored_topic": f"{name}.scored", "tuning_s": 0},
            "ranking": {
                "database_url": f"sqlite:///{folder / 'view.db'}",
                "index_folder": folder / "index",
                "deletions_topic": f"{name}.deleted",
                "index": "numpy",
            },
            "pools": {"engagement_topic": f"{name}.engagement", "decisions_topic": f"{name}.decisions"},
        }
    )


def _read_topics(settings: Settings) -> list[str]:
    return [
        settings.streamer.uploads_topic,
        settings.streamer.scored_topic,
        settings.ranking.deletions_topic,
        settings.pools.engagement_topic,
    ]


def _write(
    connection: KafkaConnection, settings: Settings, rng: Random, records: int, progress: Callable[[], object]
) -> Counter[str]:
    outcomes = Counter[str]()
    options = {"bootstrap.servers": str(connection), "message.max.bytes": 2 * _LARGEST_BYTES, "linger.ms": 20}

    def delivered(error: object, _message: object) -> None:
        if error is not None:
            outcomes["refused by the broker"] += 1

    producers = [Producer({**options, "compression.type": codec}) for codec in CODECS]
    transactional = Producer({**options, "transactional.id": uuid.uuid4().hex, "compression.type": "lz4"})
    transactional.init_transactions(_PATIENCE_S)
    topics = _read_topics(settings)
    left = records
    while left > 0:
        progress()
        count = min(_PER_TRANSACTION, left)
        left -= count
        if rng.random() < 0.2:
            aborts = rng.random() < 0.5
            transactional.begin_transaction()
            for _ in range(count):
                _produce(transactional, rng, topics[:1] + topics[2:], {})
            transactional.flush(_PATIENCE_S)  # an aborted transaction has records on the log too
            if not aborts:
                try:
                    transactional.commit_transaction(_PATIENCE_S)
                except KafkaException as error:
                    if not error.args[0].txn_requires_abort():
                        raise
                    aborts = True  # the broker refused one of them
            if aborts:
                transactional.abort_transaction(_PATIENCE_S)
                outcomes["aborted"] += count
            continue
        producer = rng.choice(producers)
        for _ in range(count):
            _produce(producer, rng, topics, {"on_delivery": delivered})
        producer.poll(0)
    for producer in producers:
        assert producer.flush(_PATIENCE_S) == 0
    return outcomes


def _produce(producer: Producer, rng: Random, topics: list[str], more: Mapping[str, Any]) -> None:
    """One record; what the client itself refuses to send is sent without time stamp."""
    value = event_value(rng)
    if rng.random() < 0.03:
        value = rng.choice((None, b"", _BOMB))
    key = rng.choice((b"clip-3", b"clip-3", None, b"", b"\xff\xfe", b"k" * 300))
    headers = [
        (rng.choice(("h", "trace", "original.x", "topic", "attempts")), rng.choice((None, b"", *BYTES)))
        for _ in range(rng.choice((0, 0, 1, 3)))
    ]
    fields = {"key": key, "value": value, "partition": rng.randrange(PARTITIONS), "headers": headers, **more}
    topic = rng.choice(topics)
    try:
        producer.produce(topic, timestamp=rng.choice(STAMPS_MS), **fields)
    except (KafkaException, OverflowError, ValueError):
        producer.produce(topic, **fields)


def _sentinels(connection: KafkaConnection, settings: Settings) -> dict[TopicPartition, int]:
    """A sound record at the end of each partition, and its offset."""
    uploads, scored, deletions, engagement = _read_topics(settings)
    values = {
        uploads: encode(upload("last", InlineFeatures(b"none"))),
        scored: encode(scored_clip("last")),
        deletions: encode(ClipDeleted(clip_id="none", reason="")),
        engagement: encode(EngagementObserved(clip_id="last", observed_at_ms=NOW_MS, likes=1, comments=0, reposts=0)),
    }
    offsets: dict[TopicPartition, int] = {}

    def delivered(error: object, message: Any) -> None:
        assert error is None, error
        offsets[TopicPartition(message.topic(), message.partition())] = message.offset()

    producer = Producer({"bootstrap.servers": str(connection)})
    for topic, value in values.items():
        for partition in range(PARTITIONS):
            producer.produce(topic, key=b"last", value=value, partition=partition, on_delivery=delivered)
    assert producer.flush(_PATIENCE_S) == 0
    return offsets


def _await_read(
    system: EmbeddedSystem, sentinels: Mapping[TopicPartition, int], progress: Callable[[], object]
) -> None:
    settings = system.settings
    uploads, scored, deletions, _ = _read_topics(settings)
    log = [at for at in sentinels if at.topic in (scored, deletions)]

    def reached() -> list[int]:
        committed = committed_offsets(system.connection, settings.kafka.streamer_group)
        streamed = [committed.get(at, 0) - offset for at, offset in sentinels.items() if at.topic == uploads]
        pools = committed_offsets(system.connection, settings.kafka.pools_group)
        decided = [pools.get(at, 0) - offset for at, offset in sentinels.items() if at.topic != uploads]
        viewed = [
            thread.loop._view.positions(log).get(at, 0) - sentinels[at] for thread in system.replica.loops for at in log
        ]
        return streamed + decided + viewed

    def read_whole() -> bool:
        system.raise_failures()
        progress()
        return min(reached()) > 0

    wait_until(read_whole, what="not all records were read", progress=reached)


def _accounted(
    connection: KafkaConnection, settings: Settings, system: EmbeddedSystem, generation: str
) -> Counter[str]:
    """Raise ``AssertionError`` unless every record has come to one end, and both views hold what the log says."""
    uploads, scored, deletions, engagement = _read_topics(settings)
    outcomes = Counter[str]()
    dead = {topic: _dead_letters(connection, topic) for topic in (uploads, scored, deletions, engagement)}
    ours = [record for record in _visible(connection, scored) if _is_of(record, generation)]
    sent = _visible(connection, uploads)
    assert len(ours) + len(dead[uploads]) == len(sent), (len(ours), len(dead[uploads]), len(sent))
    log = [*_visible(connection, scored), *_visible(connection, deletions)]
    kept = [record for record in log if record.value is not None]
    entries, refused = read_log(kept, deletions, clock=SystemClock())
    named = {(refusal.record.topic, *_place(refusal.record)) for refusal in refused}
    unexplained = named ^ {(topic, *place) for topic in (scored, deletions) for place in dead[topic]}
    assert not unexplained, unexplained
    held, _ = model(entries)
    clips = Counter(name for name, _ in held)
    assert system.replica.store.generations() == dict(clips)
    assert {name: count for name, count in system.replica.index.generations().items() if count} == dict(clips)
    outcomes["tombstone"] += len(log) - len(kept)
    for codes in dead.values():
        outcomes.update(codes.values())
    outcomes["accepted"] += len(ours) + len(entries)
    observed = _visible(connection, engagement)
    outcomes["accepted"] += len(observed) - len(dead[engagement])
    return outcomes


def _is_of(record: Record, generation: str) -> bool:
    return generation.encode() in (record.value or b"")


def _place(record: Record) -> tuple[int, int]:
    return record.partition, record.offset


def _visible(connection: KafkaConnection, topic: str) -> list[Record]:
    """What readers of committed records get to see."""
    options = ConsumerOptions(max_batch_bytes=_LIMIT_BYTES)
    with closing(KafkaSource(connection, [topic], group=None, options=options)) as source:
        return list(read_to_end(source, SystemClock(), patience_s=_PATIENCE_S, progress=lambda *_: None))


def _dead_letters(connection: KafkaConnection, topic: str) -> dict[tuple[int, int], str]:
    """Codes by place. Several readers of a topic may dead-letter one record, with one code."""
    found: dict[tuple[int, int], str] = {}
    for record in _visible(connection, dead_letter_topic(topic)):
        letter = read_dead_letter(record)
        found.setdefault((letter.source.partition, letter.source_offset), letter.code)
    return found
