"""Access to the API: keys, rate limits and sizes, checked before a request's body is read."""

from dataclasses import dataclass, field
from math import ceil
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ranking.serving.api.description import describe
from ranking.serving.api.errors import RefusedRequest, refusal_answer
from ranking.serving.api.file_paths import FILE_PATHS
from ranking.serving.api.keys import ApiKey, KeyRing
from ranking.serving.api.limits import TokenBucket
from ranking.serving.api.page_routes import PAGE_PATHS
from ranking.serving.api.pages import PAGES
from ranking.serving.api.refusals import (
    EXPECTATION_FAILED,
    NO_KEY,
    RATE_LIMITED,
    TOO_LARGE,
    UNKNOWN_KEY,
    RequestRefusal,
)
from ranking.serving.api.request_line import HeadGuard, TargetGuard
from schemas.clock import Clock, SystemClock
from schemas.observation import Observer
from schemas.questions.scoring import DEFAULT_MAX_FILE_BYTES

DEFAULT_MAX_REQUEST_BYTES: Final = 8 * 1024 * 1024
HEALTH_PATHS: Final = frozenset({"/healthz", "/readyz"})
METRICS_PATH: Final = "/metrics"
_SCHEME: Final = "bearer"
_CHALLENGE: Final = 'Bearer realm="dancerank"'
_NANOSECONDS: Final = 1_000_000_000
_LONGEST_LENGTH: Final = 18
_WITHOUT_BODY: Final = frozenset({"GET", "HEAD"})
IS_STILL_ALLOWED: Final = "dancerank.is_still_allowed"
"""Key of the scope: a function that says whether the key of the request is active at this moment; absent where none is
asked for.
"""
_CLOSE: Final = {"Connection": "close"}
"""Otherwise the server would continue to receive and discard the rest of the body."""


@dataclass(frozen=True, kw_only=True)
class Access:
    """Checks keys, rates and sizes of requests. Without ``keys`` every client may send any number of requests.

    ``requests_per_minute``: the limit of keys that have none of their own; 0: none. ``metrics_are_open``: ``/metrics``
    is answered without a key. ``max_request_bytes``: largest body, and ``max_file_bytes`` where the body is a file.
    """

    keys: KeyRing | None = None
    requests_per_minute: int = 0
    metrics_are_open: bool = False
    max_request_bytes: int = DEFAULT_MAX_REQUEST_BYTES
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
    clock: Clock = field(default_factory=SystemClock)
    observer: Observer = field(default_factory=Observer)


def install_guards(app: FastAPI, access: Access) -> None:
    """Put the guards before every path of ``app``, and describe them. Call once all paths are there."""
    app.add_middleware(BodyGuard, access=access)
    open_paths = HEALTH_PATHS | PAGES | PAGE_PATHS | ({app.openapi_url} if app.openapi_url else set())
    if access.metrics_are_open:
        open_paths |= {METRICS_PATH}
    if access.keys is not None:
        app.add_middleware(KeyGuard, keys=access.keys, access=access, open_paths=open_paths)
    app.add_middleware(TargetGuard, observer=access.observer)
    app.add_middleware(HeadGuard)
    describe(app, open_paths, keys_are_asked_for=access.keys is not None)


class BodyGuard:
    """Answers 413 to a body that is larger than allowed: at once if it says so itself, else where it exceeds.

    Answers 417 to an expectation that is not met.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._max_bytes, self._max_file_bytes = access.max_request_bytes, access.max_file_bytes
        self._observer = access.observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        declared = headers.get("content-length", "")
        most = self._max_file_bytes if scope["path"] in FILE_PATHS else self._max_bytes
        if declared.isdecimal() and (len(declared) > _LONGEST_LENGTH or int(declared) > most):
            self._observer.request_refused(TOO_LARGE.code)
            await refusal_answer(TOO_LARGE, _too_large(most), headers=_CLOSE)(scope, receive, send)
            return
        expected = headers.get("expect", "100-continue")
        if expected.strip().lower() != "100-continue":
            self._observer.request_refused(EXPECTATION_FAILED.code)
            message = "the header Expect may ask for 100-continue only"
            await refusal_answer(EXPECTATION_FAILED, message, headers=_CLOSE)(scope, receive, send)
            return
        await self._app(scope, self._counted(receive, most), send)

    def _counted(self, receive: Receive, most: int) -> Receive:
        received_bytes = 0

        async def receive_counted() -> Message:
            nonlocal received_bytes
            message = await receive()
            received_bytes += len(message.get("body", b""))
            if received_bytes > most:
                self._observer.request_refused(TOO_LARGE.code)
                raise RefusedRequest(TOO_LARGE, _too_large(most), headers=_CLOSE)
            return message

        return receive_counted


class KeyGuard:
    """Answers 401 to a request without an active key, and 429 to one beyond its key's limit.

    Limits are counted in this process: several of them allow as many times as much.
    """

    def __init__(self, app: ASGIApp, keys: KeyRing, access: Access, open_paths: frozenset[str]) -> None:
        self._app = app
        self._keys = keys
        self._per_minute = access.requests_per_minute
        self._clock = access.clock
        self._observer = access.observer
        self._open_paths = open_paths
        self._buckets: dict[ApiKey, TokenBucket] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open_paths:
            await self._app(scope, receive, send)
            return
        secret = _secret(scope)
        refusal = self._refusal(scope, secret)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app({**scope, IS_STILL_ALLOWED: lambda: self._keys.find(secret) is not None}, receive, send)

    def _refusal(self, scope: Scope, secret: str) -> ASGIApp | None:
        if not secret:
            challenge = {"WWW-Authenticate": _CHALLENGE}
            return self._refuse(scope, NO_KEY, "send an API key: Authorization: Bearer KEY", challenge)
        key = self._keys.find(secret)
        if key is None:
            challenge = {"WWW-Authenticate": f'{_CHALLENGE}, error="invalid_token"'}
            return self._refuse(scope, UNKNOWN_KEY, "this API key is not active", challenge)
        if wait_ns := self._take(key):
            wait_s = ceil(wait_ns / _NANOSECONDS)
            message = f"too many requests with this API key; try again in {wait_s} s"
            return self._refuse(scope, RATE_LIMITED, message, {"Retry-After": str(wait_s)})
        return None

    def _refuse(self, scope: Scope, refusal: RequestRefusal, message: str, headers: dict[str, str]) -> ASGIApp:
        self._observer.request_refused(refusal.code)
        if scope["method"] not in _WITHOUT_BODY:
            headers = headers | _CLOSE
        return refusal_answer(refusal, message, headers=headers)

    def _take(self, key: ApiKey) -> int:
        per_minute = key.requests_per_minute or self._per_minute
        if not per_minute:
            return 0
        bucket = self._buckets.get(key)
        if bucket is None:
            active = set(self._keys.keys())
            self._buckets = {other: kept for other, kept in self._buckets.items() if other in active}
            bucket = self._buckets[key] = TokenBucket(per_minute, key.burst or per_minute)
        return bucket.take(round(self._clock.monotonic_s() * _NANOSECONDS))


def _secret(scope: Scope) -> str:
    """The key that a request names; empty without one."""
    sent = Headers(scope=scope).getlist("authorization")
    scheme, _, secret = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    return secret.strip() if scheme.lower() == _SCHEME else ""


def _too_large(most: int) -> str:
    return f"the body exceeds {most} bytes"
