"""What msgspec and pydantic say of a wrong value, in words that need no manual of theirs."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from schemas.events import SHA256
from schemas.identifiers import IDENTIFIER, VISIBLE_IDENTIFIER

_OF_A_VALIDATOR: Final = re.compile(r"^(?:Value error|Assertion failed), ")
_OF_A_TYPE: Final = re.compile(r"^(?:Input|String|Value|List|Tuple|Dictionary) should ")
_A_LIST: Final = 'a list is written ["one", "two"]'
_PYDANTIC: Final = MappingProxyType(
    {
        **dict.fromkeys(("int_parsing", "int_parsing_size", "int_type", "int_from_float"), "must be an integer"),
        **dict.fromkeys(("float_parsing", "float_type"), "must be a number"),
        **dict.fromkeys(("bool_parsing", "bool_type"), "must be true or false"),
        **dict.fromkeys(("string_type", "path_type"), "must be a text in quotes"),
        **dict.fromkeys(("tuple_type", "list_type"), _A_LIST),
        "dict_type": 'a table is written {"key": …}',
        **dict.fromkeys(("model_type", "model_attributes_type"), "is a group of keys, which is written [group]"),
    }
)
_ID: Final = "1 to 128 characters without spaces, slashes{}, and neither . nor .."
_PATTERNS: Final = MappingProxyType(
    {
        IDENTIFIER: _ID.format(" and control characters"),
        VISIBLE_IDENTIFIER: _ID.format(", control characters and characters that are not shown"),
        SHA256: "64 hexadecimal digits in lower case",
    }
)


def of_pydantic(kind: str, message: str) -> str:
    """The ``message`` of an error of pydantic, of the type ``kind``."""
    return _PYDANTIC.get(kind) or _OF_A_TYPE.sub("must ", _OF_A_VALIDATOR.sub("", message))


def of_msgspec(message: str, patterns: Mapping[str, str] = MappingProxyType({})) -> str:
    """The ``message`` of a ``ValidationError``; ``patterns``: what texts of the reader's own patterns consist of."""
    for pattern, words in (*_PATTERNS.items(), *patterns.items()):
        message = message.replace(f"`str` matching regex {pattern!r}", words)
    return message
