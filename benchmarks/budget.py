"""Where the processor time of a clip goes in the streamer, part by part, beside bare sessions.

    python -m benchmarks.budget [--quick] [--clips 1000] [--rounds 3] [--real] [--bundle FOLDER] [--guidance 0.05]

Each part's function is timed by the processor time of the thread that calls it, less that of the parts within it, so
that neither waits for the interpreter lock nor other work on the machine count. The rest of a thread is what it takes
beside its parts. *Bare sessions* run the same graphs on padded batches in memory, in the same rounds, in turn: as
``benchmarks.pipeline`` has them (one session on all cores), and the same batches on a thread for each core, as the
streamer runs its own; opening the graphs counts, 0.1 s in all. A second figure beside the bar's own compares with bare
sessions that run *all* graphs that the streamer runs for a clip: those of the streams, the fusion and the styles, and
for the same share of the clips the gradient of guidance. The clips are those of ``benchmarks.pipeline``; the broker is
embedded, or with ``--real`` a Kafka. Guidance and styles are parts of their own: the bare sessions of the bar do
neither. A thread for each core runs the networks in all rounds, because what is measured to be faster at the start
depends on other work.

What the threads that run the networks do with the time of the clock is shown, too: *on a core*; *waiting for a core*,
which other work makes them; *blocked* within a run, which is the interpreter lock; *without a run*, since no batch was
ready. Written to ``out/budget.json``.
"""

import argparse
import itertools
import os
import re
import statistics
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial, wraps
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

import schemas.features
import streamer.loading
from benchmarks.figures import Measured, options_of, write_figures
from benchmarks.pipeline import Progress, bare, make_uploads, preload, repeated, send, settings_for, streaming
from dancerank.console.progress import counted
from dancerank.settings import Settings, shipped_bundle
from schemas.bundle import Bundle, read_bundle
from schemas.events import ClipUploaded
from schemas.joints import convert, layout_named
from schemas.modalities import Modality
from schemas.training_distribution import DistanceMeter
from streamer.guiding import Guiding
from streamer.padding import PaddedBuffer
from streamer.pipeline import Streamer
from streamer.runtimes.gradients import OnnxGradients
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.selection import open_runtime
from streamer.runtimes.style_network import style_network
from streamer.scoring import Scorer
from streamer.stores import FeatureStore
from streamer.styles import StyleRecogniser
from tests.servers.kafka import KafkaServer
from transport.connection import KafkaConnection
from transport.embedded import EmbeddedBroker
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

ONE_SESSION: Final = "bare sessions, all cores on each"
A_CORE_EACH: Final = "bare sessions, a core each"
ALL_GRAPHS: Final = "bare sessions of all graphs, a core each"
STREAMER: Final = "streamer"
BAR: Final = 0.90
NETWORKS: Final = "run-streams"
OTHERS: Final = "threads of libraries"

PARTS: Final[Mapping[str, tuple[Any, str]]] = {
    "networks of the streams": (OnnxRuntime, "run_stream"),
    "fusion": (OnnxRuntime, "run_fusion"),
    "padding and widening": (PaddedBuffer, "fill"),
    "distance from the training distribution": (DistanceMeter, "distance"),
    "styles": (StyleRecogniser, "recognise"),
    "guidance": (Guiding, "guidance"),
    "rest of a run": (Scorer, "run"),
    "results": (Scorer, "finish"),
    "opening and reading the file": (FeatureStore, "read"),
    "SHA-256": (streamer.loading, "_check_sha256"),
    "decoding": (streamer.loading, "decode_features"),
    "finiteness": (schemas.features, "check_finite"),
    "plausibility": (streamer.loading, "check_plausible"),
    "reading uploads": (KafkaSource, "poll"),
    "forming batches": (Scorer, "begin"),
    "encoding results": (Streamer, "_publish"),
    "transactions": (Streamer, "_commit"),
}
"""Where each part is called; of one within another, the inner one's time is its own."""

Batches = Sequence[dict[Modality, tuple[Any, Any]]]


class Round(NamedTuple):
    """Of one round of the streamer, in seconds: processor time by part and by thread, the clock's time of its networks'
    threads by what they did; and the same of all its threads together."""

    parts: Mapping[str, float]
    threads: Mapping[str, float]
    waits: Mapping[str, float]
    elapsed_s: float
    processor_s: float


class PartTimes:
    """Processor seconds of the parts, and the clock's seconds in runs."""

    def __init__(self) -> None:
        self._local, self._lock = threading.local(), threading.Lock()
        self.spent_s: Counter[str] = Counter()
        self.in_runs_s = 0.0

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        local = self._local

        @wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            outer = getattr(local, "inner_s", None)
            local.inner_s = 0.0
            began_s, began_at_s = time.thread_time(), time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                took_s = time.thread_time() - began_s
                with self._lock:
                    self.spent_s[name] += took_s - local.inner_s
                    if function.__qualname__ in ("Scorer.run", "Scorer.finish"):
                        self.in_runs_s += time.perf_counter() - began_at_s
                local.inner_s = None if outer is None else outer + took_s

        return call

    @contextmanager
    def watching(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, (owner, attribute) in PARTS.items():
                original = getattr(owner, attribute)
                setattr(owner, attribute, self.timed(name, original))
                stack.callback(setattr, owner, attribute, original)
            yield


def main() -> None:
    arguments = parse()
    bundle = read_bundle(arguments.bundle)
    rounds: list[Round] = []
    bare_ms: dict[str, list[float]] = {ONE_SESSION: [], A_CORE_EACH: [], ALL_GRAPHS: []}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        if arguments.real:
            connection = KafkaConnection(servers=(stack.enter_context(KafkaServer()).address,))
        else:
            connection = stack.enter_context(EmbeddedBroker())
        uploads = make_uploads(folder, arguments.files)
        batches = preload(folder, bundle, uploads, settings_for(folder))
        for _ in counted(range(arguments.rounds), "Rounds", arguments.rounds):
            all_graphs = partial(bare_by_core, beside=GraphsBeside(bundle, arguments.guidance))
            for name, run in ((ONE_SESSION, bare), (A_CORE_EACH, bare_by_core), (ALL_GRAPHS, all_graphs)):
                began_s = time.process_time()
                run(bundle, batches, arguments.clips, settings_for(folder))
                bare_ms[name].append(1000 * (time.process_time() - began_s) / arguments.clips)
            cores = len(os.sched_getaffinity(0))
            settings = settings_for(
                folder, guidance_share=arguments.guidance, inference_workers=cores, inference_threads=1
            )
            rounds.append(streamed(bundle, connection, settings, uploads, arguments.clips))
    report(arguments, bundle, bare_ms, rounds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="300 clips, two rounds")
    parser.add_argument("--clips", type=int, help="uploads per round; default 1000")
    parser.add_argument("--rounds", type=int, help="rounds of each; default 3")
    parser.add_argument("--files", type=int, default=200, help="distinct feature files")
    parser.add_argument("--guidance", type=float, default=0.05, help="share of the clips that get guidance")
    parser.add_argument("--real", action="store_true", help="start a Kafka instead of the embedded broker")
    parser.add_argument("--bundle", type=Path, default=shipped_bundle(), help="model bundle")
    arguments = parser.parse_args()
    arguments.clips = arguments.clips or (300 if arguments.quick else 1000)
    arguments.rounds = arguments.rounds or (2 if arguments.quick else 3)
    return arguments


class GraphsBeside:
    """The graphs that the streamer runs on a clip's poses beside its streams: the style classifier's, if the bundle has
    one, and for ``guidance`` of the clips the gradient's.
    """

    def __init__(self, bundle: Bundle, guidance: float) -> None:
        self._share, self._due = guidance, 0.0
        self._styles = style_network(bundle)
        self._gradients = OnnxGradients(bundle, threads=1) if guidance else None
        self._joints = layout_named(bundle.manifest.joint_layout or "")

    def runs(self, modality: Modality, frames: Any, lengths: Any) -> Iterator[Callable[[], object]]:
        """Those of one padded batch, (N, T, V, C)."""
        if not modality.has_joints:
            return
        if self._styles is not None:
            wanted = self._styles.classifier.layout
            poses = np.ascontiguousarray(convert(frames, self._joints, wanted)[..., : wanted.coordinates])
            yield partial(self._styles.run, poses, lengths)
        for row, length in enumerate(lengths.tolist()):
            self._due += self._share
            if self._gradients is not None and self._due >= 1:
                self._due -= 1
                yield partial(self._gradient, self._gradients, modality, frames[row : row + 1, :length])

    def _gradient(self, gradients: OnnxGradients, modality: Modality, clip: Any) -> None:
        width = gradients.manifest.stream(modality).embedding_dim
        seeds = np.ones(1, np.float32), np.zeros((1, width), np.float32)
        gradients.stream_gradient(np.ascontiguousarray(clip), np.array([clip.shape[1]]), *seeds)


def bare_by_core(
    bundle: Bundle, batches: Batches, clips: int, settings: Settings, beside: GraphsBeside | None = None
) -> None:
    """The streams of each batch, its fusion and the graphs ``beside`` them, on one thread for each core, an operator on
    one thread.
    """
    chosen, cores = settings.streamer, len(os.sched_getaffinity(0))
    runtime = open_runtime(chosen.runtime, bundle, providers=chosen.providers, threads=1)
    width, streams = bundle.manifest.embedding_width, len(bundle.manifest.fused_streams)

    def fuse(size: int) -> None:
        present = np.ones((size, streams), np.bool_)
        runtime.run_fusion(np.zeros((size, width), np.float32), np.zeros((size, streams), np.float32), present)

    runs: list[Future[Any]] = []
    done = 0
    with ThreadPoolExecutor(cores) as threads:
        for batch in itertools.cycle(batches):
            if done >= clips:
                break
            for modality, (frames, lengths) in batch.items():
                runs.append(threads.submit(runtime.run_stream, modality, frames, lengths))
                runs += map(threads.submit, beside.runs(modality, frames, lengths) if beside else ())
            size = max(len(lengths) for _, lengths in batch.values())
            runs.append(threads.submit(fuse, size))
            done += size
    for run in runs:
        run.result()


def streamed(
    bundle: Bundle, connection: KafkaConnection, settings: Settings, uploads: Sequence[ClipUploaded], clips: int
) -> Round:
    """From before the first upload is sent until the last result is committed, in a streamer that is up."""
    times, progress = PartTimes(), Progress()
    with (
        times.watching(),
        streaming(settings, connection, bundle, progress),
        closing(KafkaSink(connection)) as sink,
    ):
        times.spent_s.clear()
        times.in_runs_s = 0.0
        before, began_s, began_at_s = by_thread(), time.process_time(), time.perf_counter()
        send(sink, settings, repeated(uploads, clips))
        while progress.written < clips:
            time.sleep(0.01)
        elapsed_s, processor_s, after = time.perf_counter() - began_at_s, time.process_time() - began_s, by_thread()
    spent = {name: ran_s - before.get(name, (0.0, 0.0, 0))[0] for name, (ran_s, _, _) in after.items()}
    ran_s, queued_s, workers = after[NETWORKS]
    on_core_s, queued_s = ran_s - before[NETWORKS][0], queued_s - before[NETWORKS][1]
    total_s = workers * elapsed_s
    waits = {
        "on a core": on_core_s / total_s,
        "waiting for a core": queued_s / total_s,
        "blocked": max(0.0, times.in_runs_s - on_core_s - queued_s) / total_s,
        "without a run": max(0.0, total_s - max(times.in_runs_s, on_core_s + queued_s)) / total_s,
    }
    return Round(dict(times.spent_s), spent, waits, elapsed_s, processor_s)


def by_thread() -> dict[str, tuple[float, float, int]]:
    """By name without numbers: seconds on a core, seconds waiting for one, and how many threads; Linux only."""
    names = {
        thread.native_id: re.sub(r"[-_ ]*\d.*$", "", thread.name) or thread.name for thread in threading.enumerate()
    }
    found: dict[str, tuple[float, float, int]] = {}
    for task in Path("/proc/self/task").iterdir():
        try:
            ran, waited, _ = map(int, (task / "schedstat").read_text().split())
        except OSError:  # it has ended
            continue
        name = names.get(int(task.name), OTHERS)
        ran_s, waited_s, count = found.get(name, (0.0, 0.0, 0))
        found[name] = (ran_s + ran / 1e9, waited_s + waited / 1e9, count + 1)
    return found


def report(
    arguments: argparse.Namespace, bundle: Bundle, bare_ms: Mapping[str, Sequence[float]], rounds: Sequence[Round]
) -> None:
    console, clips = Console(), arguments.clips

    def of_a_clip(seconds: Sequence[float]) -> float:
        return float(1000 * statistics.median(seconds) / clips)

    title = f"{bundle.manifest.generation}, {clips} clips a round, {len(rounds)} rounds"
    table = Table("", "processor ms a clip, median", "range", title=title)

    def add(name: str, milliseconds: Sequence[float]) -> None:
        spread = f"{min(milliseconds):.2f}–{max(milliseconds):.2f}"
        table.add_row(name, f"{statistics.median(milliseconds):.2f}", spread)

    for name, found in bare_ms.items():
        add(name, found)
    whole = [1000 * each.processor_s / clips for each in rounds]
    add(STREAMER, whole)
    table.add_section()
    for name in PARTS:
        add(name, [1000 * each.parts.get(name, 0.0) / clips for each in rounds])
    named = [1000 * sum(each.parts.values()) / clips for each in rounds]
    add("all else", [total - parts for total, parts in zip(whole, named, strict=True)])
    table.add_section()
    for name in sorted({thread for each in rounds for thread in each.threads}):
        add(f"thread {name}", [1000 * each.threads.get(name, 0.0) / clips for each in rounds])
    console.print(table)
    waits = {what: statistics.median(each.waits[what] for each in rounds) for what in rounds[0].waits}
    console.print("threads that run the networks: " + ", ".join(f"{what} {share:.0%}" for what, share in waits.items()))
    figures = [
        Measured(
            f"streamer over {name}, by processor time",
            statistics.median(one / other for one, other in zip(found, whole, strict=True)),
            "ratio",
            BAR if name == ONE_SESSION else None,
        )
        for name, found in bare_ms.items()
    ]
    figures += [
        Measured(name, of_a_clip([each.parts.get(name, 0.0) for each in rounds]), "ms a clip") for name in PARTS
    ]
    figures += [Measured(f"networks' threads {what}", share, "of the time") for what, share in waits.items()]
    for figure in figures[: len(bare_ms)]:
        console.print(f"{figure.name}: {figure.value:.2f}", highlight=False)
    speeds = [clips / each.elapsed_s for each in rounds]
    where = write_figures(
        "budget", figures, options=options_of(arguments), clips_per_s=speeds, bare_ms=bare_ms, streamer_ms=whole
    )
    console.print(f"written to {where}")


if __name__ == "__main__":
    main()
