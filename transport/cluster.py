"""Brokers of a cluster as they are: their version, their settings, and what this user may do."""

from collections.abc import Mapping
from contextlib import closing

import msgspec
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import KafkaError

from transport.connection import KafkaConnection, open_client, transport_errors


class ClusterDescription(msgspec.Struct, frozen=True, kw_only=True):
    """``version``: the lowest release that has all requests of the broker that answered.

    ``configs``: every active setting of each broker, by its address; ``undescribed`` says why it is missing for others.
    ``operations``: what this user may do with the cluster; empty where the broker cannot tell.
    """

    version: tuple[int, ...]
    brokers: tuple[str, ...]
    configs: Mapping[str, Mapping[str, str]]
    undescribed: Mapping[str, str] = {}
    operations: frozenset[str] = frozenset()


def describe_cluster(connection: KafkaConnection) -> ClusterDescription:
    """Raises ``TransportError`` if no broker answers."""
    admin, network = open_client(KafkaAdminClient, connection)
    with closing(admin), transport_errors(connection, "cannot describe the cluster"):
        version = tuple(network.get_broker_version())
        described = admin.describe_cluster()
        addresses = {str(each["broker_id"]): f"{each['host']}:{each['port']}" for each in described["brokers"]}
        configs: dict[str, Mapping[str, str]] = {}
        undescribed: dict[str, str] = {}
        for broker, address in sorted(addresses.items()):
            resource = ConfigResource(ConfigResourceType.BROKER, broker)
            try:
                found = admin.describe_configs([resource], config_filter="all")["broker"][broker]
            except KafkaError as error:
                undescribed[address] = str(error)
            else:
                configs[address] = {key: str(entry["value"]) for key, entry in found.items()}
        return ClusterDescription(
            version=version,
            brokers=tuple(addresses.values()),
            configs=configs,
            undescribed=undescribed,
            operations=frozenset(described.get("authorized_operations") or ()),
        )
