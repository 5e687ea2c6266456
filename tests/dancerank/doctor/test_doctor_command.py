"""``dancerank doctor`` on a real Kafka and a real PostgreSQL whose settings would hurt."""

import json
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from kafka import KafkaAdminClient
from kafka import TopicPartition as KafkaTopicPartition
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.settings import load_settings
from dancerank.topics import create_topics
from ranking.scores.store import SCORES_VIEW
from ranking.views.applied_offsets import ViewPositions
from schemas.ports import OutgoingRecord, TopicPartition
from tests.ranking.databases import migrated
from transport.connection import KafkaConnection, open_client
from transport.group_offsets import set_offsets
from transport.kafka_sink import KafkaSink
from transport.topics import TopicSpec, ensure_topics

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.usefixtures("durable_postgresql")]

DAY_MS = 86_400_000


class Desk:
    """Settings, and the command that examines what they name."""

    def __init__(self, config: Path, connection: KafkaConnection) -> None:
        self.config, self.connection = config, connection
        self.settings = load_settings(config)

    def run(self, *arguments: str) -> tuple[int, str]:
        result = CliRunner(env={"COLUMNS": "250"}).invoke(app, ["doctor", *arguments, "--config", str(self.config)])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout

    def findings(self) -> tuple[int, list[dict[str, Any]]]:
        code, said = self.run("--json")
        return code, json.loads(said)

    def errors(self) -> list[str]:
        code, findings = self.findings()
        errors = [f"{each['where']} {each['what']}" for each in findings if each["level"] == "ERROR"]
        assert code == (1 if errors else 0)
        return errors

    def send(self, topic: str, count: int) -> None:
        with closing(KafkaSink(self.connection)) as sink:
            for _ in range(count):
                sink.send(OutgoingRecord(topic, b"k", b"v", partition=0))
            sink.flush(10.0)

    def drop(self, topic: str, before: int) -> None:
        admin, _ = open_client(KafkaAdminClient, self.connection)
        with closing(admin):
            admin.delete_records({KafkaTopicPartition(topic, 0): before})


@pytest.fixture
def desk(
    tmp_path: Path, kafka_connection: KafkaConnection, postgresql_url: str, fresh_name: Callable[[str], str]
) -> Desk:
    (tmp_path / "clips").mkdir()
    config = tmp_path / "dancerank.toml"
    config.write_text(f"""
        [kafka]
        bootstrap_servers = ["{kafka_connection.servers[0]}"]
        streamer_group = "{fresh_name("streamer")}"
        ranking_group = "{fresh_name("ranking")}"
        pools_group = "{fresh_name("pools")}"
        partitions = 2
        [streamer]
        uploads_topic = "{fresh_name("up")}"
        scored_topic = "{fresh_name("scored")}"
        feature_roots = ["{(tmp_path / "clips").as_uri()}"]
        [ranking]
        database_url = "{postgresql_url}"
        deletions_topic = "{fresh_name("deleted")}"
        index_folder = "{tmp_path / "index"}"
        [pools]
        engagement_topic = "{fresh_name("engagement")}"
        decisions_topic = "{fresh_name("decisions")}"
    """)
    return Desk(config, kafka_connection)


def test_a_new_system_has_no_errors_and_nothing_is_changed_by_looking(desk: Desk) -> None:
    for _ in range(2):
        code, said = desk.run()
        assert code == 0
        assert "0 errors" in said
        assert f"topic {desk.settings.streamer.uploads_topic}" in said
        assert "does not exist" in said
        assert "no tables of dancerank yet" in said
    assert not desk.settings.ranking.index_folder.exists()


def test_a_system_that_was_started_is_in_order_but_for_its_single_broker(desk: Desk) -> None:
    create_topics(desk.settings, desk.connection)
    with migrated(desk.settings.ranking.database_url):
        code, findings = desk.findings()
    assert code == 0
    wrong = {each["what"].split(":")[0].split(" (")[0] for each in findings if each["level"] != "OK"}
    assert wrong <= {
        "has one replica",
        "keeps offsets of groups in one replica",
        "keeps transactions in one replica",
        "are limited to 1024",
    }
    assert all(each["remedy"] for each in findings if each["level"] != "OK")


def test_topics_that_lose_clips_or_deletions_are_errors_before_they_do(desk: Desk) -> None:
    scored, deletions = desk.settings.streamer.scored_topic, desk.settings.ranking.deletions_topic
    wrong = [
        TopicSpec(name=scored, partitions=2, config={"cleanup.policy": "delete"}),
        TopicSpec(name=deletions, partitions=2, config={"retention.ms": str(7 * DAY_MS), "min.insync.replicas": "2"}),
        TopicSpec(
            name=desk.settings.streamer.uploads_topic,
            config={"unclean.leader.election.enable": "true", "compression.type": "zstd"},
        ),
    ]
    ensure_topics(desk.connection, wrong)
    errors = desk.errors()
    assert [where.split()[1] for where in errors] == [deletions, deletions, scored, wrong[2].name]
    assert "forgets after 7 days" in errors[0]
    assert "takes no record: min.insync.replicas is 2, and it has 1 replicas" in errors[1]
    assert "is not compacted" in errors[2]
    assert "unclean.leader.election.enable=true" in errors[3]


def test_a_database_that_would_refuse_or_stop_us_is_reported(desk: Desk, postgresql_url: str) -> None:
    engine = sa.create_engine(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    name = engine.url.database
    with engine.connect() as connection:
        for setting in ("statement_timeout = '5s'", "idle_in_transaction_session_timeout = '2s'"):
            connection.execute(sa.text(f'ALTER DATABASE "{name}" SET {setting}'))
        connection.execute(sa.text(f"ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable'"))
        connection.commit()
    engine.dispose()
    code, findings = desk.findings()
    said = " ".join(each["what"] for each in findings if each["where"].startswith("database"))
    assert code == 0
    assert "ends statements after 5 s" in said
    assert "idle for 2 s" in said
    assert "runs transactions as serializable" in said
    assert "room for" in said


def test_what_does_not_answer_is_an_error_and_the_rest_is_examined(desk: Desk) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    text = desk.config.read_text().replace(desk.connection.servers[0], "127.0.0.1:1").replace("/clips", "/gone")
    desk.config.write_text(text.replace(desk.settings.ranking.database_url, nowhere))
    errors = desk.errors()
    assert any("cannot connect" in each for each in errors)
    assert any(each.startswith(f"database {nowhere}") for each in errors)
    assert any(each.startswith("feature root") and "there is no such folder" in each for each in errors)


def test_positions_before_the_beginning_and_deletions_that_are_gone_are_errors(desk: Desk) -> None:
    uploads, deletions = desk.settings.streamer.uploads_topic, desk.settings.ranking.deletions_topic
    create_topics(desk.settings, desk.connection)
    for topic in (uploads, deletions):
        desk.send(topic, 6)
    set_offsets(desk.connection, desk.settings.kafka.streamer_group, {TopicPartition(uploads, 0): 1})
    with migrated(desk.settings.ranking.database_url) as database:
        ViewPositions(database).set(SCORES_VIEW, {TopicPartition(deletions, 0): 2})
    assert desk.errors() == []
    desk.drop(uploads, 4)
    desk.drop(deletions, 5)
    of_uploads, of_deletions, gone = desk.errors()
    assert of_uploads.startswith(f"group {desk.settings.kafka.streamer_group} has lost records")
    assert "up to 3 records were dropped" in of_uploads
    assert of_deletions.startswith("view scores has lost records")
    assert gone.startswith(f"topic {deletions} begins at offset 5 of partition 0")


def test_a_port_that_is_taken_is_a_warning(desk: Desk) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        desk.config.write_text(desk.config.read_text() + f"\n[server]\nport = {port}\n")
        code, findings = desk.findings()
    assert code == 0
    (found,) = [each for each in findings if each["where"] == "server.port"]
    assert found["level"] == "WARNING"
    assert str(port) in found["what"]
