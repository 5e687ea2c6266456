"""Brokers whose settings refuse a process, or surprise its operator."""

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from dancerank.doctor.findings import Finding, error, ok, warning
from dancerank.settings import Settings
from transport.cluster import ClusterDescription

_OLDEST: Final = (2, 5)
"""From here on a broker refuses what a member writes that its group has given up (KIP-447)."""
_TOPIC_IDS: Final = (2, 8)
_DAY_MINUTES: Final = 24 * 60
_Config = Mapping[str, str]


def examine_cluster(settings: Settings, cluster: ClusterDescription) -> Iterator[Finding]:
    """Version, rights and settings of the brokers."""
    version = ".".join(map(str, cluster.version))
    where = f"Kafka at {', '.join(settings.kafka.bootstrap_servers)}"
    if cluster.version < _OLDEST:
        yield error(where, f"is of version {version}: uploads may be scored twice", "upgrade it to 2.5 or later")
    elif cluster.version < _TOPIC_IDS:
        yield warning(
            where,
            f"is of version {version}: topics created again are not noticed",
            "upgrade it to 2.8 or later",
        )
    else:
        brokers = "1 broker" if len(cluster.brokers) == 1 else f"{len(cluster.brokers)} brokers"
        yield ok(where, f"answers: {brokers}, version {version}")
    for address, config in cluster.configs.items():
        found = [each for check in _CHECKS for each in check(settings, f"broker {address}", config)]
        yield from found or [ok(f"broker {address}", "has settings that fit")]
    for address, reason in cluster.undescribed.items():
        yield warning(
            f"broker {address}",
            f"does not show its settings to this user ({reason})",
            "grant DescribeConfigs on the cluster to the user that runs the doctor",
        )


def _sessions(settings: Settings, where: str, config: _Config) -> Iterator[Finding]:
    ours_ms = round(settings.kafka.session_timeout_s * 1000)
    least, most = (int(config.get(f"group.{end}.session.timeout.ms", ours_ms)) for end in ("min", "max"))
    if not least <= ours_ms <= most:
        yield error(
            where,
            f"takes session timeouts from {least} to {most} ms, and kafka.session_timeout_s is "
            f"{settings.kafka.session_timeout_s:g}: no member can join",
            "change kafka.session_timeout_s, or group.min.session.timeout.ms and group.max.session.timeout.ms",
        )


def _transactions(settings: Settings, where: str, config: _Config) -> Iterator[Finding]:
    ours_ms = round((settings.streamer.flush_timeout_s + settings.kafka.timeout_s) * 1000)
    most_ms = int(config.get("transaction.max.timeout.ms", ours_ms))
    if ours_ms > most_ms:
        yield error(
            where,
            f"takes transactions of {most_ms} ms at most (transaction.max.timeout.ms), and the streamer's have "
            f"{ours_ms} ms: it cannot start",
            "lower streamer.flush_timeout_s, or raise transaction.max.timeout.ms",
        )


def _forgotten_offsets(_: Settings, where: str, config: _Config) -> Iterator[Finding]:
    minutes = int(config.get("offsets.retention.minutes", 7 * _DAY_MINUTES))
    if minutes < _DAY_MINUTES:
        yield warning(
            where,
            f"forgets the offsets of a stopped group after {minutes} minutes (offsets.retention.minutes): a streamer "
            "that is down for longer scores all uploads again",
            f"set offsets.retention.minutes={7 * _DAY_MINUTES}",
        )


def _automatic_topics(_: Settings, where: str, config: _Config) -> Iterator[Finding]:
    if config.get("auto.create.topics.enable") == "true":
        yield warning(
            where,
            "creates any topic that is named (auto.create.topics.enable=true), with its defaults: a topic deleted by "
            "mistake, or misspelled by a producer, comes into being without compaction",
            "set auto.create.topics.enable=false",
        )


def _internal_topics(_: Settings, where: str, config: _Config) -> Iterator[Finding]:
    for topic, setting in (
        ("offsets of groups", "offsets.topic.replication.factor"),
        ("transactions", "transaction.state.log.replication.factor"),
    ):
        if config.get(setting) == "1":
            yield warning(
                where,
                f"keeps {topic} in one replica ({setting}=1): groups stand still while one broker is down",
                f"set {setting}=3 before the topic is created, or reassign its replicas",
            )


_CHECKS: Final[tuple[Callable[[Settings, str, _Config], Iterator[Finding]], ...]] = (
    _sessions,
    _transactions,
    _forgotten_offsets,
    _automatic_topics,
    _internal_topics,
)
