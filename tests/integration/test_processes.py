"""The commands as an operator runs them: separate processes, a real Kafka, signals, HTTP."""

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from dancerank.settings import Settings
from dancerank.topics import create_topics
from dancerank.uploads import send_upload
from schemas.events import ClipUploaded
from schemas.modalities import Dimension
from tests.integration.scored_log import plainly_ranked, read_log
from tests.servers import free_port
from tests.waiting import STANDSTILL_S, wait_until
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

CLIPS = 400


@dataclass(frozen=True)
class Deployment:
    """A settings file, where the processes that it starts answer, and where they write what they say."""

    config: Path
    api: str
    metrics: str
    folder: Path

    @contextmanager
    def process(self, command: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
        """Run a command until the context ends; SIGTERM must end it with 0."""
        with (self.folder / f"{command}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "dancerank", command, *arguments, "--config", str(self.config)],
                stdout=log,
                stderr=log,
            )
            try:
                yield process
                if process.poll() is None:
                    process.send_signal(signal.SIGTERM)
                assert process.wait(STANDSTILL_S) == 0, self.log(command)
            finally:
                process.kill()
                process.wait()

    def log(self, command: str) -> str:
        return (self.folder / f"{command}.log").read_text()

    def run(self, *arguments: str) -> str:
        """Run a command to its end and return what it printed."""
        command = [sys.executable, "-m", "dancerank", *arguments, "--config", str(self.config)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=STANDSTILL_S, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


@pytest.fixture
def deployment(settings: Settings, tmp_path: Path) -> Deployment:
    api_port, metrics_port = free_port(), free_port()
    config = tmp_path / "dancerank.toml"
    config.write_text(f"""
        [kafka]
        bootstrap_servers = ["{settings.kafka.bootstrap_servers[0]}"]
        streamer_group = "{settings.kafka.streamer_group}"
        ranking_group = "{settings.kafka.ranking_group}"
        [streamer]
        feature_roots = ["{settings.streamer.feature_roots[0]}"]
        uploads_topic = "{settings.streamer.uploads_topic}"
        scored_topic = "{settings.streamer.scored_topic}"
        max_in_flight_clips = 64
        tuning_s = 0
        [ranking]
        database_url = "{settings.ranking.database_url}"
        index_folder = "{settings.ranking.index_folder}"
        [server]
        port = {api_port}
        stream_metrics_port = {metrics_port}
    """)
    return Deployment(config, f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{metrics_port}/metrics", tmp_path)


def test_a_streamer_stopped_in_mid_stream_continues_from_its_commit(
    deployment: Deployment, settings: Settings, uploads: list[ClipUploaded], kafka_connection: KafkaConnection
) -> None:
    sent = uploads[:CLIPS]
    create_topics(settings, kafka_connection)
    with closing(KafkaSink(kafka_connection)) as sink:
        for upload in sent:
            send_upload(sink, settings.streamer.uploads_topic, upload)
        sink.flush(STANDSTILL_S)

    with deployment.process("stream"):
        wait_until(lambda: metric(deployment.metrics, "dancerank_records_produced_total") > 20)
    before = len(read_log(settings, kafka_connection))
    assert 20 < before < CLIPS, deployment.log("stream")

    with deployment.process("stream"), deployment.process("serve", "--with-rank"):
        wait_until(lambda: metric(f"{deployment.api}/metrics", 'dancerank_index_vectors{modality="scenic"}') == CLIPS)
        wait_until(lambda: sum(c["clips"] for c in get(deployment, "/v1/challenges")) == CLIPS)
        assert get(deployment, "/readyz")["ready"]
        log = read_log(settings, kafka_connection)
        assert Counter(clip.clip_id for clip in log) == Counter(upload.clip_id for upload in sent)

        challenge = log[0].challenge_id
        members = [clip for clip in log if clip.challenge_id == challenge]
        entries = get(deployment, f"/v1/challenges/{challenge}/rankings?by=skeletal&k=1000")["entries"]
        expected = plainly_ranked(members, Dimension.SKELETAL)
        assert [(e["clip_id"], e["rank"]) for e in entries] == [(clip_id, rank) for clip_id, _, rank in expected]


def test_a_folder_is_produced_and_the_questions_are_answered_on_the_command_line(
    deployment: Deployment, settings: Settings, clip_folder: Path
) -> None:
    few = clip_folder / "few"  # within the streamer's root
    (few / "features").mkdir(parents=True)
    table = (clip_folder / "clips.csv").read_text().splitlines()[:33]
    for row in table[1:]:
        name = row.split(",")[4]
        (few / name).hardlink_to(clip_folder / name)
    (few / "clips.csv").write_text("\n".join(table) + "\n")
    clip_id, dancer_id, challenge, *_ = table[1].split(",")

    assert "32 uploads" in deployment.run("produce", str(few))
    with deployment.process("stream"), deployment.process("serve", "--with-rank"):
        wait_until(lambda: metric(f"{deployment.api}/metrics", 'dancerank_index_vectors{modality="scenic"}') == 32)
        wait_until(lambda: sum(c["clips"] for c in get(deployment, "/v1/challenges")) == 32)

    assert challenge in deployment.run("rankings")
    assert re.search(r"│ 1 +│ .*clip", deployment.run("rankings", challenge, "--by", "scenic"))
    similar = deployment.run("similar", "--clip", clip_id, "--weights", "skeletal:1", "-k", "3")
    assert similar.count("│ dancer") == 3
    assert dancer_id not in similar


def get(deployment: Deployment, path: str) -> object:
    answer = httpx.get(deployment.api + path)
    return answer.json() if answer.status_code == 200 else []


def metric(url: str, name: str) -> float:
    """The sum of the samples whose name, and labels if given, begin so; 0 while the process does not answer."""
    try:
        lines = httpx.get(url).text.splitlines()
    except httpx.TransportError:
        return 0.0
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))
