"""The observer whose metrics a Prometheus server scrapes; this package alone knows ``prometheus_client``."""

from collections.abc import Callable, Collection
from contextlib import suppress

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from exporters.prometheus import definitions, style_definitions
from exporters.prometheus.definitions import ALL
from exporters.prometheus.extraction_metrics import ExtractionMetrics
from exporters.prometheus.model_metrics import ModelMetrics
from exporters.prometheus.pool_metrics import PoolMetrics
from exporters.prometheus.process_metrics import ProcessMetrics
from schemas.modalities import Modality
from schemas.observation import Agreement, Calibration, Drift, Observer, TierFilling
from schemas.ports import TopicPartition
from schemas.questions.readiness import ProcessState
from schemas.style_classifier import UNKNOWN_STYLE


class PrometheusObserver(Observer):
    """Turns what the system reports into metrics of its own registry, beside those of the process (memory, CPU)."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self._consumed = definitions.CONSUMED.create(registry)
        self._produced = definitions.PRODUCED.create(registry)
        self._dead_lettered = definitions.DEAD_LETTERED.create(registry)
        self._skipped = definitions.SKIPPED.create(registry)
        self._unknown_modalities = definitions.UNKNOWN_MODALITIES.create(registry)
        self._records_lost = definitions.RECORDS_LOST.create(registry)
        self._interrupted = definitions.INTERRUPTED.create(registry)
        self._lag_records = definitions.LAG_RECORDS.create(registry)
        self._lag_s = definitions.LAG_S.create(registry)
        self._lag_measured_at_s = definitions.LAG_MEASURED_AT_S.create(registry)
        self._process = ProcessMetrics(registry)
        self._batch_clips = definitions.BATCH_CLIPS.create(registry)
        self._frames = definitions.FRAMES.create(registry)
        self._padded_frames = definitions.PADDED_FRAMES.create(registry)
        self._padding = definitions.PADDING.create(registry)
        self._filled_joints = definitions.FILLED_JOINTS.create(registry)
        self._training_distance = definitions.TRAINING_DISTANCE.create(registry)
        self._outside_training = definitions.OUTSIDE_TRAINING.create(registry)
        self._styles = style_definitions.STYLES.create(registry)
        self._styles_failed = style_definitions.STYLES_FAILED.create(registry)
        self._guidance_failures = definitions.GUIDANCE_FAILURES.create(registry)
        self._stage_s = definitions.STAGE_S.create(registry)
        self._provider = definitions.PROVIDER.create(registry)
        self._stream_batch_clips = definitions.STREAM_BATCH_CLIPS.create(registry)
        self._in_flight = definitions.IN_FLIGHT.create(registry)
        self._index_vectors = definitions.INDEX_VECTORS.create(registry)
        self._active_generation = definitions.ACTIVE_GENERATION.create(registry)
        self._freshness_s = definitions.FRESHNESS_S.create(registry)
        self._reactions_capped = definitions.REACTIONS_CAPPED.create(registry)
        self._backfilled = definitions.BACKFILLED.create(registry)
        self._snapshots_failed = definitions.SNAPSHOTS_FAILED.create(registry)
        self._requests_refused = definitions.REQUESTS_REFUSED.create(registry)
        self._event_listeners = definitions.EVENT_LISTENERS.create(registry)
        self._events_skipped = definitions.EVENTS_SKIPPED.create(registry)
        self._decision_polls = definitions.DECISION_POLLS.create(registry)
        self._extraction = ExtractionMetrics(registry)
        self._pools = PoolMetrics(registry)
        self._model = ModelMetrics(registry)
        self._providers: dict[str, str] = {}
        self._generation: str | None = None

    def render(self) -> tuple[str, bytes]:
        """Content type and body for a scrape."""
        return CONTENT_TYPE_PLAIN_0_0_4, generate_latest(self.registry)

    def consumed(self, topic: str, records: int) -> None:
        self._consumed.labels(topic).inc(records)

    def produced(self, topic: str, records: int) -> None:
        self._produced.labels(topic).inc(records)

    def dead_lettered(self, topic: str, reason: str) -> None:
        self._dead_lettered.labels(topic, reason).inc()

    def skipped(self, topic: str, reason: str) -> None:
        self._skipped.labels(topic, reason).inc()

    def unknown_modality(self, name: str) -> None:
        self._unknown_modalities.labels(name).inc()

    def records_lost(self, partition: TopicPartition, records: int) -> None:
        self._records_lost.labels(partition.topic, str(partition.partition)).inc(records)

    def interrupted(self, reason: str) -> None:
        self._interrupted.labels(reason).inc()

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self._lag_records.labels(partition.topic, str(partition.partition)).set(records)
        self._lag_s.labels(partition.topic, str(partition.partition)).set(seconds)

    def lag_unknown(self, partition: TopicPartition) -> None:
        for gauge in (self._lag_records, self._lag_s):
            with suppress(KeyError):
                gauge.remove(partition.topic, str(partition.partition))

    def lag_measured(self, measured_at_ms: int) -> None:
        self._lag_measured_at_s.set(measured_at_ms / 1000)

    def batch_formed(self, clips: int, frames: int, padded_frames: int) -> None:
        self._batch_clips.observe(clips)
        self._frames.inc(frames)
        self._padded_frames.inc(padded_frames)
        self._padding.observe(1 - frames / padded_frames if padded_frames else 0.0)

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self._stage_s.labels(stage, modality or ALL).observe(duration_s)

    def video_extracted(self, frames: int) -> None:
        self._extraction.extracted(frames)

    def extraction_failed(self, reason: str) -> None:
        self._extraction.failed(reason)

    def extraction_timed(self, part: str, duration_s: float) -> None:
        self._extraction.timed(part, duration_s)

    def stream_extracted(self, modality: Modality, *, found: bool) -> None:
        self._extraction.stream(modality, found=found)

    def joints_filled(self, share: float) -> None:
        self._filled_joints.observe(share)

    def training_distance(self, modality: Modality, distance: float) -> None:
        self._training_distance.labels(modality).observe(distance)

    def outside_training(self) -> None:
        self._outside_training.inc()

    def style_recognised(self, style: str | None) -> None:
        self._styles.labels(UNKNOWN_STYLE if style is None else style).inc()

    def style_failed(self) -> None:
        self._styles_failed.inc()

    def guidance_failed(self) -> None:
        self._guidance_failures.inc()

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        name = str(modality or ALL)
        before = self._providers.get(name)
        if before not in (None, provider):
            self._provider.remove(name, before)
        self._providers[name] = provider
        self._provider.labels(name, provider).set(1)

    def batch_size_chosen(self, modality: Modality, steps: int, clips: int) -> None:
        self._stream_batch_clips.labels(modality, str(steps)).set(clips)

    def in_flight(self, clips: int) -> None:
        self._in_flight.set(clips)

    def index_size(self, modality: Modality, vectors: int) -> None:
        self._index_vectors.labels(modality).set(vectors)

    def active_generation(self, generation: str | None) -> None:
        if self._generation not in (None, generation):
            self._active_generation.remove(self._generation)
        self._generation = generation
        if generation is not None:
            self._active_generation.labels(generation).set(1)

    def snapshot_failed(self) -> None:
        self._snapshots_failed.inc()

    def retrievable(self, freshness_s: float) -> None:
        self._freshness_s.observe(freshness_s)

    def reactions_capped(self, observations: int) -> None:
        self._reactions_capped.inc(observations)

    def backfilled(self) -> None:
        self._backfilled.inc()

    def pool_decided(self, rule: str, tier: str | None, exposures: int) -> None:
        self._pools.decided(rule, tier, exposures)

    def pool_leases_expired(self, leases: int) -> None:
        self._pools.leases_expired(leases)

    def pools_filled(self, tiers: Collection[TierFilling], unpublished: int) -> None:
        self._pools.filled(tiers, unpublished)

    def agreement_measured(self, agreements: Collection[Agreement]) -> None:
        self._model.agreement(agreements)

    def calibration_measured(self, calibrations: Collection[Calibration]) -> None:
        self._model.calibration(calibrations)

    def drift_measured(self, drift: Drift) -> None:
        self._model.drift(drift)

    def model_measured(self, measured_at_ms: int) -> None:
        self._model.measured(measured_at_ms)

    def model_not_measured(self) -> None:
        self._model.not_measured()

    def watch(self, process: str, state: Callable[[], ProcessState]) -> None:
        self._process.watch(process, state)

    def request_refused(self, reason: str) -> None:
        self._requests_refused.labels(reason).inc()

    def event_listeners(self, listeners: int) -> None:
        self._event_listeners.set(listeners)

    def events_skipped(self, events: int) -> None:
        self._events_skipped.inc(events)

    def decisions_polled(self, outcome: str) -> None:
        self._decision_polls.labels(outcome).inc()
