"""Measures the model from time to time, on a thread of its own: a comparison takes seconds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ranking.monitoring.monitor import ModelMonitor


@contextmanager
def measuring(monitor: ModelMonitor, interval_s: float) -> Iterator[ModelMonitor]:
    """Measure after each ``interval_s`` until the context ends; then close the monitor."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(interval_s):
            monitor.measure()

    thread = threading.Thread(target=run, name="model-monitor", daemon=True)
    thread.start()
    try:
        yield monitor
    finally:
        stop.set()
        thread.join()
        monitor.close()
