"""How much of the bare networks' speed the whole pipeline keeps, and whether its memory stays flat.

    python -m benchmarks.pipeline [--clips 2000] [--bundle FOLDER] [--kafka HOST:PORT] [--memory 5000]

*Bare*: the bundle's runtime on padded batches that lie ready in memory, formed by the streamer's batcher from the
same clips; nothing else runs. *Streamer*: uploads from Kafka, feature files from disk (each with its checksum),
batching, inference, results to Kafka, commits. *Everything*: the same with the SQL view and the index view in the same
process. Rounds alternate, so that a noisy machine disturbs all alike; the ratio of the medians is printed. The clips
are synthetic (5 to 15 s, four modalities, one in ten without a face); uploads repeat ``--files`` distinct files.
"""

import argparse
import itertools
import json
import statistics
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from dancerank.console.progress import counted
from dancerank.processes import Processes
from dancerank.running.embedded import run_embedded
from dancerank.settings import Settings, shipped_bundle
from dancerank.synthetic import synthesize
from dancerank.topics import create_topics
from dancerank.uploads import send_upload
from schemas.bundle import Bundle, read_bundle
from schemas.clock import SystemClock
from schemas.events import ClipUploaded
from schemas.features import ClipFeatures, decode_features
from schemas.modalities import Modality
from schemas.observation import Observer
from streamer.batching import Batch, LengthBatcher
from streamer.runtimes.selection import open_runtime
from streamer.scoring import length_in_steps
from transport.connection import KafkaConnection
from transport.embedded import EmbeddedBroker
from transport.kafka_sink import KafkaSink
from vdv.folder import write_data_set
from vdv.uploads import read_uploads

OUT = Path("out")


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    bundle = read_bundle(arguments.bundle)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        connection = (
            KafkaConnection(servers=(arguments.kafka,)) if arguments.kafka else stack.enter_context(EmbeddedBroker())
        )
        uploads = make_uploads(folder, arguments.files)
        report: dict[str, Any] = {"bundle": str(arguments.bundle), "generation": bundle.manifest.generation}
        report["throughput"] = throughput(console, bundle, connection, folder, uploads, arguments)
        if arguments.memory:
            report["memory"] = memory(console, bundle, connection, folder, uploads, arguments.memory)
    OUT.mkdir(exist_ok=True)
    path = OUT / f"pipeline-{bundle.manifest.generation}.json"
    path.write_text(json.dumps(report, indent=2) + "\n")
    console.print(f"written to {path}")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=1000, help="uploads per round")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each kind")
    parser.add_argument("--files", type=int, default=400, help="distinct feature files")
    parser.add_argument("--memory", type=int, default=0, metavar="CLIPS", help="also watch memory over so many clips")
    parser.add_argument("--bundle", type=Path, default=shipped_bundle(), help="model bundle")
    parser.add_argument("--kafka", metavar="HOST:PORT", help="a Kafka; default: the embedded broker")
    return parser.parse_args()


def make_uploads(folder: Path, files: int) -> list[ClipUploaded]:
    clips = counted(synthesize(files, seed=5), "Making clips", files)
    data = write_data_set(folder, (clip.labelled() for clip in clips))
    return list(read_uploads(data, now_ms=SystemClock().now_ms()))


def repeated(uploads: Sequence[ClipUploaded], count: int) -> Iterator[ClipUploaded]:
    """``count`` uploads under new clip ids."""
    now_ms = SystemClock().now_ms()
    for number, upload in enumerate(itertools.islice(itertools.cycle(uploads), count)):
        yield msgspec.structs.replace(upload, clip_id=f"{upload.clip_id}-{number}", uploaded_at_ms=now_ms)


def throughput(
    console: Console,
    bundle: Bundle,
    connection: KafkaConnection,
    folder: Path,
    uploads: Sequence[ClipUploaded],
    arguments: argparse.Namespace,
) -> dict[str, Any]:
    batches = preload(folder, bundle, uploads, settings_for(folder))
    speeds: dict[str, list[float]] = {"bare": [], "streamer": [], "everything": []}
    for _ in counted(range(arguments.rounds), "Rounds", arguments.rounds):
        speeds["bare"].append(bare(bundle, batches, arguments.clips, settings_for(folder)))
        for views in (False, True):
            name = "everything" if views else "streamer"
            speeds[name].append(pipeline(bundle, connection, folder, uploads, arguments.clips, views=views))
    medians = {name: statistics.median(values) for name, values in speeds.items()}
    title = f"Bundle {bundle.manifest.generation}, {arguments.clips} clips a round, {arguments.rounds} rounds"
    table = Table("", "clips/s, median", "range", "of bare", title=title)
    for name, values in speeds.items():
        spread = f"{min(values):.1f}–{max(values):.1f}"
        table.add_row(name, f"{medians[name]:.1f}", spread, f"{medians[name] / medians['bare']:.2f}")
    console.print(table)
    return {"clips_per_s": speeds, "ratio": {name: value / medians["bare"] for name, value in medians.items()}}


def settings_for(folder: Path, **streamer: Any) -> Settings:
    """The defaults but for those of ``streamer``, on names of their own and within ``folder``."""
    run = uuid.uuid4().hex[:8]
    return Settings.model_validate(
        {
            "kafka": {"streamer_group": f"streamer-{run}", "ranking_group": f"ranking-{run}"},
            "streamer": {
                "feature_roots": [folder.resolve().as_uri()],
                "uploads_topic": f"uploads-{run}",
                "scored_topic": f"scored-{run}",
                **streamer,
            },
            "ranking": {"database_url": f"sqlite:///{folder / run}.db", "index_folder": folder / f"index-{run}"},
        }
    )


def preload(
    folder: Path, bundle: Bundle, uploads: Sequence[ClipUploaded], settings: Settings
) -> list[dict[Modality, tuple[Any, Any]]]:
    """Padded arrays of every batch that the streamer's batcher makes of the clips, by modality."""
    streamer = settings.streamer
    batcher: LengthBatcher[ClipFeatures] = LengthBatcher(
        max_clips=streamer.max_batch_clips,
        max_steps=streamer.max_batch_steps,
        max_wait_s=streamer.max_batch_wait_s,
        ratio=streamer.length_ratio,
    )
    formed: list[Batch[ClipFeatures]] = []
    for upload in uploads:
        path = folder / "features" / f"{upload.clip_id}.safetensors"
        features = decode_features(path.read_bytes())
        batcher.add(features, length_in_steps(features), 0.0)
        formed += batcher.due(0.0)
    formed += batcher.drain()
    return [padded(batch.items, bundle.manifest.fused_modalities) for batch in formed]


def padded(clips: Sequence[ClipFeatures], modalities: Sequence[Modality]) -> dict[Modality, tuple[Any, Any]]:
    arrays = {}
    for modality in modalities:
        sequences = [clip.frames[modality] for clip in clips if modality in clip.frames]
        if sequences:
            lengths = np.array([len(sequence) for sequence in sequences])
            frames = np.zeros((len(sequences), lengths.max(), *sequences[0].shape[1:]), np.float32)
            for row, sequence in enumerate(sequences):
                frames[row, : len(sequence)] = sequence
            arrays[modality] = (frames, lengths)
    return arrays


def bare(bundle: Bundle, batches: Sequence[dict[Modality, tuple[Any, Any]]], clips: int, settings: Settings) -> float:
    """Clips per second of the streams and the fusion alone."""
    chosen = settings.streamer
    runtime = open_runtime(chosen.runtime, bundle, providers=chosen.providers, threads=chosen.inference_threads)
    width = bundle.manifest.embedding_width
    done, started_s = 0, time.perf_counter()
    for batch in itertools.cycle(batches):
        if done >= clips:
            break
        for modality, (frames, lengths) in batch.items():
            runtime.run_stream(modality, frames, lengths)
        size = max(len(lengths) for _, lengths in batch.values())
        streams = len(bundle.manifest.fused_streams)
        present = np.ones((size, streams), bool)
        runtime.run_fusion(np.zeros((size, width), np.float32), np.zeros((size, streams), np.float32), present)
        done += size
    return done / (time.perf_counter() - started_s)


class Progress(Observer):
    """Counts what the streamer has written."""

    def __init__(self) -> None:
        self.written = 0

    def produced(self, topic: str, records: int) -> None:  # noqa: ARG002
        self.written += records


def pipeline(
    bundle: Bundle,
    connection: KafkaConnection,
    folder: Path,
    uploads: Sequence[ClipUploaded],
    clips: int,
    *,
    views: bool,
    **streamer: Any,
) -> float:
    """Clips per second from the moment they are sent to a system that is up until the last one is acknowledged on the
    log or, with ``views``, retrievable. ``streamer``: settings of its own."""
    settings = settings_for(folder, **streamer)
    if views:
        with run_embedded(Processes(settings, connection=connection, bundle=bundle, observer=Observer())) as system:
            system.await_ready()
            started_s = time.perf_counter()
            system.send(repeated(uploads, clips))
            system.await_clips(clips)
            return clips / (time.perf_counter() - started_s)
    progress = Progress()
    with streaming(settings, connection, bundle, progress), closing(KafkaSink(connection)) as sink:
        started_s = time.perf_counter()
        send(sink, settings, repeated(uploads, clips))
        while progress.written < clips:
            time.sleep(0.01)
        return clips / (time.perf_counter() - started_s)


def send(sink: KafkaSink, settings: Settings, uploads: Iterable[ClipUploaded]) -> None:
    for upload in uploads:
        send_upload(sink, settings.streamer.uploads_topic, upload)
    sink.flush(60.0)


@contextmanager
def streaming(settings: Settings, connection: KafkaConnection, bundle: Bundle, observer: Observer) -> Iterator[None]:
    """A streamer at work on a thread, its partitions assigned."""
    stop = threading.Event()
    create_topics(settings, connection)
    processes = Processes(settings, connection=connection, bundle=bundle, observer=observer)
    with processes.runtime() as runtime, processes.streamer(runtime) as streamer:
        thread = threading.Thread(target=streamer.run, args=(stop,), name="loop")
        thread.start()
        try:
            while not streamer.is_reading and thread.is_alive():
                time.sleep(0.01)
            yield
        finally:
            stop.set()
            thread.join()


def memory(
    console: Console,
    bundle: Bundle,
    connection: KafkaConnection,
    folder: Path,
    uploads: Sequence[ClipUploaded],
    clips: int,
) -> dict[str, Any]:
    """Resident memory of this process while ``clips`` go through the streamer: in ten equal steps."""
    settings, progress, process = settings_for(folder), Progress(), psutil.Process()
    samples: list[tuple[int, float]] = []
    with streaming(settings, connection, bundle, progress), closing(KafkaSink(connection)) as sink:
        send(sink, settings, repeated(uploads, clips))
        while progress.written < clips:
            samples.append((progress.written, process.memory_info().rss / 2**20))
            time.sleep(0.2)
    samples.append((progress.written, process.memory_info().rss / 2**20))
    table = Table("clips written", "resident MiB", title=f"Memory over {clips} clips (streamer)")
    steps = [max((s for s in samples if s[0] <= clips * step / 10), default=samples[0]) for step in range(1, 11)]
    for written, resident in steps:
        table.add_row(str(written), f"{resident:.0f}")
    counts, sizes = np.array(steps[1:]).T
    slope = float(np.polyfit(counts, sizes, 1)[0] * 1000)
    console.print(table, f"growth after the first fifth: {slope:+.1f} MiB per 1,000 clips")
    return {"resident_mib": steps, "growth_mib_per_1000_clips": slope}


if __name__ == "__main__":
    main()
