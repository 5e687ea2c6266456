"""A broker in memory with the log and its dead letters, and loops that read it."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.view import IndexView
from ranking.views.known_positions import KnownPositions
from ranking.views.log_records import read_log
from ranking.views.loop import LoopOptions, ViewLoop
from schemas.clock import ManualClock
from schemas.codec import encode
from schemas.errors import (
    DancerankError,
)
from schemas.events import ClipScored
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RebalanceListener, Refusal, ScoredRecord, TopicPartition, View
from tests.ranking.examples import TOPIC
from transport.dead_letter import dead_letter_topic, reason
from transport.lag_monitor import LagMonitor, Reader
from transport.memory import MemoryBroker, MemoryOffsets, MemorySink, MemorySource
from transport.reconnecting import Waits
from transport.topics import TopicSpec

DEAD = dead_letter_topic(TOPIC)
READ = partial(read_log, deletions_topic="clips.deleted")
SETTINGS = LoopOptions(poll_timeout_s=0.0, waits=Waits(first_s=0.001, longest_s=0.002), attempts=4)


class Reports(Observer):
    def __init__(self) -> None:
        self.read = 0
        self.dead: list[tuple[str, str]] = []
        self.lags: dict[TopicPartition, tuple[int, float]] = {}
        self.stages: list[str] = []
        self.left_out: list[tuple[str, str]] = []

    def skipped(self, topic: str, reason: str) -> None:
        self.left_out.append((topic, reason))

    def consumed(self, topic: str, records: int) -> None:
        self.read += records

    def dead_lettered(self, topic: str, reason: str) -> None:
        self.dead.append((topic, reason))

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self.lags[partition] = (records, seconds)

    def lag_unknown(self, partition: TopicPartition) -> None:
        del self.lags[partition]

    def stage_timed(self, stage: str, duration_s: float, modality: Modality | None = None) -> None:
        self.stages.append(stage)


class FailingView:
    """A view that fails ``failures`` times before it lets each batch through."""

    def __init__(self, inner: View, failures: int, error: DancerankError) -> None:
        self.inner, self.failures, self.error = inner, failures, error

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        return self.inner.positions(partitions)

    def apply(self, scored: Sequence[ScoredRecord], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        self.failures -= 1
        if self.failures >= 0:
            raise self.error
        return self.inner.apply(scored, positions)


class Setting:
    """A broker with the log and its dead letters, and loops that read it."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.broker = MemoryBroker(self.clock)
        self.broker.ensure_topics([TopicSpec(name=TOPIC, partitions=2), TopicSpec(name=DEAD, partitions=1)])
        self.reports = Reports()

    def send(self, *values: ClipScored | bytes | None) -> None:
        sink = MemorySink(self.broker)
        for value in values:
            raw = encode(value) if isinstance(value, ClipScored) else value
            sink.send(OutgoingRecord(TOPIC, b"k", raw, partition_by="one challenge"))
        sink.flush(1)

    def open_source(self, listener: RebalanceListener, *, group: str | None = "ranking") -> MemorySource:
        return MemorySource(self.broker, [TOPIC], group=group, listener=listener)

    def loop(self, view: View, *, group: str | None = "ranking", **options: object) -> ViewLoop:
        settings = LoopOptions(
            **{**{f: getattr(SETTINGS, f) for f in SETTINGS.__struct_fields__}, "commits": group is not None}
        )
        sink = MemorySink(self.broker)
        open_source = partial(self.open_source, group=group)
        return ViewLoop(open_source, view, READ, sink, self.reports, self.clock, settings, **options)  # type: ignore[arg-type]

    def monitor(self, loop: ViewLoop, *, group: str | None = "ranking") -> LagMonitor:
        """Of the loop's lag, which no thread measures here."""
        known = KnownPositions(loop.positions, self.clock)
        reader = Reader([TOPIC], group, loop.progress, known.position)
        monitor = LagMonitor(MemoryOffsets(self.broker), [reader], self.reports, self.clock)
        monitor.measure()
        known.probe.ask()
        return monitor

    def dead_letters(self) -> list[dict[str, str]]:
        return [reason(record.headers) for record in self.broker.records(DEAD)]


def drain(loop: ViewLoop) -> int:
    """Step until there is nothing left; returns how many records were read."""
    total, idle = 0, 0
    while idle < 3:
        read = loop.step()
        total += read
        idle = 0 if read else idle + 1
    return total


def index_view() -> IndexView:
    return IndexView(NumpyBackend(), Observer(), ManualClock())
