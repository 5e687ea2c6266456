"""What a cluster has to allow a process, and settings of its topics that would hurt later."""

import importlib.util
from collections.abc import Iterator, Mapping
from typing import Final, Literal

from dancerank.settings import Settings
from dancerank.topics import scored_topics, topics_read
from schemas.errors import AccessDenied
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic
from transport.topics import TopicDescription, allowed_operations

Process = Literal["stream", "rank", "pools run", "serve"]
PROCESSES: Final[tuple[Process, ...]] = ("stream", "rank", "pools run", "serve")

_ROLES: Final[Mapping[Process, tuple[str, ...]]] = {
    "stream": ("streamer", "videos"),
    "rank": ("ranking",),
    "pools run": ("pools",),
    "serve": ("ranking",),
}
_LIBRARIES: Final = {"snappy": "snappy", "lz4": "lz4", "zstd": "zstandard"}
_PRODUCER: Final = "producer"
_LARGEST_WRITTEN: Final = ProducerOptions().max_record_bytes


def _read_by(settings: Settings, process: Process) -> list[str]:
    read = topics_read(settings)
    return [name for role in _ROLES[process] for name in read[role]]


def topics_written(settings: Settings, process: Process) -> list[str]:
    """What ``process`` writes: results or tombstones, decisions, and dead letters of what it reads."""
    if process == "serve":
        return []
    results = {
        "stream": [settings.streamer.scored_topic, *topics_read(settings)["videos"]],
        "rank": list(scored_topics(settings)),
        "pools run": [settings.pools.decisions_topic],
    }
    return [*results[process], *map(dead_letter_topic, _read_by(settings, process))]


def topics_used(settings: Settings, process: Process) -> list[str]:
    """What ``process`` reads and writes, each topic once."""
    return list(dict.fromkeys([*_read_by(settings, process), *topics_written(settings, process)]))


def missing_rights(
    settings: Settings, process: Process, allowed: Mapping[str, frozenset[str]]
) -> list[tuple[str, str]]:
    """Topic and right, ``READ`` or ``WRITE``, that ``process`` needs and this Kafka user lacks.

    ``allowed``: as ``allowed_operations`` gives it; what it leaves out is taken as allowed. Rights on groups and
    transactional ids show when they are used first.
    """
    reads, writes = _read_by(settings, process), topics_written(settings, process)
    needed = [*((name, "READ") for name in reads), *((name, "WRITE") for name in writes)]
    return [(name, right) for name, right in dict.fromkeys(needed) if not {right, "ALL"} & allowed.get(name, {right})]


def check_rights(settings: Settings, connection: KafkaConnection, process: Process) -> None:
    """Raise ``AccessDenied`` naming each of the ``missing_rights`` of ``process``. Raises ``TransportError``."""
    allowed = allowed_operations(connection, topics_used(settings, process))
    if missing := missing_rights(settings, process, allowed):
        user = connection.security.get("sasl_plain_username", "of this process")
        rights = ", ".join(f"{right} on {name}" for name, right in missing)
        commands = "; ".join(
            f"kafka-acls.sh --add --allow-principal User:{user} --operation {right.title()} --topic {name}"
            for name, right in missing
        )
        raise AccessDenied(f"the Kafka user {user} lacks {rights} (Kafka at {connection}); grant it: {commands}")


def topic_warnings(settings: Settings, topics: Mapping[str, TopicDescription], process: Process) -> Iterator[str]:
    """Compression and limits of the topics, as ``describe_topics`` gives them, that do not fit what ``process`` reads
    and may write; a sentence each.
    """
    config = {name: topic.config for name, topic in topics.items()}
    reads = _read_by(settings, process)
    for name in reads:
        codec = config.get(name, {}).get("compression.type", "none")
        absent = [library for library in _needed(codec) if importlib.util.find_spec(library) is None]
        if absent:
            yield (
                f"topic {name} may hold batches (compression.type={codec}) that cannot be read here, because "
                f"{', '.join(absent)} is not installed: install dancerank with its dependencies"
            )
        largest = _largest(config, name)
        if largest is not None and largest > settings.kafka.max_batch_bytes:
            yield (
                f"topic {name} takes batches of up to {largest} bytes (max.message.bytes), more than "
                f"kafka.max_batch_bytes={settings.kafka.max_batch_bytes}: a compressed one that holds more is "
                "dead-lettered; raise kafka.max_batch_bytes, or lower max.message.bytes"
            )
        dead = _largest(config, dead_letter_topic(name))
        if process != "serve" and largest is not None and dead is not None and dead < largest:
            yield (
                f"topic {dead_letter_topic(name)} takes {dead} bytes (max.message.bytes), less than {name} with "
                f"{largest}: dead letters of larger records are written without their values; raise it"
            )
    for name in topics_written(settings, process):
        largest = _largest(config, name)
        if largest is not None and largest < _LARGEST_WRITTEN and name not in map(dead_letter_topic, reads):
            yield (
                f"topic {name} takes {largest} bytes (max.message.bytes), less than a record may have that is written "
                f"to it, {_LARGEST_WRITTEN}: larger ones are dead-lettered as record_refused; raise it"
            )


def _needed(codec: str) -> list[str]:
    """The libraries that reading a topic of this ``compression.type`` takes; that of its producers may be any."""
    return list(_LIBRARIES.values()) if codec == _PRODUCER else [_LIBRARIES[codec]] if codec in _LIBRARIES else []


def _largest(config: Mapping[str, Mapping[str, str]], name: str) -> int | None:
    text = config.get(name, {}).get("max.message.bytes")
    return None if text is None else int(text)
