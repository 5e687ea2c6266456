"""The real servers that tests rely on start and answer."""

import json
import subprocess
import urllib.request
from collections.abc import Callable

import psycopg
import pytest
from sqlalchemy.engine import make_url

from schemas.ports import OutgoingRecord
from tests.servers.kafka import KafkaServer
from tests.servers.prometheus import PrometheusServer
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

SCRAPE_NOBODY = """\
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: nobody
    static_configs: [{targets: ["127.0.0.1:9"]}]
"""


@pytest.mark.kafka
@pytest.mark.slow
def test_a_killed_kafka_comes_back_with_its_records(own_kafka_server: KafkaServer) -> None:
    connection = KafkaConnection(servers=(own_kafka_server.address,))
    ensure_topics(connection, [TopicSpec(name="clips", partitions=1)])
    sink = KafkaSink(connection)
    sink.send(OutgoingRecord("clips", b"clip-1", b"value"))
    sink.flush(10.0)
    sink.close()
    own_kafka_server.kill()
    own_kafka_server.start()
    source = KafkaSource(connection, ["clips"], group=None)
    values: list[bytes | None] = []
    while not values:
        values += [record.value for record in source.poll(max_records=1, timeout_s=1.0)]
    assert values == [b"value"]
    source.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("attempt", [1, 2])
def test_every_test_gets_an_empty_postgresql(postgresql_url: str, attempt: int) -> None:
    url = make_url(postgresql_url)
    assert url.drivername == "postgresql+psycopg"
    plain = url.set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(plain) as connection:
        connection.execute("CREATE TABLE clips (clip_id text)")  # fails if the other attempt's table were here


@pytest.mark.prometheus
def test_prometheus_runs_a_given_configuration(prometheus_binary: str) -> None:
    targets: list[str] = []
    with PrometheusServer(SCRAPE_NOBODY) as server:
        while not targets:  # it is ready before it has looked for targets
            with urllib.request.urlopen(f"{server.url}/api/v1/targets") as response:
                targets = [target["labels"]["job"] for target in json.load(response)["data"]["activeTargets"]]
    assert targets == ["nobody"]


@pytest.mark.prometheus
def test_promtool_checks_rules(promtool: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    rules = tmp_path_factory.mktemp("rules") / "rules.yml"
    for expression, status in (("up == 0", 0), ("up ==", 1)):
        rules.write_text(f"groups: [{{name: g, rules: [{{alert: Down, expr: '{expression}'}}]}}]")
        done = subprocess.run([promtool, "check", "rules", rules], capture_output=True, check=False)
        assert done.returncode == status, done.stderr


def test_names_differ(fresh_name: Callable[[str], str]) -> None:
    assert fresh_name("clips") != fresh_name("clips")
