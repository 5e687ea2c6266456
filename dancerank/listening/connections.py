"""Connections of clients, each bounded: in the time that its requests and answers take, and in number."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, ClassVar, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from dancerank.listening.framing import Problem, StrictConnection
from ranking.serving.api.errors import RETRY_AFTER_S, refusal_answer
from ranking.serving.api.file_paths import FILE_PATHS
from ranking.serving.api.refusals import REQUEST_TIMEOUT, TOO_MANY_CONNECTIONS

_LINGER_S: Final = 1.0
"""How long what a refused client still sends is read and dropped: a reset would take the answer from it."""
_requests_log: Final = logging.getLogger(f"{__name__}.requests")
_requests_log.setLevel(logging.ERROR)  # refused requests are counted; a client must not fill the log


@dataclass(frozen=True, kw_only=True)
class ConnectionLimits:
    """``header_timeout_s``: for a request's line and headers, from the first byte, or from the start of the connection.

    ``body_timeout_s``: for its body, ``file_timeout_s`` for one that is a file. ``response_timeout_s``: for a client to
    take what was written to it. ``idle_timeout_s``: between an answer and the next request. ``connections``: in all.
    """

    header_timeout_s: float = 5.0
    body_timeout_s: float = 10.0
    file_timeout_s: float = 120.0
    response_timeout_s: float = 30.0
    idle_timeout_s: float = 5.0
    connections: int = 512


class BoundedConnection(H11Protocol):
    """One client. What is slow, ambiguous or too many is refused with the error that every path has, and closed."""

    limits: ClassVar[ConnectionLimits]
    refused: ClassVar[Callable[[str], None]]

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.conn = self._strict = StrictConnection()
        self.logger = _requests_log
        self.timeout_keep_alive = self.limits.idle_timeout_s  # type: ignore[assignment] # uvicorn passes it to call_later
        self._arrival: asyncio.TimerHandle | None = None
        self._arriving: tuple[object, int] | None = None
        self._sending: asyncio.TimerHandle | None = None
        self._received = self._closing = False
        self._since_s = self.loop.time()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as in uvicorn
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that every byte that a client does not take is waited for
        self._watch_arrival()
        if len(self.connections) > self.limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        self._closing = True
        for timer in (self._arrival, self._sending):
            if timer is not None:
                timer.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._closing:
            return
        self._received = True
        super().data_received(data)
        self._watch_arrival()

    def on_response_complete(self) -> None:
        self._received = bool(self.conn.trailing_data[0])
        self._since_s = self.loop.time()
        super().on_response_complete()
        if self._received:
            self._unset_keepalive_if_required()
        self._watch_arrival()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._sending is None:
            self._sending = self.loop.call_later(self.limits.response_timeout_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def shutdown(self) -> None:
        if self._closing:
            self.transport.abort()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Called for what ``StrictConnection`` raises; ``msg`` is the same for all."""
        del msg
        self._refuse(self._strict.problem)

    def _should_upgrade(self) -> bool:
        return False  # RFC 9110 §7.8: an upgrade that is not supported is ignored

    @property
    def _is_answered(self) -> bool:
        """Whether a request has arrived as a whole and its answer is not complete."""
        arrived = self.conn.their_state not in (h11.IDLE, h11.SEND_BODY)
        return arrived and self.cycle is not None and not self.cycle.response_complete

    @property
    def _body_timeout_s(self) -> float:
        is_file = self.scope is not None and self.scope["path"] in FILE_PATHS
        return self.limits.file_timeout_s if is_file else self.limits.body_timeout_s

    def _watch_arrival(self) -> None:
        """Set the time by which what has begun to arrive has to be there."""
        state = self.conn.their_state
        begun = state is h11.SEND_BODY or (state is h11.IDLE and (self._received or self.cycle is None))
        arriving = (state, id(self.cycle)) if begun and not self._closing else None
        if arriving == self._arriving:
            return
        self._arriving = arriving
        if self._arrival is not None:
            self._arrival.cancel()
            self._arrival = None
        if arriving is not None:
            within_s = self._body_timeout_s if state is h11.SEND_BODY else self.limits.header_timeout_s
            self._since_s = self.loop.time()
            self._arrival = self.loop.call_later(within_s, self._too_slow, within_s)

    def _too_slow(self, within_s: float) -> None:
        if self._received:
            self._refuse(Problem(REQUEST_TIMEOUT, f"the request did not arrive within {within_s:g} s"))
        else:
            self._closing = True
            self.transport.abort()

    def _make_room(self) -> None:
        """Close the connection that has waited longest for a request, or this one if all are being answered."""
        others = [each for each in self.connections if isinstance(each, BoundedConnection) and each is not self]
        waiting = [each for each in others if not each._is_answered]
        if waiting:
            oldest = min(waiting, key=lambda each: each._since_s)
            self.connections.discard(oldest)
            oldest._closing = True
            oldest.transport.abort()
        else:
            self._refuse(Problem(TOO_MANY_CONNECTIONS, "too many requests are being answered; try again"))

    def _refuse(self, problem: Problem) -> None:
        """Answer with an error where no answer has begun, then close."""
        self._closing = True
        type(self).refused(problem.refusal.code)
        unanswered = self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE)
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if not unanswered or self.transport.is_closing():
            self.transport.abort()
            return
        self._watch_arrival()
        self.transport.write(_answer(problem))
        self.transport.write_eof()
        self.flow.resume_reading()
        self._arrival = self.loop.call_later(_LINGER_S, self.transport.abort)


def bounded(limits: ConnectionLimits, refused: Callable[[str], None]) -> type[BoundedConnection]:
    """The class of connections with these ``limits``; ``refused`` is called with the code of each refusal."""
    return type("Connection", (BoundedConnection,), {"limits": limits, "refused": staticmethod(refused)})


def _answer(problem: Problem) -> bytes:
    status = problem.refusal.status
    body = bytes(refusal_answer(problem.refusal, problem.message).body)
    retry = f"Retry-After: {RETRY_AFTER_S}\r\n" if status == HTTPStatus.SERVICE_UNAVAILABLE else ""
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n{retry}Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
