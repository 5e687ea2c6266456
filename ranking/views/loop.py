"""The loop that keeps a view: records of topics into what they change."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, Generic, TypeVar

import msgspec

from ranking.views.catching_up import CatchingUp
from ranking.views.dropped_records import DroppedRecords
from ranking.views.limits import BATCH_RECORDS, FLUSH_TIMEOUT_S
from ranking.views.log_records import positions_after
from schemas.clock import Clock
from schemas.errors import DeletionsLost, KafkaRefused, RetriableError, TransportError
from schemas.observation import Observer
from schemas.ports import LogGap, RebalanceListener, Record, RecordSink, RecordSource, Refusal, TopicPartition, View
from transport.dead_letter import DeadLetterWriter
from transport.reading_progress import ReadingProgress
from transport.reconnecting import Reconnecting, Waits, close_quietly

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")
OpenSource = Callable[[RebalanceListener], RecordSource]
Reader = Callable[[Iterable[Record]], tuple[list[Entry], list[Refusal]]]
"""Records into what a view applies, or into what is wrong with them."""

TOMBSTONE: Final = "tombstone"
_DONE: Final = object()


class LoopOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the loop reads and how patient it is.

    ``commits``: the view's positions are committed to Kafka too, for lag tools; a source without a group cannot. With a
    ``commit_interval_s`` at most that often, and only the last one is waited for. A batch that the view cannot apply
    for now is tried ``attempts`` times before the loop reconnects.
    """

    max_records: int = BATCH_RECORDS
    poll_timeout_s: float = 0.5
    flush_timeout_s: float = FLUSH_TIMEOUT_S
    commits: bool = True
    commit_interval_s: float = 0.0
    maintenance_interval_s: float = 60.0
    attempts: int = 8
    waits: Waits = Waits()


class StoredPositions:
    """``schemas.ports.RebalanceListener`` for the loop's source: the view knows where to continue, not Kafka."""

    def __init__(
        self, view: View[Any], progress: ReadingProgress | None = None, dropped: DroppedRecords | None = None
    ) -> None:
        """``progress`` learns which partitions are held, and where they begin; ``dropped`` decides about gaps."""
        self._view, self._progress = view, progress or ReadingProgress()
        self._dropped = dropped or DroppedRecords(Observer())

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """A view without a position begins at the beginning, whatever the group has committed for another database."""
        self._progress.assigned(partitions)
        positions = {**dict.fromkeys(partitions, 0), **self._view.positions(partitions)}
        self._progress.done(positions)
        return positions

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is under way: a batch is applied whole between two polls."""
        self._progress.revoked(partitions)

    def dropped(self, gap: LogGap) -> None:
        """The view passes the gap at once, so that it is reported once. Raises ``DeletionsLost``."""
        self._dropped.take(gap, is_new=gap.at not in self._view.positions([gap.at]))
        self._view.apply([], {gap.at: gap.start})
        self._progress.done({gap.at: gap.start})


class ViewLoop(Generic[Entry]):
    """Keeps one view up to date: reads, applies, dead-letters what cannot be applied, commits.

    The order matters: dead letters are safe before the view's position passes an unreadable record, and the view's
    own position, stored with its data, is the one that counts. A crash anywhere repeats work and changes nothing.

    ``open_source`` gets the listener that knows the view's positions; the loop closes what it opens, and opens another
    source after an outage. ``read`` makes entries of records. ``maintenance`` is what the view needs from time to time:
    a round of the pools. If it gives parts, there is a batch between one and the next. Views that every replica builds
    from the whole log have no ``dead_letters``: the one shared view dead-letters a bad record, the replicas only report
    that they skipped it.
    """

    def __init__(
        self,
        open_source: OpenSource,
        view: View[Entry],
        read: Reader[Entry],
        dead_letters: RecordSink | None,
        observer: Observer,
        clock: Clock,
        options: LoopOptions | None = None,
        *,
        maintenance: Callable[[], Iterator[None] | None] | None = None,
        dropped: DroppedRecords | None = None,
    ) -> None:
        self._open_source = open_source
        self._view = view
        self._read = read
        self._dead_letters = dead_letters
        self._dead_letter_writer = DeadLetterWriter(observer, clock)
        self.progress: Final = ReadingProgress()
        """How far this loop has come, for the monitor of its lag."""
        self._observer = observer
        self._clock = clock
        self._options = options or LoopOptions()
        self._maintenance = maintenance
        self._dropped = dropped or DroppedRecords(observer)
        self._maintained_at_s = clock.monotonic_s()
        self._under_way: Iterator[None] | None = None
        """What is left of the maintenance that was begun."""
        self._uncommitted: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._committed_at_s = float("-inf")
        self._targets: dict[TopicPartition, int] | None = None
        self._catching_up = CatchingUp(type(view).__name__, clock)
        self._stop = threading.Event()
        self._reconnecting = Reconnecting(
            observer,
            clock,
            disconnect=self._disconnect,
            connect=self._connect,
            position="the view's positions",
            waits=self._options.waits,
        )
        self._connect()

    @property
    def interrupted_s(self) -> float:
        """Seconds since it was interrupted; 0 while it works."""
        return self._reconnecting.interrupted_s

    @property
    def waiting_for(self) -> str | None:
        """What it cannot continue without; ``None`` while it works or is idle."""
        return self._reconnecting.waits_for(self._source)

    @property
    def undecided(self) -> str | None:
        """What an operator has to decide before the view may be used; ``None`` if there is nothing."""
        error = self._reconnecting.error
        return f"{error} ({error.code})" if isinstance(error, DeletionsLost) else None

    @property
    def caught_up(self) -> bool:
        """Whether the view holds all that the log held when the loop first had partitions. Once true, it stays so."""
        return self._targets == {}

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set: finish the batch, do the maintenance, close the source.

        After an outage of the broker or the database it reconnects, and the view continues from its own positions.
        Other errors are raised. If ``stop`` is set during an outage, the batch is left to the next start.
        """
        self._stop = stop
        try:
            self._reconnecting.run(self._work, stop)
            self._maintain()
            self._commit_last()
        finally:
            self._source.close()

    def positions(self, partitions: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Those of the view, which it is asked for. Raises what the view raises."""
        return self._view.positions(partitions)

    def _disconnect(self) -> None:
        self.progress.released()
        self._uncommitted, self._committed = {}, {}
        close_quietly(self._source)

    def _connect(self) -> None:
        self._source = self._open_source(StoredPositions(self._view, self.progress, self._dropped))

    def _work(self) -> None:
        self.step()
        self._maintain_if_due()
        if self._source.assignment():
            self._reconnecting.succeeded()

    def step(self) -> int:
        """One batch, poll to commit; returns how many records it had."""
        self.progress.stepped(self._clock.monotonic_s(), is_member=self._source.is_member)
        wait_s = self._options.poll_timeout_s if self._under_way is None else 0.0
        records = self._source.poll(max_records=self._options.max_records, timeout_s=wait_s)
        if records:
            self._dead_letter([Refusal(record, record.unreadable.error) for record in records if record.unreadable])
            entries, refused = self._read(self._without_tombstones(records))
            self._dead_letter(refused)
            self._dead_letter(self._applied(entries, positions_after(records)))
        self._commit(positions_after(records))
        self._report(records)
        self._approach_targets()
        return len(records)

    def _without_tombstones(self, records: Sequence[Record]) -> list[Record]:
        """Those that could be read and have a value. A null value is how a compacted topic forgets a key: no event, and
        nothing wrong with it.
        """
        for record in records:
            if record.value is None:
                self._observer.skipped(record.topic, TOMBSTONE)
        return [record for record in records if record.value is not None and record.unreadable is None]

    def _applied(self, entries: Sequence[Entry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        """What the view refused. Raises its error if that lasts for all attempts, or until the loop has to stop."""
        started_s = self._clock.monotonic_s()
        attempt = 1
        while True:
            try:
                refused = self._view.apply(entries, positions)
                break
            except RetriableError as error:
                if attempt >= self._options.attempts or self._reconnecting.wait(error, self._stop):
                    raise
                attempt += 1
        self._observer.stage_timed("apply", self._clock.monotonic_s() - started_s)
        return refused

    def _dead_letter(self, refused: Sequence[Refusal]) -> None:
        """Return once the dead letters are safe."""
        sink = self._dead_letters
        if sink is None:
            self._dead_letter_writer.skip(refused)
        elif refused:
            self._dead_letter_writer.write(refused, sink.send, partial(sink.flush, self._options.flush_timeout_s))

    def _commit(self, positions: Mapping[TopicPartition, int]) -> None:
        if not self._options.commits:
            return
        # Of a partition that has gone, another member says how far it is.
        self._uncommitted, self._committed = self._held({**self._uncommitted, **positions}), self._held(self._committed)
        now_s = self._clock.monotonic_s()
        if not self._uncommitted or now_s - self._committed_at_s < self._options.commit_interval_s:
            return
        due, self._committed_at_s, self._uncommitted = self._uncommitted, now_s, {}
        self._committed |= due
        # The view's own positions count; the next commit tells Kafka the same and more.
        self._commit_held(due, wait=self._options.commit_interval_s == 0.0)

    def _commit_last(self) -> None:
        """At the end, what was not committed yet, or not surely."""
        last = self._held(self._committed | self._uncommitted)
        if last and not self._source.is_unreachable:
            self._commit_held(last, wait=True)

    def _commit_held(self, positions: Mapping[TopicPartition, int], *, wait: bool) -> None:
        try:
            self._source.commit(self._held(positions), wait=wait)
        except (TransportError, KafkaRefused) as error:
            log.warning("offsets not committed: %s", error)

    def _held(self, positions: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
        assigned = self._source.assignment()
        return {at: offset for at, offset in positions.items() if at in assigned}

    def _maintain_if_due(self) -> None:
        """One part of it, if it gives parts."""
        now_s = self._clock.monotonic_s()
        if self._under_way is None:
            if self._maintenance is None or now_s - self._maintained_at_s < self._options.maintenance_interval_s:
                return
            self._maintained_at_s = now_s
            self._under_way = iter(self._maintenance() or ())
        # Without partitions there is nothing to do between its parts, and polls take long: Kafka's group forms.
        while next(self._under_way, _DONE) is not _DONE:
            if self._source.assignment():
                return
        self._under_way = None

    def _maintain(self) -> None:
        """All that is left of it, and once more."""
        begun = () if self._maintenance is None else (self._under_way, self._maintenance())
        for parts in begun:
            for _ in parts or ():
                pass

    def _report(self, records: Sequence[Record]) -> None:
        for topic, count in Counter(record.topic for record in records).items():
            self._observer.consumed(topic, count)
        self.progress.read(records)
        self.progress.done(self._source.positions())

    def _approach_targets(self) -> None:
        if self.caught_up:
            return
        assigned = self._source.assignment()
        if self._targets is None:
            ends = self._source.end_offsets() if assigned else {}
            if not assigned or ends.keys() < assigned:
                return  # also while a partition has no leader, which may hold more
            self._targets = dict(ends)
        lags, positions = self._source.lag(), self._view.positions(self._targets)
        # The end may lie past the last record: transaction markers take offsets too. Nothing left to read is enough.
        self._targets = {
            at: end
            for at, end in self._targets.items()
            if at in assigned and positions.get(at, 0) < end and lags.get(at) != 0
        }
        self._catching_up.report(self._targets, positions)


class LoopThread:
    """Runs a loop beside the HTTP server. ``failure`` is the error that ended it, if one did; ``on_failure`` is called
    with it, on the loop's thread.
    """

    def __init__(
        self, loop: ViewLoop[Any], *, name: str, on_failure: Callable[[Exception], None] | None = None
    ) -> None:
        self.loop = loop
        self.failure: BaseException | None = None
        self._on_failure = on_failure
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Ask the loop to finish its batch and not to begin another."""
        self._stop.set()

    def stop(self, timeout_s: float) -> bool:
        """Ask the loop to finish its batch and wait for it; ``False`` if it is still busy after ``timeout_s``."""
        self._stop.set()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            self.loop.run(self._stop)
        except Exception as error:
            log.exception("the loop %s ended", self._thread.name)
            self.failure = error
            if self._on_failure is not None:
                self._on_failure(error)
