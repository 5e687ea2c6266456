"""A monitor whose broker says what a test lets it say."""

from collections.abc import Collection

from schemas.clock import ManualClock
from schemas.errors import TransportError
from schemas.observation import Observer
from schemas.ports import Record, TopicPartition
from transport.broker_offsets import BrokerOffsets, Span
from transport.lag_monitor import LagMonitor, Reader
from transport.reading_progress import ReadingProgress

TOPIC, GROUP = "clips", "readers"
FIRST, SECOND = TopicPartition(TOPIC, 0), TopicPartition(TOPIC, 1)


class Lags(Observer):
    def __init__(self) -> None:
        self.known: dict[TopicPartition, tuple[int, float]] = {}
        self.measured_at_ms: list[int] = []

    def lag(self, partition: TopicPartition, records: int, seconds: float) -> None:
        self.known[partition] = (records, seconds)

    def lag_unknown(self, partition: TopicPartition) -> None:
        del self.known[partition]

    def lag_measured(self, measured_at_ms: int) -> None:
        self.measured_at_ms.append(measured_at_ms)


class Offsets:
    """A broker that says what a test lets it say."""

    def __init__(self) -> None:
        self.says = BrokerOffsets(
            spans={FIRST: Span(0, 10), SECOND: Span(0, 10)},
            committed={GROUP: {}},
            held={GROUP: frozenset()},
            settled=[GROUP],
        )
        self.fails = False

    def look(self, topics: Collection[str], groups: Collection[str]) -> BrokerOffsets:
        if self.fails:
            raise TransportError("no broker answers")
        return self.says

    def replace(self, **changes: object) -> None:
        fields = {name: getattr(self.says, name) for name in self.says.__struct_fields__}
        self.says = BrokerOffsets(**{**fields, **changes})

    def close(self) -> None: ...


class LagScene:
    def __init__(self, *, group: str | None = GROUP, stored: dict[TopicPartition, int] | None = None) -> None:
        self.clock, self.offsets, self.seen, self.progress = ManualClock(), Offsets(), Lags(), ReadingProgress()
        self.reader = Reader([TOPIC], group, self.progress, None if stored is None else stored.get)
        self.monitor = LagMonitor(self.offsets, [self.reader], self.seen, self.clock)

    def measured(self) -> dict[TopicPartition, int]:
        self.monitor.measure()
        return {at: records for at, (records, _) in self.seen.known.items()}

    def seconds(self) -> dict[TopicPartition, float]:
        self.monitor.measure()
        return {at: seconds for at, (_, seconds) in self.seen.known.items()}

    def read(self, at: TopicPartition, *, age_s: float) -> None:
        self.progress.read([Record(*at, 0, self.clock.now_ms() - round(1000 * age_s), None, b"")])
