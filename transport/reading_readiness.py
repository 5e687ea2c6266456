"""Whether loops read what they should: Kafka answers, and every partition is held by somebody."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from schemas.clock import Clock
from schemas.ports import TopicPartition
from schemas.questions.readiness import Reason, WaitsFor
from transport.lag_monitor import LagMonitor, Reader

ANSWERED_WITHIN_S: Final = 5.0
"""A dependency is asked every second or two. If no question that was asked within this time has been answered, a
process is not ready."""
STEP_WITHIN_S: Final = 60.0
"""A loop that is busy with one step for longer stands still: a model, a disk or a client that hangs."""


class ReadingReadiness:
    """What the loops of a process wait for, as its lag monitor found it. Looking it up sends no request."""

    def __init__(self, monitor: LagMonitor, clock: Clock) -> None:
        self._monitor = monitor
        self._clock = clock

    def kafka(self) -> Iterator[Reason]:
        """What does not answer."""
        silent_s = self._clock.monotonic_s() - self._monitor.answered_s
        if self._monitor.found is None:
            yield Reason(WaitsFor.KAFKA, "Kafka has not answered yet")
        elif silent_s > ANSWERED_WITHIN_S:
            yield Reason(WaitsFor.KAFKA, f"Kafka has not answered for {silent_s:.0f} s")
        elif silent := self._lasting(self._monitor.silent_since_s):
            why = self._monitor.found.unanswered
            named = "; ".join(f"{_name(at)}: {why.get(at, 'it does not answer')}" for at in silent)
            yield Reason(WaitsFor.KAFKA, f"not every partition answers: {named}")

    def partitions(self, readers: Iterable[Reader]) -> Iterator[Reason]:
        """Partitions without a reader, as far as it can be known. A member of a group without partitions stands by if
        others hold them all.
        """
        for reader in readers:
            if reader.group is not None and not (reader.progress.is_member or reader.progress.held):
                yield Reason(WaitsFor.PARTITIONS, f"it is not a member of group {reader.group} yet")
            elif unheld := self._lasting(self._monitor.unheld_since_s(reader)):
                by = "this process does not read" if reader.group is None else f"no member of {reader.group} reads"
                yield Reason(WaitsFor.PARTITIONS, f"{by} {', '.join(map(_name, unheld))}")

    def steps(self, readers: Iterable[Reader]) -> Iterator[Reason]:
        """Loops that stand still."""
        for reader in readers:
            stepped_s = reader.progress.stepped_s
            if stepped_s is not None and (busy_s := self._clock.monotonic_s() - stepped_s) > STEP_WITHIN_S:
                yield Reason(
                    WaitsFor.STEP, f"the loop that reads {', '.join(reader.topics)} has not moved for {busy_s:.0f} s"
                )

    def _lasting(self, since_s: Mapping[TopicPartition, float]) -> list[TopicPartition]:
        """Those that are so for longer than an election or a rebalance takes."""
        now_s = self._clock.monotonic_s()
        return sorted(at for at, began_s in dict(since_s).items() if now_s - began_s > ANSWERED_WITHIN_S)


def _name(at: TopicPartition) -> str:
    return f"{at.topic}[{at.partition}]"
