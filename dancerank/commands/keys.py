"""``keys``: who may use the HTTP API. A serving process follows what these commands change, without a restart."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from dancerank.commands.options import Config
from dancerank.console.terminal import Console
from dancerank.settings import ServerSettings, load_settings
from ranking.serving.api import create_key, read_keys, revoke_key
from schemas.clock import SystemClock
from schemas.errors import ConfigurationError

Name = Annotated[str, typer.Argument(help="What the key is for: letters, digits, dot, hyphen and underscore.")]


def create(
    name: Name,
    per_minute: Annotated[
        int | None, typer.Option(min=1, help="Its own limit of requests. Default: server.requests_per_minute.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option(min=1, help="Requests that may come at once. Default: a minute's worth.")
    ] = None,
    config: Config = None,
) -> None:
    """Make an API key and print it, this once: only its hash is kept."""
    path = _file(load_settings(config).server)
    now = datetime.fromtimestamp(SystemClock().now_ms() / 1000, UTC)
    secret = create_key(path, name, created=now, requests_per_minute=per_minute, burst=burst)
    typer.echo(secret)
    Console(stderr=True).print(
        f"[dim]{name} is active. Send it as[/] Authorization: Bearer KEY[dim]; it is not shown again.[/]"
    )


def list_keys(config: Config = None) -> None:
    """Show the names, ages and limits of the API keys. The keys themselves are not known here."""
    server = load_settings(config).server
    path = _file(server)
    table = Table("name", "created", "requests a minute", "at once", title="API keys")
    for key in read_keys(path):
        limit = key.requests_per_minute or server.requests_per_minute
        burst = key.burst or limit
        shown = (str(limit), str(burst)) if limit else ("any number", "any number")
        table.add_row(key.name, f"{key.created:%Y-%m-%d %H:%M}", *shown)
    Console().print(table)


def revoke(name: Name, config: Config = None) -> None:
    """Revoke an API key."""
    revoke_key(_file(load_settings(config).server), name)
    Console(stderr=True).print(f"[dim]{name} is revoked.[/]")


def _file(server: ServerSettings) -> Path:
    if server.api_keys is None:
        raise ConfigurationError(
            "server.api_keys names no file; set it, so that the API asks for keys (DANCERANK_SERVER__API_KEYS)",
            field="server.api_keys",
        )
    return server.api_keys


COMMANDS: Final[Mapping[str, Callable[..., None]]] = {"create": create, "list": list_keys, "revoke": revoke}
