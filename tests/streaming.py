"""A streamer between an uploads topic and a scored topic in memory, driven by tests."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from schemas.bundle import Bundle
from schemas.codec import decode, encode
from schemas.events import ClipScored, ClipUploaded
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RecordSource, TopicPartition, TransactionalSink
from streamer.assembly import open_streamer
from streamer.pipeline import OpenSource, Streamer
from streamer.settings import StreamerSettings
from transport.dead_letter import dead_letter_topic, reason
from transport.memory import MemoryBroker, MemorySink, MemorySource, MemoryTransactionalSink
from transport.topics import TopicSpec

UPLOADS, SCORED = "clips.uploaded", "clips.scored"
DEAD = dead_letter_topic(UPLOADS)
GROUP = "streamers"
TIMEOUT_S = 60.0


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
    ) -> Streamer:
        return open_streamer(
            settings,
            bundle,
            open_source=open_source or self.open_source,
            open_sink=lambda: sink or MemoryTransactionalSink(self.broker),
            observer=observer,
        )


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


def wait_until(condition: Callable[[], bool], timeout_s: float = TIMEOUT_S) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            raise TimeoutError("the condition was not met in time")
        time.sleep(0.005)


def process(log: Log, streamer: Streamer, settled: int) -> None:
    """Run the streamer until so many uploads have a result or a dead letter, then stop it."""
    with running(streamer):
        wait_until(lambda: log.settled() >= settled)
