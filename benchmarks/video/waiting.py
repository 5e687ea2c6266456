"""What an upload with features waits for while videos are extracted beside it.

    python -m benchmarks.video.waiting [--seconds 30] [--videos 4] [--rate 4] [--rounds 2] [--kafka HOST:PORT] [--quick]

A streamer on a real Kafka (without ``--kafka`` that of the tests), with a small bundle, so that waiting and not the
bundle's networks is what is measured, and with the extractors that ``dancerank extractors fetch`` brings. The videos
are 6 s of a dancer. Uploads with features come at a steady rate and share the partition of the videos, as they are of
one challenge; their time is from being sent until the scored clip can be read, committed. Three ways, in alternating
rounds:

*alone*: no videos. *moved*: as ``dancerank stream`` works, videos move to a topic of their own. *one loop*: videos are
extracted on the loader threads of the loop that reads them, which is what it would be without that topic.
"""

import argparse
import logging
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from dancerank.processes import Processes
from dancerank.running.kafka_sources import member_of
from dancerank.running.streaming import extractor_of
from dancerank.settings import KafkaSettings, Settings
from extraction.decoding.cutting import cut
from extraction.sample_videos import fetch, video_folder
from extraction.settings import ExtractionSettings
from schemas.codec import decode, encode
from schemas.errors import DancerankError
from schemas.events import ClipScored, ClipUploadedV2, InlineFeatures, VideoFile
from schemas.features import encode_features
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord
from streamer.assembly import open_streamer
from streamer.pipeline import Streamer
from streamer.settings import StreamerSettings
from tests.clips import random_features
from tests.servers.kafka import KafkaServer
from tests.small_bundle import write_small_bundle
from tests.waiting import wait_until
from transport.client_options import ProducerOptions, TransactionOptions
from transport.kafka_flushes import open_results
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource
from transport.refusals import RecordLimits

WAYS: Final = ("alone", "moved", "one loop")
MODALITIES: Final = (Modality.SKELETAL, Modality.FACIAL, Modality.SCENIC)
"""Of the bundle: those whose width is the same for every extractor."""
VIDEO_S: Final = 6.0
PERCENTILES: Final = (50, 95, 100)
BAR: Final = 0.2
"""Wanted of the 95th percentile of *moved*, as a share of that of *one loop*."""


def main() -> None:
    arguments = parse_arguments()
    logging.getLogger("streamer").setLevel(logging.ERROR)  # the small bundle states no training distribution
    console = Console()
    waits: dict[str, list[float]] = {way: [] for way in WAYS}
    extracted = dict.fromkeys(WAYS, 0)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dancerank-bench-")))
        video = folder / "dancer.mkv"
        cut(fetch(["dancer"], video_folder())[0], video, length_s=VIDEO_S)
        bundle = write_small_bundle(folder / "bundle", modalities=MODALITIES)
        server = arguments.kafka or stack.enter_context(KafkaServer()).address
        for number in range(arguments.rounds):
            for way in WAYS[number % len(WAYS) :] + WAYS[: number % len(WAYS)]:
                run = Run(way, settings_for(folder, bundle, server), video)
                measured = run.measure(arguments.seconds, arguments.rate, arguments.videos)
                waits[way] += measured
                extracted[way] += run.extracted
                console.print(f"round {number + 1}, {way}: p95 {np.percentile(measured, 95) * 1000:.0f} ms")
    show(console, waits, extracted)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=30.0, help="of sending, for each round")
    parser.add_argument("--videos", type=int, default=4, help="in each round")
    parser.add_argument("--rate", type=float, default=4.0, help="uploads with features per second")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--kafka", help="a broker to use instead of starting one")
    parser.add_argument("--quick", action="store_true", help="one round of a few seconds")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds, arguments.videos, arguments.rounds = 8.0, 1, 1
    return arguments


def settings_for(folder: Path, bundle: Path, server: str) -> Settings:
    """Topics and groups of its own for each round."""
    run = uuid.uuid4().hex[:8]
    streamer = StreamerSettings(
        uploads_topic=f"uploads-{run}",
        scored_topic=f"scored-{run}",
        videos_topic=f"videos-{run}",
        extractor="videos",
        feature_roots=(folder.as_uri(),),
        providers=("cpu",),
        inference_threads=1,
    )
    kafka = KafkaSettings(
        bootstrap_servers=(server,), partitions=1, streamer_group=f"streamer-{run}", videos_group=f"videos-{run}"
    )
    extraction = ExtractionSettings(providers=("cpu",), threads=1)
    return Settings(kafka=kafka, streamer=streamer, extraction=extraction, bundle=bundle)


class Run:
    """One round of one way."""

    def __init__(self, way: str, settings: Settings, video: Path) -> None:
        self._way, self._settings, self._video = way, settings, video
        self._processes = Processes(settings)
        self._seen_s: dict[str, float] = {}
        self.extracted = 0

    def measure(self, seconds: float, rate: float, videos: int) -> list[float]:
        """Seconds that each upload with features took."""
        self._processes.create_topics()
        features = random_features(6.0, modalities=MODALITIES)
        content = encode_features(features)
        connection, topic = self._processes.connection, self._settings.streamer.uploads_topic
        stop = threading.Event()
        with (
            self._processes.runtime() as runtime,
            self._streamer(runtime) as streamer,
            closing(KafkaSink(connection, ProducerOptions(linger_s=0.0))) as sink,
            _thread(lambda: streamer.run(stop)),
            _thread(lambda: self._read(stop)),
        ):
            wait_until(lambda: streamer.is_reading)
            began_s = time.monotonic()
            sent_s = {}
            events = [(number / rate, f"features-{number}") for number in range(round(seconds * rate))]
            if self._way != "alone":
                events += [(number * seconds / videos, f"video-{number}") for number in range(videos)]
            for due_s, clip_id in sorted(events):
                time.sleep(max(0.0, began_s + due_s - time.monotonic()))
                is_video = clip_id.startswith("video")
                source = VideoFile(self._video.as_uri()) if is_video else InlineFeatures(content)
                event = ClipUploadedV2(
                    clip_id=clip_id,
                    dancer_id="dancer",
                    challenge_id="challenge",
                    uploaded_at_ms=round(time.time() * 1000),
                    duration_s=VIDEO_S,
                    features=source,
                )
                sent_s[clip_id] = time.monotonic()
                sink.send(OutgoingRecord(topic, clip_id.encode(), encode(event), partition_by="challenge"))
                sink.flush(30.0)
            with_features = [clip_id for clip_id in sent_s if not clip_id.startswith("video")]
            wait_until(lambda: all(clip_id in self._seen_s for clip_id in with_features), progress=self._seen_s.__len__)
            wait_until(lambda: len(self._seen_s) == len(sent_s), progress=self._seen_s.__len__)
            stop.set()
        self.extracted = len(sent_s) - len(with_features)
        return [self._seen_s[clip_id] - sent_s[clip_id] for clip_id in with_features]

    def _read(self, stop: threading.Event) -> None:
        scored = self._settings.streamer.scored_topic
        with closing(KafkaSource(self._processes.connection, [scored], group=None)) as source:
            while not stop.is_set():
                for record in source.poll(max_records=100, timeout_s=0.05):
                    self._seen_s[decode(record.value, ClipScored).clip_id] = time.monotonic()

    @contextmanager
    def _streamer(self, runtime: object) -> Iterator[Streamer]:
        if self._way != "one loop":
            with self._processes.streamer(runtime) as streamer:  # type: ignore[arg-type]
                yield streamer
            return
        settings, connection = self._settings, self._processes.connection
        group, limits = settings.kafka.streamer_group, RecordLimits()
        opened = open_streamer(
            settings.streamer,
            runtime,  # type: ignore[arg-type]
            open_source=member_of(connection, settings.kafka, group, [settings.streamer.uploads_topic]),
            open_sink=lambda: open_results(connection, group, TransactionOptions(), limits),
            extractor=extractor_of(settings, Observer()),
        )
        with closing(opened):
            yield opened


@contextmanager
def _thread(work: object) -> Iterator[None]:
    thread = threading.Thread(target=work)  # type: ignore[arg-type]
    thread.start()
    try:
        yield
    finally:
        thread.join()


def show(console: Console, waits: Mapping[str, Sequence[float]], extracted: Mapping[str, int]) -> None:
    found = {way: np.percentile(values, PERCENTILES) * 1000 for way, values in waits.items()}
    table = Table(title="uploads with features: from sent to scored and committed, in ms")
    for column in ("way", "videos", "uploads", "p50", "p95", "longest"):
        table.add_column(column, justify="left" if column == "way" else "right")
    for way in WAYS:
        numbers = [f"{value:,.0f}" for value in found[way]]
        table.add_row(way, str(extracted[way]), str(len(waits[way])), *numbers)
    console.print(table)
    share = float(found["moved"][1] / found["one loop"][1])
    figures = [Measured("p95 moved over one loop", share, "ratio", bar=BAR, lower_is_better=True)]
    figures.append(Measured("p95 moved over alone", float(found["moved"][1] / found["alone"][1]), "ratio"))
    figures += [Measured(f"p95 {way}", float(found[way][1]), "ms") for way in WAYS]
    path = write_figures("video-waiting", figures)
    console.print(
        f"p95 moved: {share:.3f} of one loop (bar {BAR}), {figures[1].value:.2f} times alone; {path}", highlight=False
    )


if __name__ == "__main__":
    try:
        main()
    except DancerankError as error:
        raise SystemExit(f"error: {error}") from error
