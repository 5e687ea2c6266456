"""Every error leaves as ``{"error": {"code", "message", "parameter"}}``; none carries a stack trace."""

import logging
from collections.abc import Sequence
from typing import Annotated, Any, Final, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from schemas.errors import DancerankError, NotFound, QueryError, RetriableError

log = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 5


class RequestRefusal(NamedTuple):
    """Why a request is refused before a view is asked: a ``code`` that is not of an error class, and its status."""

    code: str
    status: int
    meaning: str
    remedy: str


NO_KEY: Final = RequestRefusal(
    "no_key", 401, "The request has no API key.", "Send the header `Authorization: Bearer KEY`."
)
UNKNOWN_KEY: Final = RequestRefusal(
    "unknown_key", 401, "The API key is not active.", "Use a key that `dancerank keys list` shows, or create one."
)
NO_SUCH_PATH: Final = RequestRefusal(
    "no_such_path", 404, "There is no such path.", "`/docs` lists the paths of the API."
)
METHOD_NOT_ALLOWED: Final = RequestRefusal(
    "method_not_allowed", 405, "The path has another method.", "`/docs` lists the methods of each path."
)
TOO_LARGE: Final = RequestRefusal(
    "too_large", 413, "The body exceeds the limit.", "Ask for less at once, or raise `server.max_request_bytes`."
)
RATE_LIMITED: Final = RequestRefusal(
    "rate_limited",
    429,
    "The API key exceeded its requests per minute.",
    "Wait `Retry-After` seconds, or raise the limit of the key.",
)
OTHER: Final = RequestRefusal(
    "http", 400, "The request cannot be read; another status than 400 may come too.", "Correct what the message names."
)
INTERNAL: Final = RequestRefusal(
    "internal", 500, "An unexpected exception: a defect.", "Report it with the traceback in the log."
)
REFUSALS: Final = (NO_KEY, UNKNOWN_KEY, NO_SUCH_PATH, METHOD_NOT_ALLOWED, TOO_LARGE, RATE_LIMITED, OTHER, INTERNAL)
_BY_STATUS: Final = {each.status: each.code for each in (NO_SUCH_PATH, METHOD_NOT_ALLOWED, TOO_LARGE)}


class ErrorBody(BaseModel):
    code: Annotated[str, Field(examples=["not_found"], description="Stable name of the kind of error.")]
    message: Annotated[str, Field(examples=["clip c-17 is not known here"], description="What is wrong, for a person.")]
    parameter: Annotated[
        str | None, Field(examples=["clip_id"], description="The parameter that is to blame, if one is.")
    ]


class ErrorAnswer(BaseModel):
    """The body of every answer with a status of 400 or above."""

    error: ErrorBody


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, for OpenAPI."""
    descriptions = {
        404: "The clip, dancer or challenge is not known.",
        413: "The body is larger than allowed.",
        422: "A parameter is missing or wrong; `parameter` names it.",
        503: "Not ready, or the database does not answer. Try again after `Retry-After` seconds.",
    }
    return {status: {"model": ErrorAnswer, "description": descriptions[status]} for status in statuses}


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(DancerankError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def error_answer(
    status: int, code: str, message: str, parameter: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer with the body that every error has."""
    body = ErrorAnswer(error=ErrorBody(code=code, message=message, parameter=parameter))
    return JSONResponse(body.model_dump(), status, headers)


async def _ours(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, DancerankError):
        raise TypeError("this handler is registered for our own errors") from error
    status = status_of(type(error))
    if isinstance(error, QueryError):
        return error_answer(status, error.code, error.message, error.field)
    # What the database said is for the operator's log, not for the caller.
    if isinstance(error, RetriableError):
        log.warning("%s: %s", error.code, error)
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        return error_answer(status, error.code, "not available now; try again", headers=headers)
    log.error("%s: %s", error.code, error)
    return error_answer(status, error.code, "the service is set up wrongly; its log says how")


def status_of(kind: type[DancerankError]) -> int:
    """The HTTP status of an error of this class."""
    if issubclass(kind, QueryError):
        return 404 if issubclass(kind, NotFound) else 422
    return 503 if issubclass(kind, RetriableError) else 500


async def _invalid_request(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError("this handler is registered for validation errors") from error
    first = error.errors()[0]
    parameter = _parameter(first["loc"])
    if first["type"] == "json_invalid":
        return error_answer(422, QueryError.code, f"the body is not JSON: {first['ctx']['error']}", "body")
    return error_answer(422, QueryError.code, f"{parameter}: {first['msg']}", parameter)


def _parameter(location: Sequence[int | str]) -> str:
    """``("query", "k")`` → ``k``; ``("body", "weights", "skeletal", "[key]")`` → ``weights.skeletal``."""
    where, *path = location
    return ".".join(str(part) for part in path if part != "[key]") or str(where)


async def _http(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError("this handler is registered for HTTP errors") from error
    code = _BY_STATUS.get(error.status_code, OTHER.code)
    return error_answer(error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_answer(INTERNAL.status, INTERNAL.code, "an unexpected error; the service's log has the details")
