"""A streamer in a process of its own, whose model or feature store stands still while a gate is shut."""

import multiprocessing
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import psutil

from schemas.bundle import read_bundle
from schemas.clock import SystemClock
from schemas.events import ClipScored, ClipUploaded, FeatureFile
from schemas.features import ClipFeatures
from schemas.observation import Observer
from streamer.loading import FeatureLoader, unlimited
from streamer.pipeline import Streamer
from streamer.prefetch import Prefetcher
from streamer.roots import FeatureRoots
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.scoring import Scorer, Scoring
from streamer.settings import StreamerSettings
from streamer.stores import FeatureStore, MemoryReservation
from transport.client_options import ConsumerOptions
from transport.connection import KafkaConnection
from transport.kafka_source import KafkaSource
from transport.kafka_transactions import KafkaTransactionalSink

SLOW_S = 0.3
START_S = 60.0
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Signals:
    """What a process and its test tell each other. ``paused`` counts partitions that Kafka's client holds paused."""

    gate: Any = field(default_factory=_SPAWN.Event)
    stop: Any = field(default_factory=_SPAWN.Event)
    paused: Any = field(default_factory=lambda: _SPAWN.Value("i", 0))
    written: Any = field(default_factory=lambda: _SPAWN.Value("i", 0))
    interrupted: Any = field(default_factory=lambda: _SPAWN.Value("i", 0))


@dataclass(frozen=True)
class Stalling:
    """What to start: a streamer of ``group`` with a model or a store that stalls."""

    what: Literal["model", "store"]
    settings: StreamerSettings
    source: ConsumerOptions
    connection: KafkaConnection
    group: str
    bundle: Path


class _Source(KafkaSource):
    paused: Any

    def pause(self) -> None:
        super().pause()
        self.paused.value = len(self._consumer.paused())

    def resume(self) -> None:
        super().resume()
        self.paused.value = len(self._consumer.paused())


class _Scorer(Scorer):
    """Slow while the gate is shut, so that reading gets ahead; at a standstill once reading is paused."""

    signals: Signals

    def finish(self, scoring: Scoring) -> list[ClipScored | Any]:
        if not self.signals.gate.is_set():
            time.sleep(SLOW_S)
        if self.signals.paused.value:
            self.signals.gate.wait()
        return super().finish(scoring)


class _Loader(FeatureLoader):
    """Waits for files while the gate is shut; inline features need no store."""

    signals: Signals

    def load(self, clip: ClipUploaded, reserve: MemoryReservation = unlimited) -> ClipFeatures:
        if isinstance(clip.features, FeatureFile):
            self.signals.gate.wait()
        return super().load(clip, reserve)


class _Reports(Observer):
    def __init__(self, signals: Signals) -> None:
        self._signals = signals

    def produced(self, topic: str, records: int) -> None:
        self._signals.written.value += records

    def interrupted(self, reason: str) -> None:
        self._signals.interrupted.value += 1


def run(this: Stalling, signals: Signals) -> None:
    """The process: until ``signals.stop``."""
    settings, clock = this.settings, SystemClock()
    bundle, abandoned = read_bundle(this.bundle), threading.Event()
    store = FeatureStore(
        FeatureRoots(settings.feature_roots), max_bytes=settings.max_feature_bytes, patience_s=30.0, options={}
    )
    loader_type, scorer_type = (_Loader, Scorer) if this.what == "store" else (FeatureLoader, _Scorer)
    loader = loader_type(store, bundle.manifest, max_bytes=settings.max_feature_bytes)
    scorer = scorer_type(OnnxRuntime(bundle, providers=settings.providers, threads=1))
    loader.signals = scorer.signals = signals  # type: ignore[attr-defined]
    _Source.paused = signals.paused
    streamer = Streamer(
        settings,
        open_source=lambda listener: _Source(
            this.connection, [settings.uploads_topic], group=this.group, listener=listener, options=this.source
        ),
        open_sink=lambda: KafkaTransactionalSink(this.connection, this.group),
        prefetcher=Prefetcher(
            loader.load,
            threads=settings.loader_threads,
            max_clips=settings.max_in_flight_clips,
            max_bytes=settings.max_in_flight_bytes,
            clock=clock,
            abandoned=abandoned,
        ),
        scorer=scorer,
        observer=_Reports(signals),
    )
    with closing(streamer):
        streamer.run(signals.stop)


@dataclass
class Running:
    """The process as its test sees it."""

    signals: Signals
    process: Any

    def rss_bytes(self) -> int:
        """Resident memory."""
        assert self.process.is_alive(), "the streamer ended by itself"
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self) -> int:
        """In order; the exit status."""
        self.signals.stop.set()
        self.process.join(START_S)
        return int(self.process.exitcode)


@contextmanager
def running(this: Stalling) -> Iterator[Running]:
    """Start the process, its gate open; killed at the end if it still runs."""
    signals = Signals()
    signals.gate.set()
    process = _SPAWN.Process(target=run, args=(this, signals))
    process.start()
    try:
        yield Running(signals, process)
    finally:
        process.kill()
        process.join()
