"""Doing something from time to time, on a thread of its own."""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def every(
    interval_s: float,
    act: Callable[[], object],
    *,
    name: str,
    at_once: bool = False,
    last_call_s: float | None = None,
    finally_do: Callable[[], object] = lambda: None,
) -> Iterator[None]:
    """Call ``act`` after each ``interval_s``, and ``at_once`` if asked to, until the context ends; then wait for it, at
    most ``last_call_s`` seconds if that is given. The thread ends with ``finally_do``.

    Whatever ``act`` raises is logged, and the next interval tries again.
    """
    stop = threading.Event()

    def run() -> None:
        due = at_once
        while due or not stop.wait(interval_s):
            due = False
            try:
                act()
            except Exception:
                log.exception("%s failed; retrying in %g s", name, interval_s)
        finally_do()

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(last_call_s)
