"""Hooks of schemathesis: rules of the API that JSON Schema cannot say.

They are what compares two parameters, cursors, the widths of embeddings, which are those of what is indexed, the
modalities that an indexed example has, and what makes bytes a feature file.

Such a request is sent, and has to be refused by the parameter's name; that it is refused is no finding.
"""

import re
from collections.abc import Mapping
from typing import Any, Final

import schemathesis
from schemathesis.core.failures import ServerError
from schemathesis.openapi.checks import RejectedPositiveData

from schemas.errors import FeatureError, ForeignCursor, NotOffered, QueryError

_ENDS: Final = {
    "uploaded_before_ms": ("uploaded_from_ms", lambda start, end: start >= end),
    "percentile_to": ("percentile_from", lambda start, end: start > end),
}

_NOT_SAID: Final = {ForeignCursor.code, *(each.code for each in (FeatureError, *FeatureError.__subclasses__()))}


@schemathesis.hook
def filter_failure(
    _: schemathesis.HookContext, failure: Exception, case: schemathesis.Case, response: schemathesis.Response
) -> bool:
    """Keep all failures but the refusal of a window whose end is before its beginning, of a made-up cursor, of an
    embedding whose width is not that of any indexed one, of weights for what an example lacks, of what is neither a
    feature file nor a video, nor Base64, of a text that is not a policy, and of a format that pictures of the kind
    asked for do not have.
    """
    if isinstance(failure, ServerError) and response.status_code == 501:
        return response.json()["error"]["code"] != NotOffered.code
    if not isinstance(failure, RejectedPositiveData) or response.status_code not in (400, 422):
        return True
    error = response.json()["error"]
    if error["code"] in _NOT_SAID:
        return False
    parameter = error["parameter"]
    if response.status_code == 422 and error["code"] == QueryError.code and _is_of_another_width(error):
        return False
    if response.status_code == 422 and (parameter or "").startswith("policies."):
        return False
    if "Base64 decoding error" in error["message"]:
        return False
    if parameter == "weights" and "weigh one that it has" in error["message"]:
        return False
    if parameter == "format" and "a picture of kind" in error["message"]:
        return False
    return not any(_is_reversed(sent, parameter) for sent in (case.query, case.body) if isinstance(sent, Mapping))


def _is_of_another_width(error: Mapping[str, Any]) -> bool:
    parameter = error["parameter"] or ""
    expected = re.escape(parameter) + r" has shape \(\d+,\); expected \d+( or \d+)* numbers"
    return parameter.startswith("embeddings.") and re.fullmatch(expected, error["message"]) is not None


def _is_reversed(sent: Mapping[str, Any], parameter: str) -> bool:
    if parameter not in _ENDS:
        return False
    other, reversed_ = _ENDS[parameter]
    # The query of what is posted holds neither.
    start, end = sent.get(other), sent.get(parameter)
    return start is not None and end is not None and reversed_(float(start), float(end))
