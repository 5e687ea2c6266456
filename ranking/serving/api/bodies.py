"""Bodies of requests: JSON in UTF-8 that can be read in one way only, or an error with a name."""

import json
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import ConfigDict, Field
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect

from ranking.serving.api.errors import RefusedRequest
from ranking.serving.api.refusals import MALFORMED_JSON, MALFORMED_REQUEST, UNSUPPORTED_MEDIA_TYPE

_MOST_NAMES: Final = 100
_UTF_8: Final = frozenset({"utf-8", "utf8"})


LAX: Final = Field(strict=False)
"""Of what is no type of JSON: enumerations, tuples and bytes."""


def body_config(**described: Any) -> ConfigDict:
    """Of the models of bodies: JSON has types, so neither "5" nor true is a number. ``described``: more JSON Schema."""
    return ConfigDict(extra="forbid", strict=True, json_schema_extra=described)


class JsonRequest(Request):
    """A request whose body raises ``RefusedRequest`` unless each reader of JSON reads the same in it."""

    async def json(self) -> Any:
        try:
            text = (await self.body()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise _malformed(f"byte {error.start} is not UTF-8") from None
        try:
            return json.loads(text, object_pairs_hook=_named_once, parse_float=_number)
        except json.JSONDecodeError as error:
            raise _malformed(f"{error.msg} at line {error.lineno}, column {error.colno}") from None
        except RecursionError:
            raise _malformed("it is nested too deeply") from None
        except ValueError as error:  # Python refuses to read thousands of digits as a number
            if isinstance(error, _Refused):
                raise RefusedRequest(MALFORMED_JSON, f"the body is JSON that is not taken: {error}", "body") from None
            raise _malformed("a number has too many digits") from None


class JsonRoute(APIRoute):
    """A path whose body, if it takes one, is JSON."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer, takes_body = super().get_route_handler(), self.body_field is not None

        async def answer_json(request: Request) -> Response:
            strict = JsonRequest(request.scope, request.receive)
            if takes_body and await _arrived(strict):
                _check_declared(strict.headers)
            return await answer(strict)

        return answer_json


class _Refused(ValueError):
    """An object that JSON allows, and no path takes."""


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a name that is there twice readers differ in which value counts. Of very many, each unknown name would be
    reported, which takes seconds, and no other request is answered meanwhile.
    """
    if len(pairs) > _MOST_NAMES:
        raise _Refused(f"an object has {len(pairs)} names; no object of a request has more than {_MOST_NAMES}")
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise _Refused(f"{twice[:100]!r} is there more than once in one object")
    return found


def _number(text: str) -> float:
    """JSON has one kind of number: 5.0 is as whole as 5."""
    value = float(text)
    return int(value) if value.is_integer() else value


async def _arrived(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise RefusedRequest(MALFORMED_REQUEST, "the connection ended before the body did") from None


def _check_declared(headers: Headers) -> None:
    """Raises ``RefusedRequest`` unless the body is declared as JSON in UTF-8, as it is."""
    declared = headers.get("content-type", "")
    parsed = Message()
    parsed["content-type"] = declared
    subtype = parsed.get_content_subtype()
    if not declared or parsed.get_content_maintype() != "application" or not f"+{subtype}".endswith("+json"):
        raise RefusedRequest(UNSUPPORTED_MEDIA_TYPE, "send JSON, with the header Content-Type: application/json")
    if str(parsed.get_param("charset", "utf-8")).lower() not in _UTF_8:
        raise RefusedRequest(UNSUPPORTED_MEDIA_TYPE, "send JSON in UTF-8")
    if headers.get("content-encoding", "identity").strip().lower() != "identity":
        raise RefusedRequest(UNSUPPORTED_MEDIA_TYPE, "send the body without a Content-Encoding")


def _malformed(problem: str) -> RefusedRequest:
    return RefusedRequest(MALFORMED_JSON, f"the body is not JSON: {problem}", "body")
