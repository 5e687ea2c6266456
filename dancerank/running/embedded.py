"""The whole system in one process, on the embedded broker or any other Kafka."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

from dancerank.processes import Processes
from dancerank.running.replica import Replica
from dancerank.settings import Settings
from dancerank.uploads import send_upload
from ranking.scores.observations import Observations
from ranking.serving.service import RankingService
from ranking.views.loop import ViewLoop
from schemas.codec import decode
from schemas.errors import FinalError
from schemas.events import PoolDecision, UploadEvent
from schemas.ports import ModelRuntime, OutgoingRecord, Record, TopicPartition
from streamer.pipeline import Streamer
from transport.connection import KafkaConnection
from transport.dead_letter import dead_letter_topic
from transport.kafka_sink import KafkaSink
from transport.kafka_source import KafkaSource

_POLL_S: Final = 0.1
_NO_PROGRESS_S: Final = 60.0
_IDLE_STEPS: Final = 60
"""Steps of a loop in which it would have found what there is, on a machine that is as slow as it likes."""
_HANGS_S: Final = 600.0
"""No step takes so long."""


class NoProgress(FinalError):
    """The embedded system read and wrote nothing more while something was still expected of it."""

    code = "no_progress"
    remedy = "See the log above the message; report it as a defect if the machine was not busy or out of memory."


@dataclass(frozen=True)
class EmbeddedSystem:
    """A running system. ``uploads`` is a sink of the uploads topic; its flush makes them visible."""

    settings: Settings
    connection: KafkaConnection
    uploads: KafkaSink
    replica: Replica
    runtime: ModelRuntime
    streamer: Streamer
    streaming: Future[None]

    @property
    def service(self) -> RankingService:
        """What answers questions."""
        return self.replica.service

    def await_ready(self) -> None:
        """Wait until the streamer has its partitions and both views have read the log to its end."""
        while not (self.streamer.is_reading and all(thread.loop.caught_up for thread in self.replica.loops)):
            self.raise_failures()
            time.sleep(_POLL_S)

    def send(self, uploads: Iterable[UploadEvent]) -> int:
        """Send uploads and wait until the broker has them; returns how many."""
        count = 0
        for upload in uploads:
            send_upload(self.uploads, self.settings.streamer.uploads_topic, upload)
            count += 1
        self.uploads.flush(self.settings.streamer.flush_timeout_s)
        return count

    def send_raw(self, key: str, value: bytes) -> None:
        """Send what may be no upload at all."""
        self.uploads.send(OutgoingRecord(self.settings.streamer.uploads_topic, key.encode(), value))

    def await_clips(self, clips: int, on_progress: Callable[[int], object] = lambda _: None) -> None:
        """Wait until both views hold ``clips`` clips, calling ``on_progress`` with how many they hold.

        Raises what ended the streamer or a loop, and ``NoProgress`` if nothing moves, though every loop looks for
        records.
        """
        held, patience = -1, _Patience(self)
        while held < clips:
            before = held
            held = min(self.replica.index.clips(), sum(self.replica.store.generations().values()))
            if held > before:
                on_progress(held)
            patience.check(held, f"only {held} of {clips} clips became retrievable")
            time.sleep(_POLL_S)

    def raise_failures(self) -> None:
        if self.streaming.done():
            self.streaming.result()
        for loop in self.replica.loops:
            if loop.failure is not None:
                raise loop.failure

    def await_decisions(self, clips: int) -> list[PoolDecision]:
        """All decisions of the traffic pools on their topic, once ``clips`` clips were decided about."""
        with closing(KafkaSource(self.connection, [self.settings.pools.decisions_topic], group=None)) as source:
            decisions: dict[tuple[str, int], PoolDecision] = {}
            patience, expected = _Patience(self), -1
            while len({clip_id for clip_id, _ in decisions}) < clips or len(decisions) < expected:
                for record in source.poll(max_records=500, timeout_s=_POLL_S):
                    decision = decode(record.value, PoolDecision)
                    decisions[decision.clip_id, decision.number] = decision
                expected = self.service.pools().decisions
                patience.check(len(decisions), f"only {len(decisions)} decisions of the pools arrived")
        return list(decisions.values())

    def await_observed(self, clips: int) -> None:
        """Wait until the pools know how ``clips`` clips were received."""
        patience, observations = _Patience(self), Observations(self.replica.database)
        while (known := sum(1 for _ in observations.clips())) < clips:
            patience.check(known, f"only {known} of {clips} observations were read")
            time.sleep(_POLL_S)

    def dead_letters(self, count: int) -> list[Record]:
        """Wait for ``count`` dead letters of the uploads topic and return them."""
        topic = dead_letter_topic(self.settings.streamer.uploads_topic)
        records: list[Record] = []
        patience = _Patience(self)
        with closing(KafkaSource(self.connection, [topic], group=None)) as source:
            while len(records) < count:
                records += source.poll(max_records=count - len(records), timeout_s=0.5)
                patience.check(len(records), f"only {len(records)} of {count} dead letters arrived on {topic}")
        return records


class _Patience:
    """Waits for as long as a count, or the position of any loop, grows."""

    def __init__(self, system: EmbeddedSystem) -> None:
        self._system = system
        self._loops: tuple[Streamer | ViewLoop[Any], ...] = (
            system.streamer,
            *(thread.loop for thread in system.replica.loops),
        )
        self._most, self._since_s = -1, 0.0
        self._positions: dict[tuple[int, TopicPartition], int] = {}
        self._steps: list[int] = []

    def check(self, count: int, problem: str) -> None:
        """Raise what ended the streamer or a loop; ``NoProgress`` if nothing has grown for a minute in which each loop
        has taken so many steps that it would have. One that is interrupted, or hangs in a step, takes none.
        """
        self._system.raise_failures()
        now_s = time.monotonic()
        if self._has_grown(count):
            self._since_s, self._steps = now_s, [loop.progress.steps for loop in self._loops]
        elif now_s - self._since_s > _NO_PROGRESS_S and all(map(self._found_nothing, self._loops, self._steps)):
            waits = "; ".join(said for loop in self._loops if (said := loop.waiting_for) is not None)
            raise NoProgress(
                f"{problem}, and no progress was made for {now_s - self._since_s:.0f} s" + (waits and f": {waits}")
            )

    def _has_grown(self, count: int) -> bool:
        before, self._most = self._most, max(self._most, count)
        positions = {
            (number, at): position
            for number, loop in enumerate(self._loops)
            for at in loop.progress.held
            if (position := loop.progress.position(at)) is not None
        }
        grown = {key: position for key, position in positions.items() if position > self._positions.get(key, -1)}
        self._positions |= grown
        return count > before or bool(grown)

    def _found_nothing(self, loop: Streamer | ViewLoop[Any], steps_before: int) -> bool:
        stepped_s = loop.progress.stepped_s
        hangs = stepped_s is not None and time.monotonic() - stepped_s > _HANGS_S
        return hangs or loop.waiting_for is not None or loop.progress.steps - steps_before >= _IDLE_STEPS


@contextmanager
def run_embedded(processes: Processes, *, with_pools: bool = False) -> Iterator[EmbeddedSystem]:
    """Run streamer, both views and, if asked for, the traffic pools on threads until the context ends; all drain and
    commit.
    """
    stop = threading.Event()
    processes.create_topics()
    with ExitStack() as stack:
        replica = stack.enter_context(processes.replica(with_rank=True, with_pools=with_pools))
        runtime = stack.enter_context(processes.runtime())
        streamer = stack.enter_context(processes.streamer(runtime))
        pool = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="streamer"))
        stack.callback(stop.set)
        uploads = stack.enter_context(closing(KafkaSink(processes.connection)))
        streaming = pool.submit(streamer.run, stop)
        yield EmbeddedSystem(processes.settings, processes.connection, uploads, replica, runtime, streamer, streaming)
