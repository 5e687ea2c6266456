"""Publishes decisions on a thread of its own, so that the next batch need not wait for Kafka."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def publishing(publish: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Gives what asks for ``publish`` soon; many at once are one. It is called a last time at the end.

    Whatever it raises is logged: what was not published stays in the database, and the next to ask has it tried again.
    """
    wanted, ended = threading.Event(), threading.Event()

    def run() -> None:
        is_last = False
        while not is_last:
            wanted.wait()
            is_last = ended.is_set()  # asked before, so that what was decided until the end is published
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
