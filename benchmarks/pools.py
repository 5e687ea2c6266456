"""How many events a second workers of the traffic pools decide about in one database, one worker and several at once.

    python -m benchmarks.pools [--rounds 5] [--events 5000] [--batch 50] [--workers 2] [--database URL] [--quick]

Each worker is a process that handles batches of records as ``dancerank pools run`` does, from reading a batch's clips
to its commit, on a real PostgreSQL; Kafka is left out, ``benchmarks.pool_latency`` has it. Of the events one in twenty
is a scored clip, the others engagement that promotes or demotes its clip: each has one decision, and half of them grant
from the budgets of a tier, of a challenge and of a dancer that all workers share. Clips are divided among workers by
their ids, as partitions divide them.

In each round one worker has ``--events``, then several have as many each, at once; the ratio is taken within a round,
so that a noisy machine disturbs both alike. The bar: two workers decide at least 1.7 times as fast as one. Where cores
are few they and PostgreSQL share them; what each had of a core is printed beside, and how much of their time
transactions waited for locks that others had, which would be left on any number of cores.
"""

import argparse
import multiprocessing
import statistics
import threading
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from multiprocessing.connection import Connection
from typing import Any, Final, Self

import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.workloads.pool_load import POLICY, Load
from dancerank.console.progress import counted
from dancerank.settings import Settings
from ranking.database.connection import Database
from ranking.pools.policy_file import parse_policy
from ranking.pools.service.store import PoolStore
from ranking.pools.service.worker import PoolEntry, PoolWorker
from ranking.scores.store import ScoreStore
from ranking.views.log_records import positions_after
from schemas.clock import SystemClock
from schemas.codec import decode
from schemas.events import ClipScored, EngagementObserved
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, Record, ScoredRecord
from tests.servers.postgresql import PostgresqlServer

BAR: Final = 1.7
"""Wanted of the speed of two workers over that of one."""
KNOWN_CLIPS: Final = 4000
PART: Final = 500
_SAMPLE_S: Final = 0.005
_ACTIVITY: Final = """SELECT wait_event_type, count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL GROUP BY 1"""
QUICK: Final = {"rounds": 3, "events": 1500}


def main() -> None:
    arguments = parse()
    console = Console()
    with ExitStack() as stack:
        url = arguments.database or stack.enter_context(own_database())
        database = stack.enter_context(closing(Database(url)))
        database.migrate()
        bench = Bench(database, url, arguments.batch)
        bench.fill()
        found: dict[int, list[dict[str, float]]] = {1: [], arguments.workers: []}
        bench.run(1, arguments.batch * 4)
        for _ in counted(range(arguments.rounds), "Rounds", arguments.rounds):
            for workers, results in found.items():
                results.append(bench.run(workers, arguments.events))
        difference = PoolStore(database).replay().difference
    assert difference is None, difference
    report = summary(arguments.workers, found)
    show(console, arguments.workers, found, report)
    settings = {key: getattr(arguments, key) for key in ("rounds", "events", "batch", "workers")}
    figures = [Measured(f"{arguments.workers} workers over one", report["ratio"], "ratio", BAR)]
    figures += [Measured(f"workers: {n}", each["events_per_s"], "events/s") for n, each in report["medians"].items()]
    path = write_figures("pools", figures, **settings, **report, runs=found)
    console.print(f"figures in {path}", markup=False)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=5000, help="of each worker, in a round")
    parser.add_argument("--batch", type=int, default=50, help="records in a transaction")
    parser.add_argument("--workers", type=int, default=2, help="processes at once")
    parser.add_argument("--database", metavar="URL", help="an empty PostgreSQL database; default: one of its own")
    parser.add_argument("--quick", action="store_true", help="within three minutes")
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    return arguments


@contextmanager
def own_database() -> Iterator[str]:
    server = PostgresqlServer()
    try:
        yield server.new_database()
    finally:
        server.stop()


class Bench:
    """One database with clips, and events about them."""

    def __init__(self, database: Database, url: str, batch: int) -> None:
        self._database, self._url, self._batch = database, url, batch
        self._scores = ScoreStore(database)
        self._settings = Settings()
        self._load = Load(self._settings, KNOWN_CLIPS)
        self._offset = 0
        self._worker = PoolWorker(
            PoolStore(database), parse_policy(POLICY, "policy"), lambda: None, Observer(), SystemClock()
        )

    def fill(self) -> None:
        """Bring in the known clips."""
        entries = [self._entry(record, 0) for _, record in self._load.known()]
        for start in range(0, len(entries), PART):
            part = entries[start : start + PART]
            self._rank(part)
            self._worker.apply(part, positions_after(entry.record for entry in part))
        self._worker.leave()

    def run(self, workers: int, events: int) -> dict[str, float]:
        """One run of ``workers`` with ``events`` each: events a second of all, how many cores the workers had, and how
        much of their transactions' time they waited for locks.
        """
        entries: list[list[PoolEntry]] = [[] for _ in range(workers)]
        for _, record in self._load.mixture():
            partition = zlib.crc32(record.key or b"") % workers
            mine = entries[partition]
            if len(mine) < events:
                mine.append(self._entry(record, partition))
            else:
                break  # dividing by ids is not quite even
        count = min(map(len, entries)) // self._batch * self._batch
        entries = [mine[:count] for mine in entries]
        for mine in entries:
            self._rank(mine)
        context = multiprocessing.get_context("spawn")
        pipes = []
        for mine in entries:
            here, there = context.Pipe()
            arguments = (self._url, mine, self._batch, there)
            context.Process(target=work, args=arguments, daemon=True).start()
            pipes.append(here)
        for pipe in pipes:
            assert pipe.recv() == "ready"
        began_s = time.perf_counter()
        with LockWaits(self._url) as waits:
            for pipe in pipes:
                pipe.send("go")
            worked_s = sum(pipe.recv() for pipe in pipes)
        span_s = time.perf_counter() - began_s
        return {
            "events_per_s": workers * count / span_s,
            "workers_cores": worked_s / span_s,
            "worker_ms_per_event": 1000 * worked_s / (workers * count),
            "waits_for_locks": waits.share,
        }

    def _entry(self, record: OutgoingRecord, partition: int) -> PoolEntry:
        event = decode(record.value, ClipScored, EngagementObserved)
        assert isinstance(event, ClipScored | EngagementObserved)
        self._offset += 1
        return PoolEntry(Record(record.topic, partition, self._offset, 0, record.key, record.value), event)

    def _rank(self, entries: Sequence[PoolEntry]) -> None:
        """Let the rankings be as far as ``entries``."""
        scored = [ScoredRecord(entry.record, entry.event) for entry in entries if isinstance(entry.event, ClipScored)]
        for start in range(0, len(scored), PART):
            part = scored[start : start + PART]
            self._scores.apply(part, positions_after(entry.record for entry in part))


class LockWaits:
    """Of the moments at which a transaction of the workers was open, the ``share`` at which it waited for a lock that
    another one had. It is what would keep workers from scaling on any number of cores.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._open = self._waiting = 0

    @property
    def share(self) -> float:
        return self._waiting / max(self._open, 1)

    def _look(self) -> None:
        with closing(Database(self._url)) as database:
            while not self._ended.wait(_SAMPLE_S):
                with database.reading() as connection:
                    for kind, count in connection.execute(sa.text(_ACTIVITY)):
                        self._open += count
                        self._waiting += count if kind == "Lock" else 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def work(url: str, entries: Sequence[PoolEntry], batch: int, pipe: Connection) -> None:
    """A worker: handles ``entries`` once asked to, and sends how many seconds of a core it took."""
    with closing(Database(url)) as database:
        worker = PoolWorker(
            PoolStore(database), parse_policy(POLICY, "policy"), lambda: None, Observer(), SystemClock()
        )
        worker.apply([], {})
        pipe.send("ready")
        pipe.recv()
        began_s = time.process_time()
        for start in range(0, len(entries), batch):
            part = entries[start : start + batch]
            worker.apply(part, positions_after(entry.record for entry in part))
        pipe.send(time.process_time() - began_s)
        worker.leave()


def summary(workers: int, found: Mapping[int, Sequence[Mapping[str, float]]]) -> dict[str, Any]:
    """Medians over the rounds, and the ratio of each round."""
    ratios = [many["events_per_s"] / one["events_per_s"] for one, many in zip(found[1], found[workers], strict=True)]
    medians = {
        str(count): {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        for count, runs in found.items()
    }
    return {"medians": medians, "ratios": ratios, "ratio": statistics.median(ratios)}


def show(
    console: Console, workers: int, found: Mapping[int, Sequence[Mapping[str, float]]], report: Mapping[str, Any]
) -> None:
    table = Table(
        "workers",
        "events/s, median",
        "range",
        "cores of workers",
        "ms of a core an event",
        "waits for locks",
    )
    for count, runs in found.items():
        median, speeds = report["medians"][str(count)], [run["events_per_s"] for run in runs]
        table.add_row(
            str(count),
            f"{median['events_per_s']:,.0f}",
            f"{min(speeds):,.0f}–{max(speeds):,.0f}",
            f"{median['workers_cores']:.2f}",
            f"{median['worker_ms_per_event']:.2f}",
            f"{median['waits_for_locks']:.1%}",
        )
    console.print(table)
    verdict = "met" if report["ratio"] >= BAR else "missed"
    console.print(
        f"{workers} workers over one: {report['ratio']:.2f} (rounds: "
        f"{', '.join(f'{ratio:.2f}' for ratio in report['ratios'])}); wanted of two: {BAR:g} ({verdict})",
        highlight=False,
    )


if __name__ == "__main__":
    main()
