"""The two other papers, as ``make papers`` prints them: routines, and beside them dance styles of recordings.

    DANCERANK_DATA=folder python -m benchmarks.papers [--quick]

Two lanes run beside each other, one for each core; a part's output is printed when the part ends, and a summary of the
time of all parts when both lanes have ended. Processor time, user and system, is what a machine with free cores takes.
The bars: 10 minutes for the whole, and 8 processor minutes for the longer lane. Without ``DANCERANK_DATA`` dance styles
are left out, and the summary says so. If a part fails its lane goes on, and the exit status is 1.

``--quick`` asks every part for its short form. Writes ``out/papers.json``.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from shutil import get_terminal_size
from threading import Lock
from time import perf_counter
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, options_of, write_figures
from dancerank.console.progress import working

WALL_BAR_S: Final = 600.0
LANE_BAR_S: Final = 480.0
ROUTINES: Final = "routines"
STYLES: Final = "dance styles"
LANES: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    ROUTINES: (("benchmarks.routines", "--threads", "1"),),
    STYLES: (("benchmarks.styles", "--threads", "1"), ("benchmarks.style_product", "--quick")),
}
WIDTH: Final = 110
"""Least width of the tables that parts print, in characters."""
_PRINTING: Final = Lock()


class Part(NamedTuple):
    """A command that ended: its time by the clock, its processor time (user and system), and its exit status."""

    lane: str
    command: str
    wall_s: float
    processor_s: float
    status: int


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="every part in its short form")
    arguments = parser.parse_args()
    lanes = dict(LANES)
    if not os.environ.get("DANCERANK_DATA"):
        del lanes[STYLES]
    started_s = perf_counter()
    parts = run_lanes(lanes, ("--quick",) if arguments.quick else ())
    wall_s = perf_counter() - started_s
    show(parts)
    if STYLES not in lanes:
        print("dance styles were left out: set DANCERANK_DATA to the folder of the recorded dances")
    figures = measured(parts, wall_s)
    for each in figures:
        print(f"{each.name}: {each.value:.0f} s (bar {each.bar:.0f} s, {'met' if each.met else 'missed'})")
    rows = [part._asdict() for part in parts]
    print(f"figures in {write_figures('papers', figures, options=options_of(arguments), parts=rows)}")
    return int(any(part.status for part in parts))


def run_lanes(lanes: dict[str, tuple[tuple[str, ...], ...]], options: Sequence[str] = ()) -> list[Part]:
    """Every lane at once, the parts of one in turn."""

    def lane(name: str) -> list[Part]:
        return [run_part(name, tuple(dict.fromkeys((*command, *options)))) for command in lanes[name]]

    with working(" and ".join(lanes)), ThreadPoolExecutor(len(lanes)) as pool:
        return [part for parts in pool.map(lane, lanes) for part in parts]


def run_part(lane: str, command: Sequence[str]) -> Part:
    """Run a module with one thread for each numerical library, and print what it printed; its progress and its errors
    only if it failed."""
    shown = f"python -m {' '.join(command)}"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": str(max(get_terminal_size().columns, WIDTH))}
    started_s = perf_counter()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=output, stderr=errors, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        wall_s = perf_counter() - started_s
        process.returncode = os.waitstatus_to_exitcode(status)
        printed = [output, errors] if process.returncode else [output]
        for file in printed:
            file.seek(0)
        with _PRINTING:
            print(f"==> {shown}", *(file.read().decode(errors="replace") for file in printed), sep="\n", flush=True)
    return Part(lane, shown, wall_s, used.ru_utime + used.ru_stime, process.returncode)


def measured(parts: Sequence[Part], wall_s: float) -> list[Measured]:
    """The whole by the clock, and the processor time of the longer lane, with their bars."""
    lanes = dict.fromkeys((part.lane for part in parts), 0.0)
    for part in parts:
        lanes[part.lane] += part.processor_s
    longer = max(lanes, key=lambda lane: lanes[lane])
    return [
        Measured("both lanes, by the clock", wall_s, "s", WALL_BAR_S, lower_is_better=True),
        Measured(f"longer lane ({longer}), processor time", lanes[longer], "s", LANE_BAR_S, lower_is_better=True),
    ]


def show(parts: Sequence[Part]) -> None:
    """A row for each part."""
    table = Table("lane", "part", "processor time", "by the clock", "", title="time of the parts")
    for lane, command, wall_s, processor_s, status in parts:
        ended = f"failed ({status})" if status else "done"
        part = command.removeprefix("python -m benchmarks.")
        table.add_row(lane, part, f"{processor_s:.0f} s", f"{wall_s:.0f} s", ended)
    Console(width=WIDTH).print(table)


if __name__ == "__main__":
    sys.exit(main())
