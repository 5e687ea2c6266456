"""``generations``: which model generation answers, and changing it (docs/operation.md)."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import typer
from rich.table import Column, Table
from rich.text import Text

from dancerank.commands.databases import RANKINGS, lacking, opened_rankings
from dancerank.commands.options import Config
from dancerank.console.progress import steps, working
from dancerank.console.terminal import Console, confirm
from dancerank.settings import Settings, load_settings
from ranking.scores.generations import Generations
from ranking.scores.store import ScoreStore
from ranking.serving.replicas import Replicas, ReplicaState, obstacles
from schemas.bundle import SYNTHETIC_WARNING, read_manifest
from schemas.clock import SystemClock
from schemas.errors import BundleError, GenerationRefused
from schemas.questions.retrieval import GenerationState

_LOOK_AGAIN_S: Final = 0.5

Generation = Annotated[str, typer.Argument(help="The generation, as dancerank generations list names it.")]
Patience = Annotated[float, typer.Option("--patience", min=0, help="Seconds to wait until every replica holds it.")]
Force = Annotated[bool, typer.Option("--force", help="Switch although some replicas do not hold it yet.")]


class _Held(NamedTuple):
    store: ScoreStore
    generations: Generations
    replicas: Replicas


def list_generations(config: Config = None) -> None:
    """Show every model generation: its clips, which one answers, and which serving processes hold it."""
    settings = load_settings(config)
    with _opened(settings) as held:
        if not (states := held.store.generation_states()):
            raise lacking(settings, RANKINGS)
        console = Console()
        console.print(generations_table(states, held.replicas.alive()))
        for said in synthetic_generations(settings.bundle_folder, states):
            console.print(said, style="bold yellow", highlight=False, markup=False)


def use(generation: Generation, patience_s: Patience = 30.0, force: Force = False, config: Config = None) -> None:
    """Let a generation answer from now on: rankings, similarity and traffic pools, in all processes at once.

    It has to have scored what the present one has, and every serving process has to hold that.
    """
    with _opened(load_settings(config)) as held:
        before = held.generations.active()
        held.generations.check(generation)
        if not force and generation != before:
            _await(held, generation, patience_s, complete=True)
        _switch(held, generation, before)


def rollback(patience_s: Patience = 30.0, force: Force = False, config: Config = None) -> None:
    """Let the generation answer again that did before the present one. Clips that it has not scored are missing."""
    with _opened(load_settings(config)) as held:
        before, generation = held.generations.active(), held.generations.before()
        if not force:
            _await(held, generation, patience_s, complete=False)
        lacking = held.generations.lacking(generation)
        _switch(held, generation, before)
        if lacking:
            Console(stderr=True).print(
                f"{lacking:,} clips of {before} were not scored by it and are in no ranking now; "
                "start its streamer again to have them scored",
                highlight=False,
            )


def retire(
    generation: Generation,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")] = False,
    config: Config = None,
) -> None:
    """Drop what is held of a generation, from the database and from every index, for good."""
    with _opened(load_settings(config)) as held:
        if generation not in held.generations.retired():  # else it resumes an interrupted retirement
            held.generations.check(generation)
            if not yes:
                confirm(f"There is no way back to {generation} then. Drop it?")
        with steps() as on_progress:
            total = 0
            for left in held.generations.retire(generation, SystemClock().now_ms()):
                total = max(total, left)
                on_progress("dropping clips", total - left, total)
        Console().print(
            f"{generation} is retired: {total:,} clips dropped from the database, indexes follow within seconds.",
            highlight=False,
        )


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "list": list_generations,
    "use": use,
    "rollback": rollback,
    "retire": retire,
}


def generations_table(states: list[GenerationState], serving: list[ReplicaState]) -> Table:
    """A row for each generation; ``serving`` are the processes that are alive."""
    table = Table(
        Column("generation", overflow="fold"),
        Column("clips", justify="right"),
        "target",
        "state",
        Column("held by", overflow="fold"),
        title="Model generations",
    )
    for state in states:
        holders = [
            f"{each.replica} ({each.clips[state.generation]:,})" for each in serving if state.generation in each.clips
        ]
        held_by = Text(", ".join(holders) or "–")
        table.add_row(Text(state.generation), f"{state.clips:,}", state.target, _described(state), held_by)
    return table


def synthetic_generations(bundle: Path, states: list[GenerationState]) -> list[str]:
    """The warning that the generation of ``bundle`` was trained on synthetic clips, if it was and is among them; other
    bundles are not known here.
    """
    try:
        manifest = read_manifest(bundle)
    except BundleError:
        return []  # commands that need it say so
    if not manifest.trained_on_synthetic_clips or manifest.generation not in {state.generation for state in states}:
        return []
    return [f"{manifest.generation}: {SYNTHETIC_WARNING}"]


def _described(state: GenerationState) -> Text:
    if state.retired:
        return Text("retired")
    if state.chosen_at_ms is None:
        return Text("never active")
    since = f"{datetime.fromtimestamp(state.chosen_at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
    return Text(f"active since {since}", style="bold green") if state.in_force else Text(f"last activated {since}")


def _await(held: _Held, generation: str, patience_s: float, *, complete: bool) -> None:
    """Return once all that serve can answer for ``generation``, and, if ``complete``, it has scored every clip that the
    active one has. Raises ``GenerationRefused`` saying what is still missing after ``patience_s``.
    """
    clock = SystemClock()
    until_ms, deadline_s = held.generations.scored_until(), clock.monotonic_s() + patience_s
    clips = held.store.generations().get(generation, 0)
    with working("waiting until everything that serves holds it"):
        while True:
            clips = min(clips, held.store.generations().get(generation, 0))  # some may be deleted meanwhile
            reasons = obstacles(generation, clips, held.replicas.alive())
            if complete and (lacking := held.generations.lacking(generation, until_ms)):
                reasons.insert(0, f"it has not scored {lacking:,} clips of the active generation")
            if not reasons:
                return
            if clock.monotonic_s() >= deadline_s:
                raise GenerationRefused(
                    f"generation {generation} cannot answer yet: {'; '.join(reasons)}. Wait for it, or switch anyway "
                    "with --force"
                )
            time.sleep(_LOOK_AGAIN_S)


def _switch(held: _Held, generation: str, before: str | None) -> None:
    if generation == before:
        Console().print(f"{generation} is active already.", highlight=False, markup=False)
        return
    held.generations.activate(generation, SystemClock().now_ms())
    Console().print(f"{generation} is active, instead of {before}.", highlight=False, markup=False)


@contextmanager
def _opened(settings: Settings) -> Iterator[_Held]:
    with opened_rankings(settings) as database:
        yield _Held(ScoreStore(database), Generations(database), Replicas(database))
