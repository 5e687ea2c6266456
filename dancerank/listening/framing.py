"""Where a request ends: read as RFC 9112 has it, and refused wherever a proxy could read another end."""

import re
from typing import Any, Final, NamedTuple

import h11

from ranking.serving.api.refusals import (
    AMBIGUOUS_LENGTH,
    HEADERS_TOO_LARGE,
    MALFORMED_REQUEST,
    UNSUPPORTED_HTTP_VERSION,
    UNSUPPORTED_TRANSFER_ENCODING,
    URL_TOO_LONG,
    RequestRefusal,
)

MAX_TARGET_BYTES: Final = 8 * 1024
MAX_HEADERS_BYTES: Final = 32 * 1024
_MAX_INCOMPLETE_BYTES: Final = MAX_TARGET_BYTES + MAX_HEADERS_BYTES
_LINE_ENDS_BYTES: Final = len(b": \r\n")
_QUOTED: Final = ": bytearray("
_VERSIONS: Final = (b"1.0", b"1.1")
_HOST: Final = re.compile(rb"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]*\Z")


class Problem(NamedTuple):
    """Why a request is not answered."""

    refusal: RequestRefusal
    message: str


class StrictConnection(h11.Connection):
    """Raises ``h11.RemoteProtocolError`` for every request that is not read in one way only; ``problem`` says why.

    h11 takes ``Transfer-Encoding`` where ``Content-Length`` is there too, and a proxy before it might take the other:
    the rest of the body would be a request that the proxy has not seen (RFC 9112 §6.1, §11.2).
    """

    def __init__(self) -> None:
        super().__init__(h11.SERVER, max_incomplete_event_size=_MAX_INCOMPLETE_BYTES)
        self.problem = Problem(MALFORMED_REQUEST, "not an HTTP request")

    def next_event(self) -> Any:
        within_headers = self.their_state is h11.IDLE
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            self.problem = self._explained(error, within_headers)
            raise
        if isinstance(event, h11.Request) and (problem := _problem(event)) is not None:
            self.problem = problem
            raise h11.RemoteProtocolError(problem.message, error_status_hint=problem.refusal.status)
        return event

    def _explained(self, error: h11.RemoteProtocolError, within_headers: bool) -> Problem:
        reason = str(error)
        if error.error_status_hint == UNSUPPORTED_TRANSFER_ENCODING.status:
            return Problem(UNSUPPORTED_TRANSFER_ENCODING, "the only transfer encoding that is read is chunked")
        if reason.startswith("conflicting Content-Length"):
            return Problem(AMBIGUOUS_LENGTH, "the request has several lengths")
        if within_headers and error.error_status_hint == HEADERS_TOO_LARGE.status:
            if b"\n" not in self.trailing_data[0]:
                return _too_long()
            return _too_large()
        return Problem(MALFORMED_REQUEST, f"not an HTTP request: {reason.partition(_QUOTED)[0]}")


def _problem(request: h11.Request) -> Problem | None:
    headers = list(request.headers)
    names = {name for name, _ in headers}
    if request.http_version not in _VERSIONS:
        return Problem(UNSUPPORTED_HTTP_VERSION, f"HTTP/{request.http_version.decode()} is not spoken here")
    if b"transfer-encoding" in names and b"content-length" in names:
        return Problem(AMBIGUOUS_LENGTH, "the request has both Content-Length and Transfer-Encoding")
    if b"transfer-encoding" in names and request.http_version == b"1.0":
        return Problem(AMBIGUOUS_LENGTH, "HTTP/1.0 has no Transfer-Encoding")
    if len(request.target) > MAX_TARGET_BYTES:
        return _too_long()
    if sum(len(name) + len(value) + _LINE_ENDS_BYTES for name, value in headers) > MAX_HEADERS_BYTES:
        return _too_large()
    if any(name == b"host" and not _HOST.match(value) for name, value in headers):
        return Problem(MALFORMED_REQUEST, "the header Host is not a host")
    return None


def _too_long() -> Problem:
    return Problem(URL_TOO_LONG, f"path and query exceed {MAX_TARGET_BYTES} bytes")


def _too_large() -> Problem:
    return Problem(HEADERS_TOO_LARGE, f"the headers exceed {MAX_HEADERS_BYTES} bytes")
