"""What exactly-once costs: the streamer with Kafka transactions over the same without, on a real Kafka.

    python -m benchmarks.overhead [--clips 1500] [--rounds 4] [--bundle FOLDER] [--kafka HOST:PORT]

*Plain*: results are flushed, then offsets committed, so that a crash in between writes results again. *Transactions*:
both in one transaction. Rounds alternate, so that a noisy machine disturbs both alike; the ratio of the medians is
printed, and those of neighbouring rounds. The clips are those of ``benchmarks.pipeline``. Without ``--kafka`` one is
started, on the same cores.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.pipeline import OUT, make_uploads, pipeline
from dancerank.console.progress import counted
from dancerank.settings import shipped_bundle
from schemas.bundle import read_bundle
from tests.servers.kafka import KafkaServer
from transport.connection import KafkaConnection

PLAIN: Final = "plain"
TRANSACTIONS: Final = "transactions"
WANTED: Final = 0.9


def main() -> None:
    arguments = parse()
    console = Console()
    bundle = read_bundle(arguments.bundle)
    speeds: dict[str, list[float]] = {PLAIN: [], TRANSACTIONS: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        address = arguments.kafka or stack.enter_context(KafkaServer()).address
        connection = KafkaConnection(servers=(address,))
        ways = {PLAIN: msgspec.structs.replace(connection, transactions=False), TRANSACTIONS: connection}
        uploads = make_uploads(folder, arguments.files)
        pipeline(bundle, connection, folder, uploads, len(uploads), views=False)  # files and code are warm from here on
        for number in counted(range(arguments.rounds), "Rounds", arguments.rounds):
            for way in sorted(ways, reverse=bool(number % 2)):
                speeds[way].append(pipeline(bundle, ways[way], folder, uploads, arguments.clips, views=False))
    report(console, speeds, arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1500, help="uploads per round")
    parser.add_argument("--rounds", type=int, default=4, help="rounds of each kind")
    parser.add_argument("--files", type=int, default=300, help="distinct feature files")
    parser.add_argument("--bundle", type=Path, default=shipped_bundle(), help="model bundle")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka; default: one is started")
    return parser.parse_args()


def ratios(speeds: Mapping[str, Sequence[float]]) -> list[float]:
    """Transactions over plain, round by round."""
    return [ours / plain for ours, plain in zip(speeds[TRANSACTIONS], speeds[PLAIN], strict=True)]


def report(console: Console, speeds: Mapping[str, Sequence[float]], arguments: argparse.Namespace) -> None:
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    table = Table("", "clips/s, median", "range", title=f"{arguments.clips} clips a round, {arguments.rounds} rounds")
    for name, values in speeds.items():
        table.add_row(name, f"{medians[name]:.1f}", f"{min(values):.1f}–{max(values):.1f}")
    console.print(table)
    ratio = medians[TRANSACTIONS] / medians[PLAIN]
    by_round = ratios(speeds)
    reached = "reached" if ratio >= WANTED else "not reached"
    console.print(
        f"transactions over plain: {ratio:.3f} (rounds {min(by_round):.2f} to {max(by_round):.2f}); {WANTED} wanted, "
        f"{reached}",
        highlight=False,
    )
    OUT.mkdir(exist_ok=True)
    path = OUT / "overhead.json"
    path.write_text(json.dumps({"clips_per_s": speeds, "ratio": ratio, "ratios": by_round}, indent=2) + "\n")
    console.print(f"written to {path}")


if __name__ == "__main__":
    main()
