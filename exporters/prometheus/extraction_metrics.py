"""Metrics of the extraction of features from videos."""

from prometheus_client import CollectorRegistry

from exporters.prometheus import definitions
from schemas.modalities import Modality


class ExtractionMetrics:
    """The extraction's metrics of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._frames = definitions.VIDEO_FRAMES.create(registry)
        self._failed = definitions.VIDEOS_FAILED.create(registry)
        self._seconds = definitions.EXTRACTION_S.create(registry)
        self._streams = definitions.STREAMS_EXTRACTED.create(registry)

    def extracted(self, frames: int) -> None:
        self._frames.inc(frames)

    def failed(self, reason: str) -> None:
        self._failed.labels(reason).inc()

    def timed(self, part: str, duration_s: float) -> None:
        self._seconds.labels(part).observe(duration_s)

    def stream(self, modality: Modality, *, found: bool) -> None:
        self._streams.labels(modality, "yes" if found else "no").inc()
