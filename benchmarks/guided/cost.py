"""What guidance costs the streamer: its throughput by ``streamer.guidance_share``, over that without.

    python -m benchmarks.guided.cost [--clips 1000] [--rounds 5] [--shares 0.1 1] [--bundle FOLDER] [--views]

The clips are those of ``benchmarks.pipeline``, the broker is the embedded one; ``--views`` has the SQL view, which
keeps the sums of tips, and the index view in the same process. Rounds alternate, so that a noisy machine disturbs all
alike; printed are the medians over the rounds of the ratios to the round without guidance beside it: of clips per
second, and of processor time, which depends less on what else runs. One thread a core runs the networks, and nothing is
measured at the start. Written to ``out/guidance_cost.json``. The bar: the default share keeps 0.85 of the throughput.
"""

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.pipeline import make_uploads, pipeline
from dancerank.console.progress import counted
from dancerank.settings import shipped_bundle
from schemas.bundle import read_bundle
from streamer.settings import StreamerSettings
from transport.embedded import EmbeddedBroker

NONE: Final = 0.0
BAR: Final = 0.85


def main() -> None:
    arguments = parse()
    bundle, default = read_bundle(arguments.bundle), StreamerSettings().guidance_share
    shares = sorted({NONE, default, *arguments.shares})
    speeds: dict[float, list[float]] = {share: [] for share in shares}
    processor_s: dict[float, list[float]] = {share: [] for share in shares}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        connection = stack.enter_context(EmbeddedBroker())
        uploads = make_uploads(folder, arguments.files)
        rounds = range(1 + arguments.rounds)
        for number in counted(rounds, "Rounds", len(rounds)):  # the first warms files and code
            for share in shares if number % 2 else shares[::-1]:
                started_s = time.process_time()
                found = pipeline(
                    bundle,
                    connection,
                    folder,
                    uploads,
                    arguments.clips,
                    views=arguments.views,
                    guidance_share=share,
                    inference_threads=1,
                    inference_workers=len(os.sched_getaffinity(0)),
                    tuning_s=0,
                )
                if number:
                    speeds[share].append(found)
                    processor_s[share].append((time.process_time() - started_s) / arguments.clips)
    report(speeds, processor_s, default, arguments.views, bundle.manifest.generation)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000, help="uploads per round")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each share")
    parser.add_argument("--files", type=int, default=200, help="distinct feature files")
    parser.add_argument("--shares", type=float, nargs="+", default=[1.0], help="shares beside 0 and the default")
    parser.add_argument("--bundle", type=Path, default=shipped_bundle(), help="model bundle")
    parser.add_argument("--views", action="store_true", help="with the SQL view and the index view in the process")
    parser.add_argument("--quick", action="store_const", const=True, help="few clips and rounds")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.clips, arguments.rounds, arguments.files = 200, 3, 60
    return arguments


def report(
    speeds: dict[float, list[float]],
    processor_s: dict[float, list[float]],
    default: float,
    views: bool,
    generation: str,
) -> None:
    columns = ("share", "clips/s, median", "range", "kept", "processor ms a clip, median", "kept by that")
    table = Table(*columns, title=f"Throughput by share of clips with guidance, {generation}")
    table.caption = "kept: the median of the rounds' ratios"
    figures = []
    for share, values in speeds.items():
        kept = statistics.median(one / other for one, other in zip(values, speeds[NONE], strict=True))
        spread = f"{min(values):.1f}–{max(values):.1f}"
        of_processor = statistics.median(
            other / one for one, other in zip(processor_s[share], processor_s[NONE], strict=True)
        )
        took_ms = f"{1000 * statistics.median(processor_s[share]):.1f}"
        row = (f"{statistics.median(values):.1f}", spread, f"{kept:.2f}", took_ms, f"{of_processor:.2f}")
        table.add_row(f"{share:g}", *row)
        if share != NONE:
            bar = BAR if share == default else None
            figures.append(Measured(f"kept at {share:g}", kept, "of the throughput", bar))
            figures.append(Measured(f"kept at {share:g}, by processor time", of_processor, "of the throughput", bar))
    Console().print(table)
    where = write_figures(
        "guidance_cost", figures, generation=generation, views=views, clips_per_s=speeds, processor_s=processor_s
    )
    Console().print(f"written to {where}")


if __name__ == "__main__":
    main()
