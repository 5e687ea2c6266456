"""OpenAPI's description of the API: each path with its errors, all of one model, and the key that it may ask for."""

from collections.abc import Collection
from typing import Any, Final

from fastapi import FastAPI

from ranking.serving.api.errors import ErrorAnswer
from schemas.picture_formats import PictureFormat

_SCHEME: Final = "key"
_MALFORMED, _UNAUTHORIZED, _LIMITED, _DEFECT, _NOT_NOW = 400, 401, 429, 500, 503
_DESCRIPTIONS: Final = {
    _MALFORMED: "The request, or its URL, cannot be read, or its cursor is of another question.",
    _UNAUTHORIZED: "No API key, or none that is active.",
    404: "The clip, dancer, challenge or generation is not known.",
    413: "The body is larger than allowed.",
    415: "The body is not declared as JSON in UTF-8.",
    422: "A parameter is missing or wrong, which `parameter` names, or the body is not JSON.",
    _LIMITED: "Too many requests with this API key. Try again after `Retry-After` seconds.",
    _DEFECT: "An unexpected error; the service's log has the details.",
    501: "This installation lacks what the question needs; the message says what to install or set.",
    _NOT_NOW: "Not ready, or the database does not answer. Try again after `Retry-After` seconds.",
}
_EVERYWHERE: Final = (_MALFORMED, _DEFECT, _NOT_NOW)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation that not every operation has, for OpenAPI."""
    return {status: {"model": ErrorAnswer, "description": _DESCRIPTIONS[status]} for status in statuses}


def pictured(*formats: PictureFormat) -> dict[int | str, dict[str, Any]]:
    """The answer of an operation that gives a picture, for OpenAPI."""
    schema = {"schema": {"type": "string", "format": "binary"}}
    return {200: {"description": "The picture.", "content": {each.media_type: schema for each in formats}}}


def describe(app: FastAPI, open_paths: Collection[str], *, keys_are_asked_for: bool) -> None:
    """Complete OpenAPI's description, which the app keeps. Call once all paths are there.

    ``open_paths`` never ask for a key. All others may: without ``keys_are_asked_for`` the key is optional, so that
    a client made from the description works in both.
    """
    described = app.openapi()
    components = described.setdefault("components", {})
    components["securitySchemes"] = {
        _SCHEME: {
            "type": "http",
            "scheme": "bearer",
            "description": "An API key of `dancerank keys create`, where the service asks for keys.",
        }
    }
    key = {_SCHEME: list[str]()}
    for path, operations in described["paths"].items():
        asks = path not in open_paths
        for operation in operations.values():
            if asks:
                operation["security"] = [key] if keys_are_asked_for else [{}, key]
            for status in (*_EVERYWHERE, *((_UNAUTHORIZED, _LIMITED) if asks else ())):
                operation["responses"].setdefault(str(status), _error(status))
            operation["responses"] = dict(sorted(operation["responses"].items()))


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    return {"description": _DESCRIPTIONS[status], "content": {"application/json": {"schema": schema}}}
