"""The system's processes on a real Kafka and PostgreSQL, to be killed and started again."""

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import psutil

from dancerank.settings import Settings
from tests.servers import free_port, log_tail
from tests.warm_starts import WarmCommand

START_S = 60.0
SOONER: Final = {"transport.lag_monitor.FORGOTTEN_AFTER_S": 8.0}
"""Constants of processes that are not cold: an outage need not outlast the half minute of the real ones."""


class Worker:
    """One process, under a name of its own that it keeps through restarts, in its group too if it ``is_static``.

    ``progress`` is a metric that grows. ``is_cold``: it imports what it needs each time that it is started, which takes
    seconds, as outside of tests; else that has been done once, by ``tests.warm_starts``.
    """

    def __init__(
        self,
        name: str,
        command: str,
        config: Path,
        *,
        port_variable: str,
        progress: str,
        variables: Mapping[str, str] | None = None,
        is_static: bool = True,
        is_cold: bool = False,
    ) -> None:
        self.name = name
        self.command = command
        self.port = free_port()
        self._progress = progress
        self._arguments = [*command.split(), "--config", str(config)]
        self._is_cold = is_cold
        self._log = config.parent / f"{name}.log"
        self._variables = os.environ | {
            "OMP_NUM_THREADS": "1",
            **({"DANCERANK_KAFKA__INSTANCE": name} if is_static else {}),
            f"DANCERANK_SERVER__{port_variable}": str(self.port),
            **(variables or {}),
        }
        self._process: subprocess.Popen[bytes] | WarmCommand | None = None
        self._is_ended = False

    def start(self) -> None:
        self._is_ended = False
        if not self._is_cold:
            self._process = WarmCommand(self._arguments, self._log, self._variables, constants=SOONER)
            return
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "dancerank", *self._arguments]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=self._variables)

    def limit_files(self, most_bytes: int) -> None:
        """From now on no file may grow beyond so much, as on a disk that is full; -1: any size."""
        assert self._process is not None
        resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    def kill(self) -> None:
        """SIGKILL: nothing is finished, flushed or said."""
        self._end(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Any other signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        return self._end(signal.SIGTERM)

    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    def progress(self) -> float:
        """Sum of its progress metric since it was started; 0 while it does not answer."""
        return self.metric(self._progress)

    def metric(self, beginning: str) -> float:
        """Sum of the samples that begin so; 0 while it does not answer. ``RuntimeError`` if it ended by itself."""
        try:
            lines = httpx.get(f"http://127.0.0.1:{self.port}/metrics", timeout=5.0).text.splitlines()
        except httpx.TransportError:
            self._check_not_ended()
            return 0.0
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(beginning))

    def cpu_s(self) -> float:
        """Processor seconds used since it was started."""
        assert self._process is not None
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def waiting(self) -> list[str] | None:
        """What ``/readyz`` says that it waits for; ``None`` if it does not answer."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=15.0).json()
        except httpx.TransportError:
            self._check_not_ended()
            return None
        return [*answer.get("reasons", ()), *answer["waiting"]]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            sys.stdout.write(f"{self.name} on port {self.port} waits for {self._waiting_or_error()}; its log ends:\n")
            sys.stdout.write(log_tail(self._log) + "\n")
        self._end(signal.SIGKILL)

    def _waiting_or_error(self) -> object:
        try:
            return self.waiting()
        except RuntimeError:
            return "nothing: it ended by itself"

    def _check_not_ended(self) -> None:
        if self._process is not None and self._process.poll() is not None and not self._is_ended:
            raise RuntimeError(f"{self.name} ended with status {self._process.returncode}:\n{log_tail(self._log)}")

    def _end(self, number: signal.Signals) -> int:
        self._is_ended = True
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(START_S)


def streamer(name: str, config: Path, *, is_static: bool = True, is_cold: bool = False) -> Worker:
    return Worker(
        name,
        "stream",
        config,
        port_variable="STREAM_METRICS_PORT",
        progress="dancerank_records_produced_total",
        is_static=is_static,
        is_cold=is_cold,
    )


def ranker(name: str, config: Path, *, is_cold: bool = False) -> Worker:
    return Worker(
        name,
        "rank",
        config,
        port_variable="RANK_METRICS_PORT",
        progress="dancerank_records_consumed_total",
        is_cold=is_cold,
    )


def server(name: str, config: Path, index_folder: Path, *, is_cold: bool = False) -> Worker:
    return Worker(
        name,
        "serve",
        config,
        port_variable="PORT",
        progress="dancerank_records_consumed_total",
        variables={"DANCERANK_RANKING__INDEX_FOLDER": str(index_folder)},
        is_cold=is_cold,
    )


def write_config(path: Path, settings: Settings, **more: Mapping[str, object]) -> Path:
    """A settings file for the processes, like ``settings`` where they must agree; ``more`` are keys by group."""
    groups: dict[str, dict[str, object]] = {
        "kafka": {
            "bootstrap_servers": list(settings.kafka.bootstrap_servers),
            "streamer_group": settings.kafka.streamer_group,
            "ranking_group": settings.kafka.ranking_group,
        },
        "streamer": {
            "feature_roots": list(settings.streamer.feature_roots),
            "uploads_topic": settings.streamer.uploads_topic,
            "scored_topic": settings.streamer.scored_topic,
        },
        "ranking": {"database_url": settings.ranking.database_url},
    }
    for group, keys in more.items():
        groups.setdefault(group, {}).update(keys)
    lines = []
    for group, keys in groups.items():
        lines.append(f"[{group}]")
        lines += [f"{key} = {_toml(value)}" for key, value in keys.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'
