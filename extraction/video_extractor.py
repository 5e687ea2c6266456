"""``FeatureExtractor`` of videos: what ``streamer.extractor = "videos"`` opens."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from extraction.decoding.content import measure
from extraction.decoding.video import DecoderLimits
from extraction.one_pass import Extraction, Extractors, extract
from extraction.selection import open_extractors
from extraction.settings import ExtractionSettings
from schemas.errors import FeatureError, LoadingAbandoned
from schemas.events import VideoFile
from schemas.features import ClipFeatures
from schemas.observation import Observer
from streamer.roots import FeatureRoots
from streamer.settings import StreamerSettings
from streamer.stores import FeatureStore


class VideoExtractor:
    """Extracts the streams of videos below the roots of ``store``. Thread-safe; each call decodes in a process of its
    own.
    """

    def __init__(
        self,
        store: FeatureStore,
        extractors: Extractors,
        limits: DecoderLimits,
        *,
        max_bytes: int,
        observer: Observer | None = None,
    ) -> None:
        self._store, self._extractors, self._limits = store, extractors, limits
        self._max_bytes = max_bytes
        self._observer = observer or Observer()
        self._closed = threading.Event()

    def close(self) -> None:
        """End the passes that are under way: each raises ``LoadingAbandoned``. Idempotent."""
        self._closed.set()

    @classmethod
    def open(cls, store: FeatureStore, settings: ExtractionSettings, observer: Observer | None = None) -> Self:
        """With the extractors that ``settings`` names, their networks loaded."""
        return cls(
            store,
            open_extractors(settings),
            DecoderLimits.of(settings),
            max_bytes=settings.max_video_bytes,
            observer=observer,
        )

    def extract(self, video: VideoFile) -> ClipFeatures:
        with self._failures_counted(), self._store.open_file(video.uri) as descriptor:
            return self._extract(descriptor, video.sha256)

    def extract_open(self, descriptor: int) -> ClipFeatures:
        """The features of a video in an open file, which need not lie in a root. Raises as ``extract`` does."""
        with self._failures_counted():
            return self._extract(descriptor, None)

    def _extract(self, descriptor: int, sha256: str | None) -> ClipFeatures:
        content = measure(descriptor, max_bytes=self._max_bytes, sha256=sha256)
        extraction = extract(content, self._extractors, self._limits, progress=self._continues)
        self._report(extraction)
        return extraction.features

    @contextmanager
    def _failures_counted(self) -> Iterator[None]:
        try:
            yield
        except FeatureError as error:
            self._observer.extraction_failed(error.code)
            raise

    def _continues(self, *_: int) -> None:
        if self._closed.is_set():
            raise LoadingAbandoned("the extraction was abandoned; the upload is read again after a restart")

    def _report(self, extraction: Extraction) -> None:
        report = extraction.report
        self._observer.video_extracted(report.frames)
        self._observer.extraction_timed("decoding", report.decoding_s)
        self._observer.extraction_timed("people", report.people_s)
        self._observer.extraction_timed("total", report.total_s)
        for stream in report.streams:
            self._observer.extraction_timed(stream.modality, stream.seconds)
            self._observer.stream_extracted(stream.modality, found=stream.steps > 0)


def open_video_extractor(
    streamer: StreamerSettings | None = None,
    extraction: ExtractionSettings | None = None,
    observer: Observer | None = None,
) -> VideoExtractor:
    """The extractor ``videos``, of the videos below ``streamer.feature_roots``.

    Raises ``ConfigurationError`` for roots that cannot be read, and what ``open_extractors`` raises.
    """
    streamer, extraction = streamer or StreamerSettings(), extraction or ExtractionSettings()
    store = FeatureStore(
        FeatureRoots(streamer.feature_roots),
        max_bytes=extraction.max_video_bytes,
        patience_s=streamer.store_patience_s,
        options=streamer.store_options,
    )
    return VideoExtractor.open(store, extraction, observer)
