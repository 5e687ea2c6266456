"""How long a view takes to be up to date again: from what it had stored and the tail of the log, or from the log alone.

    python -m benchmarks.recovery [--clips 20000] [--tail 0.05] [--rounds 3] [--kafka HOST:PORT]

Scored clips, made without networks, lie on a real Kafka; of the last ones (``--tail``) the stored state knows nothing.
*Index*: the newest snapshot and the tail, against an empty folder. *SQL*: a database and the tail, against an empty
database. The time is that of the serving process and of the ranker from opening their view, the snapshot's checksums
included, until it has read the log to its end; starting Python and importing are not in it. Rounds of the index
alternate, and the ratio of the medians is printed; the database is read into once each way. Clips per second are those
from nothing. What either way led to is compared by its content hash.
"""

import argparse
import itertools
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline import OUT, settings_for
from dancerank.console.progress import OnProgress, steps
from dancerank.processes import Processes
from dancerank.running.replica import in_thread
from dancerank.settings import Settings
from dancerank.topics import create_topics
from ranking.scores.store import ScoreStore
from ranking.views.loop import ViewLoop
from schemas.codec import encode
from schemas.events import ClipScored, ModalityResult, embedding_bytes
from schemas.modalities import PAPER_MODALITIES
from schemas.ports import OutgoingRecord
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink

CLIPS: Final = 20_000
TAIL: Final = 0.05
ROUNDS: Final = 3
WIDTH: Final = 64
CHALLENGES: Final = 50
_STOP_S: Final = 30.0
_POLL_S: Final = 0.005
_REPORT_EVERY: Final = 500
_NOW_MS: Final = 1_700_000_000_000


@dataclass(frozen=True)
class Times:
    """Seconds until a view was up to date: from what was stored and the tail, and from nothing."""

    stored_s: list[float] = field(default_factory=list)
    nothing_s: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """How many times longer it takes from nothing."""
        return statistics.median(self.nothing_s) / statistics.median(self.stored_s)


@dataclass(frozen=True)
class Recovery:
    """What was measured. ``tail`` of the ``clips`` came after what was stored; ``is_equal``: both ways led to the same.

    ``sql`` is the rankings'.
    """

    clips: int
    tail: int
    snapshot_bytes: int
    index: Times
    sql: Times
    is_equal: bool


def main() -> None:
    arguments = parse()
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        address = arguments.kafka or stack.enter_context(KafkaServer()).address
        database = PostgresqlServer()
        stack.callback(database.stop)
        on_progress = stack.enter_context(steps())
        found = measure(
            folder,
            KafkaConnection(servers=(address,)),
            database.new_database,
            on_progress,
            clips=arguments.clips,
            tail=arguments.tail,
            rounds=arguments.rounds,
            width=arguments.width,
        )
    report(console, found)
    OUT.mkdir(exist_ok=True)
    path = OUT / "recovery.json"
    path.write_text(json.dumps(figures(found), indent=2) + "\n")
    console.print(f"written to {path}")
    if not found.is_equal:
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=at_least(2), default=CLIPS, help=f"scored clips on the log ({CLIPS})")
    parser.add_argument("--tail", type=share, default=TAIL, help=f"share of them after what is stored ({TAIL})")
    parser.add_argument("--rounds", type=at_least(1), default=ROUNDS, help=f"reads of the index each way ({ROUNDS})")
    parser.add_argument("--width", type=at_least(1), default=WIDTH, help=f"of an embedding ({WIDTH}: as shipped)")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka; default: one is started")
    return parser.parse_args()


def measure(
    folder: Path,
    connection: KafkaConnection,
    new_database: Callable[[], str],
    on_progress: OnProgress,
    *,
    clips: int = CLIPS,
    tail: float = TAIL,
    rounds: int = ROUNDS,
    width: int = WIDTH,
) -> Recovery:
    """Write the log up to its tail, store both views, write the tail, and read it each way.

    ``new_database`` gives the URL of an empty one each time it is called; ``tail`` is a share of the clips.
    """
    late = min(max(1, round(tail * clips)), clips - 1)
    base = settings_for(folder)
    stored = changed(base, index_folder=folder / "stored", database_url=new_database())
    log, lives = scored_clips(clips, width), itertools.count()

    def lived() -> None:
        on_progress("Reading the log into views", next(lives), 2 * rounds + 4)

    create_topics(base, connection)
    with closing(KafkaSink(connection)) as sink:
        write(sink, base, itertools.islice(log, clips - late), on_progress, clips - late)
        lived()
        for life in (index_life, sql_life):
            life(stored, connection)
            lived()
        write(sink, base, log, on_progress, late)
    index, found = Times(), set[str]()
    for number in range(rounds):
        copy = shutil.copytree(folder / "stored", folder / f"copy-{number}")
        for snapshots, times in ((copy, index.stored_s), (folder / f"empty-{number}", index.nothing_s)):
            seconds, content = index_life(changed(base, index_folder=snapshots), connection)
            times.append(seconds)
            found.add(content)
            lived()
    sql, held = Times(), set[str]()
    for settings, times in ((stored, sql.stored_s), (changed(base, database_url=new_database()), sql.nothing_s)):
        seconds, content = sql_life(settings, connection)
        times.append(seconds)
        held.add(content)
        lived()
    snapshot_bytes = sum(path.stat().st_size for path in (folder / "stored").rglob("*") if path.is_file())
    return Recovery(clips, late, snapshot_bytes, index, sql, is_equal=len(found) == len(held) == 1)


def changed(settings: Settings, **ranking: object) -> Settings:
    """Other settings of the views."""
    return settings.model_copy(update={"ranking": settings.ranking.model_copy(update=ranking)})


def scored_clips(clips: int, width: int, seed: int = 1) -> Iterator[ClipScored]:
    """So many clips with random scores and embeddings, an hour's uploads of ``CHALLENGES`` challenges."""
    rng = np.random.default_rng(seed)
    for number in range(clips):
        scores, attention = (
            rng.random(len(PAPER_MODALITIES) + 1).tolist(),
            rng.dirichlet(np.ones(len(PAPER_MODALITIES))).tolist(),
        )
        embeddings = rng.standard_normal((len(PAPER_MODALITIES), width))
        yield ClipScored(
            clip_id=f"clip-{number}",
            dancer_id=f"dancer-{number % 5000}",
            challenge_id=f"challenge-{number % CHALLENGES}",
            uploaded_at_ms=_NOW_MS + 180 * number,
            duration_s=10.0,
            generation="g1",
            modalities={
                modality: ModalityResult(scores[row], attention[row], embedding_bytes(embeddings[row]))
                for row, modality in enumerate(PAPER_MODALITIES)
            },
            missing=(),
            fused_score=scores[-1],
            scored_at_ms=_NOW_MS + 180 * number + 1000,
        )


def write(
    sink: KafkaSink, settings: Settings, clips: Iterable[ClipScored], on_progress: OnProgress, count: int
) -> None:
    """Send them as the streamer does, and return when the broker has them."""
    what = f"Writing {count:,} scored clips"
    for number, clip in enumerate(clips):
        if number % _REPORT_EVERY == 0:
            on_progress(what, number, count)
        topic, key = settings.streamer.scored_topic, clip.clip_id.encode()
        sink.send(OutgoingRecord(topic, key, encode(clip), partition_by=clip.challenge_id))
    sink.flush(120.0)
    on_progress(what, count, count)


def index_life(settings: Settings, connection: KafkaConnection) -> tuple[float, str]:
    """Seconds until the index has read the log to its end, and its content hash. Leaves a snapshot."""
    started_s, processes = time.perf_counter(), Processes(settings, connection=connection)
    view = processes.open_index()
    with processes.saving(view):
        took_s = read_to_the_end(processes.index_loop(view), started_s)
    return took_s, view.content()


def sql_life(settings: Settings, connection: KafkaConnection) -> tuple[float, str]:
    """The same of the rankings. Leaves rows and positions."""
    started_s, processes = time.perf_counter(), Processes(settings, connection=connection)
    with processes.database() as database, processes.ranker(database) as loop:
        return read_to_the_end(loop, started_s), ScoreStore(database).content()


def read_to_the_end(loop: ViewLoop[Any], started_s: float) -> float:
    """Run a loop until it has caught up, and stop it; seconds from ``started_s`` until it had."""
    with in_thread(loop, "recovery", _STOP_S) as thread:
        while not loop.caught_up:
            if thread.failure is not None:
                raise thread.failure
            time.sleep(_POLL_S)
        return time.perf_counter() - started_s


def report(console: Console, found: Recovery) -> None:
    title = f"{found.clips:,} scored clips on the log, {found.tail:,} of them after what is stored"
    table = Table("up to date again", "stored and tail", "from nothing", "ratio", "clips/s", title=title)
    for name, times in (("index", found.index), ("rankings", found.sql)):
        table.add_row(
            name,
            _seconds(times.stored_s),
            _seconds(times.nothing_s),
            f"{times.ratio:.1f}",
            f"{found.clips / statistics.median(times.nothing_s):,.0f}",
        )
    console.print(table)
    console.print(
        f"snapshot {found.snapshot_bytes / 1e6:.1f} MB; content hashes " + ("equal" if found.is_equal else "DIFFER"),
        highlight=False,
    )


def _seconds(values: Sequence[float]) -> str:
    spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
    return f"{statistics.median(values):.2f} s{spread}"


def figures(found: Recovery) -> dict[str, Any]:
    """For a JSON file."""
    times = {"index": found.index, "sql": found.sql}
    return asdict(found) | {name: asdict(each) | {"ratio": each.ratio} for name, each in times.items()}


def at_least(least: int) -> Callable[[str], int]:
    """Reads a number of the command line."""

    def number(value: str) -> int:
        read = int(value)
        if read < least:
            raise argparse.ArgumentTypeError(f"{value} is too few; at least {least}")
        return read

    return number


def share(value: str) -> float:
    """Reads a share of the command line."""
    number = float(value)
    if not 0 < number < 1:
        raise argparse.ArgumentTypeError(f"{value} is not a share between 0 and 1")
    return number


if __name__ == "__main__":
    main()
