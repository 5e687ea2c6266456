"""Topics of the settings: which each group reads, and how those that are absent are created."""

from collections.abc import Mapping

from dancerank.settings import Settings
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_spec
from transport.topics import TopicSpec, ensure_topics


def scored_topics(settings: Settings) -> tuple[str, ...]:
    """The logs of scored clips that the views are built from."""
    return settings.ranking.scored_topics or (settings.streamer.scored_topic,)


def topics_read(settings: Settings) -> dict[str, list[str]]:
    """What the members of the groups ``streamer``, ``videos``, ``ranking`` and ``pools`` read; an index
    replica reads what the ranking group does.
    """
    log = [*scored_topics(settings), settings.ranking.deletions_topic]
    return {
        "streamer": [settings.streamer.uploads_topic],
        "videos": [settings.streamer.videos_topic] if settings.streamer.extractor else [],
        "ranking": log,
        "pools": [*log, settings.pools.engagement_topic],
    }


def create_topics(settings: Settings, connection: KafkaConnection) -> list[str]:
    """Create the topics that are absent: those read, with a dead-letter topic each, and decisions. Returns their names.

    Logs are compacted, and soon enough for a deletion to be one. Deletions are kept for ever and not compacted: one
    under a wrong key would drop another, and a view that is rebuilt needs them all.
    """
    uploads, engagement, decisions = (
        _topic(settings, name)
        for name in (
            settings.streamer.uploads_topic,
            settings.pools.engagement_topic,
            settings.pools.decisions_topic,
        )
    )
    lag_ms = str(round(settings.ranking.erased_within_s * 1000))
    compacted = {"cleanup.policy": "compact", "max.compaction.lag.ms": lag_ms}
    for_ever = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
    logs = [_topic(settings, name, compacted) for name in {settings.streamer.scored_topic, *scored_topics(settings)}]
    deletions = _topic(settings, settings.ranking.deletions_topic, for_ever)
    videos = [_topic(settings, name) for name in topics_read(settings)["videos"]]
    read = [uploads, *videos, *logs, engagement, deletions]
    return ensure_topics(connection, [*read, *map(dead_letter_spec, read), decisions])


def _topic(settings: Settings, name: str, config: Mapping[str, str] | None = None) -> TopicSpec:
    kafka = settings.kafka
    return TopicSpec(name=name, partitions=kafka.partitions, replication=kafka.replication, config=config or {})
