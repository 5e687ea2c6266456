"""What an operator sees of an outage: the records that wait, readiness that ends and returns, alerts that fire."""

import json
import re
import signal
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest
import yaml
from kafka import KafkaAdminClient
from kafka.admin import MemberToRemove

from dancerank.uploads import send_clips
from schemas.codec import encode
from schemas.ports import OutgoingRecord
from tests.exporters.prometheus.rule_cases import RULES
from tests.faults.conftest import Scene
from tests.faults.processes import Worker, ranker, server, streamer
from tests.ranking.examples import scored_clip
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from tests.servers.prometheus import PrometheusServer
from tests.waiting import wait_until
from transport.connection import KafkaConnection, open_client
from transport.group_offsets import members_of, partition_ends
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

pytestmark = [pytest.mark.kafka, pytest.mark.postgresql, pytest.mark.slow, pytest.mark.timeout(1200)]

MakeScene = Callable[[KafkaConnection, str, int], Scene]
WAITING = 226
NOTICED_WITHIN_S = 7.0
"""The documented bound; a machine that is busy with other tests may take some more."""
BUSY_S = 10.0
LAG, MEASURED = "dancerank_consumer_lag_records{", "dancerank_lag_measured_timestamp_seconds"


def send_scored(here: Scene, clips: int) -> None:
    """To the log, past the streamer."""
    with closing(KafkaSink(here.connection)) as sink:
        for number in range(clips):
            clip = scored_clip(f"c-{time.monotonic_ns()}-{number}")
            topic = here.settings.streamer.scored_topic
            sink.send(OutgoingRecord(topic, clip.clip_id.encode(), encode(clip)))
        sink.flush(60.0)


def is_ready(worker: Worker) -> bool:
    return worker.waiting() == [] and worker.metric("dancerank_ready{") == 1


def waits_for(worker: Worker, reason: str) -> bool:
    return worker.metric(f'dancerank_waiting{{process="{worker.command}",reason="{reason}"}}') == 1


def has_lag(worker: Worker) -> bool:
    return LAG in httpx.get(f"http://127.0.0.1:{worker.port}/metrics", timeout=10.0).text


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="226 records while PostgreSQL is killed, or frozen by SIGSTOP",
    outcome="rank has a lag of 226 and is not ready; 0 once it is back",
)
@pytest.mark.parametrize("harm", ["killed", "frozen"])
def test_while_the_database_is_down_the_records_that_wait_are_counted(
    scene: MakeScene, kafka_connection: KafkaConnection, own_postgresql_server: PostgresqlServer, harm: str
) -> None:
    here = scene(kafka_connection, own_postgresql_server.new_database(), 0)
    with ranker("ranker-0", here.config) as ranking:
        wait_until(lambda: is_ready(ranking), what="it was never ready")
        send_scored(here, 10)
        wait_until(lambda: ranking.progress() == 10 and ranking.metric(LAG) == 0, what="10 records were not applied")
        with own_postgresql_server.down(harm):
            send_scored(here, WAITING)
            wait_until(lambda: ranking.metric(LAG) == WAITING, what="the lag is not what waits")
            wait_until(lambda: waits_for(ranking, "database"), what="nothing said that the database is down")
            assert not is_ready(ranking)
            if harm == "killed":
                wait_until(lambda: ranking.metric("dancerank_interrupted_seconds{") > 1, what="no interruption")
        wait_until(lambda: ranking.metric(LAG) == 0 and is_ready(ranking), what="it did not catch up")
        assert ranking.metric("dancerank_interrupted_seconds{") == 0


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="uploads for a streamer that was killed and restarted, while its group still waits for the killed member",
    outcome="they are its lag, before it has partitions",
)
def test_a_process_that_has_just_started_has_a_lag(
    scene: MakeScene, kafka_connection: KafkaConnection, postgresql_url: str
) -> None:
    here = scene(kafka_connection, postgresql_url, 12)
    group = here.settings.kafka.streamer_group
    # No test lasts as long: the killed member is one of the group until it is removed below.
    here.config.write_text(re.sub("session_timeout_s = .*", "session_timeout_s = 1800", here.config.read_text()))
    with streamer("streamer-0", here.config, is_static=False) as streaming:
        wait_until(lambda: streaming.progress() == 12, what="nothing was scored")
        wait_until(lambda: streaming.metric(LAG) == 0 and streaming.metric(MEASURED), what="no lag was measured")
        (killed,) = members_of(kafka_connection, group)
        streaming.kill()
        send_uploads_again(here)
        streaming.start()
        wait_until(lambda: streaming.metric(LAG) == 12, what="the uploads that wait were not counted")
        wait_until(lambda: len(members_of(kafka_connection, group)) == 2, what="it did not join")
        measured = streaming.metric(MEASURED)
        wait_until(lambda: streaming.metric(MEASURED) > measured, what="nothing was measured while it joins")
        assert streaming.metric(LAG) == 12
        assert waits_for(streaming, "partitions")
        remove_member(kafka_connection, group, killed.id)
        wait_until(
            lambda: is_ready(streaming) and streaming.progress() == 12 and streaming.metric(LAG) == 0,
            what="it did not take over",
            progress=streaming.progress,
        )


@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="uploads for a streamer that starts beside a member that hangs, alive, and holds every partition",
    outcome="they are its lag while the group waits for that member",
)
def test_a_process_that_waits_for_a_member_that_hangs_has_a_lag(
    scene: MakeScene, kafka_connection: KafkaConnection, postgresql_url: str
) -> None:
    here = scene(kafka_connection, postgresql_url, 12)
    group, topic = here.settings.kafka.streamer_group, here.settings.streamer.uploads_topic
    with closing(KafkaSource(kafka_connection, [topic], group=group)) as hanging:
        wait_until(hanging.assignment, lambda: hanging.poll(max_records=1, timeout_s=0.5), what="it did not join")
        with streamer("streamer-0", here.config, is_static=False) as streaming:
            wait_until(lambda: len(members_of(kafka_connection, group)) == 2, what="the other one did not join")
            wait_until(lambda: streaming.metric(LAG) == 12, what="the uploads that wait were not counted")
            assert waits_for(streaming, "partitions")
            hanging.close()
            wait_until(
                lambda: is_ready(streaming) and streaming.progress() == 12 and streaming.metric(LAG) == 0,
                what="it did not take over",
                progress=streaming.progress,
            )


def remove_member(connection: KafkaConnection, group: str, member_id: str) -> None:
    """As if its session had timed out."""
    admin, _ = open_client(KafkaAdminClient, connection)
    with closing(admin):
        admin.remove_group_members(group, [MemberToRemove(member_id=member_id)])


def send_uploads_again(here: Scene) -> None:
    """Records of the same clips."""
    with closing(KafkaSink(here.connection)) as sink:
        send_clips(sink, here.settings.streamer.uploads_topic, here.sent, 60.0)


@pytest.mark.tried(
    kind="readiness by memory",
    given="a streamer without an instance name, killed and restarted",
    outcome="not ready before its group has given it partitions",
)
def test_a_streamer_is_ready_when_it_holds_its_partitions_and_not_before(
    scene: MakeScene, kafka_connection: KafkaConnection, postgresql_url: str
) -> None:
    here = scene(kafka_connection, postgresql_url, 1)
    group, topic = here.settings.kafka.streamer_group, here.settings.streamer.uploads_topic
    partitions = set(partition_ends(kafka_connection, [topic]))
    with streamer("streamer-0", here.config, is_static=False) as streaming:
        wait_until(lambda: is_ready(streaming), what="it was never ready")
        for _ in range(2):
            (before,) = members_of(kafka_connection, group)
            streaming.kill()
            streaming.start()
            wait_until(lambda: streaming.waiting() == [], what="it was not ready again")
            (now,) = members_of(kafka_connection, group)
            assert now.id != before.id
            assert set(now.partitions) == partitions


@pytest.mark.tried(
    kind="readiness by memory",
    given="Kafka killed, or frozen by SIGSTOP, for 20 s",
    outcome="stream and rank are not ready within 7 s, and ready again within 20 s of its return",
)
@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="no broker for a minute",
    outcome="the lag is absent after 30 s, not 0; its time of measurement stands",
)
@pytest.mark.parametrize("harm", ["killed", "frozen"])
def test_while_kafka_is_down_processes_are_not_ready_and_their_lag_is_unknown(
    scene: MakeScene, own_kafka_server: KafkaServer, postgresql_url: str, tmp_path: Path, harm: str
) -> None:
    here = scene(KafkaConnection(servers=(own_kafka_server.address,)), postgresql_url, 12)
    with (
        streamer("streamer-0", here.config, is_static=False) as streaming,
        ranker("ranker-0", here.config) as ranking,
        server("server-0", here.config, tmp_path / "index") as serving,
    ):
        everyone = [streaming, ranking, serving]
        wait_until(lambda: all(map(is_ready, everyone)), what="not all were ready")
        wait_until(lambda: all(map(has_lag, everyone)), what="not all had a lag")
        own_kafka_server.kill() if harm == "killed" else own_kafka_server.send(signal.SIGSTOP)
        down_s = time.monotonic()
        wait_until(lambda: waits_for(streaming, "kafka") and waits_for(ranking, "kafka"), what="nothing was noticed")
        assert time.monotonic() - down_s < NOTICED_WITHIN_S + BUSY_S
        assert streaming.waiting()
        assert ranking.waiting()
        wait_until(lambda: waits_for(serving, "kafka"), what="the server noticed nothing")
        assert serving.metric("dancerank_ready{") == 1, "what it holds can be asked for"
        measured = [worker.metric(MEASURED) for worker in everyone]
        wait_until(lambda: not any(map(has_lag, everyone)), what="a lag was reported that is not known")
        assert [worker.metric(MEASURED) for worker in everyone] == measured
        own_kafka_server.start() if harm == "killed" else own_kafka_server.send(signal.SIGCONT)
        wait_until(lambda: all(map(is_ready, everyone)), what="not all were ready again")
        wait_until(lambda: all(map(has_lag, everyone)), what="not all had a lag again")


class Alerts:
    """What fires on a real Prometheus that scrapes processes by the shipped rules, with seconds for minutes."""

    def __init__(self, **workers: Worker) -> None:
        rules = re.sub(r"for: \d+m", "for: 1s", RULES.read_text()).replace("> 120\n", "> 2\n")
        scraped = [
            {"job_name": job.replace("_", "-"), "static_configs": [{"targets": [f"127.0.0.1:{worker.port}"]}]}
            for job, worker in workers.items()
        ]
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [RULES.name],
            "scrape_configs": scraped,
        }
        self.server = PrometheusServer(yaml.safe_dump(configuration), files={RULES.name: rules})

    def firing(self) -> set[tuple[str, str]]:
        """Names of alerts and jobs."""
        query = urllib.parse.quote('ALERTS{alertstate="firing"}')
        found = json.loads(httpx.get(f"{self.server.url}/api/v1/query?query={query}").text)["data"]["result"]
        return {(each["metric"]["alertname"], each["metric"].get("job", "")) for each in found}


@pytest.fixture
def ranking(
    scene: MakeScene, kafka_connection: KafkaConnection, own_postgresql_server: PostgresqlServer
) -> Iterator[tuple[Scene, Worker]]:
    here = scene(kafka_connection, own_postgresql_server.new_database(), 0)
    with ranker("ranker-0", here.config) as worker:
        wait_until(lambda: is_ready(worker), what="it was never ready")
        yield here, worker


@pytest.mark.prometheus
@pytest.mark.tried(
    kind="metrics of a loop that stands still",
    given="PostgreSQL killed under load, then rank killed, on a real Prometheus",
    outcome="the shipped alerts on interruptions, readiness, progress and processes that are down fire",
)
def test_an_operator_is_paged_for_a_database_that_is_down_and_for_a_process_that_is_gone(
    ranking: tuple[Scene, Worker], own_postgresql_server: PostgresqlServer, prometheus_binary: str
) -> None:
    here, worker = ranking
    job = "dancerank-rank"
    send_scored(here, 10)
    wait_until(lambda: worker.progress() == 10, what="10 records were not applied")
    alerts = Alerts(dancerank_rank=worker)
    with alerts.server:
        wait_until(lambda: ("DancerankAbsent", "dancerank-streamer") in alerts.firing(), what="no job was missed")
        wait_until(lambda: not {name for name, of in alerts.firing() if of == job}, what="alerts fire without a cause")
        with own_postgresql_server.down("killed"):
            send_scored(here, WAITING)
            expected = {"DancerankInterrupted", "DancerankNotReady", "DancerankWaiting", "DancerankNoProgress"}
            wait_until(
                lambda: expected <= {name for name, of in alerts.firing() if of == job},
                what="not all alerts fired",
                progress=alerts.firing,
            )
        wait_until(
            lambda: not expected & {name for name, of in alerts.firing() if of == job},
            what="the alerts did not end",
            progress=alerts.firing,
        )
        worker.kill()
        wait_until(lambda: ("DancerankDown", job) in alerts.firing(), what="no alert fired", progress=alerts.firing)
