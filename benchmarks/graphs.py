"""The exported graphs against torch eager, on the CPU: each stream, and a whole clip.

    python -m benchmarks.graphs [--quick] [--width 1.0] [--seconds 10 15] [--clips 1 8] [--rounds 5] [--threads 2]

The model is untrained, of the paper's width unless ``--width`` says otherwise (``--quick``: a quarter). *exact*, *fast*
and *int8* are the export profiles; *int8* has all convolutions of RTCN in eight bits, as where the gate admits them and
the skeletal stream in float32. All ways take turns in each round on the same clips and threads; a ratio is torch's
median time over theirs. The whole clip is the sum of its streams.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from dancerank.progress import counted, working
from exporters.onnx.graphs import stream_graph
from exporters.onnx.parity import random_clip
from exporters.onnx.quantisation import quantised
from networks.virality_model import ViralityModel, ViralityModelConfig
from schemas.bundle import FRAMES, LENGTHS
from schemas.export_profiles import Profile
from schemas.modalities import PAPER_MODALITIES, Modality

TORCH: Final = "torch eager"
WAYS: Final = (TORCH, *Profile)
BARS: Final = {Profile.FAST: 2.0, Profile.INT8: 4.0}
"""What a whole clip should reach over torch eager: with scores to 1e-5, and with a rank correlation of 0.999."""
CALIBRATING: Final = 4
MODALITIES = PAPER_MODALITIES

Batch = tuple[NDArray[np.float32], NDArray[np.int64]]


class Case(NamedTuple):
    """So many clips of so many seconds in one batch."""

    seconds: float
    clips: int

    def __str__(self) -> str:
        return f"{self.clips} × {self.seconds:g} s"


def main() -> None:
    arguments = parse()
    torch.manual_seed(0)
    torch.set_num_threads(arguments.threads)
    width = 0.25 if arguments.quick else arguments.width
    model = ViralityModel(ViralityModelConfig(modalities=MODALITIES, graph_width=width, temporal_width=width)).eval()
    with working("exporting"):
        ways = {modality: runs(model, modality, arguments.threads) for modality in model.config.modalities}
    cases = [Case(seconds, clips) for seconds in arguments.seconds for clips in arguments.clips]
    measured = {case: measure(model, ways, case, arguments.rounds) for case in cases}
    report(measured, width=width, rounds=arguments.rounds, threads=arguments.threads)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the width: under three minutes on 2 cores")
    parser.add_argument("--width", type=float, default=1.0, help="of all networks; 1 is the paper's")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 15.0], help="lengths of clips")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 8], help="clips of a batch")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way runs")
    parser.add_argument("--threads", type=int, default=2, help="of every way")
    return parser.parse_args()


def runs(model: ViralityModel, modality: Modality, threads: int) -> dict[str, Callable[[Batch], object]]:
    """How to run a batch of a stream, by way."""
    network, generator = model.stream(modality), np.random.default_rng(1)
    graphs = {profile: stream_graph(model, modality, profile) for profile in (Profile.EXACT, Profile.FAST)}
    steps = round(2 * modality.rate_hz)
    clips = [random_clip(model, modality, steps, generator) for _ in range(CALIBRATING)]
    graphs[Profile.INT8] = graphs[Profile.FAST] if modality.has_joints else quantised(graphs[Profile.FAST], clips)

    def eager(batch: Batch) -> object:
        with torch.inference_mode():
            return network(*map(torch.from_numpy, batch))

    return {TORCH: eager, **{name: _run_of(graph, threads) for name, graph in graphs.items()}}


def _run_of(graph: bytes, threads: int) -> Callable[[Batch], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {FRAMES: batch[0], LENGTHS: batch[1]})


def measure(
    model: ViralityModel, ways: Mapping[Modality, Mapping[str, Callable[[Batch], object]]], case: Case, rounds: int
) -> dict[Modality, dict[str, float]]:
    """Median seconds by stream and way."""
    times: dict[Modality, dict[str, list[float]]] = {m: {way: [] for way in WAYS} for m in ways}
    generator = np.random.default_rng(2)
    batches: dict[Modality, Batch] = {}
    for modality in ways:
        steps = round(case.seconds * modality.rate_hz)
        frames = np.stack([random_clip(model, modality, steps, generator) for _ in range(case.clips)])
        batches[modality] = (frames, np.full(case.clips, steps))
    for number in counted(range(rounds + 1), f"{case}", rounds + 1):
        for modality, runners in ways.items():
            for way in sorted(WAYS, reverse=bool(number % 2)):
                started_s = time.perf_counter()
                runners[way](batches[modality])
                if number:  # the first round warms up
                    times[modality][way].append(time.perf_counter() - started_s)
    return {m: {way: statistics.median(found) for way, found in by_way.items()} for m, by_way in times.items()}


def whole_clip(medians: Mapping[Modality, Mapping[str, float]]) -> dict[str, float]:
    """Torch's time over that of each way, of all streams together."""
    total = {way: sum(times[way] for times in medians.values()) for way in WAYS}
    return {way: total[TORCH] / total[way] for way in WAYS}


def report(measured: Mapping[Case, Mapping[Modality, Mapping[str, float]]], **details: Any) -> None:
    console, figures = Console(), list[Measured]()
    table = Table("batch", "stream", "torch, ms", *Profile, title="torch's time over that of each profile")
    for case, medians in measured.items():
        for modality, times in medians.items():
            shown = [f"{times[TORCH] / times[profile]:.2f}" for profile in Profile]
            table.add_row(str(case), str(modality), f"{1000 * times[TORCH]:.0f}", *shown)
        ratios = whole_clip(medians)
        whole_ms = 1000 * sum(times[TORCH] for times in medians.values())
        table.add_row(str(case), "whole clip", f"{whole_ms:.0f}", *(f"{ratios[profile]:.2f}" for profile in Profile))
        figures += [
            Measured(f"whole clip over torch eager, {profile}, {case}", ratios[profile], "ratio", BARS.get(profile))
            for profile in Profile
        ]
    console.print(table)
    print_bars(console, figures)
    console.print(f"figures in {write_figures('graphs', figures, **details)}", markup=False)


def print_bars(console: Console, figures: Sequence[Measured]) -> None:
    for figure in figures:
        if figure.bar is not None:
            reached = "reached" if figure.met else "not reached"
            console.print(f"{figure.name}: {figure.value:.2f}; {figure.bar:g} wanted, {reached}", markup=False)


if __name__ == "__main__":
    main()
