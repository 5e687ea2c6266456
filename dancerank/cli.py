"""The command line: ``dancerank COMMAND --help`` explains each."""

import logging
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Annotated, ParamSpec

import typer

from dancerank.commands import (
    accept_loss,
    bundles,
    content_hashes,
    counts,
    data,
    dead_letters,
    demonstrate,
    doctor,
    extract,
    extractors,
    figures,
    generations,
    guide,
    keys,
    labels,
    learn,
    look,
    moments,
    offsets,
    pool_questions,
    pools,
    produce,
    questions,
    routines,
    serve,
    similarity,
    strips,
    styles,
    tips,
)
from dancerank.console.terminal import Console
from dancerank.logs import writes_json
from dancerank.version import __version__
from dancerank_installation import missing_extra
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
        typer.echo(f"dancerank {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for panel, commands in {
    "Try it": (demonstrate.demo, demonstrate.demo_video),
    "Run it": (serve.stream, serve.rank, serve.serve, serve.settings),
    "Send clips and query": (
        produce.produce,
        similarity.similar,
        similarity.duplicates,
        similarity.dancers,
        questions.rankings,
        questions.distribution,
        tips.tips,
        guide.guide,
        moments.moments,
        strips.strips,
    ),
    "Features from videos": (extract.extract, look.look),
    "Learn": (learn.train, learn.evaluate, figures.figures),
    "Operate it": (doctor.doctor, content_hashes.content_hash, counts.check_counts),
    "Model bundles": (bundles.inspect, bundles.export, bundles.add_guidance, bundles.demo_bundle),
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
_data.add_typer(_group("import", data.IMPORTERS, "Convert data of other formats into data sets."))
app.add_typer(_data, rich_help_panel="Learn")
app.add_typer(
    _group("labels", labels.COMMANDS, "Export a training set from observed engagement."), rich_help_panel="Learn"
)
app.add_typer(
    _group(
        "pools",
        {"run": serve.run_pools, **pools.COMMANDS, **pool_questions.COMMANDS},
        "Decide by a policy how often clips are shown: try, run and query it.",
    ),
    rich_help_panel="Traffic pools",
)
app.add_typer(
    _group(
        "dead-letters",
        dead_letters.COMMANDS,
        "List dead-lettered records with the reason, and replay them.",
    ),
    rich_help_panel="Operate it",
)
app.add_typer(
    _group(
        "offsets",
        {**offsets.COMMANDS, "accept-loss": accept_loss.accept_loss},
        "Show the offsets of each consumer group, reset them, and accept that deletions are lost.",
    ),
    rich_help_panel="Operate it",
)
app.add_typer(
    _group("generations", generations.COMMANDS, "List model generations, activate one, and roll back."),
    rich_help_panel="Operate it",
)
app.add_typer(
    _group("extractors", extractors.COMMANDS, "Fetch, list and verify the networks that take features from videos."),
    rich_help_panel="Learn",
)
app.add_typer(
    _group(
        "routines",
        routines.COMMANDS,
        "Train a network on routines with judges' scores, make it part of a bundle, and pack features for it.",
    ),
    rich_help_panel="Learn",
)
app.add_typer(
    _group(
        "styles",
        styles.COMMANDS,
        "Train a classifier of dance styles, make it part of a bundle, and list the styles of clips.",
    ),
    rich_help_panel="Learn",
)
app.add_typer(
    _group("keys", keys.COMMANDS, "Create, list and revoke keys of the HTTP API."),
    rich_help_panel="Operate it",
)
