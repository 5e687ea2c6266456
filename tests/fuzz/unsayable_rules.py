"""Hooks of schemathesis: rules of the API that JSON Schema cannot say: what compares two parameters, and cursors.

Such a request is sent, and has to be refused by the parameter's name; that it is refused is no finding.
"""

from collections.abc import Mapping
from typing import Any, Final

import schemathesis
from schemathesis.openapi.checks import RejectedPositiveData

from schemas.errors import ForeignCursor

_ENDS: Final = {
    "uploaded_before_ms": ("uploaded_from_ms", lambda start, end: start >= end),
    "percentile_to": ("percentile_from", lambda start, end: start > end),
}


@schemathesis.hook
def filter_failure(
    _: schemathesis.HookContext, failure: Exception, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Keep all failures but the refusal of a window whose end is before its beginning, and of a made-up cursor."""
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in (400, 422):
        return True
    error = response.json()["error"]
    if error["code"] == ForeignCursor.code:
        return False
    parameter = error["parameter"]
    return not any(_is_reversed(sent, parameter) for sent in (case.query, case.body) if isinstance(sent, Mapping))


def _is_reversed(sent: Mapping[str, Any], parameter: str) -> bool:
    if parameter not in _ENDS:
        return False
    other, reversed_ = _ENDS[parameter]
    return reversed_(float(sent[other]), float(sent[parameter]))
