"""Topics: create those that are absent, describe those that exist."""

from collections.abc import Iterable, Mapping
from contextlib import closing
from typing import Any

import msgspec
from kafka import KafkaAdminClient, KafkaProducer
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import (
    ClusterAuthorizationFailedError,
    NoError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from schemas.errors import TopicsMissing, TransportError
from transport.connection import KafkaConnection, open_client, transport_errors


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it should be created. ``config``: Kafka's topic settings, as ``{"cleanup.policy": "compact"}``."""

    name: str
    partitions: int = 4
    replication: int = 1
    config: Mapping[str, str] = {}


class TopicDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A topic as it is. ``config`` holds every active setting; empty where the broker cannot tell.

    ``replicas`` and ``in_sync``: of the partition that has the fewest; ``leaderless``: partitions without a leader.
    """

    name: str
    partitions: int
    config: Mapping[str, str]
    replicas: int = 0
    in_sync: int = 0
    leaderless: int = 0


def ensure_topics(connection: KafkaConnection, specs: Iterable[TopicSpec]) -> list[str]:
    """Create the topics that are absent and return once they can be written to. Those that exist are left as they are,
    and so are those that are hidden from this user, whether they exist or not.

    Returns the names of those created here, sorted; none where a broker with ``topics_on_demand`` does not tell.
    A broker with ``topics_on_demand`` gives a new topic its own number of partitions and settings, whatever ``specs``
    say. Raises ``TransportError``, and ``TopicsMissing`` naming the absent topics if this user may not create them.
    """
    wanted = {spec.name: spec for spec in specs}
    if connection.topics_on_demand:
        _name_topics(connection, wanted)
        return []
    created: list[str] = []
    admin, _ = open_client(KafkaAdminClient, connection)
    with closing(admin), transport_errors(connection, f"cannot create topics {', '.join(wanted)}"):
        states = {topic["name"]: topic["error_code"] for topic in admin.describe_topics(list(wanted))}
        seen = {name for name in wanted if states.get(name) != TopicAuthorizationFailedError.errno}
        absent = {name for name in seen if states.get(name) != NoError.errno}
        for name in sorted(absent):
            spec = wanted[name]
            options = {
                "num_partitions": spec.partitions,
                "replication_factor": spec.replication,
                "configs": dict(spec.config),
            }
            try:
                admin.create_topics({name: options}, timeout_ms=connection.timeout_ms)
                created.append(name)
            except TopicAlreadyExistsError:
                continue  # another process was faster
            except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError) as error:
                raise TopicsMissing(
                    f"this user may not create topics, and these are absent: {', '.join(sorted(absent))} (Kafka at "
                    f"{connection}); have them created, or let it create topics"
                ) from error
        # Of one that was there before, a partition may have no leader: the others can be used meanwhile.
        admin.wait_for_topics(sorted(absent), timeout_ms=connection.timeout_ms)
    return created


def describe_topics(connection: KafkaConnection, names: Iterable[str]) -> dict[str, TopicDescription]:
    """Those of the named topics that exist. Raises ``TransportError``."""
    admin, _ = open_client(KafkaAdminClient, connection)
    with closing(admin), transport_errors(connection, "cannot describe topics"):
        existing = _existing(admin, names)
        configs = {} if connection.topics_on_demand or not existing else _configs(admin, [t["name"] for t in existing])
        return {topic["name"]: _described(topic, configs.get(topic["name"], {})) for topic in existing}


def _described(topic: Mapping[str, Any], config: Mapping[str, str]) -> TopicDescription:
    partitions = topic["partitions"]
    return TopicDescription(
        name=topic["name"],
        partitions=len(partitions),
        config=config,
        replicas=min((len(each["replica_nodes"]) for each in partitions), default=0),
        in_sync=min((len(each["isr_nodes"]) for each in partitions), default=0),
        leaderless=sum(each["leader_id"] < 0 for each in partitions),
    )


def allowed_operations(connection: KafkaConnection, names: Iterable[str]) -> dict[str, frozenset[str]]:
    """What this user may do with each of the named topics, by Kafka's names (``READ``, ``WRITE``, ``DESCRIBE``).

    Nothing if it is hidden. Topics that do not exist, and those whose rights the broker does not report, are left out.

    Raises ``TransportError``.
    """
    if connection.topics_on_demand:
        return {}
    admin, _ = open_client(KafkaAdminClient, connection)
    with closing(admin), transport_errors(connection, "cannot ask for the rights on topics"):
        found = admin.describe_topics(list(names))
    hidden = {
        topic["name"]: frozenset[str]() for topic in found if topic["error_code"] == TopicAuthorizationFailedError.errno
    }
    shown = {topic["name"]: topic.get("authorized_operations") for topic in found if topic["error_code"] == 0}
    return hidden | {name: frozenset(operations) for name, operations in shown.items() if operations}


def _existing(admin: KafkaAdminClient, names: Iterable[str]) -> list[dict[str, Any]]:
    return [topic for topic in admin.describe_topics(list(names)) if topic["error_code"] == 0]


def _configs(admin: KafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    return {name: {key: str(entry["value"]) for key, entry in described[name].items()} for name in names}


def _name_topics(connection: KafkaConnection, names: Iterable[str]) -> None:
    """A producer's request for metadata is what brings a topic into being."""
    producer, _ = open_client(KafkaProducer, connection, max_block_ms=connection.timeout_ms)
    with closing(producer), transport_errors(connection, "cannot create topics"):
        for name in names:
            if not producer.partitions_for(name):
                raise TransportError(f"topic {name} was not created (Kafka at {connection})")
