"""Positions of groups are shown and reset from the command line, in Kafka or in the database."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dancerank.topics import create_topics, topics_read
from ranking.pools.service.transaction import POOLS_VIEW
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import ViewPositions
from schemas.ports import OutgoingRecord, TopicPartition
from tests.dancerank.offsets_desk import OffsetsDesk, filled
from tests.ranking.databases import migrated
from transport.connection import KafkaConnection
from transport.group_offsets import committed_offsets, set_offsets
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

pytestmark = pytest.mark.kafka

RECORDS = 6


class Desk(OffsetsDesk):
    """With six records in the second partition of each topic."""

    def fill(self) -> None:
        uploads, scored = self.settings.streamer.uploads_topic, self.settings.streamer.scored_topic
        create_topics(self.settings, self.connection)
        with closing(KafkaSink(self.connection)) as sink:
            for topic in (uploads, scored):
                for _ in range(RECORDS):
                    sink.send(OutgoingRecord(topic, b"k", b"v"))
            sink.flush(10.0)

    def stored(self, view: str) -> dict[TopicPartition, int]:
        topics = topics_read(self.settings)["pools"]
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(2)]
        with migrated(self.settings.ranking.database_url) as database:
            return ViewPositions(database).of(view, partitions)


@pytest.fixture
def desk(
    tmp_path: Path, kafka_connection: KafkaConnection, fresh_name: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> Desk:
    return Desk.made(tmp_path, kafka_connection, fresh_name, monkeypatch)


def test_before_anything_runs_there_is_nothing_to_show_or_set(desk: Desk) -> None:
    code, output = desk.run("show")
    assert code == 0
    assert output.count("reads exists yet") == 3
    code, output = desk.run("reset", "--group", "streamer", "--to", "earliest")
    assert code == 1
    assert "none of the topics that group" in output


def test_positions_ends_and_lag_are_shown_by_partition_with_who_reads(desk: Desk) -> None:
    desk.fill()
    group, uploads = desk.settings.kafka.streamer_group, desk.settings.streamer.uploads_topic
    set_offsets(desk.connection, group, {filled(uploads): 4})
    with closing(KafkaSource(desk.connection, [uploads], group=group)) as source:
        while not source.poll(max_records=1, timeout_s=1.0):
            continue
        output = desk.run("show", "--group", "streamer")[1]
    assert f"group {group}, 1 member; positions are kept in Kafka" in output
    assert f"│ {uploads} │ 0 │ 0 │ – │ 0 │ 0 │ kafka-python" in output
    assert f"│ {uploads} │ 1 │ 0 │ 4 │ 6 │ 2 │ kafka-python" in output
    assert "lag in all: 2" in output


def test_the_streamer_is_set_in_kafka_once_it_is_stopped(desk: Desk) -> None:
    desk.fill()
    group, uploads = desk.settings.kafka.streamer_group, desk.settings.streamer.uploads_topic
    with closing(KafkaSource(desk.connection, [uploads], group=group)) as source:
        while not source.poll(max_records=1, timeout_s=1.0):
            continue
        code, output = desk.run("reset", "--group", "streamer", "--to", "latest", "--yes")
        assert code == 1
        assert f"group {group} has 1 live member: kafka-python" in output
    code, output = desk.run("reset", "--group", "streamer", "--to", "latest", "--yes")
    assert code == 0
    assert "Up to 6 records are passed over" in output
    assert committed_offsets(desk.connection, group)[filled(uploads)] == RECORDS
    output = desk.run("reset", "--group", "streamer", "--to", "2020-01-01", "--yes")[1]
    assert "Up to 6 uploads are scored again" in output
    assert committed_offsets(desk.connection, group)[filled(uploads)] == 0


def test_a_view_is_set_where_its_positions_count_and_no_other_view_is(desk: Desk) -> None:
    desk.fill()
    log = filled(desk.settings.streamer.scored_topic)
    desk.store(SCORES_VIEW, {log: 5})
    desk.store(POOLS_VIEW, {log: 5})
    code, output = desk.run("reset", "--group", "ranking", "--to", "earliest", "--yes")
    assert code == 0
    assert "Set in sqlite:///" in output
    assert "for view scores, and in Kafka for lag tools" in output
    assert "Up to 5 records are applied again, which changes nothing" in output
    assert desk.stored(SCORES_VIEW)[log] == 0
    assert desk.stored(POOLS_VIEW)[log] == 5
    assert committed_offsets(desk.connection, desk.settings.kafka.ranking_group)[log] == 0


def test_only_the_topics_that_are_named_are_set(desk: Desk) -> None:
    desk.fill()
    log, engagement = filled(desk.settings.streamer.scored_topic), filled(desk.settings.pools.engagement_topic)
    desk.store(POOLS_VIEW, {log: 2, engagement: 0})
    assert desk.run("reset", "--group", "pools", "--to", "latest", "--topic", log.topic, "--yes")[0] == 0
    stored = desk.stored(POOLS_VIEW)
    assert (stored[log], stored[engagement]) == (RECORDS, 0)
    code, output = desk.run("reset", "--group", "pools", "--to", "latest", "--topic", "x", "--yes")
    assert code == 1
    assert "reads no topic 'x' that exists; those are" in output


def test_nothing_is_set_by_a_dry_run_or_without_a_yes(desk: Desk) -> None:
    desk.fill()
    log = filled(desk.settings.streamer.scored_topic)
    desk.store(SCORES_VIEW, {log: 5})
    code, output = desk.run("reset", "--group", "ranking", "--to", "earliest", "--dry-run")
    assert code == 0
    assert f"│ {log.topic} │ 1 │ 0 │ 6 │ 5 │ 0 │ -5 │" in output
    assert output.endswith("Nothing was set.")
    assert desk.run("reset", "--group", "ranking", "--to", "earliest", answer="n\n")[0] == 1
    assert desk.stored(SCORES_VIEW)[log] == 5


def test_a_place_or_a_database_that_is_not_there_is_said_so(desk: Desk) -> None:
    desk.fill()
    code, output = desk.run("reset", "--group", "ranking", "--to", "yesterday")
    assert code == 1
    assert "--to 'yesterday' is not a place; write earliest, latest, or a date or time" in output
    code, output = desk.run("reset", "--group", "ranking", "--to", "earliest", "--yes")
    assert code == 1
    assert "no positions in sqlite:///" in output
    shown = desk.run("show", "--group", "ranking")[1]
    assert "│ – │ 6 │ 6 │" in shown
    for said in (output, shown):
        assert "does not exist" in said
