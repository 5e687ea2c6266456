"""Publishes decisions on a thread of its own, so that the next batch need not wait for Kafka."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from schemas.errors import DancerankError

log = logging.getLogger(__name__)


@contextmanager
def publishing(publish: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Gives what asks for ``publish`` soon; many at once are one. At the end it is called a last time."""
    wanted, ended = threading.Event(), threading.Event()

    def run() -> None:
        while not ended.is_set():
            wanted.wait()
            wanted.clear()
            try:
                publish()
            except DancerankError as error:
                # They stay in the database; the next batch or round asks again.
                log.warning("decisions are kept until they can be published: %s", error)

    thread = threading.Thread(target=run, name="publish-decisions", daemon=True)
    thread.start()
    try:
        yield wanted.set
    finally:
        ended.set()
        wanted.set()
        thread.join()
