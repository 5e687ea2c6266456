"""Kills streamers, rankers and a serving process again and again, and looks for what was lost or done twice.

    python -m benchmarks.faults [--kills 100] [--clips 20000] [--every 1.6] [--seed 1] [--recovery-clips 20000]

A real Kafka and a real PostgreSQL; two streamers, a ranker and a serving process that keeps the index, each SIGKILLed
at random moments and started again at once, while the uploads lie on the topic, short clips and some routines; the last
is sent after the last kill. At the end the uploads are compared with the log as committed (each clip once, with the
scores, the style and the attention over time that it has where nothing is killed), the log with every row of the
database, and with every vector of the snapshot.
*Recovery*: from SIGKILL until the process has made progress again, its start included. Then, on a log of its own, how
long the views take to be up to date again from what they had stored and from nothing: ``benchmarks.recovery``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks import recovery
from benchmarks.pipeline import OUT, make_uploads, repeated, settings_for
from dancerank.console.progress import steps
from dancerank.demo.routines import written_routines
from dancerank.synthetic.routines import SHORTEST_S, long_routines
from dancerank.topics import create_topics
from dancerank.uploads import send_clips
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from schemas.clock import SystemClock
from schemas.events import ClipUploaded
from schemas.modalities import Modality
from tests.faults.killing import Cached, Killer, await_all
from tests.faults.processes import Worker, ranker, server, streamer, write_config
from tests.faults.verification import Verdict, verify
from tests.servers.kafka import KafkaServer
from tests.servers.postgresql import PostgresqlServer
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from vdv.uploads import read_uploads

ONE_ROUTINE_IN: Final = 10
"""So many short clips there is a routine."""
_ROUTINES_SEED: Final = 7
_PATIENCE_S = 1800.0


def main() -> None:
    arguments = parse()
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-faults-")))
        kafka = stack.enter_context(KafkaServer())
        database = PostgresqlServer()
        stack.callback(database.stop)
        uploads = [*make_uploads(folder, arguments.files), *routine_uploads(folder, arguments.files // ONE_ROUTINE_IN)]
        sent = list(repeated(uploads, arguments.clips))
        started_s = time.monotonic()
        killer, verdict = kill_and_verify(
            folder,
            KafkaConnection(servers=(kafka.address,)),
            database.new_database(),
            sent,
            kills=arguments.kills,
            every_s=arguments.every,
            random=Random(arguments.seed),
        )
        duration_s = time.monotonic() - started_s
        report(console, killer, verdict, duration_s)
        again = recover(folder, kafka, database, arguments.recovery_clips) if arguments.recovery_clips else None
    if again is not None:
        recovery.report(console, again)
    OUT.mkdir(exist_ok=True)
    path = OUT / "faults.json"
    figures = verdict._asdict() | {"kills": killer.kills, "recoveries_s": killer.recoveries_s, "duration_s": duration_s}
    figures["up_to_date_again"] = None if again is None else recovery.figures(again)
    path.write_text(json.dumps(figures, indent=2) + "\n")
    console.print(f"written to {path}")
    if not verdict.is_right or (again is not None and not again.is_equal):
        raise SystemExit(1)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="how often a process is killed (100)")
    parser.add_argument("--clips", type=int, default=20_000, help="uploads that go through meanwhile (20000)")
    parser.add_argument("--every", type=float, default=1.6, help="mean seconds from one kill to the next (1.6)")
    parser.add_argument("--files", type=int, default=200, help="distinct feature files (200)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the victims (1)")
    parser.add_argument(
        "--recovery-clips", type=int, default=20_000, help="scored clips to be up to date with again; 0: none (20000)"
    )
    return parser.parse_args()


def recover(folder: Path, kafka: KafkaServer, database: PostgresqlServer, clips: int) -> recovery.Recovery:
    """Measure how long the views take to be up to date again, on the same servers."""
    with steps() as on_progress:
        return recovery.measure(
            folder,
            KafkaConnection(servers=(kafka.address,)),
            database.new_database,
            on_progress,
            clips=clips,
        )


def routine_uploads(folder: Path, count: int) -> list[ClipUploaded]:
    """So many planted routines of little more than a minute."""
    made = long_routines(count, seed=_ROUTINES_SEED, longest_s=SHORTEST_S + 4)
    data = written_routines(folder / "routines", {f"routine-{number}": one for number, one in enumerate(made)})
    return list(read_uploads(data, now_ms=SystemClock().now_ms()))


def kill_and_verify(
    folder: Path,
    connection: KafkaConnection,
    database_url: str,
    sent: Sequence[ClipUploaded],
    *,
    kills: int,
    every_s: float,
    random: Random,
    is_cold: bool = True,
) -> tuple[Killer, Verdict]:
    """Send everything, let it through while workers are killed, and look at what came of it.

    ``is_cold``: a worker that is started again imports all that it needs and measures how to run its networks, as
    outside of tests.
    """
    base = settings_for(folder)
    ranking = base.ranking.model_copy(update={"database_url": database_url})
    kafka = base.kafka.model_copy(update={"bootstrap_servers": connection.servers, "session_timeout_s": 6.0})
    settings = base.model_copy(update={"ranking": ranking, "kafka": kafka})
    streaming: dict[str, object] = {"inference_threads": 1} if is_cold else {"inference_threads": 1, "tuning_s": 0}
    config = write_config(
        folder / "dancerank.toml",
        settings,
        kafka={"session_timeout_s": 6.0},
        ranking={"snapshot_interval_s": 5.0},
        streamer=streaming,
    )
    create_topics(settings, connection)
    snapshots, topic = folder / "snapshots", settings.streamer.uploads_topic
    with ExitStack() as stack:
        sink = stack.enter_context(closing(KafkaSink(connection)))
        send_clips(sink, topic, sent[:-1], 120.0)
        database = stack.enter_context(closing(Database(database_url)))
        database.migrate()
        store = ScoreStore(database)
        workers = [
            streamer("streamer-0", config, is_cold=is_cold),
            streamer("streamer-1", config, is_cold=is_cold),
            ranker("ranker-0", config, is_cold=is_cold),
            server("server-0", config, snapshots, is_cold=is_cold),
        ]
        for worker in workers:
            stack.enter_context(worker)
        all_ranked = Cached(lambda: sum(store.generations().values()) >= len(sent), every_s=1.0)
        killer = Killer(workers, every_s, random)
        killer.run(kills, all_ranked)
        send_clips(sink, topic, sent[-1:], 120.0)  # till then not everything can be ranked
        await_all(all_ranked, workers, standstill_s=_PATIENCE_S)
        _await_index(workers[-1], sent)
        for worker in workers:  # one that has just been started again has to come up before it can end in order
            await_all(
                Cached(partial(worker.metric, "process_start_time_seconds"), every_s=0.1),
                [worker],
                standstill_s=_PATIENCE_S,
            )
            assert worker.stop() == 0, worker.log()[-3000:]
    return killer, verify(sent, settings, connection, snapshots)


def _await_index(serving: Worker, sent: Sequence[ClipUploaded]) -> None:
    """Return once the serving process holds every clip; scenery is what no short clip of these lacks."""

    def holds_all() -> bool:
        kinds = (Modality.SCENIC, Modality.ROUTINE)
        return sum(serving.metric(f'dancerank_index_vectors{{modality="{kind}"}}') for kind in kinds) >= len(sent)

    await_all(Cached(holds_all, every_s=0.5), [serving], standstill_s=_PATIENCE_S)


def report(console: Console, killer: Killer, verdict: Verdict, duration_s: float) -> None:
    table = Table("", "figure", title="Faults survived")
    table.add_row("kills", str(killer.kills))
    table.add_row("clips compared", f"{verdict.clips:,}")
    table.add_row("lost", str(verdict.lost))
    table.add_row("duplicated", str(verdict.duplicated))
    table.add_row("results wrong", str(verdict.results_wrong))
    table.add_row("rows wrong", str(verdict.rows_wrong))
    table.add_row("vectors wrong", str(verdict.vectors_wrong))
    everything = [s for found in killer.recoveries_s.values() for s in found]
    for role, found in (killer.recoveries_s | {"all": everything}).items():
        if found:
            table.add_row(f"recovery of {role}, p50 and max", f"{statistics.median(found):.1f} s, {max(found):.1f} s")
    table.add_row("duration", f"{duration_s:.0f} s")
    console.print(table)


if __name__ == "__main__":
    main()
