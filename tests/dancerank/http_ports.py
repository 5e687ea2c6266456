"""Both HTTP servers on ports, and raw exchanges with them."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from dancerank.listening import ConnectionLimits, answer_on_thread, bound
from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app
from ranking.serving.api.process_app import create_process_app
from ranking.serving.service import RankingService
from schemas.observation import Observer

WITHIN_S: Final = 20.0
Render = Callable[[], tuple[str, bytes]]


class Refusals(Observer):
    def __init__(self) -> None:
        self.codes: list[str] = []

    def request_refused(self, reason: str) -> None:
        self.codes.append(reason)


@dataclass
class Port:
    """``path``: one that answers GET. ``refused``: the codes that were counted."""

    address: tuple[str, int]
    path: bytes
    refused: list[str] = field(default_factory=list)


def rendered() -> tuple[str, bytes]:
    return "text/plain", b"metric 1\n"


@contextmanager
def api_port(limits: ConnectionLimits, render: Render = rendered) -> Iterator[Port]:
    """The API of ``serve``, with an empty database."""
    observer = Refusals()
    app = create_app(RankingService(ScoreStore(Database("sqlite://"))), render)
    with _answering(app, limits, observer) as address:
        yield Port(address, b"/v1/challenges", observer.codes)


@contextmanager
def process_port(limits: ConnectionLimits, render: Render = rendered) -> Iterator[Port]:
    """``/metrics`` and readiness of ``stream``, ``rank`` and ``pools run``."""
    observer = Refusals()
    with _answering(create_process_app(render, tuple, Observer()), limits, observer) as address:
        yield Port(address, b"/metrics", observer.codes)


@contextmanager
def _answering(app: object, limits: ConnectionLimits, observer: Observer) -> Iterator[tuple[str, int]]:
    with bound("127.0.0.1", 0) as taken:
        stop = answer_on_thread(app, taken, limits=limits, observer=observer)
        try:
            yield taken.getsockname()
        finally:
            stop()


def exchange(address: tuple[str, int], sent: bytes) -> bytes:
    """All that is answered until the server closes the connection."""
    with socket.create_connection(address, timeout=WITHIN_S) as connection:
        connection.sendall(sent)
        return received(connection)


def received(connection: socket.socket) -> bytes:
    parts = []
    connection.settimeout(WITHIN_S)
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def status_and_error(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    error = json.loads(body)["error"]
    assert error.keys() == {"code", "message", "parameter"}
    assert error["message"]
    return int(head.split()[1]), error["code"]
