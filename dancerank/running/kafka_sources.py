"""How processes read their topics: as members of a consumer group, or every partition without a group."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from dancerank.settings import KafkaSettings, Settings
from ranking.views.log_records import LogEntry, read_log
from ranking.views.loop import Reader
from schemas.clock import Clock
from schemas.observation import Observer
from schemas.ports import RebalanceListener
from schemas.unknown_modalities import UnknownModalities
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.group_membership import Open, Rejoining
from transport.kafka_source import KafkaSource

_HEARTBEAT_S: Final = 3.0
_HEARTBEATS: Final = 5  # that may be lost before a member is given up


def member_of(connection: KafkaConnection, kafka: KafkaSettings, group: str, topics: Sequence[str]) -> Rejoining:
    """Opens sources as a member of ``group``, which start where their listener says."""
    session_s = kafka.session_timeout_s
    options = msgspec.structs.replace(
        _options(kafka),
        session_timeout_s=session_s,
        heartbeat_interval_s=min(_HEARTBEAT_S, session_s / _HEARTBEATS),
        instance=kafka.instance,
    )
    return Rejoining(connection, group, _opening(connection, topics, group, options))


def every_partition(connection: KafkaConnection, kafka: KafkaSettings, topics: Sequence[str]) -> Open:
    """Opens sources of all partitions, which belong to no group and start where their listener says."""
    return _opening(connection, topics, None, _options(kafka))


def log_reader(settings: Settings, observer: Observer, clock: Clock) -> Reader[LogEntry]:
    """Reads records of the log and of deletions, for both views alike."""
    return partial(
        read_log,
        deletions_topic=settings.ranking.deletions_topic,
        on_unknown_modality=UnknownModalities(observer),
        clock=clock,
    )


def _opening(connection: KafkaConnection, topics: Sequence[str], group: str | None, options: ConsumerOptions) -> Open:
    def open_source(listener: RebalanceListener) -> KafkaSource:
        return KafkaSource(connection, topics, group=group, listener=listener, options=options)

    return open_source


def _options(kafka: KafkaSettings) -> ConsumerOptions:
    return ConsumerOptions(max_batch_bytes=kafka.max_batch_bytes)
