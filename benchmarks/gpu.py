"""How near a GPU comes to its limits: each stream, a whole clip, and the streamer; in six minutes on a bare machine.

    python -m benchmarks.gpu --prepare FOLDER      # where the package is: bundle and wheels, in pieces
    python -m benchmarks.gpu --pieces FOLDER       # on the machine: joins and installs the pieces, then measures
    python -m benchmarks.gpu --quick               # in small, on whatever is here

The machine needs torch with CUDA, Python 3.12 and pip; files it is given have 60 MB at most. First the limits: floating
point operations and bytes of a clip, and what the machine reaches of both, by large products in torch and by copies
from pinned memory. Then torch eager, ``torch.compile`` and our graphs by stream; a whole clip; the streamer on clips in
memory, without Kafka and with the embedded one, where it is installed. Each is printed as clips a second and as a share
of its nearer limit. What no time is left for is named. Figures are in ``out/gpu.json``.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from benchmarks.workloads.gpu_pieces import install, prepare
from networks.model_config import ViralityModelConfig
from networks.virality_model import ViralityModel
from schemas.modalities import PAPER_MODALITIES, Modality

SECONDS: Final = 15.0
STREAMED_S: Final = 10.0
"""Mean length of the clips that the streamer reads."""
LIMIT_S: Final = 360.0
BARS: Final = {"float32": 2_500.0, "float16": 10_000.0}
"""Clips a second of our graphs that are wanted of a whole clip."""


class Machine(NamedTuple):
    """What a device reaches: operations a second in float32 and in float16, bytes a second from pinned memory."""

    float32: float
    float16: float
    copies: float


class Row(NamedTuple):
    """So many clips a second of ``what``, of which the limit is ``limit``, that of ``by``."""

    what: str
    clips_per_s: float
    limit: float
    by: str


class Timer:
    """Medians of runs on a device, within the time that is left."""

    def __init__(self, device: str, limit_s: float) -> None:
        self._device, self._end_s = device, time.monotonic() + limit_s

    @property
    def left_s(self) -> float:
        return self._end_s - time.monotonic()

    def median_s(self, run: Callable[[], object], *, runs: int = 7, warm: int = 2) -> float:
        took_s = []
        for number in range(warm + runs):
            self.wait()
            started_s = time.perf_counter()
            run()
            self.wait()
            if number >= warm:
                took_s.append(time.perf_counter() - started_s)
        return statistics.median(took_s)

    def wait(self) -> None:
        if self._device == "cuda":
            torch.cuda.synchronize()


def main() -> None:
    arguments = parse()
    if arguments.prepare:
        prepare(arguments.prepare)
        return
    if arguments.pieces:
        # A process that has imported numpy or torch keeps them: the wheels are for the next one.
        installed = install(arguments.pieces)
        rest = ["--bundles", str(arguments.pieces / "bundles"), "--limit", str(arguments.limit)]
        code = f"import sys; sys.path.insert(0, {str(installed)!r}); from benchmarks import gpu; gpu.main()"
        sys.exit(subprocess.run([sys.executable, "-c", code, *rest], check=False).returncode)
    run(arguments)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", type=Path, metavar="FOLDER", help="write bundle and wheels in pieces")
    parser.add_argument("--pieces", type=Path, metavar="FOLDER", help="what --prepare wrote")
    parser.add_argument("--bundles", type=Path, metavar="FOLDER", help="holds bundles, fast and perhaps fp16")
    parser.add_argument("--quick", action="store_true", help="small networks, few clips, the CPU if there is no GPU")
    parser.add_argument("--clips", type=int, default=128, help="of a batch")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds that it may take")
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> None:
    from benchmarks.figures import Measured, write_figures
    from schemas.bundle import read_bundle

    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu" and not arguments.quick:
        sys.exit("torch sees no GPU here; --quick runs in small on the CPU")
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    timer = Timer(device, arguments.limit)
    clips, seconds = (4, 2.0) if arguments.quick else (arguments.clips, SECONDS)
    config = quick_config() if arguments.quick else ViralityModelConfig(modalities=PAPER_MODALITIES)
    model = ViralityModel(config).eval()
    with bundles_of(arguments, model) as folders:
        machine = measured_machine(timer, device, quick=arguments.quick)
        print(
            f"{device}: float32 {machine.float32 / 1e12:.2f} TFLOP/s, float16 {machine.float16 / 1e12:.2f}, "
            f"pinned copies {machine.copies / 1e9:.1f} GB/s"
        )
        flops = {modality: stream_flops(model, modality, seconds) for modality in config.modalities}
        sizes = {m: float(round(seconds * m.rate_hz) * _values(model, m)) for m in config.modalities}
        print_needs(flops, sizes)
        rows = torch_rows(timer, model.to(device), device, clips, seconds, machine, flops, sizes)
        model.cpu()
        for folder in folders:
            rows += graph_rows(timer, read_bundle(folder), device, clips, seconds, machine, flops, sizes)
        share = STREAMED_S / seconds
        usual = [{modality: share * each for modality, each in needs.items()} for needs in (flops, sizes)]
        rows += streamer_rows(timer, folders[0], device, 8 if arguments.quick else 20 * clips, machine, *usual)
    for row in rows:
        print(f"{row.what:<44}{row.clips_per_s:>12,.1f} clips/s {row.clips_per_s / row.limit:>6.2f} of {row.by}")
    figures = [Measured("float32 products", machine.float32 / 1e12, "TFLOP/s")]
    for row in rows:
        bar = None if arguments.quick else BARS.get(row.what.removeprefix("graphs, whole clip, "))
        figures.append(Measured(row.what, row.clips_per_s, "clips/s", bar))
        figures.append(Measured(f"{row.what}, of {row.by}", row.clips_per_s / row.limit, "ratio"))
    print(f"figures in {write_figures('gpu', figures, device=device, clips=clips, seconds=seconds)}")


def quick_config() -> ViralityModelConfig:
    """The sizes of the bundle that ships."""
    return ViralityModelConfig(graph_width=0.25, temporal_width=0.0625, fusion_width=0.25)


@contextmanager
def bundles_of(arguments: argparse.Namespace, model: ViralityModel) -> Iterator[list[Path]]:
    """The bundles that are given; else the one that ships, in small, or one of ``model``."""
    if arguments.bundles:
        yield sorted(path.parent for path in arguments.bundles.glob("*/bundle.json"))
        return
    if arguments.quick:
        yield [Path(__file__).parent.parent / "dancerank" / "bundle"]
        return
    from exporters.onnx.export import export_bundle

    with tempfile.TemporaryDirectory() as folder:
        export_bundle(model, Path(folder) / "fast", training_data="none", metrics={})
        yield [Path(folder) / "fast"]


def measured_machine(timer: Timer, device: str, *, quick: bool) -> Machine:
    """The limits, by a product of large matrices and by copies of a large array."""
    side = 256 if quick else 8192
    rates = {}
    for dtype in (torch.float32, torch.float16 if device == "cuda" else torch.bfloat16):
        a, b = (torch.rand(side, side, device=device).to(dtype) for _ in range(2))
        rates[dtype] = 2 * side**3 / timer.median_s(lambda a=a, b=b: torch.mm(a, b))
    size = (1 if quick else 512) * 2**20
    host = torch.empty(size, dtype=torch.uint8, pin_memory=device == "cuda")
    there = torch.empty(size, dtype=torch.uint8, device=device)
    copies = size / timer.median_s(lambda: there.copy_(host, non_blocking=True))
    float32, float16 = rates.values()
    return Machine(float32, float16, copies)


def stream_flops(model: ViralityModel, modality: Modality, seconds: float) -> float:
    """Floating-point operations of one clip, as torch counts its products and convolutions."""
    from torch.utils.flop_counter import FlopCounterMode

    frames, lengths = batch(model, modality, 1, seconds, "cpu")
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        model.stream(modality)(frames, lengths)
    return float(counter.get_total_flops())


def batch(model: ViralityModel, modality: Modality, clips: int, seconds: float, device: str) -> tuple[Any, Any]:
    steps = round(seconds * modality.rate_hz)
    shape = (clips, steps, *model.config.frame_shape(modality))
    return torch.rand(shape, device=device), torch.full((clips,), steps, device=device)


def limit_of(machine: Machine, flops: float, values: float, *, half: bool, copied: bool) -> tuple[float, str]:
    """Clips a second that operations and, if frames are ``copied``, bytes allow, and which of them is nearer."""
    limits = {"operations": (machine.float16 if half else machine.float32) / flops}
    if copied:
        limits["copies"] = machine.copies / (2 * values)  # features are float16
    by = min(limits, key=lambda name: limits[name])
    return limits[by], by


def torch_rows(
    timer: Timer,
    model: ViralityModel,
    device: str,
    clips: int,
    seconds: float,
    machine: Machine,
    flops: dict[Modality, float],
    sizes: dict[Modality, float],
) -> list[Row]:
    rows = []
    for name, compiled in (("torch eager", False), ("torch.compile", True)):
        took_s = dict[Modality, float]()
        for modality in model.config.modalities:
            if timer.left_s < (0.6 if compiled else 0.4) * LIMIT_S and device == "cuda":
                print(f"no time is left for {name}, {modality}")
                continue
            inputs = batch(model, modality, clips, seconds, device)
            network = model.stream(modality)
            if compiled:  # in small without making kernels, for which a compiler is needed
                network = torch.compile(network, backend="inductor" if device == "cuda" else "eager")
            try:
                with torch.inference_mode():
                    took_s[modality] = timer.median_s(lambda network=network, inputs=inputs: network(*inputs))
            except Exception as error:  # noqa: BLE001 - a compiler that is missing leaves the other rows
                print(f"{name}, {modality}: {type(error).__name__}: {str(error)[:200]}")
                continue
            limit, by = limit_of(machine, flops[modality], sizes[modality], half=False, copied=False)
            rows.append(Row(f"{name}, {modality}, float32", clips / took_s[modality], limit, by))
        if len(took_s) == len(model.config.modalities):
            limit, by = limit_of(machine, sum(flops.values()), sum(sizes.values()), half=False, copied=False)
            rows.append(Row(f"{name}, whole clip, float32", clips / sum(took_s.values()), limit, by))
    return rows


def graph_rows(
    timer: Timer,
    bundle: Any,
    device: str,
    clips: int,
    seconds: float,
    machine: Machine,
    flops: dict[Modality, float],
    sizes: dict[Modality, float],
) -> list[Row]:
    """Our runtime, from frames in the host's memory to results in it: streams one at a time, then all at once."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from streamer.runtimes.selection import open_runtime

    providers = ("cuda",) if device == "cuda" else ("cpu",)
    runtime = open_runtime("onnxruntime", bundle, providers=providers)
    half = bundle.manifest.profile.name == "fp16"
    kind, rows, runs = "float16" if half else "float32", list[Row](), {}
    for modality in bundle.manifest.fused_modalities:
        dtype = np.float16 if modality in runtime.reads_half else np.float32
        steps = round(seconds * modality.rate_hz)
        frames = np.random.default_rng(0).random((clips, steps, *bundle.manifest.step_shape(modality)), np.float32)
        inputs = (modality, frames.astype(dtype), np.full(clips, steps))
        runs[modality] = lambda inputs=inputs: runtime.run_stream(*inputs)
        limit, by = limit_of(machine, flops[modality], sizes[modality], half=half, copied=True)
        rows.append(Row(f"graphs, {modality}, {kind}", clips / timer.median_s(runs[modality]), limit, by))
    # Two threads a stream: one copies while the kernels of the other run.
    twice = [each for each in runs.values() for _ in range(2)]
    with ThreadPoolExecutor(len(twice)) as threads:
        took_s = timer.median_s(lambda: [running.result() for running in [threads.submit(each) for each in twice]])
    limit, by = limit_of(machine, sum(flops.values()), sum(sizes.values()), half=half, copied=True)
    rows.append(Row(f"graphs, whole clip, {kind}", 2 * clips / took_s, limit, by))
    runtime.close()
    return rows


def streamer_rows(
    timer: Timer,
    folder: Path,
    device: str,
    clips: int,
    machine: Machine,
    flops: dict[Modality, float],
    sizes: dict[Modality, float],
) -> list[Row]:
    """The streamer on clips in feature files, from the broker in memory and from the embedded Kafka."""
    try:
        from benchmarks.workloads.gpu_streamer import with_kafka, without_kafka
    except ModuleNotFoundError as error:
        print(f"no figures of the streamer: {error}")
        return []
    limit, by = limit_of(machine, sum(flops.values()), sum(sizes.values()), half=False, copied=True)
    rows = []
    for name, measure in (("without Kafka", without_kafka), ("with Kafka", with_kafka)):
        if timer.left_s < 0.1 * LIMIT_S and device == "cuda":
            print(f"no time is left for the streamer {name}")
            continue
        try:
            rows.append(Row(f"streamer {name}, clips of 5 to 15 s", measure(folder, device, clips), limit, by))
        except ModuleNotFoundError as error:
            print(f"no figure of the streamer {name}: {error}")
    return rows


def print_needs(flops: dict[Modality, float], sizes: dict[Modality, float]) -> None:
    for modality in flops:
        print(f"{modality}: {flops[modality] / 1e9:.3f} GFLOP and {2 * sizes[modality] / 1e6:.3f} MB a clip")
    print(f"whole clip: {sum(flops.values()) / 1e9:.3f} GFLOP and {2 * sum(sizes.values()) / 1e6:.3f} MB")


def _values(model: ViralityModel, modality: Modality) -> int:
    """Values of one step."""
    product = 1
    for size in model.config.frame_shape(modality):
        product *= size
    return product


if __name__ == "__main__":
    main()
