"""The request line: its target is read in one way or refused, and HEAD is answered as GET without a body."""

import re
from collections import Counter
from typing import Final
from urllib.parse import parse_qsl, unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ranking.serving.api.errors import error_answer, refusal_answer
from ranking.serving.api.refusals import MALFORMED_URL
from schemas.errors import QueryError
from schemas.observation import Observer

_ABSOLUTE: Final = re.compile(rb"https?://[^/?]+", re.IGNORECASE)
_INCOMPLETE: Final = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_ENCODED_SLASH: Final = re.compile(rb"%2f", re.IGNORECASE)
_STRICT_PREFIX: Final = "/v1/"
_SERVER_WIDE: Final = b"*"
HEADERS_ONLY: Final = "dancerank.headers_only"
"""Key of the scope: the body will be discarded, so that one without end need not begin."""


class _Unreadable(Exception):
    """A target that cannot be read; the message says why."""


class TargetGuard:
    """Gives the path as the one text that the target encodes, also of a target in absolute form (RFC 9112 §3.2.2).

    Answers 400 to what can be decoded in no way or in several, and 422 to a parameter of a question that comes twice.
    """

    def __init__(self, app: ASGIApp, observer: Observer) -> None:
        self.app = app
        self._observer = observer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        try:
            raw_path, path = _read_path(scope["raw_path"].partition(b"?")[0])
            repeated = _repeated(scope["query_string"]) if path.startswith(_STRICT_PREFIX) else None
        except _Unreadable as error:
            self._observer.request_refused(MALFORMED_URL.code)
            await refusal_answer(MALFORMED_URL, str(error))(scope, receive, send)
            return
        if repeated is not None:
            answer = error_answer(422, QueryError.code, f"{repeated} is given more than once", repeated)
            await answer(scope, receive, send)
            return
        await self.app({**scope, "raw_path": raw_path, "path": path}, receive, send)


class HeadGuard:
    """Answers HEAD with the status and headers of GET (RFC 9110 §9.3.2), so that no path has to say so itself."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return

        async def send_without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        await self.app({**scope, "method": "GET", HEADERS_ONLY: True}, receive, send_without_body)


def _read_path(raw: bytes) -> tuple[bytes, str]:
    """The path as it was sent and as it reads. Raises ``_Unreadable``."""
    if raw == _SERVER_WIDE:
        return raw, raw.decode()
    if (absolute := _ABSOLUTE.match(raw)) is not None:
        raw = raw[absolute.end() :] or b"/"
    if not raw.startswith(b"/"):
        raise _Unreadable("the target of the request is neither a path nor a URL of http or https")
    if _ENCODED_SLASH.search(raw):
        raise _Unreadable("the path has an encoded slash (%2F); no identifier has one")
    return raw, _decoded(raw, "path")


def _repeated(query: bytes) -> str | None:
    """The first parameter that is given more than once, if any. Raises ``_Unreadable``."""
    _decoded(query, "query")
    names = Counter(name for name, _ in parse_qsl(query.decode("ascii"), keep_blank_values=True))
    return next((name for name, count in names.items() if count > 1), None)


def _decoded(raw: bytes, part: str) -> str:
    if (incomplete := _INCOMPLETE.search(raw)) is not None:
        raise _Unreadable(f"the {part} has % without two hexadecimal digits at byte {incomplete.start()}")
    try:
        return unquote_to_bytes(raw).decode("utf-8")
    except UnicodeDecodeError as error:
        raise _Unreadable(f"the {part} is not UTF-8 once decoded ({error.reason})") from None
