"""Options that several commands share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigurationError, QueryError

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file with settings (docs/settings.md).", envvar="DANCERANK_CONFIG"),
]

Generation = Annotated[
    str | None, typer.Option(help="Model generation that scored the clips. Default: the active one.")
]


@contextmanager
def naming_options(options: Mapping[str, str]) -> Iterator[None]:
    """A ``QueryError`` names the option that gives the parameter, besides the parameter: ``options`` by parameter."""
    try:
        yield
    except QueryError as error:
        option = options.get((error.field or "").partition(".")[0])
        if option is None:
            raise
        raise type(error)(f"--{option}: {error.message}", field=error.field) from error


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
