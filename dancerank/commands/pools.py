"""``pools``: try policies of the traffic pools before they meet anybody (docs/pools.md)."""

import importlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Final

import typer

from dancerank.commands.databases import opened_pools
from dancerank.commands.options import MOST_SEED, Config
from dancerank.console.progress import OnProgress, steps, working
from dancerank.console.terminal import Console
from dancerank.policies import read_policy, shipped_policy
from dancerank.settings import load_settings
from dancerank.simulation.comparison import compare
from dancerank.simulation.policy_tables import policy_tables
from dancerank.simulation.recorded import recorded_clips, recorded_world
from dancerank.simulation.synthetic import SyntheticWorlds
from dancerank.simulation.tables import outcome_tables
from dancerank.simulation.world import MEDIAN_RATE, World, check_world
from dancerank.simulation.writing import make_folder, write_tables
from ranking.pools.policy import Policy
from ranking.pools.service.store import PoolStore
from schemas.bundle import read_bundle
from schemas.errors import ConfigurationError, FinalError
from vdv.folder import open_data_set


class ReplayDiffers(FinalError):
    """Replaying the journal of the pools gives another state than the database holds."""

    code = "replay_differs"
    remedy = (
        "Keep a copy of the database and report the difference: either a row was changed by hand, or it is a defect."
    )


_CLIPS: Final = 2400


def check(file: Annotated[Path, typer.Argument(help="TOML file with a policy (docs/pools.md).")]) -> None:
    """Show a policy and what it implies: entries a window, and the reaction rates that pass its gates.

    A policy that cannot work is refused, naming the line; the exit status is 1.
    """
    Console().print(policy_tables(read_policy(file)))


def simulate(
    policy: Annotated[
        list[Path] | None,
        typer.Option(help="TOML file with a policy; may be given several times. Default: four tiers."),
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="Replay the held-out clips of this data set, not synthetic ones.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Predictions: the file that dancerank evaluate --out writes.")
    ] = None,
    clips: Annotated[int | None, typer.Option(help=f"Synthetic clips in each world. Default: {_CLIPS}.")] = None,
    days: Annotated[float, typer.Option(help="Days in which they are uploaded.")] = 7.0,
    seeds: Annotated[str, typer.Option(help="Worlds to replay, by their seeds, separated by commas.")] = "1,2,3",
    median_rate: Annotated[
        float, typer.Option(help="Reactions per view of the median clip of a challenge.")
    ] = MEDIAN_RATE,
    bundle: Annotated[
        Path | None, typer.Option(help="Bundle that scores synthetic clips, if not the shipped one.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the figures as CSV and charts as PNG (needs \\[train]).")
    ] = None,
    config: Config = None,
) -> None:
    """Replay uploads and engagement under policies, beside other ways to give out the same impressions.

    References: promotion by popularity only, the same exposure for everybody, and an oracle that knows every clip's
    true reaction rate. Equal options give equal figures; arrivals and viewers are the same under every policy.
    """
    console = Console()
    chosen = _distinct([read_policy(path) for path in policy or [shipped_policy()]])
    numbers = parse_seeds(seeds)
    charts = None if out is None else _charts()
    worlds = _worlds(data, predictions, clips, days, median_rate, bundle, config)
    if out is not None:
        make_folder(out)
    with steps() as on_progress:
        made = [worlds(seed, on_progress) for seed in numbers]
        on_progress("Replaying", 0, len(made) * len(chosen))
        by_policy = compare(made, chosen, on_progress)
    for outcomes in by_policy:
        console.print(outcome_tables(outcomes))
    if out is not None and charts is not None:
        written = [*write_tables(out, by_policy), *charts.draw_charts(out, by_policy)]
        console.print(f"{', '.join(path.name for path in written)} in {out}", markup=False, soft_wrap=True)


def replay(config: Config = None) -> None:
    """Make every decision again from the journal in the database, and compare it with what was decided.

    It starts from the newest snapshot of the pools (pools.snapshot_interval_s). Exits with 1 if anything differs, or if
    the journal was not kept from the beginning (pools.journal).
    """
    with opened_pools(load_settings(config)) as database, working("Replaying the journal"):
        made = PoolStore(database).replay()
    if made.difference is not None:
        raise ReplayDiffers(f"after {made.events:,} events and {made.decisions:,} decisions: {made.difference}")
    Console().print(
        f"{made.events:,} events give the same {made.decisions:,} decisions, and leave {made.clips:,} clips the same",
        highlight=False,
    )


def journal(config: Config = None) -> None:
    """Show how much the journal of the pools holds, and since when: the snapshot from which a replay starts."""
    settings = load_settings(config)
    with opened_pools(settings) as database:
        size = PoolStore(database).journal_size()
    console = Console()
    if size.taken_at_ms is None:
        console.print("no snapshot yet; the journal is from the beginning", highlight=False)
    else:
        at = datetime.fromtimestamp(size.taken_at_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        console.print(f"snapshot of {at} UTC: {size.clips:,} clips, {size.snapshot_bytes:,} bytes", highlight=False)
    console.print(f"journal since then: {size.batches:,} batches, {size.journal_bytes:,} bytes", highlight=False)
    console.print(
        f"a snapshot is due every {settings.pools.snapshot_interval_s:g} s (pools.snapshot_interval_s)",
        highlight=False,
    )


COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "simulate": simulate,
    "check": check,
    "replay": replay,
    "journal": journal,
}


def parse_seeds(text: str) -> tuple[int, ...]:
    """Raises ``ConfigurationError`` unless they are distinct whole numbers that a generator takes."""
    try:
        seeds = tuple(int(part) for part in text.split(","))
    except ValueError:
        seeds = ()
    if not seeds or len(set(seeds)) < len(seeds) or not all(0 <= seed <= MOST_SEED for seed in seeds):
        raise ConfigurationError(
            f"--seeds {text!r} cannot be; give different whole numbers, 0 or more, as in 1,2,3", field="seeds"
        )
    return seeds


def _distinct(policies: Sequence[Policy]) -> Sequence[Policy]:
    versions = [policy.version for policy in policies]
    for version in versions:
        if versions.count(version) > 1:
            raise ConfigurationError(
                f"two policies are called {version}, by which figures are distinguished; give each its own version",
                field="version",
            )
    return policies


def _worlds(
    data: Path | None,
    predictions: Path | None,
    clips: int | None,
    days: float,
    median_rate: float,
    bundle: Path | None,
    config: Config,
) -> Callable[[int, OnProgress], World]:
    """A function that makes the world of a seed. Files are read at once."""
    if data is None and predictions is not None:
        raise ConfigurationError("--predictions are of no clips; name their data set with --data", field="data")
    if data is not None and predictions is None:
        raise ConfigurationError(
            "--data needs --predictions; dancerank evaluate CHECKPOINT DATA --out FILE writes them", field="predictions"
        )
    if data is not None and predictions is not None:
        if clips is not None or bundle is not None:
            given = "--clips" if clips is not None else "--bundle"
            raise ConfigurationError(f"{given} is about synthetic clips; leave it out with --data", field="data")
        rows, times = recorded_clips(open_data_set(data), predictions)
        check_world(len(rows), days=days, median_rate=median_rate)
        return lambda seed, _: recorded_world(rows, times, seed=seed, days=days, median_rate=median_rate)
    settings = load_settings(config)
    loaded = read_bundle(bundle or settings.bundle_folder)
    size = _CLIPS if clips is None else clips
    check_world(size, days=days, median_rate=median_rate)
    synthetic = SyntheticWorlds(loaded, size, days, median_rate, settings.streamer)
    return lambda seed, on_progress: synthetic.world(
        seed, lambda done: on_progress(f"Filming and scoring the clips of seed {seed}", done, size)
    )


def _charts() -> ModuleType:
    """The charts, imported only here: everything else runs without matplotlib."""
    return importlib.import_module("dancerank.simulation.charts")
