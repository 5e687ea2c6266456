"""What rankings cost as one challenge grows: questions, and clips written per second, on SQLite and PostgreSQL.

    python -m benchmarks.rankings [--quick] [--sizes 10000 100000 1000000] [--databases sqlite postgresql] [--batch 500]

For each size a database is filled (``benchmarks.rankings_filling``) with clips of one challenge, uploaded evenly over
the last eight days. The last 20,000, at most half of them, are written through ``ScoreStore`` in batches as
``dancerank rank`` reads them, and timed; with ``--writers 2`` by two threads, as two workers share the partitions. Then
each question is asked on one thread, a clip drawn anew each time, by the store's own methods: from the call to the
answer in Python. PostgreSQL is that of the tests, with its default settings but for those that ``--server`` names;
every commit is flushed. The figures go to ``out/rankings.json``, after each size.

Elapsed times are compared with the bars. Beside them stands the processor time, of this thread and of the server's
process, which other work on the machine disturbs less: of a question the mean, of a clip that is written its inverse.
"""

import argparse
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.rankings_filling import fill
from dancerank.console.progress import counted
from ranking.database.connection import Database
from ranking.scores.standings import standings
from ranking.scores.store import ScoreStore
from ranking.views.limits import BATCH_RECORDS
from schemas.clock import SystemClock
from schemas.events import ClipScored, ModalityResult, embedding_bytes
from schemas.modalities import PAPER_MODALITIES, Dimension
from schemas.ports import Record, ScoredRecord, TopicPartition
from tests.servers.postgresql import PostgresqlServer

SIZES: Final = (10_000, 100_000, 1_000_000)
QUICK: Final = (3000, 30_000)
ASKED: Final = 1000
TIMED: Final = 20_000
FILLED_AT_ONCE: Final = 20_000
POOLED: Final = 25
BAR_MS: Final = 1.0
BAR_CLIPS_PER_S: Final = 5000.0
DAYS_MS: Final = 8 * 86_400_000
GENERATION: Final = "0123456789abcdef"
AT: Final = TopicPartition("clips.scored", 0)
CLIENT_BACKENDS: Final = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'"
)
_EMBEDDING: Final = embedding_bytes(np.array([1.0, 0.0]))


class Latency(NamedTuple):
    """Elapsed, and the mean of the processor's time."""

    p50_ms: float
    p99_ms: float
    processor_ms: float


class Found(NamedTuple):
    """Of one database and size. ``per_processor_s``: clips written in a second of the processor; ``pause_ms``: the
    longest batch.
    """

    database: str
    clips: int
    clips_per_s: float
    per_processor_s: float
    pause_ms: float
    bytes_per_clip: float
    questions: dict[str, Latency]


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    found: list[Found] = []
    for name in arguments.databases:
        for size in arguments.sizes:
            console.print(f"{name}, {size:,} clips ...")
            with database_of(name, arguments.server) as database:
                found.append(measure(database, name, size, arguments.batch, arguments.questions, arguments.writers))
            figures = list(measured(found))
            path = write_figures(
                "rankings", figures, batch=arguments.batch, writers=arguments.writers, server=arguments.server
            )
    console.print(table(found, setting(arguments)))
    bars = [each for each in figures if each.bar is not None]
    console.print(f"{sum(bool(each.met) for each in bars)} of {len(bars)} bars are met: {path}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small sizes, within three minutes")
    parser.add_argument("--sizes", type=int, nargs="+", help="clips in the challenge")
    parser.add_argument("--databases", nargs="+", choices=["sqlite", "postgresql"], default=["sqlite", "postgresql"])
    parser.add_argument("--batch", type=int, default=BATCH_RECORDS, help="clips in a transaction")
    parser.add_argument("--questions", type=int, default=ASKED, help="of each sort")
    parser.add_argument("--writers", type=int, default=1, help="threads that write at once")
    parser.add_argument("--server", nargs="*", default=[], metavar="NAME=VALUE", help="settings of PostgreSQL")
    arguments = parser.parse_args()
    arguments.sizes = sorted(arguments.sizes or (QUICK if arguments.quick else SIZES))
    return arguments


@contextmanager
def database_of(name: str, settings: Sequence[str] = ()) -> Iterator[Database]:
    if name == "sqlite":
        with (
            tempfile.TemporaryDirectory(prefix="dancerank-bench-") as folder,
            closing(Database(f"sqlite:///{Path(folder) / 'rankings.db'}")) as database,
        ):
            database.migrate()
            yield database
        return
    server = PostgresqlServer()
    try:
        server.configure(dict(setting.split("=", 1) for setting in settings))
        with closing(Database(server.new_database())) as database:
            database.migrate()
            yield database
    finally:
        server.stop()


def measure(database: Database, name: str, size: int, batch: int, asked_times: int = ASKED, writers: int = 1) -> Found:
    first_ms = SystemClock().now_ms() - DAYS_MS
    first_timed = max(size - TIMED, size // 2)
    clip_ids: list[str] = []

    def before() -> Iterator[list[ScoredRecord]]:
        starts = [*range(0, first_timed, FILLED_AT_ONCE), first_timed]
        for start, end in counted(pairwise(starts), f"{size:,} clips", len(starts) - 1):
            entries = recorded(start, end - start, first_ms, size)
            clip_ids.extend(entry.clip.clip_id for entry in entries)
            yield entries

    fill(database, before(), {AT: first_timed})
    starts = [*range(first_timed, size, batch), size]
    batches = [recorded(start, end - start, first_ms, size) for start, end in pairwise(starts)]
    clip_ids += (entry.clip.clip_id for entries in batches for entry in entries)
    written = write(database, batches, writers)
    processor_s = processor_of(database)
    store = ScoreStore(database)
    return Found(
        name,
        size,
        (size - first_timed) / written.elapsed_s,
        (size - first_timed) / written.processor_s,
        1000 * written.longest_s,
        disk(database) / size,
        {
            question: asked(ask, asked_times, processor_s)
            for question, ask in questions(store, database, clip_ids).items()
        },
    )


class Written(NamedTuple):
    """``processor_s``: of this process and of the server's processes for its connections."""

    elapsed_s: float
    processor_s: float
    longest_s: float


def write(database: Database, batches: Sequence[Sequence[ScoredRecord]], writers: int) -> Written:
    """Write the batches through ``ScoreStore``, ``writers`` at once: each has a partition of its own."""
    store = ScoreStore(database)

    def one(at: int) -> float:
        """The longest batch."""
        longest_s = 0.0
        for entries in batches[at::writers]:
            started_s = time.perf_counter()
            store.apply(entries, {TopicPartition(AT.topic, at): entries[-1].record.offset + 1})
            longest_s = max(longest_s, time.perf_counter() - started_s)
        return longest_s

    served_s, started_s, worked_s = _served_s(database), time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(writers) as threads:
        longest_s = max(threads.map(one, range(writers)))
    elapsed_s = time.perf_counter() - started_s
    return Written(elapsed_s, time.process_time() - worked_s + _served_s(database) - served_s, longest_s)


def _served_s(database: Database) -> float:
    """Processor seconds of the server's processes for all connections to this database."""
    if database.dialect == "sqlite":
        return 0.0
    with database.reading() as connection:
        return sum(_worked(psutil.Process(int(pid))) for pid in connection.scalars(sa.text(CLIENT_BACKENDS)))


def _worked(server: psutil.Process) -> float:
    taken = server.cpu_times()
    return float(taken.user + taken.system)


def recorded(first: int, count: int, first_ms: int, size: int) -> list[ScoredRecord]:
    """``count`` clips of ``size`` from the number ``first`` on, as the log has them."""
    clips = enumerate(made(first, count, first_ms, size), first)
    return [ScoredRecord(Record(*AT, number, clip.uploaded_at_ms, None, b""), clip) for number, clip in clips]


def made(first: int, count: int, first_ms: int, size: int) -> Iterator[ClipScored]:
    draw = np.random.default_rng(first)
    ids, scores = draw.integers(0, 2**63, count), draw.random((count, len(PAPER_MODALITIES) + 1))
    attention = draw.dirichlet(np.ones(len(PAPER_MODALITIES)), count)
    for number in range(count):
        shares = zip(PAPER_MODALITIES, scores[number].tolist(), attention[number].tolist(), strict=False)
        at_ms = first_ms + (first + number) * DAYS_MS // size
        yield ClipScored(
            clip_id=f"{ids[number]:016x}",
            dancer_id=f"dancer-{ids[number] % 100_000}",
            challenge_id="viral",
            uploaded_at_ms=at_ms,
            duration_s=12.0,
            generation=GENERATION,
            modalities={modality: ModalityResult(score, share, _EMBEDDING) for modality, score, share in shares},
            missing=(),
            fused_score=float(scores[number, -1]),
            scored_at_ms=at_ms,
        )


def questions(store: ScoreStore, database: Database, clip_ids: Sequence[str]) -> dict[str, Callable[[], object]]:
    draw, fused = random.Random(1), Dimension.FUSED
    recent = clip_ids[-len(clip_ids) // 10 :]  # of the last 19 hours

    def pooled() -> object:
        with database.reading() as connection:
            return standings(connection, draw.sample(clip_ids, POOLED), GENERATION)

    def bare() -> object:
        with database.reading() as connection:
            return connection.scalars(sa.select(sa.literal(1))).one()

    return {
        "nothing (SELECT 1)": bare,
        "place": lambda: store.place(draw.choice(clip_ids), fused, GENERATION),
        "neighbours": lambda: store.neighbours(draw.choice(clip_ids), fused, GENERATION, k=5),
        "top 10": lambda: store.ranking("viral", fused, GENERATION, order="top", k=10),
        "mean attention": lambda: store.attention("viral", GENERATION),
        "place in 24 h": lambda: store.place(draw.choice(recent), fused, GENERATION, window="24h"),
        "neighbours in 24 h": lambda: store.neighbours(draw.choice(recent), fused, GENERATION, k=5, window="24h"),
        "top 10 in 7 d": lambda: store.ranking("viral", fused, GENERATION, order="top", k=10, window="7d"),
        f"all places of {POOLED} clips": pooled,
    }


def processor_of(database: Database) -> Callable[[], float]:
    """Tells the seconds of the processor that this thread has taken, and the server's process for its connection."""
    if database.dialect == "sqlite":
        return time.thread_time
    with database.reading() as connection:  # one thread has the same one each time
        server = psutil.Process(connection.scalars(sa.select(sa.func.pg_backend_pid())).one())
    return partial(_both, server)


def _both(server: psutil.Process) -> float:
    return time.thread_time() + _worked(server)


def asked(ask: Callable[[], object], times: int, processor_s: Callable[[], float]) -> Latency:
    times_ms = []
    cold = times // 10  # the first ones plan and compile
    for number in range(times):
        if number == cold:
            before_s = processor_s()
        started_s = time.perf_counter()
        ask()
        times_ms.append(1000 * (time.perf_counter() - started_s))
    worked_ms = 1000 * (processor_s() - before_s) / (times - cold)
    warm = times_ms[cold:]
    return Latency(float(np.percentile(warm, 50)), float(np.percentile(warm, 99)), worked_ms)


def disk(database: Database) -> int:
    """Bytes of all tables and indexes."""
    on_sqlite = sa.text("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
    on_postgresql = sa.text("SELECT pg_database_size(current_database())")
    with database.reading() as connection:
        return int(connection.scalars(on_sqlite if database.dialect == "sqlite" else on_postgresql).one())


def measured(found: Sequence[Found]) -> Iterator[Measured]:
    for name in dict.fromkeys(each.database for each in found):
        of = [each for each in found if each.database == name]
        for each in of:
            at = f"{name}, {each.clips} clips"
            yield Measured(f"{at}: written", each.clips_per_s, "clips/s", BAR_CLIPS_PER_S)
            yield Measured(f"{at}: written in a second of the processor", each.per_processor_s, "clips/s")
            yield Measured(f"{at}: longest batch", each.pause_ms, "ms")
            yield Measured(f"{at}: disk", each.bytes_per_clip, "bytes/clip")
            for question, (p50_ms, p99_ms, processor_ms) in each.questions.items():
                bar = BAR_MS if question in ("place", "neighbours") else None
                yield Measured(f"{at}: {question}, p50", p50_ms, "ms")
                yield Measured(f"{at}: {question}, p99", p99_ms, "ms", bar, lower_is_better=True)
                yield Measured(f"{at}: {question}, processor", processor_ms, "ms")
        least, most = of[0], of[-1]
        if least is not most:
            yield Measured(f"{name}: written, most over fewest clips", most.clips_per_s / least.clips_per_s, "ratio")
            for question in least.questions:
                ratio = most.questions[question].p50_ms / least.questions[question].p50_ms
                yield Measured(f"{name}: {question}, p50, most over fewest clips", ratio, "ratio")


def setting(arguments: argparse.Namespace) -> str:
    """Under which the figures were found."""
    server = ", ".join(arguments.server) or "default settings"
    return f"writers: {arguments.writers}, clips in a batch: {arguments.batch}, PostgreSQL: {server}"


def table(found: Sequence[Found], caption: str) -> Table:
    heads = (f"{each.database}\n{each.clips:,} clips" for each in found)
    shown = Table("", *heads, title="p50 / p99 / processor, ms", caption=caption)
    for question in found[0].questions:
        cells = (each.questions[question] for each in found)
        shown.add_row(question, *(" / ".join(f"{ms:.2f}" for ms in cell) for cell in cells))
    shown.add_section()
    shown.add_row("clips written per second", *(f"{each.clips_per_s:,.0f}" for each in found))
    shown.add_row("in a second of the processor", *(f"{each.per_processor_s:,.0f}" for each in found))
    shown.add_row("longest batch, ms", *(f"{each.pause_ms:.0f}" for each in found))
    shown.add_row("bytes on disk per clip", *(f"{each.bytes_per_clip:,.0f}" for each in found))
    return shown


if __name__ == "__main__":
    main()
