"""Answers that may not be there yet: an error by default, and 204 for clients to which that is an answer."""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeVar

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

from schemas.errors import NotFound

Answer = TypeVar("Answer")
OrNone = Annotated[
    bool, Field(description="Answer 204 without content, in place of 404, where there is nothing to answer yet.")
]
NOTHING_YET: Final[dict[int | str, dict[str, Any]]] = {204: {"description": "With `or_none`: nothing is there yet."}}


class OrNoneParameters(BaseModel):
    model_config = ConfigDict(extra="forbid")

    or_none: OrNone = False


def answer_or_none(
    answer: Callable[[], Answer], or_none: bool, missing: type[NotFound] = NotFound
) -> Answer | Response:
    """What ``answer`` gives; with ``or_none`` 204 if it raises ``missing``."""
    try:
        return answer()
    except missing:
        if not or_none:
            raise
        return Response(status_code=204)
