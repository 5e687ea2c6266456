"""A streamer between an uploads topic and a scored topic in memory, driven by tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from schemas.bundle import Bundle
from schemas.codec import decode, encode
from schemas.events import ClipScored, ClipUploaded
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import GradientRuntime, OutgoingRecord, RecordSource, TopicPartition, TransactionalSink
from streamer.assembly import open_streamer
from streamer.loading import FeatureLoader
from streamer.pipeline import OpenSource, Streamer
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.settings import StreamerSettings
from tests.clips import random_features, upload
from tests.waiting import wait_until
from transport.dead_letter import dead_letter_topic, reason
from transport.memory import MemoryBroker, MemorySink, MemorySource, MemoryTransactionalSink
from transport.topics import TopicSpec

UPLOADS, SCORED = "clips.uploaded", "clips.scored"
DEAD = dead_letter_topic(UPLOADS)
GROUP = "streamers"
TIMEOUT_S = 60.0


FEATURES = random_features(3.0, modalities=(Modality.SKELETAL, Modality.SCENIC))
LONGER = random_features(9.0, modalities=(Modality.SKELETAL,))


def uploads(count: int, *, first: int = 0) -> list:
    """Clips of two lengths in three challenges."""
    return [
        upload(f"clip-{n}", LONGER if n % 3 else FEATURES, challenge_id=f"challenge-{n % 3}")
        for n in range(first, first + count)
    ]


@dataclass
class Log:
    """The three topics, and what tests want to know of them."""

    partitions: int = 2
    broker: MemoryBroker = field(default_factory=MemoryBroker)

    def __post_init__(self) -> None:
        self.broker.ensure_topics(TopicSpec(name=name, partitions=self.partitions) for name in (UPLOADS, SCORED, DEAD))
        self.uploads = MemorySink(self.broker)

    def upload(self, *clips: ClipUploaded | bytes) -> None:
        """Write uploads; bytes are written as they are, to the partition of challenge-1."""
        for clip in clips:
            event = isinstance(clip, ClipUploaded)
            value = encode(clip) if isinstance(clip, ClipUploaded) else clip
            key = clip.clip_id.encode() if isinstance(clip, ClipUploaded) else b"?"
            by = clip.challenge_id if isinstance(clip, ClipUploaded) else "challenge-1"
            self.uploads.send(OutgoingRecord(UPLOADS, key, value, partition_by=by if event else "challenge-1"))
        self.uploads.flush(1.0)

    def scored(self) -> list[ClipScored]:
        return [decode(record.value, ClipScored) for record in self.broker.records(SCORED)]

    def dead(self) -> list[dict[str, str]]:
        return [reason(record.headers) for record in self.broker.records(DEAD)]

    def settled(self) -> int:
        return len(self.broker.records(SCORED)) + len(self.broker.records(DEAD))

    def committed(self) -> dict[TopicPartition, int]:
        return self.broker.committed(GROUP)

    def open_source(self, listener: object) -> RecordSource:
        return MemorySource(self.broker, [UPLOADS], group=GROUP, listener=listener)  # type: ignore[arg-type]

    def streamer(
        self,
        bundle: Bundle,
        settings: StreamerSettings,
        *,
        sink: TransactionalSink | None = None,
        open_source: OpenSource | None = None,
        observer: Observer | None = None,
        gradients: GradientRuntime | None = None,
        moves_videos: bool = False,
    ) -> Streamer:
        return open_streamer(
            settings,
            OnnxRuntime(bundle),
            open_source=open_source or self.open_source,
            open_sink=lambda: sink or MemoryTransactionalSink(self.broker),
            gradients=gradients,
            observer=observer,
            moves_videos=moves_videos,
        )


def stall_loading(monkeypatch: pytest.MonkeyPatch, *clip_ids: str) -> threading.Event:
    """Features of these clips, of all if none is named, are loaded once the event is set that this returns."""
    may_go_on, load = threading.Event(), FeatureLoader.load

    def load_late(loader: FeatureLoader, clip: ClipUploaded, *admit: Any) -> object:
        if not clip_ids or clip.clip_id in clip_ids:
            may_go_on.wait(TIMEOUT_S)
        return load(loader, clip, *admit)

    monkeypatch.setattr(FeatureLoader, "load", load_late)
    return may_go_on


class Everything(Observer):
    """Counts what is reported."""

    def __init__(self) -> None:
        self.counts: dict[object, float] = {}
        self.lags: list[tuple[TopicPartition, int, float]] = []
        self.steps: list[tuple[int, int, int]] = []

    def _add(self, what: object, count: float = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + count

    def consumed(self, topic: str, records: int) -> None:
        self._add(("consumed", topic), records)

    def produced(self, topic: str, records: int) -> None:
        self._add(("produced", topic), records)

    def dead_lettered(self, topic: str, reason: str) -> None:
        self._add(("dead", topic, reason))

    def interrupted(self, reason: str) -> None:
        self._add(("interrupted", reason))

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self.lags.append((partition, records, seconds))

    def batch_formed(self, clips: int, frames: int, padded_frames: int) -> None:
        self.steps.append((clips, frames, padded_frames))

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        assert duration_s >= 0
        self._add((stage, modality))

    def provider_in_use(self, modality: Modality | None, provider: str) -> None:
        self._add(("provider", modality, provider))


def quick_settings(**choices: object) -> StreamerSettings:
    """Settings for a test: short waits, one thread for inference."""
    quick = {
        "providers": ("cpu",),
        "inference_threads": 1,
        "loader_threads": 2,
        "poll_timeout_s": 0.02,
        "max_batch_wait_s": 0.02,
        "commit_interval_s": 0.02,
        "store_patience_s": 0.2,
    }
    return StreamerSettings(**{**quick, **choices})  # type: ignore[arg-type]


@contextmanager
def running(streamer: Streamer) -> Iterator[threading.Event]:
    """Run a streamer on a thread; the event that is yielded stops it. Leaving stops it and raises what it raised."""
    stop, errors = threading.Event(), []

    def run() -> None:
        try:
            streamer.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised by the thread that waits
            errors.append(error)

    thread = threading.Thread(target=run, name="streamer")
    thread.start()
    try:
        yield stop
    finally:
        stop.set()
        thread.join(TIMEOUT_S)
    if thread.is_alive():
        raise TimeoutError("the streamer did not stop")
    if errors:
        raise errors[0]


def process(log: Log, streamer: Streamer, settled: int) -> None:
    """Run the streamer until so many uploads have a result or a dead letter, then stop it."""
    with running(streamer):
        wait_until(lambda: log.settled() >= settled)
