"""Metric definitions, moved by the observer's calls; this package alone knows ``prometheus_client``.

Labels are bounded: topics, partitions, modalities, stages, providers, error codes, tiers; never a clip or dancer.
Challenges are labels of the model's agreement alone, as many as are told at once; one that is no longer told
disappears.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from exporters.prometheus.model_metrics import ModelGauges
from exporters.prometheus.pool_metrics import PoolMetrics
from exporters.prometheus.server import serve_process
from schemas.modalities import Modality
from schemas.observation import Agreement, Calibration, Drift, Observer, TierFilling
from schemas.ports import TopicPartition

ALL: Final = "all"
"""Label ``modality`` of a stage that works on the whole clip, and of the fusion's provider."""

_STAGE_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_FRESHNESS_BUCKETS_S: Final = (0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
_BATCH_BUCKETS_CLIPS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_WASTE_BUCKETS: Final = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)


class PrometheusObserver(Observer):
    """Turns what the system reports into metrics of its own registry, beside those of the process (memory, CPU)."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._consumed = Counter("dancerank_records_consumed_total", "Records read.", ["topic"], registry=registry)
        self._produced = Counter(
            "dancerank_records_produced_total", "Records written and acknowledged.", ["topic"], registry=registry
        )
        self._dead_lettered = Counter(
            "dancerank_records_dead_lettered_total",
            "Records put on a dead-letter topic, by the topic they came from and the error code.",
            ["topic", "reason"],
            registry=registry,
        )
        self._skipped = Counter(
            "dancerank_records_skipped_total", "Records rightly left unapplied.", ["topic", "reason"], registry=registry
        )
        self._interrupted = Counter(
            "dancerank_interruptions_total",
            "Times that work began again from what was committed, by the error code.",
            ["reason"],
            registry=registry,
        )
        self._lag_records = Gauge(
            "dancerank_consumer_lag_records", "Records not yet read.", ["topic", "partition"], registry=registry
        )
        self._lag_s = Gauge(
            "dancerank_consumer_lag_seconds",
            "Age of the last record read while there are more to read; 0 at the end of the partition.",
            ["topic", "partition"],
            registry=registry,
        )
        self._batch_clips = Histogram(
            "dancerank_batch_clips", "Clips per batch.", buckets=_BATCH_BUCKETS_CLIPS, registry=registry
        )
        self._frames = Counter("dancerank_batch_frames_total", "Time steps of clips in batches.", registry=registry)
        self._padded_frames = Counter(
            "dancerank_batch_padded_frames_total",
            "Time steps computed in batches, padding included.",
            registry=registry,
        )
        self._waste = Histogram(
            "dancerank_batch_padding_ratio",
            "Share of a batch's time steps that is padding.",
            buckets=_WASTE_BUCKETS,
            registry=registry,
        )
        self._stage_s = Histogram(
            "dancerank_stage_duration_seconds",
            "Duration of a stage of the work, by modality where it works on one.",
            ["stage", "modality"],
            buckets=_STAGE_BUCKETS_S,
            registry=registry,
        )
        self._provider = Gauge(
            "dancerank_execution_provider_info",
            "1 for the ONNX Runtime execution provider that runs each modality's network.",
            ["modality", "provider"],
            registry=registry,
        )
        self._in_flight = Gauge("dancerank_clips_in_flight", "Clips read and not yet written.", registry=registry)
        self._index_vectors = Gauge(
            "dancerank_index_vectors", "Vectors in the similarity index.", ["modality"], registry=registry
        )
        self._in_force = Gauge(
            "dancerank_generation_in_force_info",
            "1 for the model generation that answers questions.",
            ["generation"],
            registry=registry,
        )
        self._freshness_s = Histogram(
            "dancerank_freshness_seconds",
            "From a clip's upload until it can be retrieved.",
            buckets=_FRESHNESS_BUCKETS_S,
            registry=registry,
        )
        self._snapshots_failed = Counter(
            "dancerank_snapshots_failed_total", "Snapshots of the index that could not be written.", registry=registry
        )
        self._requests_refused = Counter(
            "dancerank_requests_refused_total", "Requests to the API turned away.", ["reason"], registry=registry
        )
        self._pools = PoolMetrics(registry)
        self._providers: dict[str, str] = {}
        self._generation: str | None = None
        self._model = ModelGauges(registry)

    def render(self) -> tuple[str, bytes]:
        """Content type and body for a scrape."""
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry)

    def start_server(
        self, port: int, *, host: str = "0.0.0.0", waiting: Callable[[], Sequence[str]] = tuple
    ) -> Callable[[], None]:
        """Serve ``/metrics`` on a thread, for a process without an HTTP API, and ``/readyz`` by what it is ``waiting``
        for; returns what stops it.
        """
        return serve_process(host, port, self.render, waiting)

    def consumed(self, topic: str, records: int) -> None:
        self._consumed.labels(topic).inc(records)

    def produced(self, topic: str, records: int) -> None:
        self._produced.labels(topic).inc(records)

    def dead_lettered(self, topic: str, reason: str) -> None:
        self._dead_lettered.labels(topic, reason).inc()

    def skipped(self, topic: str, reason: str) -> None:
        self._skipped.labels(topic, reason).inc()

    def interrupted(self, reason: str) -> None:
        self._interrupted.labels(reason).inc()

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self._lag_records.labels(partition.topic, str(partition.partition)).set(records)
        self._lag_s.labels(partition.topic, str(partition.partition)).set(seconds)

    def batch_formed(self, clips: int, frames: int, padded_frames: int) -> None:
        self._batch_clips.observe(clips)
        self._frames.inc(frames)
        self._padded_frames.inc(padded_frames)
        self._waste.observe(1 - frames / padded_frames if padded_frames else 0.0)

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self._stage_s.labels(stage, modality or ALL).observe(duration_s)

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        name = str(modality or ALL)
        before = self._providers.get(name)
        if before not in (None, provider):
            self._provider.remove(name, before)
        self._providers[name] = provider
        self._provider.labels(name, provider).set(1)

    def in_flight(self, clips: int) -> None:
        self._in_flight.set(clips)

    def index_size(self, modality: Modality, vectors: int) -> None:
        self._index_vectors.labels(modality).set(vectors)

    def active_generation(self, generation: str | None) -> None:
        if self._generation not in (None, generation):
            self._in_force.remove(self._generation)
        self._generation = generation
        if generation is not None:
            self._in_force.labels(generation).set(1)

    def snapshot_failed(self) -> None:
        self._snapshots_failed.inc()

    def retrievable(self, freshness_s: float) -> None:
        self._freshness_s.observe(freshness_s)

    def pool_decided(self, rule: str, tier: str | None, exposures: int) -> None:
        self._pools.decided(rule, tier, exposures)

    def pools_filled(self, tiers: Collection[TierFilling], unpublished: int) -> None:
        self._pools.filled(tiers, unpublished)

    def agreement_measured(self, agreements: Collection[Agreement]) -> None:
        self._model.report_agreement(agreements)

    def calibration_measured(self, calibrations: Collection[Calibration]) -> None:
        self._model.report_calibration(calibrations)

    def drift_measured(self, drift: Drift) -> None:
        self._model.report_drift(drift)

    def model_measured(self, measured_at_ms: int) -> None:
        self._model.measured_at_s.set(measured_at_ms / 1000)

    def model_not_measured(self) -> None:
        self._model.failed.inc()

    def request_refused(self, reason: str) -> None:
        self._requests_refused.labels(reason).inc()
