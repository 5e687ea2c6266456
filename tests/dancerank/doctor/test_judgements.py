"""Which settings of brokers, topics and databases are reported, how badly, and with which remedy."""

from collections.abc import Iterable

import msgspec
import pytest

from dancerank.doctor.clusters import examine_cluster
from dancerank.doctor.databases import examine_database
from dancerank.doctor.findings import Finding, Level
from dancerank.doctor.positions import examine_positions
from dancerank.doctor.topics import every_topic, examine_topics
from dancerank.settings import Settings
from ranking.database.server_description import ServerDescription
from schemas.ports import TopicPartition
from transport.cluster import ClusterDescription
from transport.group_offsets import PartitionEnds
from transport.topics import TopicDescription

SETTINGS = Settings()
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
GOOD_CLUSTER = ClusterDescription(version=(3, 9), brokers=("a:9092", "b:9092", "c:9092"), configs={"a:9092": {}})
GOOD_SERVER = ServerDescription(
    dialect="postgresql", revision="7", head="7", known=True, clock_ms=NOW_MS, settings={"max_connections": "100"}
)


def good_topics() -> dict[str, TopicDescription]:
    """All topics as they should be, on three brokers."""
    safe = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false", "max.message.bytes": "1048588"}
    dead = safe | {"max.message.bytes": str(1048588 + 64 * 1024)}
    special = {
        "clips.scored": {"cleanup.policy": "compact", "max.compaction.lag.ms": str(7 * DAY_MS)},
        "clips.deleted": {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"},
        "clips.uploaded": {"cleanup.policy": "delete", "retention.ms": str(7 * DAY_MS)},
    }
    return {
        name: TopicDescription(
            name=name,
            partitions=8,
            config=(dead if name.endswith("dead-letter") else safe) | special.get(name, {}),
            replicas=3,
            in_sync=3,
        )
        for name in every_topic(SETTINGS)
    }


ALLOWED = dict.fromkeys(every_topic(SETTINGS), frozenset({"READ", "WRITE", "DESCRIBE"}))


def bad(findings: Iterable[Finding]) -> list[tuple[Level, str]]:
    return [(each.level, each.sentence) for each in findings if each.level is not Level.OK]


def found_of(name: str, changes: dict[str, object]) -> list[tuple[Level, str]]:
    """What is found if one topic is otherwise than it should be; ``config`` is added to its settings."""
    there = good_topics()
    config = {**there[name].config, **changes.pop("config", {})}  # type: ignore[dict-item]
    there[name] = msgspec.structs.replace(there[name], config=config, **changes)
    return bad(examine_topics(SETTINGS, there, ALLOWED))


def test_topics_as_they_should_be_are_in_order() -> None:
    findings = list(examine_topics(SETTINGS, good_topics(), ALLOWED))
    assert bad(findings) == []
    assert {each.where for each in findings} == {f"topic {name}" for name in every_topic(SETTINGS)}


@pytest.mark.parametrize(
    ("name", "changes", "level", "says"),
    [
        ("clips.scored", {"config": {"cleanup.policy": "delete"}}, Level.ERROR, "not compacted"),
        (
            "clips.scored",
            {"config": {"cleanup.policy": "compact,delete", "retention.ms": str(3 * DAY_MS)}},
            Level.ERROR,
            "drops clips after 3 days",
        ),
        (
            "clips.scored",
            {"config": {"max.compaction.lag.ms": str(2**63 - 1)}},
            Level.WARNING,
            "deleted clips",
        ),
        ("clips.deleted", {"config": {"retention.ms": str(30 * DAY_MS)}}, Level.ERROR, "forgets after 30 days"),
        ("clips.deleted", {"config": {"retention.bytes": "1000000"}}, Level.ERROR, "beyond 1,000,000 bytes"),
        ("clips.deleted", {"config": {"cleanup.policy": "compact"}}, Level.ERROR, "is compacted"),
        ("clips.uploaded", {"config": {"retention.ms": "3600000"}}, Level.WARNING, "keeps uploads for 1 hours"),
        ("clips.uploaded", {"config": {"cleanup.policy": "compact"}}, Level.WARNING, "the last is kept"),
        ("clips.scored", {"config": {"max.message.bytes": "100000"}}, Level.WARNING, "takes 100000 bytes"),
        (
            "clips.engagement.dead-letter",
            {"config": {"max.message.bytes": "9000"}},
            Level.WARNING,
            "without their values",
        ),
        ("clips.uploaded", {"replicas": 1, "in_sync": 1, "config": {"min.insync.replicas": "1"}}, Level.WARNING, "one"),
        ("clips.uploaded", {"config": {"min.insync.replicas": "4"}}, Level.ERROR, "takes no record"),
        ("clips.uploaded", {"config": {"min.insync.replicas": "3"}}, Level.WARNING, "while one broker is down"),
        ("clips.uploaded", {"config": {"min.insync.replicas": "1"}}, Level.WARNING, "one of 3 replicas has"),
        ("clips.uploaded", {"in_sync": 1}, Level.ERROR, "1 replicas are in sync"),
        ("clips.uploaded", {"leaderless": 2, "in_sync": 0}, Level.ERROR, "2 partitions without a leader"),
        ("clips.deleted", {"config": {"unclean.leader.election.enable": "true"}}, Level.ERROR, "may lose acknowledged"),
        ("clips.uploaded", {"config": {"message.timestamp.type": "LogAppendTime"}}, Level.WARNING, "LogAppendTime"),
    ],
)
def test_a_setting_of_a_topic_that_would_hurt_is_reported_with_its_remedy(
    name: str, changes: dict[str, object], level: Level, says: str
) -> None:
    ((found, sentence),) = found_of(name, changes)
    assert found is level
    assert says in sentence
    assert ";" in sentence  # and its remedy


@pytest.mark.parametrize(
    ("allowed", "lacking"),
    [
        ({"READ", "DESCRIBE"}, "WRITE"),
        ({"WRITE", "DESCRIBE"}, "READ"),
        ({"DESCRIBE"}, "READ, WRITE"),
        ({"ALL"}, None),
    ],
)
def test_the_rights_that_this_user_lacks_on_a_topic_are_reported(allowed: set[str], lacking: str | None) -> None:
    rights = ALLOWED | {"clips.scored": frozenset(allowed)}
    says = f"topic clips.scored is not open to this user for {lacking}; grant these operations (ACLs)"
    expected = [] if lacking is None else [(Level.ERROR, says)]
    assert bad(examine_topics(SETTINGS, good_topics(), rights)) == expected


def test_a_topic_that_is_hidden_from_this_user_is_not_reported_as_absent() -> None:
    there = good_topics()
    del there["clips.engagement"]
    assert bad(examine_topics(SETTINGS, there, ALLOWED | {"clips.engagement": frozenset()})) == [
        (Level.ERROR, "topic clips.engagement is not open to this user for READ; grant these operations (ACLs)")
    ]


def test_a_topic_that_is_absent_is_no_error() -> None:
    there = good_topics()
    del there["clips.engagement"]
    assert bad(examine_topics(SETTINGS, there, {})) == [
        (
            Level.WARNING,
            "topic clips.engagement does not exist; correct the name, or start a process: it creates it with 8 "
            "partitions, if its user may",
        )
    ]


@pytest.mark.parametrize(
    ("config", "level", "says"),
    [
        ({"group.min.session.timeout.ms": "60000"}, Level.ERROR, "no member can join"),
        ({"group.max.session.timeout.ms": "20000"}, Level.ERROR, "no member can join"),
        ({"transaction.max.timeout.ms": "10000"}, Level.ERROR, "cannot start"),
        ({"offsets.retention.minutes": "60"}, Level.WARNING, "scores all uploads again"),
        ({"auto.create.topics.enable": "true"}, Level.WARNING, "without compaction"),
        ({"offsets.topic.replication.factor": "1"}, Level.WARNING, "one replica"),
        ({"transaction.state.log.replication.factor": "1"}, Level.WARNING, "one replica"),
    ],
)
def test_a_setting_of_a_broker_that_would_hurt_is_reported(config: dict[str, str], level: Level, says: str) -> None:
    cluster = msgspec.structs.replace(GOOD_CLUSTER, configs={"a:9092": config})
    ((found, sentence),) = bad(examine_cluster(SETTINGS, cluster))
    assert (found, says in sentence) == (level, True)


def test_a_good_cluster_is_in_order_and_a_silent_or_an_old_one_is_not() -> None:
    assert bad(examine_cluster(SETTINGS, GOOD_CLUSTER)) == []
    silent = msgspec.structs.replace(GOOD_CLUSTER, configs={}, undescribed={"a:9092": "ClusterAuthorizationFailed"})
    assert [level for level, _ in bad(examine_cluster(SETTINGS, silent))] == [Level.WARNING]
    for version, level in (((2, 4), Level.ERROR), ((2, 6), Level.WARNING)):
        old = msgspec.structs.replace(GOOD_CLUSTER, version=version)
        assert [found for found, _ in bad(examine_cluster(SETTINGS, old))] == [level]


@pytest.mark.parametrize(
    ("changes", "level", "says"),
    [
        ({"settings": {"server_encoding": "SQL_ASCII"}}, Level.ERROR, "encoded in SQL_ASCII"),
        ({"settings": {"fsync": "off"}}, Level.ERROR, "fsync=off"),
        ({"settings": {"default_transaction_read_only": "on"}}, Level.ERROR, "takes no writes"),
        ({"in_recovery": True}, Level.ERROR, "takes no writes"),
        ({"settings": {"default_transaction_isolation": "serializable"}}, Level.WARNING, "serializable"),
        ({"settings": {"statement_timeout": "5000"}}, Level.WARNING, "after 5 s"),
        ({"settings": {"idle_in_transaction_session_timeout": "10000"}}, Level.WARNING, "idle for 10 s"),
        ({"settings": {"max_connections": "8"}}, Level.ERROR, "takes 8 connections"),
        ({"connections": 95}, Level.WARNING, "another process may find none"),
        ({"revision": None}, Level.WARNING, "no tables"),
        ({"revision": "6"}, Level.WARNING, "older release"),
        ({"revision": "9", "known": False}, Level.ERROR, "newer release"),
        ({"clock_ms": NOW_MS + 5_000}, Level.WARNING, "5.0 s ahead of"),
        ({"clock_ms": NOW_MS - 120_000}, Level.ERROR, "120.0 s behind"),
    ],
)
def test_what_would_hurt_about_a_database_is_reported(changes: dict, level: Level, says: str) -> None:
    settings = {**GOOD_SERVER.settings, **changes.pop("settings", {})}
    server = msgspec.structs.replace(GOOD_SERVER, settings=settings, **changes)
    ((found, sentence),) = bad(examine_database(SETTINGS, "postgresql://db", server, NOW_MS))
    assert (found, says in sentence) == (level, True)


def test_a_good_database_is_in_order_and_says_how_many_processes_have_room() -> None:
    findings = list(examine_database(SETTINGS, "postgresql://db", GOOD_SERVER, NOW_MS))
    assert bad(findings) == []
    assert "room for 10 processes more" in findings[-1].what


def test_positions_outside_the_log_are_errors() -> None:
    one, two = TopicPartition("clips", 0), TopicPartition("clips", 1)
    ends = {one: PartitionEnds(10, 20), two: PartitionEnds(0, 5)}
    assert bad(examine_positions("group g", ends, {one: 10, two: 5})) == []
    (before, beyond) = bad(examine_positions("group g", ends, {one: 4, two: 6}))
    assert before[0] is beyond[0] is Level.ERROR
    assert "up to 6 records were dropped" in before[1]
    assert "ends at 5: it is another log" in beyond[1]
