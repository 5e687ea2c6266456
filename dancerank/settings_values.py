"""What settings need beyond types: JSON in environment variables, hidden values, and errors that name their key."""

import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, get_origin, get_type_hints

from pydantic import BaseModel
from pydantic_core import PydanticCustomError

from schemas.decoder_messages import of_pydantic

HIDDEN: Final = "***"
_SECRET_KEY: Final = re.compile(
    r"passw|passphrase|secret|token|credential|connection_string|signature|^auth|key$", re.IGNORECASE
)
_CREDENTIALS: Final = re.compile(r"(://[^:/@]*):.*@", re.DOTALL)
_PASSWORD_PARAMETER: Final = re.compile(r"([?&][^=&]*password[^=&]*=)[^&]*", re.IGNORECASE)
_FORMS: Final = MappingProxyType({tuple: of_pydantic("tuple_type", ""), Mapping: of_pydantic("dict_type", "")})


def keys_of(group: Any) -> list[str]:
    """The keys of a group of settings; none for anything else."""
    return list(group.model_fields) if isinstance(group, type) and issubclass(group, BaseModel) else []


def decoded(group: type, values: Any) -> Any:
    """``values`` with the texts of lists and tables read as JSON: an environment variable holds nothing but text.

    Raises pydantic's error with the key in its context for a text that is not JSON of that form.
    """
    if not isinstance(values, Mapping):
        return values
    hints = get_type_hints(group)
    return {key: _decoded(key, hints.get(key), value) for key, value in values.items()}


def refusal(key: str, message: str) -> PydanticCustomError:
    """An error about one key of a group, for a validator of the whole group. The message must not contain a secret."""
    return PydanticCustomError("setting", "{message}", {"key": key, "message": message})


def without_password(url: str) -> str:
    """A database URL that may be shown: the password before the host hidden, and those among the parameters.

    Up to the last ``@``, whatever stands before it: drivers take passwords that hold ``/``, ``?`` and ``@`` unescaped.
    """
    return _PASSWORD_PARAMETER.sub(rf"\1{HIDDEN}", _CREDENTIALS.sub(rf"\1:{HIDDEN}@", url))


def without_secrets(table: Mapping[str, Any]) -> dict[str, Any]:
    """A table, with the values hidden whose key says that they are secret, and the passwords in URLs, at any depth."""
    return {key: _shown(key, value) for key, value in table.items()}


def passwords_among(keys: Iterable[str]) -> list[str]:
    return [key for key in keys if "password" in key.lower()]


def _shown(key: str, value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_secrets(value)
    if _SECRET_KEY.search(key):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [_shown(key, one) for one in value]
    return without_password(value) if isinstance(value, str) else value


def _decoded(key: str, annotation: Any, value: Any) -> Any:
    kind = get_origin(annotation)
    form = next((form for form in _FORMS if isinstance(kind, type) and issubclass(kind, form)), None)
    if form is None or not isinstance(value, str):
        return value
    try:
        content = json.loads(value)
    except (ValueError, RecursionError) as error:  # also integers of thousands of digits, and lists in lists in lists
        raise refusal(key, f"not JSON ({error}); {_FORMS[form]}") from None
    if not isinstance(content, list if form is tuple else dict):
        raise refusal(key, _FORMS[form])
    return content
