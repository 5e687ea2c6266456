"""Options that several commands share."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from schemas.errors import ConfigurationError, NotFound, QueryError

MOST_SEED: Final = 2**31 - 1
"""Every library takes seeds from 0 to this."""

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file with settings (docs/settings.md).", envvar="DANCERANK_CONFIG"),
]

Generation = Annotated[
    str | None, typer.Option(help="Model generation that scored the clips. Default: the active one.")
]


@contextmanager
def naming_options(options: Mapping[str, str]) -> Iterator[None]:
    """A ``QueryError`` names options where it names parameters of the API: ``options`` by parameter. One that is about
    something not found quotes ids, which stay; it is preceded by the option.
    """
    try:
        yield
    except QueryError as error:
        option = options.get((error.field or "").partition(".")[0])
        if option is None:
            raise
        message = error.message
        if not isinstance(error, NotFound):
            message = re.sub(rf"\b({'|'.join(options)})\b", lambda found: _option(options[found[1]]), error.message)
        if message == error.message:
            message = f"{_option(option)}: {message}"
        raise type(error)(message, field=error.field) from error


def _option(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def parse_moment(text: str, option: str) -> int:
    """Milliseconds since 1970 of an ISO date or time, UTC unless it has an offset.

    Raises ``ConfigurationError`` naming the option.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigurationError(
            f"--{option} {text!r} is not a date; write 2026-03-01 or 2026-03-01T12:00", field=option
        ) from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
