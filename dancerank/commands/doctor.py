"""``doctor``: everything that the settings name, and what would hurt before it does."""

import json
from typing import Annotated, Final

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.options import Config
from dancerank.console.progress import working
from dancerank.console.terminal import Console
from dancerank.doctor.examination import examine, has_errors
from dancerank.doctor.findings import Finding, Level
from dancerank.logs import configure_logs
from dancerank.processes import Processes
from dancerank.settings import LogSettings, load_settings

_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}
_NOT_OK: Final = 1


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON, for programs.")] = False,
    config: Config = None,
) -> None:
    """Examine Kafka, the database, folders, ports and limits, and name settings that would hurt.

    Changes nothing, and may run beside everything else. Exits with 1 if it finds an error.
    """
    configure_logs(LogSettings(level="error"))  # what clients retry is in the findings if it fails
    processes = Processes(load_settings(config))
    with working("examining Kafka, the database and this machine"):
        findings = list(examine(processes))
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in findings], indent=2))
    else:
        Console().print(_table(findings))
    if has_errors(findings):
        raise typer.Exit(_NOT_OK)


def _table(findings: list[Finding]) -> Table:
    """One column for all that is said: beside each other three would break names in a narrow terminal."""
    table = Table(Column("", no_wrap=True), Column("finding", overflow="fold"), show_lines=True)
    for each in findings:
        said = Text.assemble((each.where, "bold"), " ", each.what)
        if each.remedy:
            said.append(f"\n→ {each.remedy}")
        table.add_row(Text(each.level, style=_STYLES[each.level]), said)
    counts = {level: sum(each.level is level for each in findings) for level in Level}
    table.caption = f"{counts[Level.ERROR]} errors, {counts[Level.WARNING]} warnings, {counts[Level.OK]} in order"
    return table
