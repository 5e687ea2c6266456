"""Why a request is refused before a view is asked: one code for each meaning, which ``docs/errors.md`` lists."""

from typing import Final, NamedTuple


class RequestRefusal(NamedTuple):
    """A ``code`` that is not of an error class, and its status."""

    code: str
    status: int
    meaning: str
    remedy: str


MALFORMED_REQUEST: Final = RequestRefusal(
    "malformed_request",
    400,
    "What was sent is not an HTTP/1.1 request; the connection is closed.",
    "Send requests as RFC 9112 describes them; the message says what is wrong.",
)
AMBIGUOUS_LENGTH: Final = RequestRefusal(
    "ambiguous_length",
    400,
    "The headers say in two ways where the body ends, so that a proxy may see another end; the connection is closed.",
    "Send either `Content-Length` or `Transfer-Encoding: chunked`, once, and chunks with HTTP/1.1 only.",
)
MALFORMED_URL: Final = RequestRefusal(
    "malformed_url",
    400,
    "The path or the query cannot be decoded to one text: an incomplete percent-encoding, bytes that are not UTF-8, or "
    "an encoded slash.",
    "Encode each identifier and value as UTF-8, then as `%XX`; an identifier has no slash.",
)
NO_KEY: Final = RequestRefusal(
    "no_key", 401, "The request has no API key.", "Send the header `Authorization: Bearer KEY`."
)
UNKNOWN_KEY: Final = RequestRefusal(
    "unknown_key", 401, "The API key is not active.", "Use a key that `dancerank keys list` shows, or create one."
)
NO_SUCH_PATH: Final = RequestRefusal(
    "no_such_path", 404, "There is no such path.", "`/docs` lists the paths of the API; none ends with a slash."
)
METHOD_NOT_ALLOWED: Final = RequestRefusal(
    "method_not_allowed", 405, "The path has another method.", "Use a method that the header `Allow` lists."
)
REQUEST_TIMEOUT: Final = RequestRefusal(
    "request_timeout",
    408,
    "The request did not arrive as a whole in time; the connection is closed.",
    "Send it again, faster; `server.request_timeout_s` is the limit.",
)
TOO_LARGE: Final = RequestRefusal(
    "too_large", 413, "The body exceeds the limit.", "Ask for less at once, or raise `server.max_request_bytes`."
)
URL_TOO_LONG: Final = RequestRefusal(
    "url_too_long", 414, "Path and query are longer than 8 KiB.", "Ask for less at once, or use a path that takes POST."
)
UNSUPPORTED_MEDIA_TYPE: Final = RequestRefusal(
    "unsupported_media_type",
    415,
    "The body is not declared as JSON in UTF-8, or it is compressed.",
    "Send `Content-Type: application/json`, and no `Content-Encoding`.",
)
EXPECTATION_FAILED: Final = RequestRefusal(
    "expectation_failed",
    417,
    "The header `Expect` asks for something else than `100-continue`.",
    "Leave the header out.",
)
MALFORMED_JSON: Final = RequestRefusal(
    "malformed_json",
    422,
    "The body is not JSON in UTF-8, has a name twice or more than 100 in one object, is nested too deeply, or has a "
    "number of too many digits.",
    "Correct the body where the message says.",
)
RATE_LIMITED: Final = RequestRefusal(
    "rate_limited",
    429,
    "The API key exceeded its requests per minute.",
    "Wait `Retry-After` seconds, or raise the limit of the key.",
)
HEADERS_TOO_LARGE: Final = RequestRefusal(
    "headers_too_large", 431, "The headers are larger than 32 KiB.", "Send fewer or shorter headers, such as cookies."
)
INTERNAL: Final = RequestRefusal(
    "internal", 500, "An unexpected exception: a defect.", "Report it with the traceback in the log."
)
UNSUPPORTED_TRANSFER_ENCODING: Final = RequestRefusal(
    "unsupported_transfer_encoding",
    501,
    "The body has another transfer encoding than `chunked`; the connection is closed.",
    "Send `Content-Length`, or `Transfer-Encoding: chunked` alone.",
)
TOO_MANY_CONNECTIONS: Final = RequestRefusal(
    "too_many_connections",
    503,
    "As many requests as connections are allowed are being answered.",
    "Try again after `Retry-After` seconds, or raise `server.max_connections`.",
)
TOO_MANY_LISTENERS: Final = RequestRefusal(
    "too_many_listeners",
    503,
    "As many clients as are allowed listen to live events.",
    "Try again after `Retry-After` seconds, or raise `server.event_listeners`; everything else is answered meanwhile.",
)
UNSUPPORTED_HTTP_VERSION: Final = RequestRefusal(
    "unsupported_http_version", 505, "The request is neither HTTP/1.1 nor HTTP/1.0.", "Send HTTP/1.1."
)

REFUSALS: Final = (
    MALFORMED_REQUEST,
    AMBIGUOUS_LENGTH,
    MALFORMED_URL,
    NO_KEY,
    UNKNOWN_KEY,
    NO_SUCH_PATH,
    METHOD_NOT_ALLOWED,
    REQUEST_TIMEOUT,
    TOO_LARGE,
    URL_TOO_LONG,
    UNSUPPORTED_MEDIA_TYPE,
    EXPECTATION_FAILED,
    MALFORMED_JSON,
    RATE_LIMITED,
    HEADERS_TOO_LARGE,
    INTERNAL,
    UNSUPPORTED_TRANSFER_ENCODING,
    TOO_MANY_CONNECTIONS,
    TOO_MANY_LISTENERS,
    UNSUPPORTED_HTTP_VERSION,
)
