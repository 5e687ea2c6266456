"""The loop that keeps a view: records of topics into what they change."""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from ranking.views.log_records import positions_after
from schemas.clock import Clock
from schemas.codec import peek_clip_id
from schemas.errors import RetriableError, SnapshotNotWritten, TransportError
from schemas.observation import Observer
from schemas.ports import Record, RecordSink, RecordSource, Refusal, TopicPartition, View
from transport.dead_letter import dead_letter, send_dead_letter

log = logging.getLogger(__name__)

Entry = TypeVar("Entry")
Reader = Callable[[Iterable[Record]], tuple[list[Entry], list[Refusal]]]
"""Records into what a view applies, or into what is wrong with them."""

TOMBSTONE: Final = "tombstone"


class LoopSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How the loop reads and how patient it is.

    ``commits`` tells Kafka how far the view is, at most every ``commit_interval_s``, which only lag tools read; a
    source without a group cannot. A retriable error of the view is tried again ``attempts`` times, waiting from
    ``retry_wait_s`` up to ``retry_wait_max_s``.
    """

    max_records: int = 500
    poll_timeout_s: float = 0.5
    flush_timeout_s: float = 30.0
    commits: bool = True
    commit_interval_s: float = 0.0
    maintenance_interval_s: float = 60.0
    attempts: int = 8
    retry_wait_s: float = 0.2
    retry_wait_max_s: float = 10.0


class StoredPositions:
    """``schemas.ports.RebalanceListener`` for the loop's source: the view knows where to continue, not Kafka."""

    def __init__(self, view: View[Any]) -> None:
        self._view = view

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """A view without a position begins at the beginning, whatever the group has committed for another database."""
        return {**dict.fromkeys(partitions, 0), **self._view.positions(partitions)}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Nothing is under way: a batch is applied whole between two polls."""


class ViewLoop(Generic[Entry]):
    """Keeps one view up to date: read, apply, put aside what cannot be applied, commit.

    The order matters: dead letters are safe before the view's position passes an unreadable record, and the view's
    own position, stored with its data, is the one that counts. A crash anywhere repeats work and changes nothing. The
    source has to be built with ``StoredPositions(view)``; the loop closes it. ``read`` makes entries of records.
    ``maintenance`` is what the view needs from time to time: a snapshot, a round of the pools. ``reopen`` gives another
    source after an error that may be over by itself; without it such an error ends the loop, as others do. Views that
    every replica builds from the whole log have no ``dead_letters``: the one shared view puts a bad record aside, the
    replicas only report that they skipped it.
    """

    def __init__(
        self,
        source: RecordSource,
        view: View[Entry],
        read: Reader[Entry],
        dead_letters: RecordSink | None,
        observer: Observer,
        clock: Clock,
        settings: LoopSettings | None = None,
        *,
        maintenance: Callable[[], object] | None = None,
        reopen: Callable[[], RecordSource] | None = None,
    ) -> None:
        self._source = source
        self._reopen = reopen
        self._view = view
        self._read = read
        self._dead_letters = dead_letters
        self._observer = observer
        self._clock = clock
        self._settings = settings or LoopSettings()
        self._maintenance = maintenance
        self._maintained_at_s = clock.monotonic_s()
        self._started_ms = clock.now_ms()
        self._last_read_ms: dict[TopicPartition, int] = {}
        self._uncommitted: dict[TopicPartition, int] = {}
        self._committed_at_s = float("-inf")
        self._targets: dict[TopicPartition, int] | None = None
        self._stop = threading.Event()
        self._waits_for: RetriableError | None = None

    @property
    def waiting_for(self) -> str | None:
        """What it cannot go on without; ``None`` while it works, or has nothing to do."""
        if self._waits_for is not None:
            return f"{self._waits_for} ({self._waits_for.code})"
        return "Kafka does not answer" if self._source.is_unreachable else None

    @property
    def caught_up(self) -> bool:
        """Whether the view holds all that the log held when the loop first had partitions. Once true, it stays so."""
        return self._targets == {}

    def run(self, stop: threading.Event) -> None:
        """Until ``stop`` is set: finish the batch, do the maintenance, close the source.

        Errors end it too, but for a snapshot that could not be written, and for what may be over by itself: a broker or
        database that does not answer is waited for, and the view goes on from its own positions. If ``stop`` is set
        while it waits, the batch is left to the next start.
        """
        self._stop = stop
        try:
            while not stop.is_set():
                try:
                    self.step()
                    if self._source.assignment():
                        self._waits_for = None
                    self._maintain_if_due()
                except RetriableError as error:
                    if self._reopen is None:
                        raise
                    if stop.is_set():
                        log.warning(
                            "%s (%s); stopping, the next start begins from the view's positions", error, error.code
                        )
                    else:
                        self._reconnect(error, self._reopen, stop)
            self._maintain()
        finally:
            self._source.close()

    def _reconnect(self, error: RetriableError, reopen: Callable[[], RecordSource], stop: threading.Event) -> None:
        """Connect anew as soon as that works, with longer and longer waits."""
        log.warning("%s (%s); beginning again from the view's positions", error, error.code)
        self._observer.interrupted(error.code)
        self._waits_for = error
        self._close_source()
        wait_s = self._settings.retry_wait_s
        while not stop.wait(wait_s):
            wait_s = min(2 * wait_s, self._settings.retry_wait_max_s)
            try:
                self._source = reopen()
            except TransportError as failure:
                self._waits_for = failure
                log.warning("%s", failure)
            else:
                return

    def _close_source(self) -> None:
        try:
            self._source.close()
        except TransportError as error:
            log.warning("%s", error)

    def step(self) -> int:
        """One batch, poll to commit; returns how many records it had."""
        records = self._source.poll(max_records=self._settings.max_records, timeout_s=self._settings.poll_timeout_s)
        if records:
            entries, unreadable = self._read(self._without_tombstones(records))
            self._put_aside(unreadable)
            self._put_aside(self._applied(entries, positions_after(records)))
            self._commit(positions_after(records))
        self._report(records)
        self._approach_targets()
        return len(records)

    def _without_tombstones(self, records: Sequence[Record]) -> list[Record]:
        """A null value is how a compacted topic forgets a key: no event, and nothing wrong with it."""
        for record in records:
            if record.value is None:
                self._observer.skipped(record.topic, TOMBSTONE)
        return [record for record in records if record.value is not None]

    def _applied(self, entries: Sequence[Entry], positions: Mapping[TopicPartition, int]) -> Sequence[Refusal]:
        """What the view refused. Raises its error if that lasts for all attempts, or until the loop has to stop."""
        started_s, wait_s = self._clock.monotonic_s(), self._settings.retry_wait_s
        attempt = 1
        while True:
            try:
                refused = self._view.apply(entries, positions)
            except RetriableError as error:
                if attempt >= self._settings.attempts:
                    raise
                self._waits_for = error
                log.warning("attempt %d failed, the next is in %.1f s: %s (%s)", attempt, wait_s, error, error.code)
                if self._stop.wait(wait_s):
                    raise
                attempt, wait_s = attempt + 1, min(2 * wait_s, self._settings.retry_wait_max_s)
            else:
                break
        self._observer.stage_timed("apply", self._clock.monotonic_s() - started_s)
        return refused

    def _put_aside(self, refused: Sequence[Refusal]) -> None:
        """Return once the dead letters are safe."""
        for record, error in refused:
            log.warning("%s:%d@%d put aside: %s", record.topic, record.partition, record.offset, error)
        if self._dead_letters is None:
            for record, error in refused:
                self._observer.skipped(record.topic, error.code)
            return
        for record, error in refused:
            clip_id = peek_clip_id(record.value)
            letter = dead_letter(record, error, clip_id=clip_id, failed_at_ms=self._clock.now_ms())
            send_dead_letter(self._dead_letters.send, letter)
        if refused:
            self._dead_letters.flush(self._settings.flush_timeout_s)
        for record, error in refused:
            self._observer.dead_lettered(record.topic, error.code)

    def _commit(self, positions: Mapping[TopicPartition, int]) -> None:
        if not self._settings.commits:
            return
        self._uncommitted |= positions
        now_s = self._clock.monotonic_s()
        if now_s - self._committed_at_s < self._settings.commit_interval_s:
            return
        held = {at: offset for at, offset in self._uncommitted.items() if at in self._source.assignment()}
        self._committed_at_s, self._uncommitted = now_s, {}
        try:
            self._source.commit(held)
        except TransportError as error:
            # The view's own positions count; the next commit tells Kafka the same and more.
            log.warning("offsets not committed: %s", error)

    def _maintain_if_due(self) -> None:
        now_s = self._clock.monotonic_s()
        if now_s - self._maintained_at_s >= self._settings.maintenance_interval_s:
            self._maintain()
            self._maintained_at_s = now_s

    def _maintain(self) -> None:
        if self._maintenance is None:
            return
        try:
            self._maintenance()
        except SnapshotNotWritten as error:
            # The view answers without a snapshot, only the next start takes longer; the next interval tries again.
            log.warning("no snapshot was written: %s", error)
            self._observer.snapshot_failed()

    def _report(self, records: Sequence[Record]) -> None:
        for topic, count in Counter(record.topic for record in records).items():
            self._observer.consumed(topic, count)
        self._last_read_ms |= {record.topic_partition: record.timestamp_ms for record in records}
        lags, now_ms = self._source.lag(), self._clock.now_ms()
        for at, behind in lags.items():
            age_ms = now_ms - self._last_read_ms.setdefault(at, self._started_ms)
            self._observer.lag(at, behind, max(0, age_ms) / 1000 if behind else 0.0)
        for given_up in self._last_read_ms.keys() - self._source.assignment():
            # Another member has it now; the last value reported here would stand for ever.
            self._observer.lag(given_up, 0, 0.0)
            del self._last_read_ms[given_up]

    def _approach_targets(self) -> None:
        if self.caught_up:
            return
        assigned = self._source.assignment()
        if self._targets is None:
            if not assigned:
                return
            self._targets = dict(self._source.end_offsets())
        lags, positions = self._source.lag(), self._view.positions(self._targets)
        # The end may lie past the last record: transaction markers take offsets too. Nothing left to read is enough.
        self._targets = {
            at: end
            for at, end in self._targets.items()
            if at in assigned and positions.get(at, 0) < end and lags.get(at) != 0
        }


class LoopThread:
    """Runs a loop beside the HTTP server. ``failure`` is the error that ended it, if one did."""

    def __init__(self, loop: ViewLoop[Any], *, name: str) -> None:
        self.loop = loop
        self.failure: BaseException | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

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
