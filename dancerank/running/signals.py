"""How a process is asked to stop: SIGTERM and SIGINT set an event; a second one ends the process at once."""

import logging
import os
import signal
import threading
from types import FrameType
from typing import Final

log = logging.getLogger(__name__)

OVERDUE: Final = 75
"""Exit status of a process that did not end in time: EX_TEMPFAIL, for nothing is lost."""


def stop_on_signals(within_s: float | None = None) -> threading.Event:
    """An event that the first SIGTERM or SIGINT sets. Call on the main thread.

    A process that is still there ``within_s`` seconds later is ended, with a line in its log.
    """
    stop = threading.Event()

    def request_stop(number: int, _: FrameType | None) -> None:
        if stop.is_set():
            end_by_signal(number)
        stop.set()
        if within_s is not None:
            end_within(within_s)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, request_stop)
    return stop


def end_within(seconds: float) -> None:
    """End this process after so many seconds, if it has not ended by then: threads that hang cannot hold it."""
    timer = threading.Timer(seconds, _end, [seconds])
    timer.daemon = True
    timer.start()


def end_by_signal(number: int) -> None:
    """Let a signal have its default effect."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)


def _end(seconds: float) -> None:
    log.critical(
        "still busy %g s after it was asked to stop (server.shutdown_timeout_s): ended. What was not committed is done "
        "again after the next start",
        seconds,
    )
    os._exit(OVERDUE)
