"""Options that several commands share."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from schemas.errors import ConfigurationError

Config = Annotated[
    Path | None,
    typer.Option("--config", "-c", help="TOML file with settings (docs/settings.md).", envvar="DANCERANK_CONFIG"),
]


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
