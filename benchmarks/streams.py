"""What each graph of a bundle costs: every stream, the fusion and the style classifier, each in a process of its own.

    python -m benchmarks.streams [BUNDLE] [--quick] [--seconds 10] [--routine-seconds 90] [--clips 1 8] [--rounds 15]
        [--threads 1]

Without BUNDLE it is the one that ships. *Parameters* are the numbers that a graph holds; *memory* is how much the
process grows, at its most, from before the graph is loaded until all batches have run; times are medians over rounds,
per clip, with ONNX Runtime on the CPU. Clips are of random numbers: what a graph costs does not depend on them. How the
streams compare with torch eager is in ``benchmarks.graphs``. ``--quick``: three rounds. Writes ``out/streams.json``.
"""

import argparse
import multiprocessing
import statistics
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from time import perf_counter
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, options_of, write_figures
from dancerank.console.progress import working
from dancerank.settings import shipped_bundle
from schemas.bundle import EMBEDDINGS, FRAMES, LENGTHS, PRESENT, SCORES, Bundle, BundleManifest, read_bundle
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.style_classifier import StyleClassifier

MIB: Final = 1 << 20

Inputs = dict[str, np.ndarray[Any, Any]]


class Graph(NamedTuple):
    """A graph of a bundle, and what it reads of so many clips."""

    name: str
    content: bytes
    batches: dict[int, Inputs]


class Cost(NamedTuple):
    """``ms`` per clip by the number of clips in a batch."""

    name: str
    parameters: int
    bytes: int
    memory_bytes: int
    ms: dict[int, float]


def main() -> None:
    arguments = parse()
    bundle = read_bundle(arguments.bundle)
    costs = []
    for graph in graphs_of(bundle, arguments.clips, arguments.seconds, arguments.routine_seconds):
        with working(graph.name):
            costs.append(cost(graph, 3 if arguments.quick else arguments.rounds, arguments.threads))
    show(costs)
    print(f"figures in {write_figures('streams', figures(costs), options=options_of(arguments))}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bundle", type=Path, nargs="?", default=shipped_bundle())
    parser.add_argument("--quick", action="store_true", help="three rounds")
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a clip")
    parser.add_argument("--routine-seconds", type=float, default=90.0, help="length of a routine")
    parser.add_argument("--clips", type=int, nargs="+", default=[1, 8], help="clips of a batch")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    return parser.parse_args()


def graphs_of(bundle: Bundle, clips: Sequence[int], seconds: float, routine_seconds: float) -> list[Graph]:
    """All that a clip runs through."""
    manifest, found = bundle.manifest, []
    for stream in manifest.streams:
        length = seconds if stream.modality in FUSED_MODALITIES else routine_seconds
        steps, shape = max(1, round(length * stream.modality.rate_hz)), manifest.step_shape(stream.modality)
        batches = {count: frames(count, steps, shape) for count in clips}
        found.append(Graph(str(stream.modality), bundle.graphs[stream.file], batches))
    found.append(Graph("fusion", bundle.graphs[manifest.fusion.file], {n: fusion_inputs(n, manifest) for n in clips}))
    if (classifier := manifest.classifier) is not None:
        steps, shape = round(seconds * Modality.SKELETAL.rate_hz), pose_shape(classifier)
        batches = {count: frames(count, steps, shape) for count in clips}
        found.append(Graph("style classifier", bundle.graphs[classifier.file], batches))
    return found


def pose_shape(classifier: StyleClassifier) -> tuple[int, ...]:
    return classifier.layout.joint_count, classifier.layout.coordinates


def frames(clips: int, steps: int, shape: Sequence[int]) -> Inputs:
    drawn = np.random.default_rng(0).normal(300, 100, (clips, steps, *shape)).astype(np.float32)
    return {FRAMES: drawn, LENGTHS: np.full(clips, steps, np.int64)}


def fusion_inputs(clips: int, manifest: BundleManifest) -> Inputs:
    streams = [stream for stream in manifest.streams if stream.modality in FUSED_MODALITIES]
    draw = np.random.default_rng(0)
    return {
        EMBEDDINGS: draw.normal(0, 1, (clips, sum(stream.embedding_dim for stream in streams))).astype(np.float32),
        SCORES: draw.random((clips, len(streams)), np.float32),
        PRESENT: np.ones((clips, len(streams)), bool),
    }


def cost(graph: Graph, rounds: int, threads: int) -> Cost:
    """In a fresh process, so that the memory is this graph's alone."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        memory_bytes, ms = pool.apply(run, (graph.content, graph.batches, rounds, threads))
    held = onnx.load_from_string(graph.content).graph.initializer
    parameters = sum(prod(each.dims) for each in held if each.data_type in _FLOATS)
    return Cost(graph.name, parameters, len(graph.content), memory_bytes, ms)


_FLOATS: Final = (onnx.TensorProto.FLOAT, onnx.TensorProto.DOUBLE, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16)


def run(content: bytes, batches: Mapping[int, Inputs], rounds: int, threads: int) -> tuple[int, dict[int, float]]:
    """Bytes that the process grew by, and milliseconds per clip of each batch; the batches take turns."""
    import onnxruntime

    before = peak_bytes(reset=True)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.enable_mem_pattern = False  # as the streamer has it
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    taken_s: dict[int, list[float]] = {clips: [] for clips in batches}
    for number in range(rounds + 1):
        for clips, inputs in batches.items():
            started_s = perf_counter()
            session.run(None, inputs)
            if number:  # the first round is for warming up
                taken_s[clips].append(perf_counter() - started_s)
    return peak_bytes() - before, {clips: 1e3 * statistics.median(all_s) / clips for clips, all_s in taken_s.items()}


def peak_bytes(*, reset: bool = False) -> int:
    """The most memory that this process has had resident, on Linux; ``reset``: counted from now on."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def figures(costs: Sequence[Cost]) -> list[Measured]:
    """Four of each graph and batch; there is no bar."""
    found = []
    for each in costs:
        found += [
            Measured(f"{each.name}, parameters", each.parameters, "", None),
            Measured(f"{each.name}, graph", each.bytes / MIB, "MiB", None),
            Measured(f"{each.name}, memory", each.memory_bytes / MIB, "MiB", None),
            *(Measured(f"{each.name}, a clip of {clips}", ms, "ms", None) for clips, ms in each.ms.items()),
        ]
    return found


def show(costs: Sequence[Cost]) -> None:
    batches = [f"ms a clip, N = {clips}" for clips in costs[0].ms]
    table = Table(
        "graph", "parameters", "MiB", "peak memory, MiB", *batches, title="what each graph of the bundle costs"
    )
    for each in costs:
        sizes = f"{each.parameters:,}", f"{each.bytes / MIB:.2f}", f"{each.memory_bytes / MIB:.1f}"
        table.add_row(each.name, *sizes, *(f"{ms:.2f}" for ms in each.ms.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
