"""Topics whose settings lose records, refuse them, or keep what must go."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

from dancerank.checks.kafka import PROCESSES, missing_rights, topic_warnings, topics_used
from dancerank.doctor.findings import Finding, error, ok, warning
from dancerank.settings import Settings
from dancerank.topics import scored_topics
from transport.topics import TopicDescription

_DAY_MS: Final = 86_400_000
_FOR_EVER: Final = "-1"


def every_topic(settings: Settings) -> list[str]:
    """Every topic that a process reads or writes, by name."""
    return sorted({name for process in PROCESSES for name in topics_used(settings, process)})


def examine_topics(
    settings: Settings, topics: Mapping[str, TopicDescription], allowed: Mapping[str, frozenset[str]]
) -> Iterator[Finding]:
    """``topics``: those of ``every_topic`` that exist, as this user sees them; ``allowed``: what it may do with them,
    as ``allowed_operations`` gives it.
    """
    limits, rights = _limits(settings, topics), _rights(settings, allowed)
    for name in every_topic(settings):
        topic = topics.get(name)
        if topic is not None:
            found = [*rights[name], *_examine(settings, topic), *limits[name]]
            replicas = "1 replica" if topic.replicas == 1 else f"{topic.replicas} replicas"
            yield from found or [ok(f"topic {name}", f"{topic.partitions} partitions, {replicas}")]
        elif rights[name]:
            yield from rights[name]  # hidden from this user, whether it exists or not
        else:
            yield warning(
                f"topic {name}",
                "does not exist",
                f"correct the name, or start a process: it creates it with {settings.kafka.partitions} partitions, if "
                "its user may",
            )


def kept_wrongly(settings: Settings, topics: Mapping[str, TopicDescription]) -> Iterator[Finding]:
    """Errors of retention and compaction, which lose clips or bring deleted ones back."""
    for name in scored_topics(settings):
        if topic := topics.get(name):
            yield from _log(topic)
    if topic := topics.get(settings.ranking.deletions_topic):
        yield from _deletions(topic)


def _examine(settings: Settings, topic: TopicDescription) -> Iterator[Finding]:
    where, config = f"topic {topic.name}", topic.config
    yield from kept_wrongly(settings, {topic.name: topic})
    yield from _replication(where, topic)
    if topic.name in scored_topics(settings):
        erased_ms = round(settings.ranking.erased_within_s * 1000)
        lag_ms = int(config.get("max.compaction.lag.ms", erased_ms))
        if lag_ms > erased_ms:
            yield warning(
                where,
                f"may keep records of deleted clips for more than {erased_ms / _DAY_MS:g} days "
                f"(max.compaction.lag.ms={lag_ms}, ranking.erased_within_s)",
                f"set max.compaction.lag.ms={erased_ms}",
            )
    if topic.name == settings.streamer.uploads_topic:
        yield from _uploads(where, config)
    if config.get("message.timestamp.type") == "LogAppendTime":
        yield warning(
            where,
            "replaces the times of records by those of their arrival (message.timestamp.type=LogAppendTime)",
            "set message.timestamp.type=CreateTime, or remember that offsets reset --to TIME goes by arrival",
        )


def _rights(settings: Settings, allowed: Mapping[str, frozenset[str]]) -> Mapping[str, list[Finding]]:
    """What this user lacks to run every process, which each process checks at its start."""
    missing: defaultdict[str, list[str]] = defaultdict(list)
    for name, right in sorted({each for process in PROCESSES for each in missing_rights(settings, process, allowed)}):
        missing[name].append(right)
    rights: defaultdict[str, list[Finding]] = defaultdict(list)
    for name, lacking in missing.items():
        says = f"is not open to this user for {', '.join(lacking)}"
        rights[name].append(error(f"topic {name}", says, "grant these operations (ACLs)"))
    return rights


def _limits(settings: Settings, topics: Mapping[str, TopicDescription]) -> Mapping[str, list[Finding]]:
    """Compression and sizes, which each process checks at its start."""
    limits: defaultdict[str, list[Finding]] = defaultdict(list)
    for sentence in dict.fromkeys(each for name in PROCESSES for each in topic_warnings(settings, topics, name)):
        _, name, text = sentence.split(" ", 2)
        what, _, remedy = text.rpartition("; " if "; " in text else ": ")
        limits[name].append(warning(f"topic {name}", what, remedy))
    return limits


def _log(topic: TopicDescription) -> Iterator[Finding]:
    where, policy = f"topic {topic.name}", topic.config.get("cleanup.policy", "compact")
    kept_ms = topic.config.get("retention.ms", _FOR_EVER)
    if "compact" not in policy:
        yield error(
            where,
            f"is not compacted (cleanup.policy={policy}): once its retention has passed, views can no longer be "
            "rebuilt from it",
            "set cleanup.policy=compact",
        )
    elif "delete" in policy and kept_ms != _FOR_EVER:
        yield error(
            where,
            f"drops clips after {int(kept_ms) / _DAY_MS:g} days (cleanup.policy={policy}, retention.ms={kept_ms}): a "
            "view that is rebuilt lacks them",
            "set cleanup.policy=compact",
        )


def _deletions(topic: TopicDescription) -> Iterator[Finding]:
    where, config = f"topic {topic.name}", topic.config
    if (kept_ms := config.get("retention.ms", _FOR_EVER)) != _FOR_EVER:
        yield error(
            where,
            f"forgets after {int(kept_ms) / _DAY_MS:g} days (retention.ms={kept_ms}): a view that is rebuilt later "
            "brings deleted clips back",
            "set retention.ms=-1",
        )
    if (kept_bytes := config.get("retention.bytes", _FOR_EVER)) != _FOR_EVER:
        yield error(
            where,
            f"forgets beyond {int(kept_bytes):,} bytes a partition (retention.bytes): a view that is rebuilt later "
            "brings deleted clips back",
            "set retention.bytes=-1",
        )
    if "compact" in (policy := config.get("cleanup.policy", "delete")):
        yield error(
            where,
            f"is compacted (cleanup.policy={policy}): a deletion under another's key drops that one",
            "set cleanup.policy=delete, with retention.ms=-1",
        )


def _uploads(where: str, config: Mapping[str, str]) -> Iterator[Finding]:
    kept_ms = int(config.get("retention.ms", _FOR_EVER))
    policy = config.get("cleanup.policy", "delete")
    if "delete" in policy and 0 <= kept_ms < _DAY_MS:
        yield warning(
            where,
            f"keeps uploads for {kept_ms / 3_600_000:g} hours (retention.ms={kept_ms}): streamers that are down for "
            "longer lose them",
            "set a retention that is longer than any outage, such as 7 days",
        )
    if "compact" in policy:
        yield warning(
            where,
            f"is compacted (cleanup.policy={policy}): of uploads under one key the last is kept",
            "set cleanup.policy=delete, or make sure that the key is the clip's id",
        )


def _replication(where: str, topic: TopicDescription) -> Iterator[Finding]:
    least, replicas = int(topic.config.get("min.insync.replicas", 1)), topic.replicas
    if topic.leaderless:
        yield error(where, f"has {topic.leaderless} partitions without a leader", "start the brokers that hold them")
    if replicas and least > replicas:
        yield error(
            where,
            f"takes no record: min.insync.replicas is {least}, and it has {replicas} replicas",
            "set min.insync.replicas to one less than the replicas",
        )
    elif not topic.leaderless and topic.in_sync < least:
        yield error(
            where,
            f"takes no record: {topic.in_sync} replicas are in sync, and min.insync.replicas is {least}",
            "start the brokers that are down",
        )
    elif replicas == 1:
        yield warning(
            where,
            "has one replica: acknowledged records are lost with the disk of its broker",
            "give it 3 replicas and min.insync.replicas=2 (kafka.replication for topics that are created)",
        )
    elif least == replicas:
        yield warning(
            where,
            f"takes no record while one broker is down: min.insync.replicas is {least} of {replicas} replicas",
            "set min.insync.replicas to one less than the replicas",
        )
    elif least < 2:
        yield warning(
            where,
            f"acknowledges records that one of {replicas} replicas has (min.insync.replicas={least})",
            "set min.insync.replicas=2",
        )
    if topic.config.get("unclean.leader.election.enable") == "true":
        yield error(
            where,
            "may lose acknowledged records: a replica that lacks them may become leader "
            "(unclean.leader.election.enable=true)",
            "set unclean.leader.election.enable=false",
        )
