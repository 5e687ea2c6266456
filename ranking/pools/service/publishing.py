"""Publishes decisions, on a thread of its own, so that the next batch does not wait for Kafka."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ranking.pools.service.store import PoolStore
from schemas.codec import encode
from schemas.errors import RecordRefused, TransportError
from schemas.events import PoolDecision
from schemas.observation import Observer
from schemas.ports import OutgoingRecord, RecordSink

log = logging.getLogger(__name__)

_FLUSH_TIMEOUT_S: Final = 30.0
_RECORDS: Final = 1000


class DecisionPublisher:
    """Sends decisions from the database to their topic, at most ``records`` at a time."""

    def __init__(
        self, store: PoolStore, sink: RecordSink, observer: Observer, topic: str, *, records: int = _RECORDS
    ) -> None:
        self._store = store
        self._sink = sink
        self._observer = observer
        self._topic = topic
        self._records = records

    def publish(self) -> None:
        """Send what was decided and not sent yet. If Kafka is unreachable, it stays in the database until next time."""
        try:
            while (published := self._store.publish(self._deliver, self._records)) is not None and published.is_more:
                pass
        except (TransportError, RecordRefused) as error:
            log.warning("decisions stay in the database until they can be sent: %s", error)

    def _deliver(self, decisions: Sequence[PoolDecision]) -> None:
        for decision in decisions:
            self._sink.send(OutgoingRecord(self._topic, key=decision.clip_id.encode(), value=encode(decision)))
        self._sink.flush(_FLUSH_TIMEOUT_S)
        self._observer.produced(self._topic, len(decisions))


@contextmanager
def publishing(publish: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Gives a function that requests a call of ``publish``; many requests are one call, and the end is a request.

    Whatever it raises is logged: what was not published stays in the database, and the next request retries it.
    """
    wanted, ended = threading.Event(), threading.Event()

    def run() -> None:
        is_last = False
        while not is_last:
            wanted.wait()
            is_last = ended.is_set()  # read before clearing, so that what was decided until the end is published
            wanted.clear()
            try:
                publish()
            except Exception:
                log.exception("decisions are kept until they can be published")

    thread = threading.Thread(target=run, name="publish-decisions", daemon=True)
    thread.start()
    try:
        yield wanted.set
    finally:
        ended.set()
        wanted.set()
        thread.join()
