"""The loop that turns uploads into scored clips."""

import logging
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from schemas.clock import Clock, SystemClock
from schemas.codec import decode_upload, encode
from schemas.errors import DancerankError, MembershipLost, RecordRefused, RetriableError
from schemas.events import ClipScored, VideoFile
from schemas.observation import Observer
from schemas.ports import (
    LogGap,
    OutgoingRecord,
    RebalanceListener,
    Record,
    RecordSource,
    Refusal,
    TopicPartition,
    TransactionalSink,
)
from schemas.questions.readiness import Reason, WaitsFor
from schemas.times import check_time
from streamer.batching import LengthBatcher
from streamer.inference import Inference, Scored
from streamer.intake import Intake
from streamer.offset_tracker import OffsetTracker, Ticket
from streamer.prefetch import Loaded, Prefetcher, Upload
from streamer.scoring import Scorer, ScoringInput, length_in_steps
from streamer.settings import StreamerSettings
from transport.dead_letter import DeadLetterWriter
from transport.reading_progress import ReadingProgress
from transport.reconnecting import Reconnecting, close_quietly

log = logging.getLogger(__name__)

_UNREAD_S: Final = 0.05
"""How long uploads may wait to be read while all that was read is with the networks."""

_EARLIEST_COMMIT: Final = 0.2
"""Share of the interval after which a transaction is written if nothing is in flight that could join it."""

OpenSource = Callable[[RebalanceListener], RecordSource]
OpenSink = Callable[[], TransactionalSink]


class Streamer:
    """Uploads → scored clips, each exactly once: its result, or its dead letter, is written in one transaction with the
    position after it.

    The networks run on ``workers`` threads, files are loaded on the prefetcher's. The calling thread reads, forms
    batches, writes and commits, while the networks work on batches that were formed before. ``open_source`` gets this
    object as the listener of the source that it opens. The streamer closes what it opens, and the prefetcher. With
    ``videos_topic``, uploads with a video are moved there unread, in the same transactions.
    """

    def __init__(
        self,
        settings: StreamerSettings,
        *,
        open_source: OpenSource,
        open_sink: OpenSink,
        prefetcher: Prefetcher,
        scorer: Scorer,
        workers: int = 1,
        videos_topic: str | None = None,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._videos_topic = videos_topic
        self._failure: BaseException | None = None
        self._prefetcher = prefetcher
        self._scorer = scorer
        self._observer = observer or Observer()
        self._clock = clock or SystemClock()
        self._tracker = OffsetTracker()
        self._batcher: LengthBatcher[tuple[Loaded, ScoringInput]] = LengthBatcher(
            max_clips=scorer.most_clips(settings.max_batch_clips),
            max_steps=settings.max_batch_steps,
            max_wait_s=settings.max_batch_wait_s,
            ratio=settings.length_ratio,
        )
        self._inference: Inference[Loaded] = Inference(
            scorer, workers=workers, clock=self._clock, ended=prefetcher.wake
        )
        self._dead_letters = DeadLetterWriter(self._observer, self._clock)
        self.progress: Final = ReadingProgress()
        """How far it has come, for the monitor of its lag."""
        self._intake = Intake(settings.max_in_flight_clips, prefetcher, self._tracker)
        self._draining = False
        self._commit_at_s = self._clock.monotonic_s() + settings.commit_interval_s
        self._reconnecting = Reconnecting(
            self._observer,
            self._clock,
            disconnect=self._discard_in_flight,
            connect=self._connect,
            position="what is committed",
        )
        self._open_source, self._open_sink = open_source, open_sink
        try:
            self._connect()
        except BaseException:
            self._inference.close()
            raise

    def run(self, stop: threading.Event) -> None:
        """Work until ``stop`` is set, then finish what is in flight, commit, and leave the group.

        An outage of the broker or the feature store is waited for: it reconnects and continues from what is committed,
        as it does when its group has given it up. Raises final errors, and those that prevent an orderly end.
        """
        try:
            self._reconnecting.run(self._step, stop)
            self._drain(self._clock.monotonic_s() + self._settings.drain_timeout_s)
            self._commit()
        except MembershipLost as error:
            log.warning("%s; other members will read again what was not written", error)
        finally:
            self.close()

    def fail(self, error: BaseException) -> None:
        """Have ``run`` raise ``error`` at its next step: what works beside it has ended. Called from any thread."""
        self._failure = error

    @property
    def is_reading(self) -> bool:
        """Whether partitions are assigned, so that uploads are read as they come."""
        return bool(self._source.assignment())

    @property
    def interrupted_s(self) -> float:
        """Seconds since it was interrupted; 0 while it works."""
        return self._reconnecting.interrupted_s

    @property
    def waiting_for(self) -> str | None:
        """What it cannot continue without; ``None`` while it works or is idle."""
        return self._reconnecting.waits_for(self._source)

    def store_reasons(self) -> Iterator[Reason]:
        """Whether a feature store has kept a file waiting for longer than it is waited for."""
        silent_s = self._prefetcher.silent_s()
        if silent_s > self._settings.store_patience_s:
            yield Reason(
                WaitsFor.FEATURE_STORE, f"a feature file has been loading for {silent_s:.0f} s; check the feature store"
            )

    def close(self) -> None:
        """Leave without committing. What is in flight is read again by whoever comes next. Idempotent."""
        self._prefetcher.close()
        self._inference.close()
        close_quietly(self._source, self._sink)

    def assigned(self, partitions: frozenset[TopicPartition]) -> Mapping[TopicPartition, int]:
        """Positions are kept in Kafka: every partition starts at its commit."""
        self.progress.assigned(partitions)
        return {}

    def revoked(self, partitions: frozenset[TopicPartition]) -> None:
        """Finish what is in flight, so that the next owner need not do it again, and commit; then let go."""
        try:
            self._drain(self._clock.monotonic_s() + self._settings.drain_timeout_s)
            self._commit()
        finally:
            self._tracker.forget(partitions)
            self.progress.revoked(partitions)

    def dropped(self, gap: LogGap) -> None:
        """Uploads that were dropped are lost; those that are left are scored."""
        log.error(
            "%s; they are not scored. Send the uploads of that time again, and raise retention.ms and retention.bytes "
            "of the topic, so that it keeps records for longer than a streamer may be stopped",
            gap,
        )
        self._observer.records_lost(gap.at, gap.records)

    def _step(self) -> None:
        if self._failure is not None:
            raise self._failure
        moved_s = self._inference.busy_since_s()  # a network that hangs is a loop that stands still
        self.progress.stepped(
            self._clock.monotonic_s() if moved_s is None else moved_s, is_member=self._source.is_member
        )
        if self._intake.is_time_to_read(self._clock.monotonic_s(), is_busy=self._is_busy):
            self._read_uploads()
        if self._source.assignment():
            self._reconnecting.worked()
        self._collect_loaded()
        self._score_batches()
        self._commit_when_due()
        if self._reconnecting.is_waiting and self._is_through():
            self._reconnecting.succeeded()

    @property
    def _is_busy(self) -> bool:
        """Whether clips are being loaded or scored."""
        return bool(self._prefetcher.loading or self._inference.batches)

    def _is_through(self) -> bool:
        """Whether all that is there was read, and nothing of it is in flight or waits for a commit."""
        lags, assigned = self._source.lag(), self._source.assignment()
        busy = self._prefetcher.clips or self._tracker.held
        return not busy and bool(assigned) and lags.keys() == assigned and not any(lags.values())

    def _connect(self) -> None:
        self._sink = self._open_sink()
        try:
            self._source = self._open_source(self)
        except BaseException:
            close_quietly(self._sink)
            raise

    def _discard_in_flight(self) -> None:
        """Disconnect and forget what is in flight; this member or another one reads it again."""
        self._tracker.forget_all()
        self.progress.released()
        self._intake.reconnected()
        close_quietly(self._source, self._sink)

    def _read_uploads(self) -> None:
        most = self._intake.records_to_read(self._source)
        timeout_s = 0.0 if self._is_busy else self._idle_budget_s()
        records = self._source.poll(max_records=most, timeout_s=timeout_s)
        for record in records:
            self._take(record)
        self.progress.read(records)
        if records:
            self._observer.consumed(self._settings.uploads_topic, len(records))
            self._observer.in_flight(self._prefetcher.clips)

    def _take(self, record: Record) -> None:
        ticket = self._tracker.started(record.topic_partition, record.offset, record.next_offset)
        if record.unreadable is not None:
            self._reject(record, ticket, record.unreadable.error)
            return
        try:
            clip = decode_upload(record.value)
            check_time(clip.uploaded_at_ms, self._clock.now_ms(), field="uploaded_at_ms")
        except DancerankError as error:
            self._reject(record, ticket, error)
            return
        if self._videos_topic is not None and isinstance(clip.features, VideoFile):
            self._move(record, ticket, clip.clip_id, self._videos_topic)
        else:
            self._prefetcher.submit(Upload(record, clip, ticket, self._clock.monotonic_s()))

    def _move(self, record: Record, ticket: Ticket, clip_id: str, topic: str) -> None:
        """Write the record to another topic in the transaction that passes it here."""
        moved = OutgoingRecord(topic, record.key, record.value, record.headers, partition_by=clip_id)
        try:
            self._sink.check(moved)
        except RecordRefused as error:
            self._reject(record, ticket, error)
            return
        self._tracker.finished(ticket, moved)

    def _collect_loaded(self, *, patience_s: float = math.inf) -> None:
        """Raises the error of a store that does not answer, once all else is in order and what is done is committed."""
        unanswered: RetriableError | None = None
        patience_s = min(self._idle_budget_s(), patience_s)
        for loaded in self._prefetcher.ready(patience_s, may_be_woken=self._inference.batches > 0):
            upload, outcome = loaded.upload, loaded.outcome
            self._observer.stage_timed("load", loaded.loading_s)
            if not isinstance(outcome, DancerankError):
                if any(modality.has_joints for modality in outcome.frames):
                    self._observer.joints_filled(outcome.filled_joints)
                self._batcher.add((loaded, (upload.clip, outcome)), length_in_steps(outcome), loaded.loaded_at_s)
                continue
            if self._tracker.is_open(upload.ticket):
                if isinstance(outcome, RetriableError):
                    unanswered = unanswered or outcome
                else:
                    self._reject(upload.record, upload.ticket, outcome)
            self._prefetcher.release(upload)
        if unanswered is not None:
            self._commit()
            raise unanswered

    def _batch_cannot_grow(self) -> bool:
        """Whether waiting for company is in vain: no clip can be loaded until some have gone."""
        if self._prefetcher.loading:
            return self._prefetcher.is_stuck
        return self._draining or self._intake.is_paused

    def _idle_budget_s(self) -> float:
        """How long nothing need be done unless a record, features or results arrive."""
        longest_s = self._settings.poll_timeout_s
        if self._tracker.held and not self._prefetcher.clips:
            longest_s = min(longest_s, max(0.0, self._commit_due_s() - self._clock.monotonic_s()))
        if self._inference.batches and not self._prefetcher.loading:
            longest_s = min(longest_s, _UNREAD_S)
        next_due_s = self._batcher.next_due_s()
        if next_due_s is None or not self._inference.has_room:
            return longest_s
        if self._batch_cannot_grow():
            return 0.0
        return min(max(0.0, next_due_s - self._clock.monotonic_s()), longest_s)

    def _score_batches(self) -> None:
        """Begin as many batches as keep the networks busy, and take on what they have done."""
        while self._inference.has_room and self._begin_batch():
            pass
        for scored in self._inference.collect():
            self._take_on(scored)

    def _begin_batch(self) -> bool:
        # One at a time: a batch that has to wait for the networks had better wait where it can still fill.
        now_s = self._clock.monotonic_s()
        for batch in self._batcher.drain(most=1) if self._batch_cannot_grow() else self._batcher.due(now_s, most=1):
            scoring = self._scorer.begin([clip for _, clip in batch.items])
            self._observer.batch_formed(len(batch.items), scoring.steps, scoring.padded_steps)
            for loaded, _ in batch.items:
                self._observer.stage_timed("wait", now_s - loaded.loaded_at_s)
            self._inference.submit([loaded for loaded, _ in batch.items], scoring)
            return True
        return False

    def _take_on(self, scored: Scored[Loaded]) -> None:
        for loaded, result in zip(scored.items, scored.results, strict=True):
            upload = loaded.upload
            if self._tracker.is_open(upload.ticket):
                if isinstance(result, ClipScored):
                    self._publish(upload, result)
                else:
                    self._reject(upload.record, upload.ticket, result)
            self._prefetcher.release(upload)
        self._observer.in_flight(self._prefetcher.clips)

    def _publish(self, upload: Upload, result: ClipScored) -> None:
        topic = self._settings.scored_topic
        scored = OutgoingRecord(topic, result.clip_id.encode(), encode(result), partition_by=result.challenge_id)
        try:
            self._sink.check(scored)
        except RecordRefused as error:
            self._reject(upload.record, upload.ticket, error)
            return
        self._tracker.finished(upload.ticket, scored)
        self._observer.stage_timed("total", self._clock.monotonic_s() - upload.read_at_s)

    def _reject(self, record: Record, ticket: Ticket, error: DancerankError) -> None:
        """Its dead letter is written in the transaction that passes the record."""
        (dead_letter,) = self._dead_letters.write([Refusal(record, error)], self._sink.check)
        self._tracker.finished(ticket, dead_letter)

    def _drain(self, deadline_s: float) -> None:
        """Finish what is in flight; what is not finished by the deadline is left for whoever reads it again."""
        self._draining = True
        while self._prefetcher.clips:
            left_s = deadline_s - self._clock.monotonic_s()
            if left_s <= 0:
                log.warning("%d clips were not finished in time; they will be read again", self._prefetcher.clips)
                break
            self._collect_loaded(patience_s=left_s)
            self._score_batches()
        self._draining = False

    def _commit_due_s(self) -> float:
        """When the next transaction is due; sooner if all that was read is finished, so that none waits in vain."""
        if self._tracker.held and not self._prefetcher.clips:
            return self._commit_at_s - (1 - _EARLIEST_COMMIT) * self._settings.commit_interval_s
        return self._commit_at_s

    def _commit_when_due(self) -> None:
        if self._clock.monotonic_s() >= self._commit_due_s():
            self._commit()
            self._note_progress()

    def _note_progress(self) -> None:
        """Of a partition with records in flight, what is committed counts."""
        busy = self._tracker.uncommitted()
        self.progress.done({at: offset for at, offset in self._source.positions().items() if at not in busy})

    def _commit(self) -> None:
        """Write what is finished up to the lowest unfinished record, and store that position, in one transaction."""
        if positions := self._tracker.committable():
            outputs, started_s = self._tracker.outputs(positions), self._clock.monotonic_s()
            self._sink.commit(outputs, positions, self._source)
            self._tracker.committed(positions)
            if outputs:  # storing where reading began is not progress
                self._reconnecting.succeeded()
            self._observer.stage_timed("publish", self._clock.monotonic_s() - started_s)
            for topic, records in Counter(record.topic for record in outputs).items():
                self._observer.produced(topic, records)
        self._commit_at_s = self._clock.monotonic_s() + self._settings.commit_interval_s
