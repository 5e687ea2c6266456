"""TOML, read with one kind of error for whatever is wrong with a document."""

import tomllib
from collections.abc import Iterable
from typing import Any, Final

_INTEGERS: Final = range(-(1 << 63), 1 << 63)


def parse_toml(text: str) -> dict[str, Any]:
    """The tables of a TOML document.

    Raises ``tomllib.TOMLDecodeError`` for what is not TOML, and for what ``tomllib`` takes or fails on in other ways:
    values nested more deeply than Python's stack, and integers of more than 64 bits, which TOML does not have.
    """
    try:
        tables = tomllib.loads(text)
        _check_integers(tables.values())
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError:
        raise tomllib.TOMLDecodeError("values are nested too deeply") from None
    except ValueError as error:  # Python converts no integer of thousands of digits
        raise tomllib.TOMLDecodeError(str(error)) from error
    return tables


def _check_integers(values: Iterable[Any]) -> None:
    for value in values:
        if isinstance(value, int) and value not in _INTEGERS:
            raise tomllib.TOMLDecodeError("an integer has more than 64 bits")
        if isinstance(value, dict | list):
            _check_integers(value.values() if isinstance(value, dict) else value)
