"""The exported graphs against torch eager, on the CPU: each stream, a whole clip, and what the processor could do.

    python -m benchmarks.graphs [--quick] [--width 1.0] [--seconds 10 15] [--clips 1 8] [--rounds 5] [--threads 2]
        [--processor-time]

The model is untrained, of the paper's width unless ``--width`` says otherwise (``--quick``: a quarter). *exact*, *fast*
and *int8* are export profiles in ONNX Runtime, *ov …* are graphs in OpenVINO in float32, in bfloat16, and with
convolutions in eight bits and the rest in bfloat16. All take turns in each round on the same clips and threads; a ratio
is torch's median time over theirs. A whole clip is the sum of its streams, each in the form that ``WHOLE`` says of a
profile: in eight bits are all convolutions of RTCN; *as admitted* are the forms that pass the gate with the model that
ships (decision 0044). The ceiling is the largest product of matrices that torch reaches on the same threads between
the rounds; a stream's floating-point operations over its time and the ceiling say how near it is.
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
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.figures import Measured, write_figures
from dancerank.console.progress import counted, working
from exporters.onnx.graphs import stream_graph
from exporters.onnx.parity import random_clip
from exporters.onnx.quantisation import quantised
from exporters.onnx.running import in_openvino
from networks.virality_model import ViralityModel, ViralityModelConfig
from schemas.bundle import FRAMES, LENGTHS
from schemas.export_profiles import Precision, Profile
from schemas.modalities import PAPER_MODALITIES, Modality

TORCH: Final = "torch eager"
OV_FLOAT32: Final = "ov float32"
OV_BF16: Final = "ov bf16"
OV_INT8: Final = "ov int8"
WAYS: Final = (TORCH, Profile.EXACT, Profile.FAST, Profile.INT8, OV_FLOAT32, OV_BF16, OV_INT8)
WHOLE: Final[dict[str, dict[Modality, str]]] = {
    "exact": dict.fromkeys(PAPER_MODALITIES, Profile.EXACT),
    "fast": dict.fromkeys(PAPER_MODALITIES, Profile.FAST),
    "int8": dict.fromkeys(PAPER_MODALITIES, Profile.INT8) | {Modality.SKELETAL: Profile.FAST},
    "fast in OpenVINO": dict.fromkeys(PAPER_MODALITIES, OV_FLOAT32),
    "bf16": dict.fromkeys(PAPER_MODALITIES, OV_BF16),
    "bf16 as admitted": dict.fromkeys(PAPER_MODALITIES, OV_BF16) | {Modality.SKELETAL: OV_FLOAT32},
    "int8 in OpenVINO": dict.fromkeys(PAPER_MODALITIES, OV_INT8) | {Modality.SKELETAL: OV_BF16},
    "int8 in OpenVINO as admitted": {
        Modality.SKELETAL: OV_FLOAT32,
        Modality.HOLISTIC: OV_INT8,
        Modality.FACIAL: OV_BF16,
        Modality.SCENIC: OV_BF16,
    },
}
"""How each stream of a whole clip runs, by profile."""
BARS: Final = {"fast": 2.0, "fast in OpenVINO": 2.0, **dict.fromkeys([*WHOLE][4:], 4.0), "int8": 4.0}
"""What a whole clip should reach over torch eager: with scores to 1e-5, and with a rank correlation of 0.999."""
PEAK_SIDE: Final = 2048
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
    now_s = time.process_time if arguments.processor_time else time.perf_counter
    peak = peak_flops(arguments.rounds, now_s)
    measured = {case: measure(model, ways, case, arguments.rounds, now_s) for case in cases}
    peak = max(peak, peak_flops(arguments.rounds, now_s))
    flops = {(case, modality): stream_flops(model, modality, case) for case in cases for modality in ways}
    report(
        measured,
        flops,
        peak,
        width=width,
        rounds=arguments.rounds,
        threads=arguments.threads,
        processor_time=arguments.processor_time,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a quarter of the width: under three minutes on 2 cores")
    parser.add_argument("--width", type=float, default=1.0, help="of all networks; 1 is the paper's")
    parser.add_argument("--seconds", type=float, nargs="+", default=[10.0, 15.0], help="lengths of clips")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 8], help="clips of a batch")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way runs")
    parser.add_argument("--threads", type=int, default=2, help="of every way")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="compare the processor time of all threads, where other work runs beside; with --threads 1 it is the time "
        "that a quiet machine would take",
    )
    return parser.parse_args()


def runs(model: ViralityModel, modality: Modality, threads: int) -> dict[str, Callable[[Batch], object]]:
    """How to run a batch of a stream, by way."""
    network, generator = model.stream(modality), np.random.default_rng(1)
    graphs = {profile: stream_graph(model, modality, profile) for profile in (Profile.EXACT, Profile.FAST)}
    steps = round(2 * modality.rate_hz)
    clips = [random_clip(model, modality, steps, generator) for _ in range(CALIBRATING)]
    graphs[Profile.INT8] = graphs[Profile.FAST] if modality.has_joints else quantised(graphs[Profile.FAST], clips)
    in_openvinos = {
        name: in_openvino(graphs[profile], precision, threads=threads)
        for name, profile, precision in (
            (OV_FLOAT32, Profile.FAST, Precision.FLOAT32),
            (OV_BF16, Profile.FAST, Precision.BFLOAT16),
            (OV_INT8, Profile.INT8, Precision.BFLOAT16),
        )
    }

    def eager(batch: Batch) -> object:
        with torch.inference_mode():
            return network(*map(torch.from_numpy, batch))

    return {
        TORCH: eager,
        **{name: _run_of(graph, threads) for name, graph in graphs.items()},
        **{name: lambda batch, run=run: run(*batch) for name, run in in_openvinos.items()},
    }


def _run_of(graph: bytes, threads: int) -> Callable[[Batch], object]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    return lambda batch: session.run(None, {FRAMES: batch[0], LENGTHS: batch[1]})


def measure(
    model: ViralityModel,
    ways: Mapping[Modality, Mapping[str, Callable[[Batch], object]]],
    case: Case,
    rounds: int,
    now_s: Callable[[], float],
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
                started_s = now_s()
                runners[way](batches[modality])
                if number:  # the first round warms up
                    times[modality][way].append(now_s() - started_s)
    return {m: {way: statistics.median(found) for way, found in by_way.items()} for m, by_way in times.items()}


def whole_clip(medians: Mapping[Modality, Mapping[str, float]]) -> dict[str, float]:
    """Torch's time over that of each of ``WHOLE``, of all streams together."""
    torch_s = sum(times[TORCH] for times in medians.values())
    return {
        name: torch_s / sum(times[ways[modality]] for modality, times in medians.items())
        for name, ways in WHOLE.items()
    }


def peak_flops(rounds: int, now_s: Callable[[], float]) -> float:
    """Floating-point operations a second of a large float32 product in torch, on torch's threads: the median."""
    a, b = torch.rand(PEAK_SIDE, PEAK_SIDE), torch.rand(PEAK_SIDE, PEAK_SIDE)
    took_s = []
    for _ in range(rounds + 1):
        started_s = now_s()
        torch.mm(a, b)
        took_s.append(now_s() - started_s)
    return 2 * PEAK_SIDE**3 / statistics.median(took_s[1:])


def stream_flops(model: ViralityModel, modality: Modality, case: Case) -> float:
    """Floating-point operations of a batch that a stream needs: twice the multiplications of products and convolutions
    in torch's form, less those of dilated taps with padding, which ``fast`` leaves out."""
    steps = round(case.seconds * modality.rate_hz)
    frames = torch.rand(case.clips, steps, *model.config.frame_shape(modality))
    padded = list[float]()

    def note(convolution: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _: object) -> None:
        if isinstance(convolution, torch.nn.Conv1d):
            padded.append(flops_with_padding(convolution, inputs[0].shape[0], inputs[0].shape[2]))

    hooks = [module.register_forward_hook(note) for module in model.stream(modality).modules()]
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.stream(modality)(frames, torch.full((case.clips,), steps))
    for hook in hooks:
        hook.remove()
    return float(counter.get_total_flops()) - sum(padded)


def flops_with_padding(convolution: torch.nn.Conv1d, clips: int, steps: int) -> float:
    """Operations on padding of a convolution that keeps the length: tap k of K lies (k - K // 2) dilations aside."""
    (kernel,), (dilation,) = convolution.kernel_size, convolution.dilation
    aside = sum(min(steps, abs(tap - kernel // 2) * dilation) for tap in range(kernel))
    return 2.0 * clips * aside * convolution.in_channels * convolution.out_channels


def report(
    measured: Mapping[Case, Mapping[Modality, Mapping[str, float]]],
    flops: Mapping[tuple[Case, Modality], float],
    peak: float,
    **details: Any,
) -> None:
    """``flops`` of a batch of each stream, ``peak`` of them a second."""
    console, figures = Console(), list[Measured]()
    table = Table(
        "batch", "stream", "torch, ms", *WAYS[1:], "fast, of peak", title="torch's time over that of each way"
    )
    whole = Table("batch", *WHOLE, title="whole clip: torch's time over that of each profile")
    for case, medians in measured.items():
        for modality, times in medians.items():
            shown = [f"{times[TORCH] / times[way]:.2f}" for way in WAYS[1:]]
            of_peak = flops[case, modality] / times[Profile.FAST] / peak
            table.add_row(str(case), str(modality), f"{1000 * times[TORCH]:.0f}", *shown, f"{of_peak:.2f}")
            figures.append(Measured(f"operations of fast over peak, {modality}, {case}", of_peak, "ratio"))
        ratios = whole_clip(medians)
        whole.add_row(str(case), *(f"{ratio:.2f}" for ratio in ratios.values()))
        figures += [
            Measured(f"whole clip over torch eager, {name}, {case}", ratio, "ratio", BARS.get(name))
            for name, ratio in ratios.items()
        ]
    console.print(table, whole)
    console.print(f"peak of float32 products: {peak / 1e9:.0f} GFLOP/s", markup=False)
    figures.append(Measured("peak of float32 products", peak / 1e9, "GFLOP/s"))
    print_bars(console, figures)
    console.print(f"figures in {write_figures('graphs', figures, **details)}", markup=False)


def print_bars(console: Console, figures: Sequence[Measured]) -> None:
    for figure in figures:
        if figure.bar is not None:
            reached = "reached" if figure.met else "not reached"
            console.print(f"{figure.name}: {figure.value:.2f}; {figure.bar:g} wanted, {reached}", markup=False)


if __name__ == "__main__":
    main()
