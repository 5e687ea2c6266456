"""Ports that a process listens on: taken early, and a port that cannot be had is an error that names its setting."""

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import uvicorn

from dancerank.settings import ENV_PREFIX
from dancerank.signals import end_by_signal, end_within
from exporters.prometheus import PrometheusObserver
from schemas.errors import ConfigurationError

log = logging.getLogger(__name__)


@contextmanager
def bound(host: str, port: int) -> Iterator[socket.socket]:
    """The port of the API, taken but not answering yet. Raises ``ConfigurationError`` naming ``server.port``."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            raise _not_to_be_had("port", host, port, error) from error
        yield taken


def answer(
    app: Any, taken: socket.socket, on_start: Callable[[], object], shutdown_timeout_s: float | None = None
) -> None:
    """Serve the ASGI ``app`` on the port until SIGINT or SIGTERM; ``on_start`` is called once requests are accepted.

    Requests that are under way at the signal have half of ``shutdown_timeout_s``, then they are cancelled; after all of
    it the process is ended. A second signal ends it at once.
    """
    config = uvicorn.Config(app, log_config=None, server_header=False)
    if shutdown_timeout_s is not None:
        config.timeout_graceful_shutdown = int(shutdown_timeout_s / 2)
    _Server(config, on_start, shutdown_timeout_s).run([taken])


class _Waits(Protocol):
    @property
    def waiting_for(self) -> str | None: ...


class Watched:
    """Whether a process is ready: once it has started, unless the part that works waits for something."""

    def __init__(self) -> None:
        self._part: _Waits | None = None

    def started(self, part: _Waits) -> None:
        """The process has started, and ``part`` does its work."""
        self._part = part

    def waiting(self) -> list[str]:
        if self._part is None:
            return ["it is starting"]
        reason = self._part.waiting_for
        return [] if reason is None else [reason]


@contextmanager
def metrics(observer: PrometheusObserver, host: str, port: int, setting: str) -> Iterator[Watched]:
    """Serve ``/metrics`` and ``/readyz`` of a process that has no HTTP API, on the port that ``setting`` of the group
    gives; 0: none. Report the part that does the work by ``started``.
    """
    watched = Watched()
    if port == 0:
        yield watched
        return
    try:
        stop = observer.start_server(port, host=host, waiting=watched.waiting)
    except OSError as error:
        raise _not_to_be_had(setting, host, port, error, " or 0 for none") from error
    log.info("metrics on http://%s:%d/metrics", host, port)
    try:
        yield watched
    finally:
        stop()


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, on_start: Callable[[], object], shutdown_timeout_s: float | None
    ) -> None:
        super().__init__(config)
        self._on_start = on_start
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


def _not_to_be_had(setting: str, host: str, port: int, error: OSError, otherwise: str = "") -> ConfigurationError:
    return ConfigurationError(
        f"server.{setting} is {port}, which cannot be listened on at {host}: {error.strerror or error}; set another"
        f"{otherwise} (variable {ENV_PREFIX}SERVER__{setting.upper()}), or correct server.host",
        field=f"server.{setting}",
    )
