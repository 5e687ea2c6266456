"""Damaged videos through the decoder: how many are decoded, how many refused by which name, and what else happens.

    python -m benchmarks.video.fuzz [--inputs 600] [--seed 1] [--quick]

Small videos in six containers and codecs, each with one to four pieces changed, cut out, put in or doubled, as
``tests/fuzz`` does. Anything but frames or a named refusal is a crash of ours; a decoder that crashes is a refusal
(``decoder_ended``). Memory is that of this process, which reads the frames; the decoders have a limit of their own.
"""

import argparse
import resource
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random
from typing import Final

from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from schemas.errors import DancerankError
from tests.extraction.decoded import decode
from tests.extraction.made_videos import steady, write_video
from tests.fuzz.mutations import damaged

SOURCES: Final = {
    "h264.mp4": "libx264",
    "h264.mkv": "libx264",
    "vp8.webm": "libvpx",
    "mjpeg.avi": "mjpeg",
    "mpeg4.mov": "mpeg4",
    "h264.ts": "libx264",
}
QUICK: Final = 60
PATIENCE_S: Final = 10.0
MOST_S: Final = 15.0
"""Wanted of the slowest input: its decoder is ended after ``PATIENCE_S`` without a picture."""
MOST_GROWTH_MIB: Final = 64.0
FRAMES: Final = "frames"
CRASH: Final = "crash"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=600)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} inputs")
    arguments = parser.parse_args()
    inputs = QUICK if arguments.quick else arguments.inputs
    console = Console()
    outcomes: dict[str, Counter[str]] = {name: Counter() for name in SOURCES}
    slowest_s = 0.0
    with tempfile.TemporaryDirectory(prefix="dancerank-bench-") as folder:
        sources = {name: _source(Path(folder) / name, codec) for name, codec in SOURCES.items()}
        before_mib = _memory_mib()
        for number in track(range(inputs), "decoding damaged videos", console=console):
            name = list(SOURCES)[number % len(SOURCES)]
            path = Path(folder) / f"damaged-{name}"
            path.write_bytes(damaged(Random(f"{arguments.seed}/{number}"), sources[name]))
            began_s = time.monotonic()
            outcomes[name][_outcome(path, number, console)] += 1
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        growth_mib = _memory_mib() - before_mib
    _show(console, outcomes)
    crashes = sum(counts[CRASH] for counts in outcomes.values())
    figures = [
        Measured("crashes", crashes, "inputs", bar=0, lower_is_better=True),
        Measured("slowest input", slowest_s, "s", bar=MOST_S, lower_is_better=True),
        Measured("growth of memory", growth_mib, "MiB", bar=MOST_GROWTH_MIB, lower_is_better=True),
    ]
    path = write_figures("video-fuzz", figures, inputs=inputs, outcomes={n: dict(c) for n, c in outcomes.items()})
    console.print(
        f"{inputs} inputs, {crashes} crashes, slowest {slowest_s:.1f} s, memory +{growth_mib:.0f} MiB; {path}",
        highlight=False,
    )
    raise SystemExit(any(not figure.met for figure in figures))


def _source(path: Path, codec: str) -> bytes:
    return write_video(path, steady(0.8), codec=codec, options={"g": "5"}).read_bytes()


def _outcome(path: Path, number: int, console: Console) -> str:
    try:
        decode(path, decoder_patience_s=PATIENCE_S)
    except DancerankError as error:
        return error.code
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        console.print(f"input {number}: {type(error).__name__}: {error}", markup=False)
        return CRASH
    return FRAMES


def _memory_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _show(console: Console, outcomes: dict[str, Counter[str]]) -> None:
    codes = sorted({code for counts in outcomes.values() for code in counts}, key=lambda code: (code != FRAMES, code))
    table = Table(title="what came of damaged videos")
    table.add_column("video")
    for code in codes:
        table.add_column(code, justify="right")
    for name, counts in outcomes.items():
        table.add_row(name, *(str(counts[code]) for code in codes))
    console.print(table)


if __name__ == "__main__":
    main()
