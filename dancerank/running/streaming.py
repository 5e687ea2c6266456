"""The streamer of a process, and beside it the one that takes features from videos, on a thread of its own."""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Final

from dancerank.running.kafka_sources import member_of
from dancerank.running.loop_monitoring import MonitoredLoops
from dancerank.settings import Settings
from dancerank.topics import topics_read
from schemas.bundle import Bundle
from schemas.clock import Clock
from schemas.observation import Observer
from schemas.ports import FeatureExtractor, ModelRuntime
from streamer.assembly import open_streamer
from streamer.extractors.selection import open_extractor
from streamer.guiding import open_gradients
from streamer.pipeline import Streamer
from streamer.runtimes.style_network import style_network
from streamer.settings import StreamerSettings
from streamer.tuning import Schedule
from transport.client_options import TransactionOptions
from transport.connection import KafkaConnection
from transport.kafka_flushes import open_results
from transport.lag_monitor import Reader as LagReader
from transport.refusals import RecordLimits

log = logging.getLogger(__name__)

_CLIPS_PER_WORKER: Final = 3
"""Videos that a process takes on for each that it extracts at once: the others are for its other members."""
_DRAIN_S: Final = 5.0
"""A video takes longer than a process may to end; what is not done then is extracted again."""


def extractor_of(settings: Settings, observer: Observer) -> FeatureExtractor | None:
    """The extractor that ``streamer.extractor`` names, its networks loaded. Raises ``ConfigurationError``."""
    options = {"streamer": settings.streamer, "extraction": settings.extraction, "observer": observer}
    return open_extractor(settings.streamer.extractor, options)


class Streaming:
    """Opens the streamers of one process, which share ``runtime``, which runs the bundle of ``read_bundle``, and its
    gradient graphs and style classifier. The bundle itself is not kept.
    """

    def __init__(
        self,
        settings: Settings,
        connection: KafkaConnection,
        runtime: ModelRuntime,
        schedule: Schedule | None,
        read_bundle: Callable[[], Bundle],
        observer: Observer,
        clock: Clock,
    ) -> None:
        self._settings, self._connection = settings, connection
        self._runtime, self._read_bundle = runtime, read_bundle
        self._schedule, self._observer, self._clock = schedule, observer, clock

    @contextmanager
    def running(self, open_loops: Callable[[], MonitoredLoops]) -> Iterator[Streamer]:
        """The streamer of uploads; while the context lasts, that of videos works beside it, if there is an extractor
        and ``extraction.workers`` is not 0. What ends the one of videos is raised by the other.
        """
        settings = self._settings
        uploads, videos = topics_read(settings)["streamer"], topics_read(settings)["videos"]
        with ExitStack() as stack:
            extractor = extractor_of(settings, self._observer) if videos and settings.extraction.workers else None
            loops = open_loops()
            threads = settings.streamer.inference_threads if self._schedule is None else self._schedule.threads
            gradients = open_gradients(settings.streamer, self._read_bundle(), threads)
            if gradients is not None:
                stack.enter_context(closing(gradients))
            shared = {"gradients": gradients, "styles": style_network(self._read_bundle())}
            opened = self._open(
                settings.streamer, settings.kafka.streamer_group, uploads, moves_videos=bool(videos), **shared
            )
            stack.enter_context(closing(opened))
            loops.add(opened, LagReader(uploads, settings.kafka.streamer_group, opened.progress), opened.store_reasons)
            if extractor is not None:
                stack.callback(getattr(extractor, "close", _nothing))
                beside = self._open(
                    self._video_settings(), settings.kafka.videos_group, videos, extractor=extractor, **shared
                )
                stack.enter_context(closing(beside))
                loops.add(beside, LagReader(videos, settings.kafka.videos_group, beside.progress), tuple)
                stack.enter_context(_beside(beside, opened))
                log.info("extracting videos of %s, %d at once", videos[0], settings.extraction.workers)
            stack.enter_context(loops.monitored())
            yield opened

    def _open(self, settings: StreamerSettings, group: str, topics: Sequence[str], **options: Any) -> Streamer:
        connection, patience_s = self._connection, settings.flush_timeout_s
        name = f"{group}-{self._settings.kafka.instance or uuid.uuid4().hex}"
        transactions = TransactionOptions(timeout_s=patience_s + connection.timeout_s, delivery_timeout_s=patience_s)
        limits = RecordLimits()
        return open_streamer(
            settings,
            self._runtime,
            open_source=member_of(connection, self._settings.kafka, group, topics),
            open_sink=lambda: open_results(connection, name, transactions, limits),
            schedule=self._schedule,
            observer=self._observer,
            clock=self._clock,
            **options,
        )

    def _video_settings(self) -> StreamerSettings:
        settings, workers = self._settings.streamer, self._settings.extraction.workers
        changes = {
            "uploads_topic": settings.videos_topic,
            "videos_topic": settings.uploads_topic,
            "loader_threads": workers,
            "max_in_flight_clips": min(settings.max_in_flight_clips, _CLIPS_PER_WORKER * workers),
            "drain_timeout_s": min(settings.drain_timeout_s, _DRAIN_S),
        }
        return settings.model_copy(update=changes)


@contextmanager
def _beside(videos: Streamer, uploads: Streamer) -> Iterator[None]:
    """Run ``videos`` on a thread until the context ends; what ends it earlier ends ``uploads`` too."""
    stop = threading.Event()

    def run() -> None:
        try:
            videos.run(stop)
        except Exception as error:
            log.exception("the streamer of videos ended")
            uploads.fail(error)

    thread = threading.Thread(target=run, name="stream-videos")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _nothing() -> None:
    """An extractor that has nothing to close."""
