"""The command line: ``dancerank COMMAND --help`` explains each."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, ParamSpec

import typer
from rich.console import Console

from dancerank.commands import (
    bundles,
    data,
    dead_letters,
    demonstrate,
    generations,
    keys,
    labels,
    learn,
    offsets,
    pool_questions,
    pools,
    produce,
    questions,
    serve,
)
from dancerank.logs import writes_json
from dancerank_installation import installed_version, missing_extra
from schemas.errors import DancerankError, ExtraMissing

P = ParamSpec("P")

app = typer.Typer(
    help="Virality prediction, ranking and similarity search for short dance clips, as they are uploaded.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _reporting(command: Callable[P, None]) -> Callable[P, None]:
    """Print our errors, and a missing extra, as a sentence and exit with 1; anything else is a defect and keeps its
    traceback.
    """

    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except DancerankError as error:
            _report(error)
            raise typer.Exit(1) from error
        except ModuleNotFoundError as error:
            if (sentence := missing_extra(error)) is None:
                raise
            _report(ExtraMissing(sentence))
            raise typer.Exit(1) from error

    return run


def _report(error: DancerankError) -> None:
    if writes_json():
        logging.getLogger(__name__).critical(error.message, extra={"code": error.code})
    else:
        Console(stderr=True).print(f"[bold red]error[/] ({error.code}): ", end="")
        Console(stderr=True, markup=False, emoji=False, highlight=False, soft_wrap=True).print(error.message)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dancerank {installed_version()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for panel, commands in {
    "Try it": (demonstrate.demo,),
    "Run it": (serve.stream, serve.rank, serve.serve, serve.settings),
    "Feed it and ask it": (produce.produce, questions.similar, questions.rankings),
    "Learn": (learn.train, learn.evaluate),
    "Model bundles": (bundles.inspect, bundles.export, bundles.demo_bundle),
}.items():
    for function in commands:
        app.command(rich_help_panel=panel)(_reporting(function))


def _group(name: str, commands: Mapping[str, Callable[..., None]], explained: str) -> typer.Typer:
    """Commands below a name of their own."""
    group = typer.Typer(name=name, help=explained, no_args_is_help=True, rich_markup_mode="rich")
    for below, function in commands.items():
        group.command(below)(_reporting(function))
    return group


_data = _group("data", data.COMMANDS, "Check, split, import and synthesize data sets of labelled clips.")
_data.add_typer(_group("import", data.IMPORTERS, "Bring other people's data into the layout of our data sets."))
app.add_typer(_data, rich_help_panel="Learn")
app.add_typer(
    _group("labels", labels.COMMANDS, "Make a data set of what was observed of clips."), rich_help_panel="Learn"
)
app.add_typer(
    _group(
        "pools",
        {"run": serve.run_pools, **pools.COMMANDS, **pool_questions.COMMANDS},
        "Decide how often clips are shown, by a policy: try it, run it, ask it.",
    ),
    rich_help_panel="Traffic pools",
)
app.add_typer(
    _group("dead-letters", dead_letters.COMMANDS, "See what could not be processed and why, and put it back."),
    rich_help_panel="Look after it",
)
app.add_typer(
    _group("offsets", offsets.COMMANDS, "See how far each group of workers is, and let it continue elsewhere."),
    rich_help_panel="Look after it",
)
app.add_typer(
    _group("generations", generations.COMMANDS, "See which model generation answers, switch to another one, and back."),
    rich_help_panel="Look after it",
)
app.add_typer(
    _group("keys", keys.COMMANDS, "Say who may use the HTTP API: make, list and revoke keys."),
    rich_help_panel="Look after it",
)
