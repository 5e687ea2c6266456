"""A real Apache Kafka 4.1.1: one node in KRaft mode, broker and controller in one JVM.

``python -m tests.servers.kafka [PORT]`` runs one in the foreground.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import NamedTuple, Self

from tests.servers import PROJECT, ServerFailed, ServerUnavailable, free_port, log_tail

JARS = PROJECT / "deploy" / "kafka" / "jars"
VARIABLE = "DANCERANK_TEST_KAFKA"
REMEDY = (
    f"install Java 17 and Maven and run deploy/test-servers.sh, or set {VARIABLE} to the host:port of a running Kafka"
)

_STARTED = "Kafka Server started"
_START_TIMEOUT_S = 60.0
_QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
_HEAP = ("-Xms300m", "-Xmx300m", *_QUICK)
_LOGGING = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={folder}/data
auto.create.topics.enable=false
num.partitions=4
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
log.cleaner.backoff.ms=1000
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
"""


def java() -> str:
    """The Java to run Kafka with. Raises ``ServerUnavailable`` if there is none of version 17 or later."""
    home = os.environ.get("JAVA_HOME")
    found = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if found is None:
        raise ServerUnavailable(f"Apache Kafka: no java; {REMEDY}")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 17:
        raise ServerUnavailable(f"Apache Kafka: {found} is older than Java 17; {REMEDY}")
    return found


def jars() -> Path:
    """The folder with Kafka's jars. Raises ``ServerUnavailable`` if they were not fetched."""
    if not any(JARS.glob("kafka_2.13-*.jar")):
        raise ServerUnavailable(f"Apache Kafka: no jars in {JARS.relative_to(PROJECT)}; {REMEDY}")
    return JARS


class NamedKafka(NamedTuple):
    """A Kafka that someone else runs."""

    address: str


class KafkaServer:
    """One broker. ``kill`` is a crash, ``stop`` an orderly end; after both, ``start`` brings back its port and data."""

    def __init__(self, port: int | None = None) -> None:
        self._java = java()
        self._class_path = f"{jars()}/*"
        self._chosen_port = port
        self._folder = Path(tempfile.mkdtemp(prefix="dancerank-kafka-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._formatted = False
        self.port = port or 0
        self.controller_port = 0
        self.cluster_id = uuid.uuid4().hex[:22]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self._folder / "server.log"

    def start(self) -> None:
        """Return when the broker serves requests. Raises ``ServerFailed`` with the tail of its log."""
        if self._formatted:
            self._launch()
            return
        attempts = 3  # another process may take a port between the moment it was found free and the broker's start
        for attempt in range(attempts):
            self._format()
            try:
                self._launch()
            except ServerFailed as error:
                if "Address already in use" not in str(error) or attempt == attempts - 1 or self._chosen_port:
                    raise
                shutil.rmtree(self._folder / "data")
            else:
                self._formatted = True
                return

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Any other signal: SIGSTOP freezes the broker, with its connections open, SIGCONT lets it go on. Returns when
        all threads of a broker that is to freeze are stopped: until then it may answer.
        """
        assert self._process is not None
        self._process.send_signal(number)
        while number is signal.SIGSTOP and not _is_stopped(self._process.pid):
            time.sleep(0.001)

    def restart(self) -> None:
        self.stop()
        self.start()

    def wait(self) -> int:
        """Wait for the broker to end by itself; its exit status."""
        return self._process.wait() if self._process else 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _properties(self) -> str:
        self.controller_port = free_port()
        return _PROPERTIES.format(port=self.port, controller_port=self.controller_port, folder=self._folder)

    def _storage_options(self) -> list[str]:
        return ["--standalone"]

    def _format(self) -> None:
        self.port = self._chosen_port or free_port()
        properties = self._folder / "server.properties"
        properties.write_text(self._properties())
        command = ["kafka.tools.StorageTool", "format", "-t", self.cluster_id, "-c", properties]
        command += self._storage_options()
        done = subprocess.run(
            [self._java, "-Xmx128m", *_QUICK, *_LOGGING, "-cp", self._class_path, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise ServerFailed(f"Kafka could not format its storage:\n{done.stdout}")

    def _launch(self) -> None:
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._java,
                    *_HEAP,
                    *_LOGGING,
                    "-cp",
                    self._class_path,
                    "kafka.Kafka",
                    self._folder / "server.properties",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # an interrupt from the keyboard ends the tests first, then they end the broker
            )
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while _STARTED not in self.log.read_text(errors="replace"):
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                self.kill()
                raise ServerFailed(f"Kafka did not start on {self.address}; its log ends:\n{log_tail(self.log)}")
            time.sleep(0.05)

    def _end(self, sign: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(sign)
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


def _is_stopped(pid: int) -> bool:
    threads = Path(f"/proc/{pid}/task").glob("*/stat")
    return all(stat.read_text().rpartition(")")[2].split()[0] in "TtZX" for stat in threads)


def main() -> None:
    try:
        server = KafkaServer(int(sys.argv[1]) if len(sys.argv) > 1 else 9092)
    except ServerUnavailable as error:
        sys.exit(str(error))
    with server:
        print(  # noqa: T201
            f"Apache Kafka is ready at {server.address}; its log is {server.log}. Ctrl-C stops it and drops its data.",
            flush=True,
        )
        try:
            server.wait()
        except KeyboardInterrupt:
            print("stopping", flush=True)  # noqa: T201


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    main()
