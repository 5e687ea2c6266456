"""The processes that ``benchmarks.race`` lets run: bare sessions, the streamer, and the rivals.

    python -m benchmarks.rivals.contenders bare|streamer SPEC

runs one of ours; ``SPEC`` is JSON: ``servers``, ``uploads`` and ``scored`` (topics), ``group``, ``bundle`` and
``features`` (folders), ``report`` (a file for what a process says of itself).
"""

import collections
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import psutil

from benchmarks.pipeline import bare, preload, settings_for
from dancerank.processes import Processes
from dancerank.settings import Settings
from schemas.bundle import read_bundle
from schemas.clock import SystemClock
from schemas.events import ClipUploaded
from schemas.observation import Observer
from tests.servers import free_port
from transport.connection import KafkaConnection
from vdv.folder import open_data_set
from vdv.uploads import read_uploads

STREAMER, TWICE, BARE, LOOP, CALM_LOOP, OLD_LOOP, QUIX, MLSERVER = (
    "streamer",
    "two streamers",
    "bare sessions",
    "naive loop",
    "naive loop, no spinning",
    "naive loop, exact graphs",
    "Quix Streams",
    "MLServer",
)
MODEL: Final = "clips"
REPORTED_EVERY_S: Final = 1.0
_ENDS_WITHIN_S: Final = 20.0


class Spec(NamedTuple):
    """What a contender works on."""

    servers: tuple[str, ...]
    uploads: str
    scored: str
    group: str
    bundle: str
    features: str
    report: str


class Contender:
    """One or several processes that score what comes to their topic. ``json_requests``: in MLServer's form."""

    json_requests = False

    def __init__(self, name: str, spec: Spec, commands: Sequence[Sequence[str]], log: Path) -> None:
        self.name, self.spec = name, spec
        self._log = log.open("wb")
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=self._log, stderr=subprocess.STDOUT)
            for command in commands
        ]

    def check(self) -> None:
        """Raise if a process ended by itself."""
        for process in self._processes:
            if process.poll() is not None:
                raise SystemExit(f"{self.name} ended with status {process.returncode}; see {self._log.name}")

    def resident_mib(self) -> float:
        """Of all processes and their children."""
        return float(sum(process.memory_info().rss for process in self._running())) / 2**20

    def cpu_s(self) -> float:
        """Processor time so far, of all processes and their children: what a busy machine disturbs least."""
        times = [process.cpu_times() for process in self._running()]
        return float(sum(each.user + each.system for each in times))

    def _running(self) -> list[psutil.Process]:
        running = [psutil.Process(process.pid) for process in self._processes]
        return [*running, *(child for process in running for child in process.children(recursive=True))]

    def close(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(_ENDS_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._log.close()


class MlServer(Contender):
    json_requests = True


def open_contender(name: str, spec: Spec, rivals: Path, folder: Path, logs: Path) -> Contender:
    """``rivals``: the Python of their environment. ``folder``: for configuration."""
    log, this = logs / f"{spec.group}.log", [sys.executable, "-m"]
    text = json.dumps(spec._asdict())
    if name in (LOOP, OLD_LOOP):
        return Contender(name, spec, [[*this, "benchmarks.rivals.kafka_loops", "loop", text]], log)
    if name == CALM_LOOP:
        return Contender(name, spec, [[*this, "benchmarks.rivals.kafka_loops", "calm-loop", text]], log)
    if name == QUIX:
        return Contender(name, spec, [[str(rivals), "-m", "benchmarks.rivals.kafka_loops", "quix", text]], log)
    if name == MLSERVER:
        configured = _mlserver_folder(folder / spec.group, spec)
        return MlServer(name, spec, [[str(rivals.parent / "mlserver"), "start", str(configured)]], log)
    return Contender(
        name, spec, [[*this, "benchmarks.rivals.contenders", "streamer", text]] * (2 if name == TWICE else 1), log
    )


def _mlserver_folder(folder: Path, spec: Spec) -> Path:
    """As MLServer's documentation of Kafka, custom runtimes and adaptive batching has it."""
    folder.mkdir()
    settings = {
        "kafka_enabled": True,
        "kafka_servers": ",".join(spec.servers),
        "kafka_topic_input": spec.uploads,
        "kafka_topic_output": spec.scored,
        "http_port": free_port(),
        "grpc_port": free_port(),
        "metrics_endpoint": None,
    }
    model = {
        "name": MODEL,
        "implementation": "benchmarks.rivals.mlserver.Clips",
        "max_batch_size": 16,
        "max_batch_time": 0.1,
        "parameters": {"extra": {"bundle": spec.bundle}},
    }
    (folder / "settings.json").write_text(json.dumps(settings))
    (folder / "model-settings.json").write_text(json.dumps(model))
    return folder


def uploads_of(features: Path) -> list[ClipUploaded]:
    return list(read_uploads(open_data_set(features), now_ms=SystemClock().now_ms()))


def run_streamer(spec: Spec) -> None:
    """As ``dancerank stream`` runs it; it reports the processor time of its threads."""
    settings = _settings(spec)
    connection, stop = KafkaConnection(servers=tuple(spec.servers)), threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    settings = settings.model_copy(update={"bundle": Path(spec.bundle)})
    processes = Processes(settings, connection=connection, observer=Observer())
    with processes.runtime() as runtime, processes.streamer(runtime) as streamer:
        thread = threading.Thread(target=streamer.run, args=(stop,), name="loop")
        thread.start()
        while not stop.wait(REPORTED_EVERY_S / 2) and thread.is_alive():
            write_whole(Path(spec.report), json.dumps(cpu_by_thread()))
        thread.join()


def write_whole(path: Path, text: str) -> None:
    """So that who reads it at any time reads all of it, also if several processes write it."""
    written = path.with_suffix(f".{os.getpid()}")
    written.write_text(text)
    written.replace(path)


def _settings(spec: Spec) -> Settings:
    base = settings_for(Path(spec.features))
    streamer = base.streamer.model_copy(update={"uploads_topic": spec.uploads, "scored_topic": spec.scored})
    return base.model_copy(
        update={"streamer": streamer, "kafka": base.kafka.model_copy(update={"streamer_group": spec.group})}
    )


def cpu_by_thread() -> dict[str, float]:
    """Seconds of processor time by name of the thread, and what threads without one (ONNX Runtime's) took as well."""
    times = {each.id: each.user_time + each.system_time for each in psutil.Process().threads()}
    spent: collections.Counter[str] = collections.Counter()
    for thread in threading.enumerate():
        spent[re.sub(r"[-_ ]*\d+$", "", thread.name)] += times.pop(thread.native_id or 0, 0.0)
    return {**spent, "others": sum(times.values())}


def run_bare(spec: Spec) -> None:
    """Batches lie padded in memory; each line of the input is a number of clips, each of the output clips a second."""
    bundle, settings = read_bundle(Path(spec.bundle)), settings_for(Path(spec.features))
    batches = preload(Path(spec.features), bundle, uploads_of(Path(spec.features)), settings)
    for line in sys.stdin:
        Path(spec.report).write_text(f"{bare(bundle, batches, int(line), settings)}\n")


class Bare(Contender):
    """Sessions alone: it is asked for a speed, without Kafka."""

    def __init__(self, spec: Spec, logs: Path) -> None:
        command = [sys.executable, "-m", "benchmarks.rivals.contenders", "bare", json.dumps(spec._asdict())]
        super().__init__(BARE, spec, [command], logs / f"{spec.group}.log")

    def clips_per_s(self, clips: int) -> float:
        report = Path(self.spec.report)
        report.unlink(missing_ok=True)
        stdin = self._processes[0].stdin
        assert stdin is not None
        stdin.write(f"{clips}\n".encode())
        stdin.flush()
        while not (report.exists() and report.read_text().endswith("\n")):
            self.check()
            time.sleep(0.05)
        return float(report.read_text())


def spec_of(text: str) -> Spec:
    fields: Mapping[str, Any] = json.loads(text)
    return Spec(**fields)


if __name__ == "__main__":
    {"bare": run_bare, "streamer": run_streamer}[sys.argv[1]](spec_of(sys.argv[2]))
