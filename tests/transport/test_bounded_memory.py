"""What a small batch holds is never held: a record of 200 MB takes no more memory than the limit allows."""

import subprocess
import sys
from collections.abc import Callable
from contextlib import closing

import pytest
from confluent_kafka import Producer

from schemas.ports import OutgoingRecord
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.topics import TopicSpec, ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

RECORD_BYTES = {"gzip": 200_000_000, "lz4": 200_000_000, "zstd": 200_000_000, "snappy": 60_000_000}
"""The broker of the tests itself runs out of memory with 200 MB of snappy."""
MOST_MIB = 60
"""The limit of 16 MiB, its copy, what was fetched, and the libraries."""
READ = """
import sys
from transport.connection import KafkaConnection
from transport.kafka_source import KafkaSource

def most_mib():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) // 1024

source = KafkaSource(KafkaConnection(servers=(sys.argv[1],)), [sys.argv[2]], group=None)
before, records = most_mib(), []
for _ in range(60):
    if len(records) == 2:
        break
    records += source.poll(max_records=10, timeout_s=1.0)
source.close()
print(*(one.unreadable.error.code if one.unreadable else one.value.decode() for one in records), most_mib() - before)
"""


@pytest.mark.parametrize("codec", RECORD_BYTES)
@pytest.mark.tried(
    kind="bounds on compressed bytes",
    given="a record of 200 MB in 195 kB of gzip, 6 kB of zstd, or lz4 or snappy",
    outcome="dead-lettered as it came; memory grows by less than 60 MiB",
)
def test_a_record_that_is_small_compressed_is_never_held_whole(
    kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], codec: str
) -> None:
    topic = fresh_name("clips")
    room = {"max.message.bytes": str(16 * 1024 * 1024)}
    ensure_topics(kafka_connection, [TopicSpec(name=topic, partitions=1, config=room)])
    options = {"message.max.bytes": 1_000_000_000, "queue.buffering.max.kbytes": 2_000_000}
    producer = Producer({"bootstrap.servers": str(kafka_connection), "compression.type": codec, **options})
    refused: list[object] = []
    producer.produce(topic, bytes(RECORD_BYTES[codec]), on_delivery=lambda error, _: refused.append(error))
    producer.flush(120)
    assert refused == [None]
    with closing(KafkaSink(kafka_connection)) as sink:
        sink.send(OutgoingRecord(topic, b"key", b"after"))
        sink.flush(30.0)
    reading = [sys.executable, "-c", READ, str(kafka_connection), topic]
    code, after, mib = subprocess.run(reading, capture_output=True, text=True, check=True, timeout=120).stdout.split()
    assert (code, after) == ("oversized_batch", "after")
    assert int(mib) < MOST_MIB
