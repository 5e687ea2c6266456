"""How long after its upload a clip is retrievable, with transactions, at a share of the most that the system takes.

    python -m benchmarks.freshness [--quick] [--load 0.7] [--seconds 60]

A real Kafka and PostgreSQL; ``dancerank stream`` and ``dancerank rank`` as processes of their own; the index view in
this one, as ``serve`` keeps it. First a burst shows how many clips a second come through. Then uploads are sent at
``--load`` of that, at random moments (a Poisson process). A clip is retrievable when the index has taken it in and its
row can be read in the database, which is asked every 20 ms; the time runs from the moment when the upload was due.
Everything runs on the same cores, the load generator too.
"""

import argparse
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np
import sqlalchemy as sa
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.pipeline import make_uploads, repeated, settings_for
from dancerank.console.progress import working
from dancerank.processes import Processes
from dancerank.running.replica import Replica
from dancerank.settings import Settings, shipped_bundle
from dancerank.topics import create_topics
from dancerank.uploads import send_upload
from ranking.database.tables import scored_clips
from ranking.vectors.view import IndexView
from schemas.clock import SystemClock
from schemas.events import ClipUploaded
from schemas.observation import Observer
from schemas.ports import ScoredRecord
from tests.faults.killing import Cached, await_all
from tests.faults.processes import Worker, ranker, streamer, write_config
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from transport.client_options import ProducerOptions
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink

BAR_S: Final = 1.0
WARM_UP: Final = 40
POLL_S: Final = 0.02
SEED: Final = 7


class Times(NamedTuple):
    """Seconds from upload to: found in the index, read in the database, both."""

    index_s: Sequence[float]
    database_s: Sequence[float]

    @property
    def retrievable_s(self) -> list[float]:
        return [max(pair) for pair in zip(self.index_s, self.database_s, strict=True)]


def main() -> None:
    arguments = parse()
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-fresh-")))
        with working("making clips"):
            uploads = make_uploads(folder, arguments.files)
        kafka = stack.enter_context(KafkaServer())
        database = PostgresqlServer()
        stack.callback(database.stop)
        settings = settings_of(folder, kafka.address, database.new_database())
        system = System(stack, folder, settings, uploads)
        with working("warming up"):
            system.burst(WARM_UP)
            most = system.burst(arguments.burst)
        rate = arguments.load * most
        with working(f"{arguments.seconds:g} s at {rate:.0f} clips/s"):
            times = system.under_load(rate, arguments.seconds)
    report(console, times, most=most, rate=rate, load=arguments.load, seconds=arguments.seconds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="15 s of load, a smaller burst")
    parser.add_argument("--load", type=float, default=0.7, help="share of what a burst shows (0.7)")
    parser.add_argument("--seconds", type=float, help="for how long uploads are sent (60; quick: 15)")
    parser.add_argument("--burst", type=int, help="uploads that show how many come through (1500; quick: 400)")
    parser.add_argument("--files", type=int, default=120, help="distinct feature files")
    arguments = parser.parse_args()
    arguments.seconds = arguments.seconds or (15.0 if arguments.quick else 60.0)
    arguments.burst = arguments.burst or (400 if arguments.quick else 1500)
    return arguments


def settings_of(folder: Path, kafka: str, database_url: str) -> Settings:
    base = settings_for(folder)
    return base.model_copy(
        update={
            "bundle_folder": shipped_bundle(),
            "ranking": base.ranking.model_copy(update={"database_url": database_url}),
            "kafka": base.kafka.model_copy(update={"bootstrap_servers": (kafka,)}),
        }
    )


class System:
    """The processes, and the views as this process sees them."""

    def __init__(self, stack: ExitStack, folder: Path, settings: Settings, uploads: Sequence[ClipUploaded]) -> None:
        connection = KafkaConnection(servers=settings.kafka.bootstrap_servers)
        create_topics(settings, connection)
        config = write_config(folder / "dancerank.toml", settings)
        self._settings, self._uploads = settings, uploads
        self._replica: Replica = stack.enter_context(
            Processes(settings, connection=connection, observer=Observer()).replica()
        )
        self._workers: list[Worker] = [
            streamer("streamer-0", config, is_cold=True),
            ranker("ranker-0", config, is_cold=True),
        ]
        for worker in self._workers:
            stack.enter_context(worker)
        # Every upload goes at once: its time runs while it waits in a batch.
        self._sink = stack.enter_context(closing(KafkaSink(connection, ProducerOptions(linger_s=0.0))))
        self._sent = 0

    def burst(self, clips: int) -> float:
        """Clips a second that come through, retrievable, from the first that is to the last."""
        before = self._sent
        for number, upload in enumerate(repeated(self._uploads, clips), self._sent):
            self._send(msgspec.structs.replace(upload, clip_id=f"burst-{number}"))
        self._sink.flush(60.0)
        self._await_held(before + max(1, clips // 10))
        began_s, held = time.monotonic(), self._held()
        self._await_held(self._sent)
        return (self._sent - held) / (time.monotonic() - began_s)

    def under_load(self, rate: float, duration_s: float) -> Times:
        """The times of all clips that are sent in ``duration_s`` seconds at ``rate`` a second."""
        waits, clips = random.Random(SEED), list(repeated(self._uploads, round(rate * duration_s)))
        clips = [msgspec.structs.replace(clip, clip_id=f"fresh-{n}") for n, clip in enumerate(clips)]
        sent_s: dict[str, float] = {}
        watch = Watch(self._replica, sent_s, len(clips))
        watch.start()
        due_s = time.monotonic()
        for clip in clips:
            due_s += waits.expovariate(rate)
            time.sleep(max(0.0, due_s - time.monotonic()))
            # From when it was due: a generator that is late must not hide that clips wait.
            sent_s[clip.clip_id] = due_s
            self._send(clip)
        self._sink.flush(60.0)
        await_all(lambda: not watch.is_alive(), self._workers, standstill_s=120.0)
        return watch.times()

    def _send(self, clip: ClipUploaded) -> None:
        send_upload(
            self._sink,
            self._settings.streamer.uploads_topic,
            msgspec.structs.replace(clip, uploaded_at_ms=SystemClock().now_ms()),
        )
        self._sent += 1

    def _held(self) -> int:
        return min(self._replica.index.clips(), sum(self._replica.store.generations().values()))

    def _await_held(self, clips: int) -> None:
        await_all(Cached(lambda: self._held() >= clips, every_s=0.02), self._workers, standstill_s=120.0)


class Watch(threading.Thread):
    """Notes when clips that were sent are there; asks the database every 20 ms."""

    def __init__(self, replica: Replica, sent_s: Mapping[str, float], clips: int) -> None:
        super().__init__(name="watch", daemon=True)
        self._replica, self._sent_s, self._clips = replica, sent_s, clips
        self._index_s: dict[str, float] = {}
        self._database_s: dict[str, float] = {}
        self._listen(replica.index)

    def _listen(self, index: IndexView) -> None:
        """Note which clips the index has taken in whenever it has."""
        apply = index.apply

        def apply_and_note(entries, positions):  # type: ignore[no-untyped-def]
            refusals = apply(entries, positions)
            clips = [each.clip.clip_id for each in entries if isinstance(each, ScoredRecord)]
            self._note(self._index_s, [clip for clip in clips if clip in self._sent_s])
            return refusals

        index.apply = apply_and_note  # type: ignore[method-assign]

    def run(self) -> None:
        while min(len(self._index_s), len(self._database_s)) < self._clips:
            sent = list(self._sent_s)
            self._note(self._database_s, self._in_database([clip for clip in sent if clip not in self._database_s]))
            time.sleep(POLL_S)

    def times(self) -> Times:
        order = list(self._sent_s)
        return Times(
            [self._index_s[clip] - self._sent_s[clip] for clip in order],
            [self._database_s[clip] - self._sent_s[clip] for clip in order],
        )

    def _note(self, found_s: dict[str, float], clips: Sequence[str]) -> None:
        now_s = time.monotonic()
        found_s.update(dict.fromkeys(clips, now_s))

    def _in_database(self, clips: Sequence[str]) -> list[str]:
        if not clips:
            return []
        with self._replica.database.reading() as connection:
            return list(connection.scalars(sa.select(scored_clips.c.clip_id).where(scored_clips.c.clip_id.in_(clips))))


def report(console: Console, times: Times, *, most: float, rate: float, load: float, seconds: float) -> None:
    table = Table("seconds", "p50", "p95", "p99", "greatest", title=f"{rate:.0f} clips/s for {seconds:g} s")
    for name, found in (
        ("found in the index", times.index_s),
        ("read in the database", times.database_s),
        ("retrievable", times.retrievable_s),
    ):
        table.add_row(name, *(f"{np.percentile(found, share):.2f}" for share in (50, 95, 99, 100)))
    console.print(table)
    p99_s = float(np.percentile(times.retrievable_s, 99))
    figures = [
        Measured(f"upload to retrievable at {load:.0%} load, p99", p99_s, "s", BAR_S, True),
        Measured("upload to retrievable, median", statistics.median(times.retrievable_s), "s"),
        Measured("clips retrievable in a burst", most, "clips/s"),
    ]
    for figure in figures:
        reached = "" if figure.met is None else f"; {figure.bar:g} wanted, {'reached' if figure.met else 'not reached'}"
        console.print(f"{figure.name}: {figure.value:.2f} {figure.unit}{reached}", highlight=False)
    console.print(f"figures in {write_figures('freshness', figures, clips=len(times.index_s))}", markup=False)


if __name__ == "__main__":
    main()
