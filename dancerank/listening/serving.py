"""Answering HTTP on a port, on the main thread until a signal or on a thread until stopped."""

import socket
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import uvicorn

from dancerank.listening.connections import ConnectionLimits, bounded
from dancerank.running.signals import end_by_signal, end_within
from schemas.observation import Observer

_STOP_S: Final = 1.0
_BACKLOG: Final = 2048


def answer(
    app: Any,
    taken: socket.socket,
    on_start: Callable[[], object],
    shutdown_timeout_s: float | None = None,
    *,
    limits: ConnectionLimits | None = None,
    observer: Observer | None = None,
    on_stop: Callable[[], object] = lambda: None,
) -> None:
    """Serve the ASGI ``app`` on the port until SIGINT or SIGTERM; ``on_start`` is called once requests are accepted,
    ``on_stop`` once no more are, to end what would not end by itself.

    Requests that are under way at the signal have half of ``shutdown_timeout_s``, then they are cancelled; after all of
    it the process is ended. A second signal ends it at once.
    """
    config = _config(app, limits, observer)
    if shutdown_timeout_s is not None:
        config.timeout_graceful_shutdown = int(shutdown_timeout_s / 2)
    _Server(config, on_start, on_stop, shutdown_timeout_s).run([taken])


def answer_on_thread(
    app: Any, taken: socket.socket, *, limits: ConnectionLimits | None = None, observer: Observer | None = None
) -> Callable[[], None]:
    """Serve ``app`` on a thread; the function that is returned stops it. An answer under way at that time is completed
    by the thread, which does not keep the process alive.
    """
    config = _config(app, limits, observer)
    config.access_log = False
    server = uvicorn.Server(config)
    taken.listen(_BACKLOG)  # whoever connects before the thread runs waits
    thread = threading.Thread(target=server.run, args=([taken],), name="process-http", daemon=True)
    thread.start()

    def stop() -> None:
        server.should_exit = True
        thread.join(_STOP_S)

    return stop


def _config(app: Any, limits: ConnectionLimits | None, observer: Observer | None) -> uvicorn.Config:
    connections = bounded(limits or ConnectionLimits(), (observer or Observer()).request_refused)
    return uvicorn.Config(app, http=connections, ws="none", log_config=None, server_header=False)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        on_start: Callable[[], object],
        on_stop: Callable[[], object],
        shutdown_timeout_s: float | None,
    ) -> None:
        super().__init__(config)
        self._on_start, self._on_stop = on_start, on_stop
        self._shutdown_timeout_s = shutdown_timeout_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            end_by_signal(sig)
        elif self._shutdown_timeout_s is not None:
            end_within(self._shutdown_timeout_s)
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._on_stop()
        await super().shutdown(sockets)
