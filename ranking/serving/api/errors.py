"""Every error leaves as ``{"error": {"code", "message", "parameter"}}``; none carries a stack trace."""

import logging
from collections.abc import Sequence
from typing import Annotated, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from ranking.serving.api.refusals import (
    INTERNAL,
    MALFORMED_REQUEST,
    METHOD_NOT_ALLOWED,
    NO_SUCH_PATH,
    UNSUPPORTED_MEDIA_TYPE,
    RequestRefusal,
)
from schemas.decoder_messages import of_pydantic
from schemas.errors import (
    DancerankError,
    FeatureError,
    FileNotStored,
    ForeignCursor,
    InferenceFailed,
    NotFound,
    NotOffered,
    NotReady,
    QueryError,
    RetriableError,
    TooManyAtOnce,
)

log = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 5


_MAX_MESSAGE: Final = 500
_MAX_PARAMETER: Final = 150
_OF_THE_REQUEST: Final = (QueryError, FeatureError, InferenceFailed, NotOffered)
"""Errors whose message is for the caller."""
_SAID: Final = (NotReady, TooManyAtOnce, FileNotStored)
"""Retriable errors whose message we write ourselves, naming nothing of the machines."""
_BY_STATUS: Final = {each.status: each for each in (NO_SUCH_PATH, METHOD_NOT_ALLOWED, UNSUPPORTED_MEDIA_TYPE)}


class RefusedRequest(HTTPException):
    """A request that a path refuses for ``refusal``."""

    def __init__(
        self,
        refusal: RequestRefusal,
        message: str,
        parameter: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(refusal.status, message, headers)
        self.refusal = refusal
        self.parameter = parameter


class ErrorBody(BaseModel):
    code: Annotated[str, Field(examples=["not_found"], description="Stable name of the kind of error.")]
    message: Annotated[str, Field(examples=["clip c-17 is not known here"], description="What is wrong, for a person.")]
    parameter: Annotated[
        str | None, Field(examples=["clip_id"], description="The parameter that is to blame, if one is.")
    ]


class ErrorAnswer(BaseModel):
    """The body of every answer with a status of 400 or above."""

    error: ErrorBody


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(DancerankError, _ours)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _unexpected)


def error_answer(
    status: int, code: str, message: str, parameter: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    """An answer with the body that every error has. Quotes are cut, and half a character in them is written out."""
    name = None if parameter is None else _quotable(parameter, _MAX_PARAMETER)
    body = ErrorAnswer(error=ErrorBody(code=code, message=_quotable(message, _MAX_MESSAGE), parameter=name))
    return JSONResponse(body.model_dump(), status, headers)


def refusal_answer(
    refusal: RequestRefusal, message: str, parameter: str | None = None, headers: dict[str, str] | None = None
) -> JSONResponse:
    return error_answer(refusal.status, refusal.code, message, parameter, headers)


def _quotable(text: str, length: int) -> str:
    cut = text if len(text) <= length else f"{text[: length - 1]}…"
    return cut.encode("utf-8", "backslashreplace").decode()


async def _ours(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, DancerankError):
        raise TypeError("this handler is registered for our own errors") from error
    status = status_of(type(error))
    if isinstance(error, _OF_THE_REQUEST):
        return error_answer(status, error.code, error.message, error.field)
    # What the database said is for the operator's log, not for the caller.
    if isinstance(error, RetriableError):
        log.warning("%s: %s", error.code, error)
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        message = error.message if isinstance(error, _SAID) else "not available now; try again"
        return error_answer(status, error.code, message, headers=headers)
    log.error("%s: %s", error.code, error)
    return error_answer(status, error.code, "the service is set up wrongly; its log says how")


def status_of(kind: type[DancerankError]) -> int:
    """The HTTP status of an error of this class."""
    if issubclass(kind, ForeignCursor):
        return 400
    if issubclass(kind, QueryError | FeatureError | InferenceFailed):
        return 404 if issubclass(kind, NotFound) else 422
    if issubclass(kind, NotOffered):
        return 501
    return 503 if issubclass(kind, RetriableError) else 500


async def _invalid_request(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, RequestValidationError):
        raise TypeError("this handler is registered for validation errors") from error
    first = error.errors()[0]
    parameter = _parameter(first["loc"])
    return error_answer(422, QueryError.code, f"{parameter}: {of_pydantic(first['type'], first['msg'])}", parameter)


def _parameter(location: Sequence[int | str]) -> str:
    """``("query", "k")`` → ``k``; ``("body", "weights", "skeletal", "[key]")`` → ``weights.skeletal``."""
    where, *path = location
    return ".".join(str(part) for part in path if part != "[key]") or str(where)


async def _http(_: Request, error: Exception) -> JSONResponse:
    if not isinstance(error, HTTPException):
        raise TypeError("this handler is registered for HTTP errors") from error
    headers = dict(error.headers or {})
    if isinstance(error, RefusedRequest):
        return refusal_answer(error.refusal, str(error.detail), error.parameter, headers)
    if error.status_code == METHOD_NOT_ALLOWED.status:
        headers["Allow"] = _with_head(headers.get("Allow", ""))
    refusal = _BY_STATUS.get(error.status_code, INTERNAL if error.status_code >= 500 else MALFORMED_REQUEST)
    return error_answer(error.status_code, refusal.code, str(error.detail), headers=headers)


def _with_head(allowed: str) -> str:
    """``GET`` → ``GET, HEAD``: whatever answers GET answers HEAD."""
    methods = {each.strip() for each in allowed.split(",") if each.strip()}
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return error_answer(INTERNAL.status, INTERNAL.code, "an unexpected error; the service's log has the details")
