"""Live events over HTTP: server-sent events, for any number of clients up to a limit, at no cost of a slow one."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

from fastapi import FastAPI, Header, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.types import Receive, Scope, Send

from ranking.serving.api.description import documented
from ranking.serving.api.errors import RETRY_AFTER_S, refusal_answer
from ranking.serving.api.guard import IS_STILL_ALLOWED
from ranking.serving.api.parameters import Identifier
from ranking.serving.api.refusals import TOO_MANY_LISTENERS
from ranking.serving.api.request_line import HEADERS_ONLY
from ranking.serving.identifiers import check_identifier
from ranking.serving.live.broadcast import SKIPPED, Broadcast, Listener, Taken, TooManyListeners
from schemas.errors import NotServedHere
from schemas.observation import Observer

HEARTBEAT_S: Final = 15.0
"""Seconds after which a line without meaning keeps the connection open, for proxies cut those that are silent."""
PACE_S: Final = 0.2
"""Between two lots of events, so that a burst goes out in few pieces."""
_BEGIN: Final = b"retry: 3000\n: events follow\n\n"
_HEARTBEAT: Final = b":\n\n"
_HEADERS: Final = {
    "Content-Type": "text/event-stream; charset=utf-8",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",
}
_ANSWER: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Events without end, as the HTML standard's server-sent events.",
        "content": {
            "text/event-stream": {
                "schema": {"type": "string"},
                "example": (
                    'id: 5f1c09ab-17\nevent: clip\ndata: {"clip_id":"clip-000017","challenge_id":"challenge-2",'
                    '"dancer_id":"dancer-03","generation":"0b5036af6eca00e9","score":0.61,"outside_training":false,'
                    '"scored_at_ms":1767225600000}\n\n'
                ),
            }
        },
    }
}


class EventParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    challenge: Annotated[Identifier | None, Field(description="Only events about clips of this challenge.")] = None


def add_events(app: FastAPI, broadcast: Broadcast | None, observer: Observer) -> None:
    """The path of live events; without a ``broadcast`` there are none here."""

    @app.get("/v1/events", tags=["live"], response_class=Response, responses={**_ANSWER, **documented(422, 503)})
    async def events(
        asked: Annotated[EventParameters, Query()],
        last_event_id: Annotated[
            str | None, Header(description="Continue after the event of this `id`.", max_length=64)
        ] = None,
    ) -> Response:
        """What is scored and decided from now on, as server-sent events, until the client leaves.

        `clip`: a clip was scored and can be found. `decision`: the traffic pools decided about a clip; its data are an
        entry of `/v1/pools/decisions`. `skipped`: this client was too slow for so many `events` of any challenge, or
        `null` where their number is unknown; what it shows should be asked for again.
        """
        if broadcast is None:
            raise NotServedHere("there are no live events here; ask a serving process")
        if asked.challenge is not None:
            check_identifier("challenge", asked.challenge)
        return EventStream(broadcast, asked.challenge, last_event_id, observer)


class EventStream(Response):
    """The answer to one who listens: it lasts until the client leaves, its key is revoked or the process stops."""

    def __init__(self, broadcast: Broadcast, challenge_id: str | None, last_id: str | None, observer: Observer) -> None:
        super().__init__(headers=_HEADERS)
        del self.headers["content-length"]
        self._broadcast = broadcast
        self._challenge_id = challenge_id
        self._last_id = last_id
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        start = {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        if scope.get(HEADERS_ONLY):
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        try:
            listener = self._broadcast.listen(self._last_id)
        except TooManyListeners:
            self._observer.request_refused(TOO_MANY_LISTENERS.code)
            headers = {"Retry-After": str(RETRY_AFTER_S)}
            message = "as many clients as are allowed listen to live events; try again"
            await refusal_answer(TOO_MANY_LISTENERS, message, headers=headers)(scope, receive, send)
            return
        watching = asyncio.create_task(_close_once_gone(listener, receive))
        try:
            await send(start)
            async for part in self._parts(listener, scope):
                await send({"type": "http.response.body", "body": part, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            watching.cancel()
            listener.close()

    async def _parts(self, listener: Listener, scope: Scope) -> AsyncIterator[bytes]:
        yield _BEGIN
        is_allowed = scope.get(IS_STILL_ALLOWED)
        while (taken := await listener.take(self._challenge_id, HEARTBEAT_S)) is not None:
            if is_allowed is not None and not is_allowed():
                return
            yield self._written(taken) or _HEARTBEAT
            await asyncio.sleep(PACE_S)

    def _written(self, taken: Taken) -> bytes:
        parts = []
        if taken.skipped != 0:
            skipped = "null" if taken.skipped is None else str(taken.skipped)
            parts.append(f'event: {SKIPPED}\ndata: {{"events":{skipped}}}\n\n'.encode())
        for number, event in taken.events:
            head = f"id: {self._broadcast.identified(number)}\nevent: {event.name}\ndata: ".encode()
            parts.append(head + event.content + b"\n\n")
        return b"".join(parts)


async def _close_once_gone(listener: Listener, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    listener.close()
