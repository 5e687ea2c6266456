"""How long after an event a decision of the traffic pools can be read, at a steady rate of events.

    python -m benchmarks.pool_latency [--quick] [--seconds 30] [--workers 1] [--kafka HOST:PORT] [--database URL]

``dancerank rank`` and ``dancerank pools run`` run as they do in production, each a process, on a real Kafka and a real
PostgreSQL; without ``--kafka`` and ``--database`` those of the tests are started. Of the events one in twenty is a
scored clip, the others engagement of clips that are known, whose counts rise and fall so that every single one promotes
or demotes its clip: each event has one decision. The latency is from the moment an event is handed to the producer
until a process that reads ``clips.pool-decisions``, committed records only, has the decision. How much later than
evenly the events were handed over is printed beside: where cores are few, this process waits for one too, and what it
sends in bursts then is not what was asked for. Events are sent, and decisions read, by clients that take little of the
cores (``benchmarks.workloads.light_clients``): whoever does so in production has a machine of its own.

*Bare*: the least that anyone would have to do, a process that reads a topic and writes each record to another, at the
same rate, timed likewise, just before. Both have handled records when the measurement begins. The ratio of the 99th
percentiles is printed beside the bar.
"""

import argparse
import itertools
import multiprocessing
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.synchronize import Event as StopEvent
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.workloads import light_clients
from benchmarks.workloads.light_clients import LightSink
from benchmarks.workloads.pool_load import POLICY, Key, Load
from dancerank.processes import Processes
from dancerank.settings import Settings, load_settings
from dancerank.topics import create_topics
from schemas.codec import decode
from schemas.events import PoolDecision
from schemas.ports import OutgoingRecord, Record
from tests.servers import free_port
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.topics import TopicSpec, ensure_topics

BAR_MS: Final = 50.0
"""Wanted of the 99th percentile."""
KNOWN_CLIPS: Final = 2000
WARM_UP_S: Final = 5.0
PATIENCE_S: Final = 120.0
PERCENTILES: Final = (50, 95, 99, 100)
STAGES: Final = ("apply", "rankings")
"""Of the worker: handling a batch up to its commit; and how long scored clips were held back until the rankings had
them, which is how long ``rank`` took, while others were decided about."""
STARTED: Final = 100
"""Records that the bare copy has copied when the measurement begins."""
BARE, ENGAGED, SCORED = "bare copy", "engagement to decision", "scored to decision"
LATE = "due until handed over"


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        server = arguments.kafka or stack.enter_context(KafkaServer()).address
        database = arguments.database or stack.enter_context(own_database())
        settings = settings_for(folder, server, database)
        rate, seconds = arguments.rate, arguments.seconds
        measured = {BARE: bare(KafkaConnection(servers=(server,)), rate, min(seconds, 15.0))}
        found, handled, stages, cores = pools(settings, folder, rate, seconds, arguments.workers)
    report = {
        "rate": rate,
        "seconds": seconds,
        "workers": arguments.workers,
        "handled_per_s": handled,
        "latency_ms": {name: summary(values) for name, values in (measured | found).items()},
        "stages": stages,
        "cores": cores,
    }
    every = summary([*found[ENGAGED], *found[SCORED]])
    report["latency_ms"]["all decisions"] = every
    report["ratio_to_bare"] = every["p99"] / report["latency_ms"][BARE]["p99"]
    show(console, report)
    console.print(f"figures in {write_figures('pool-latency', figures_of(report), **report)}", markup=False)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to measure, after a warm-up")
    parser.add_argument("--rate", type=float, default=500.0, help="events a second")
    parser.add_argument("--quick", action="store_true", help="ten seconds")
    parser.add_argument("--workers", type=int, default=1, help="processes of dancerank pools run")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka; default: one of its own")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database; default: one of its own")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds = 10.0
    return arguments


def figures_of(report: Mapping[str, Any]) -> list[Measured]:
    of = report["latency_ms"]
    figures = [
        Measured("all decisions, p99", of["all decisions"]["p99"], "ms", BAR_MS, lower_is_better=True),
        Measured("over the bare copy, p99", report["ratio_to_bare"], "ratio"),
        Measured("decisions", report["handled_per_s"], "1/s"),
    ]
    for name in (ENGAGED, SCORED, BARE):
        figures += [Measured(f"{name}, {what}", of[name][what], "ms") for what in ("p50", "p95", "p99")]
    return figures


@contextmanager
def own_database() -> Iterator[str]:
    server = PostgresqlServer()
    try:
        yield server.new_database()
    finally:
        server.stop()


def settings_for(folder: Path, server: str, database: str) -> Settings:
    """The defaults, on names of their own; also written to ``folder``, for the processes."""
    run = uuid.uuid4().hex[:8]
    (folder / "policy.toml").write_text(POLICY)
    config = folder / "dancerank.toml"
    config.write_text(f"""
        [kafka]
        bootstrap_servers = ["{server}"]
        ranking_group = "ranking-{run}"
        pools_group = "pools-{run}"
        [streamer]
        uploads_topic = "uploads-{run}"
        scored_topic = "scored-{run}"
        [ranking]
        database_url = "{database}"
        deletions_topic = "deleted-{run}"
        [pools]
        policy = "{folder / "policy.toml"}"
        engagement_topic = "engagement-{run}"
        decisions_topic = "decisions-{run}"
        [server]
        rank_metrics_port = 0
        pools_metrics_port = {free_port()}
    """)
    return load_settings(config)


def copy(server: str, source: str, target: str, stop: StopEvent) -> None:
    """A process that copies records, each batch acknowledged before the next is read."""
    connection = KafkaConnection(servers=(server,))
    with closing(KafkaSink(connection)) as sink, closing(KafkaSource(connection, [source], group=None)) as records:
        while not stop.is_set():
            for record in records.poll(max_records=500, timeout_s=0.2):
                sink.send(OutgoingRecord(target, record.key, record.value))
            sink.flush(PATIENCE_S)


def read(server: str, topic: str, results: Any, stop: StopEvent) -> None:
    """A process that notes when each record can be read; in the end it sends what it noted."""
    seen: list[tuple[Sequence[Record], int]] = []
    with light_clients.reading(server, topic) as consumer:
        results.send("ready")
        while not stop.is_set():
            if records := light_clients.poll(consumer, timeout_s=0.2):
                seen.append((records, time.time_ns()))
                results.send(len(records))
    results.send([(key_of(record), at_ns) for records, at_ns in seen for record in records])


def key_of(record: Record) -> Key:
    """What identifies a record that was read."""
    if record.key == BARE.encode():
        return BARE, int(record.value or b"")
    decision = decode(record.value, PoolDecision)
    return decision.clip_id, decision.number


class Reader:
    """The process ``read``, and how many records it has seen."""

    def __init__(self, server: str, topic: str) -> None:
        context = multiprocessing.get_context("spawn")
        self._stop = context.Event()
        self._results, sending = context.Pipe(duplex=False)
        self._process = context.Process(target=read, args=(server, topic, sending, self._stop), daemon=True)
        self._process.start()
        sending.close()
        assert self._results.recv() == "ready"
        self.seen = 0

    def await_count(self, count: int) -> None:
        deadline_s = time.monotonic() + PATIENCE_S
        while self.seen < count:
            if self._results.poll(0.2):
                self.seen += self._results.recv()
            elif time.monotonic() > deadline_s:
                raise SystemExit(f"{count - self.seen} of {count} records did not come within {PATIENCE_S:g} s")

    @contextmanager
    def counting(self, count: int) -> Iterator[None]:
        """Meanwhile, as it waits where nobody takes what it says; at the end all have come."""
        thread = threading.Thread(target=self.await_count, args=(count,))
        thread.start()
        yield
        thread.join()

    def finish(self) -> dict[Key, int]:
        """When each was first readable, in nanoseconds since the epoch."""
        self._stop.set()
        while isinstance(results := self._results.recv(), int):
            pass
        self._process.join()
        first: dict[Key, int] = {}
        for key, at_ns in results:
            first.setdefault(key, at_ns)
        return first


def steadily(
    events: Iterator[tuple[Key, OutgoingRecord]], sink: LightSink, rate: float, seconds: float
) -> tuple[dict[Key, int], list[float]]:
    """Send events evenly; when each was handed to the producer, in nanoseconds since the epoch, and how many
    milliseconds late.
    """
    sent: dict[Key, int] = {}
    late_ms: list[float] = []
    started_s = time.monotonic()
    for number in range(round(rate * seconds)):
        key, record = next(events)
        time.sleep(max(0.0, started_s + number / rate - time.monotonic()))
        late_ms.append(1000 * (time.monotonic() - started_s - number / rate))
        sent[key] = time.time_ns()
        sink.send(record)
    sink.flush(PATIENCE_S)
    return sent, late_ms


def latencies(sent: Mapping[Key, int], read: Mapping[Key, int], warm_up: int) -> dict[Key, float]:
    """Milliseconds, without the first ``warm_up`` of those sent."""
    return {key: (read[key] - at_ns) / 1e6 for key, at_ns in list(sent.items())[warm_up:]}


def summary(values: Sequence[float]) -> dict[str, float]:
    named = {f"p{q}" if q < 100 else "max": float(np.percentile(values, q)) for q in PERCENTILES}
    return named | {"events": len(values)}


def bare(connection: KafkaConnection, rate: float, seconds: float) -> list[float]:
    """Latencies of the copy, in milliseconds."""
    source, target = (f"{name}-{uuid.uuid4().hex[:8]}" for name in ("copied", "copies"))
    ensure_topics(connection, [TopicSpec(name=name, partitions=8) for name in (source, target)])
    (server,) = connection.servers
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    copier = context.Process(target=copy, args=(server, source, target, stop), daemon=True)
    copier.start()
    reader = Reader(server, target)
    numbered = (
        ((BARE, n), OutgoingRecord(source, BARE.encode(), b"%d" % n, partition_by=str(n))) for n in range(sys.maxsize)
    )
    with closing(LightSink(server)) as sink:
        for _, record in itertools.islice(numbered, STARTED):
            sink.send(record)
        sink.flush(PATIENCE_S)
        reader.await_count(STARTED)
        with reader.counting(STARTED + round(rate * (WARM_UP_S + seconds))):
            sent, _ = steadily(numbered, sink, rate, WARM_UP_S + seconds)
    found = latencies(sent, reader.finish(), round(rate * WARM_UP_S))
    stop.set()
    copier.join()
    return list(found.values())


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[psutil.Process]:
    """A command of dancerank as a process."""
    command = [sys.executable, "-m", "dancerank", *arguments, "--config", str(folder / "dancerank.toml")]
    log = folder / f"{arguments[0]}-{uuid.uuid4().hex[:4]}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield psutil.Process(process.pid)
        if process.poll() is not None:
            raise SystemExit(f"{' '.join(arguments)} ended:\n{log.read_text()}")
    finally:
        process.terminate()
        process.wait()


def pools(
    settings: Settings, folder: Path, rate: float, seconds: float, workers: int
) -> tuple[dict[str, list[float]], float, dict[str, float], dict[str, float]]:
    """Latencies by kind in milliseconds, decisions a second, mean stages of the first worker, and how much of a core
    each process took.
    """
    connection = Processes(settings).connection
    create_topics(settings, connection)
    load = Load(settings, KNOWN_CLIPS)
    with ExitStack() as stack:
        processes = {"this": psutil.Process(), "rank": stack.enter_context(running(folder, "rank"))}
        processes["pools run"] = stack.enter_context(running(folder, "pools", "run"))
        for _ in range(workers - 1):
            stack.enter_context(without_metrics(folder))
        server = settings.kafka.bootstrap_servers[0]
        sink = stack.enter_context(closing(LightSink(server)))
        reader = Reader(server, settings.pools.decisions_topic)
        for _, record in load.known():
            sink.send(record)
        reader.await_count(KNOWN_CLIPS)
        before, worked_s, started_s = stage_sums(settings), worked(processes), time.monotonic()
        with reader.counting(KNOWN_CLIPS + round(rate * (WARM_UP_S + seconds))):
            sent, late_ms = steadily(load.mixture(), sink, rate, WARM_UP_S + seconds)
        span_s = time.monotonic() - started_s
        after, cores = stage_sums(settings), {name: s - worked_s[name] for name, s in worked(processes).items()}
        read = reader.finish()
    found = latencies(sent, read, round(rate * WARM_UP_S))
    by_kind = {
        ENGAGED: [value for (_, number), value in found.items() if number],
        SCORED: [value for (_, number), value in found.items() if not number],
        LATE: late_ms[round(rate * WARM_UP_S) :],
    }
    return by_kind, len(sent) / span_s, means(before, after), {name: s / span_s for name, s in cores.items()}


def worked(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    """Seconds that each process has had of a core."""
    return {name: sum(process.cpu_times()[:2]) for name, process in processes.items()}


@contextmanager
def without_metrics(folder: Path) -> Iterator[None]:
    """One worker more, which has no port of its own."""
    beside = folder / uuid.uuid4().hex[:8]
    beside.mkdir()
    lines = (folder / "dancerank.toml").read_text().splitlines()
    off = [line if "pools_metrics_port" not in line else "pools_metrics_port = 0" for line in lines]
    (beside / "dancerank.toml").write_text("\n".join(off))
    with running(beside, "pools", "run"):
        yield


def stage_sums(settings: Settings) -> dict[str, tuple[float, float]]:
    """Seconds and number of each stage of the first worker so far."""
    url = f"http://127.0.0.1:{settings.server.pools_metrics_port}/metrics"
    with urllib.request.urlopen(url) as answer:
        lines = answer.read().decode().splitlines()
    values = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}
    name = "dancerank_stage_duration_seconds"
    return {
        stage: tuple(values.get(f'{name}_{what}{{modality="all",stage="{stage}"}}', 0.0) for what in ("sum", "count"))
        for stage in STAGES
    }  # type: ignore[return-value]


def means(before: Mapping[str, tuple[float, float]], after: Mapping[str, tuple[float, float]]) -> dict[str, float]:
    """Mean milliseconds of each stage between two looks, and how often the first was."""
    found = {}
    for stage, (seconds, count) in after.items():
        times = count - before[stage][1]
        found[f"{stage}_ms"] = 1000 * (seconds - before[stage][0]) / times if times else 0.0
        found[f"{stage}_times"] = times
    return found


def show(console: Console, report: Mapping[str, Any]) -> None:
    title = f"{report['rate']:g} events a second for {report['seconds']:g} s, {report['workers']} worker"
    table = Table("milliseconds", *(f"p{q}" if q < 100 else "max" for q in PERCENTILES), "events", title=title)
    for name, found in report["latency_ms"].items():
        table.add_row(name, *(f"{found[key]:.1f}" for key in list(found)[:-1]), f"{found['events']:,}")
    console.print(table)
    for stage in STAGES:
        if times := report["stages"][f"{stage}_times"]:
            console.print(f"worker, {stage}: {report['stages'][f'{stage}_ms']:.1f} ms on average, {times:,.0f} times")
    console.print("of a core: " + ", ".join(f"{name} {100 * share:.0f} %" for name, share in report["cores"].items()))
    p99 = report["latency_ms"]["all decisions"]["p99"]
    verdict = "met" if p99 <= BAR_MS else "missed"
    console.print(
        f"offered {report['rate']:g}/s, decided {report['handled_per_s']:.0f}/s; p99 {p99:.1f} ms, wanted: at most "
        f"{BAR_MS:g} ms ({verdict}); {report['ratio_to_bare']:.1f} times the bare copy's"
    )


if __name__ == "__main__":
    main()
