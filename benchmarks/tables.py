"""The paper's tables for any data set in the VDV layout (docs/data.md).

    python -m benchmarks.tables DATA --table 3|4|5|eq6|streams [--methods a,b] [--tracks all,single] [--seeds 0,1,2]
                                [--settings recipe.toml] [--workers 2] [--out FOLDER]

Table 3 compares all methods, 4 is for sports (skeletal and holistic only), 5 holds the ablations; eq6 compares the two
readings of Eq. (6), streams every stream alone with all of them together. Every method is trained by the same recipe on
the stored split or folds, from every seed, and measured by Spearman's rank correlation (SRC) on what is held out.

Each (method, track, fold, seed) is stored in FOLDER/cells when it is done. The command goes on where it stopped, and
tables share what they have in common; another recipe, or other data, makes new cells. The table is printed, and written
to FOLDER as CSV (every seed), Markdown and PNG; of fusions, the mean attention per challenge too. Of a data set that
``dancerank data synthesize`` made, what was planted is printed beside it: benchmarks.paper_tables.attention.

A clip is learned from, and predicted, by the methods that can read one of its modalities. Needs the ``[train]`` extra.
"""

import argparse
import os
import sys
import traceback
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Final

from rich.console import Console

from benchmarks.paper_tables.attention import Planted, ceiling, orders_of, planted_grids, read_planted
from benchmarks.paper_tables.cells import Cell, Plan, planned, read_cell
from benchmarks.paper_tables.figures import Attention, Figure, attention_of, figure_of
from benchmarks.paper_tables.rendering import (
    NOTHING,
    Grid,
    Results,
    as_markdown,
    as_text,
    draw,
    grids,
    write_attention,
    write_csv,
)
from benchmarks.paper_tables.running import make_cells
from dancerank.console.progress import steps
from dancerank.fitting.learning import Clips, make_folder, open_clips, refuse_other_features
from dancerank.fitting.recipe import Recipe, read_recipe
from networks.atomic import replacing
from networks.methods import METHODS, TABLES, Method
from schemas.errors import ConfigurationError, DancerankError
from vdv.folder import open_data_set
from vdv.splits import ALL, leaks, track_folds

SINGLE: Final = "single"
MOST_WORKERS: Final = 4
"""Default number; every process holds the data set."""

WIDTH: Final = 120
"""Width of the printed table without a terminal, in characters."""

FAILED: Final = "failed"


def main(arguments: Sequence[str] | None = None) -> int:
    """Print and write the table. Returns 1 if a cell failed, 2 if there is nothing to begin with."""
    options = parse(arguments)
    console, progress = Console(), Console(stderr=True)
    if not console.is_terminal:
        console = Console(width=WIDTH)
    try:
        return run(options, console, progress)
    except DancerankError as error:
        progress.print(f"error: {error.message}", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt:
        progress.print("interrupted; the same command goes on from here")
        return 130


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with clips.csv and its feature files")
    parser.add_argument("--table", choices=list(TABLES), required=True)
    parser.add_argument("--methods", metavar="A,B", help="only these of the table's methods")
    parser.add_argument("--tracks", default=ALL, metavar="A,B", help="all, single (every challenge), or challenges")
    parser.add_argument("--seeds", default="0,1,2", metavar="A,B")
    parser.add_argument("--settings", type=Path, help="TOML file with [network] and [training] (docs/learning.md)")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser.add_argument("--workers", type=int, default=min(cores, MOST_WORKERS), help="processes (%(default)s)")
    parser.add_argument("--out", type=Path, help="default: out/tables/ and the data folder's name")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace, console: Console, progress: Console) -> int:
    recipe = read_recipe(options.settings, network={}, training={})
    methods = chosen_methods(options.table, options.methods)
    refuse_overridden(options.table, recipe, options.settings)
    if recipe.virality:
        raise ConfigurationError(
            f"{options.settings}: [virality] is given; the paper's tables are of Eq. (1), remove it", field="virality"
        )
    seeds = chosen_seeds(options.seeds)
    if options.workers < 1:
        raise ConfigurationError("--workers must be at least 1", field="workers")
    data = open_data_set(options.data)
    tracks = chosen_tracks(options.tracks, data.challenges)
    for track in tracks:
        track_folds(data, track)  # refuses what cannot be run, before all files are read
    out = options.out or Path("out/tables") / data.folder.resolve().name
    planted = read_planted(data) if ALL in tracks else None
    clips = checked(options.data)
    asked = recipe.config(clips.network_defaults())
    refuse_other_features(
        clips, asked, "the settings ask for", "remove joint_layout, joint_channels and feature_channels from them"
    )
    plan = planned(clips, methods, tracks, seeds, recipe)
    for (method, track), reason in plan.refused.items():
        progress.print(f"{NOTHING} {METHODS[method].label} ({track}): {reason}", markup=False, soft_wrap=True)
    make_folder(out)
    jobs = plan.distinct()
    cells = {job.name: cell for job in jobs if (cell := read_cell(out / "cells", job)) is not None}
    missing = [job for job in jobs if job.name not in cells]
    progress.print(f"{len(jobs)} cells, {len(cells)} of them done before", highlight=False)
    done = list(cells.values())
    failed = make_cells(missing, out / "cells", workers=options.workers, done=done, console=progress)
    cells |= {job.name: cell for job in missing if (cell := read_cell(out / "cells", job)) is not None}
    results, attention = assembled(options.table, clips, plan, cells, failed, tracks, methods)
    beside = (
        [] if planted is None else against_planted(planted, clips, plan, cells, [each.method for each in attention])
    )
    write(results, attention, beside, out, stem(options.table), console)
    for job in missing:
        if job.name in failed:
            report(failed[job.name], str(job), progress)
    return 1 if failed else 0


def chosen_methods(table: str, names: str | None) -> list[Method]:
    """The methods of a table, or those of them that are named. Raises ``ConfigurationError`` naming all there are."""
    known = [method for section in TABLES[table].sections for method in section]
    wanted = known if names is None else [name.strip() for name in names.split(",") if name.strip()]
    if not wanted:
        raise ConfigurationError(f"--methods names none; they are {', '.join(known)}", field="methods")
    for name in wanted:
        if name not in known:
            raise ConfigurationError(
                f"--methods: {name!r} is not a method of table {table}; they are {', '.join(known)}", field="methods"
            )
    return [METHODS[name] for name in known if name in wanted]


def chosen_tracks(names: str, challenges: Sequence[str]) -> tuple[str, ...]:
    """Tracks in the order of the paper's columns: challenges, then all."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    single = [*challenges] if SINGLE in wanted else [name for name in wanted if name != ALL]
    tracks = tuple(dict.fromkeys((*single, *([ALL] if ALL in wanted else []))))
    if not tracks:
        raise ConfigurationError(f"--tracks names none; give {ALL}, {SINGLE} or challenges", field="tracks")
    return tracks


def chosen_seeds(names: str) -> list[int]:
    """Distinct whole numbers."""
    try:
        seeds = list(dict.fromkeys(int(name) for name in names.split(",")))
    except ValueError as error:
        raise ConfigurationError(f"--seeds: {names!r} is not a list like 0,1,2", field="seeds") from error
    return seeds


def refuse_overridden(table: str, recipe: Recipe, path: Path | None) -> None:
    """A recipe must not set what the rows of the table differ in."""
    rows = [METHODS[name] for section in TABLES[table].sections for name in section]
    differ: Mapping[str, set[str]] = {
        "network": {"modalities", *(key for row in rows for key in row.network)},
        "training": {"seed", *(key for row in rows for key in row.training)},
    }
    for section, keys in differ.items():
        for key in getattr(recipe, section):
            if key in keys:
                raise ConfigurationError(
                    f"{path}: [{section}] sets {key}, which rows of table {table} or --seeds set; remove it",
                    field=f"{section}.{key}",
                )


def checked(folder: Path) -> Clips:
    """The data set, without holding its features: the processes that make cells have their own."""
    with steps() as on_progress:
        return open_clips(open_data_set(folder), on_progress)._replace(features=None)


def assembled(
    table: str,
    clips: Clips,
    plan: Plan,
    cells: Mapping[str, Cell],
    failed: Mapping[str, BaseException],
    tracks: tuple[str, ...],
    methods: Sequence[Method],
) -> tuple[Results, list[Attention]]:
    """The figures of the table, and the attention of its fusions where there are several challenges."""
    annotations = clips.data.annotations
    dancers = None if leaks(clips.data) else {a.clip_id: a.dancer_id for a in annotations}
    challenges = {a.clip_id: a.challenge_id for a in annotations}
    figures: dict[tuple[str, str], Figure] = {}
    attention: list[Attention] = []
    for method in methods:
        for track in tracks:
            jobs = plan.jobs.get((method.name, track), [])
            errors = [failed[job.name] for job in jobs if job.name in failed]
            if errors:
                why = f"{len(errors)} of {len(jobs)} cells failed: {message(errors[0])}"
                figures[method.name, track] = Figure(method.name, track, mark=FAILED, missing=why)
            elif not jobs:
                why = plan.refused[method.name, track]
                figures[method.name, track] = Figure(method.name, track, mark=NOTHING, missing=why)
            else:
                figures[method.name, track] = figure_of(jobs, cells, dancers)
                several = len(jobs[0].network.modalities) > 1 and jobs[0].network.attentive_fusion
                if several and track == ALL and len(clips.data.challenges) > 1:
                    attention += attention_of(jobs, cells, challenges)
    return Results(TABLES[table], clips.data.folder.resolve().name, tracks, figures), attention


def against_planted(
    planted: Planted, clips: Clips, plan: Plan, cells: Mapping[str, Cell], fusions: Sequence[str]
) -> list[Grid]:
    """What was planted, beside the attention of ``fusions`` and what anybody could reach."""
    challenges = {a.clip_id: a.challenge_id for a in clips.data.annotations}
    orders = [
        order
        for method in dict.fromkeys(fusions)
        for order in orders_of(plan.jobs[method, ALL], cells, challenges, planted.importance)
    ]
    return planted_grids(clips.data.folder.resolve().name, orders, ceiling(clips, track_folds(clips.data), planted))


def write(
    results: Results, attention: Sequence[Attention], beside: Sequence[Grid], out: Path, name: str, console: Console
) -> None:
    """Print the table and what stands ``beside`` it, and write it in all its forms."""
    out.mkdir(parents=True, exist_ok=True)
    parts = []
    for grid in (*grids(results), *beside):
        console.print(as_text(grid))
        parts.append(as_markdown(grid))
    notes = results.notes()
    console.print(*notes, sep="\n", markup=False, highlight=False, soft_wrap=True)
    if notes:
        parts.append("\n".join(f"- {note}" for note in notes))
    with replacing(out / f"{name}.md") as draft:
        draft.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    write_csv(results, out / f"{name}.csv")
    draw(results, out / f"{name}.png")
    forms = "csv,md,png"
    if attention:
        write_attention(attention, out / f"{name}-attention.csv")
    more = f" and {name}-attention.csv" if attention else ""
    console.print(f"written to {out}/{name}.{{{forms}}}{more}", markup=False, highlight=False, soft_wrap=True)


def stem(table: str) -> str:
    """Part of the file names."""
    return f"table{table}" if table.isdigit() else table


def message(error: BaseException) -> str:
    """The message of a project's error; of another error also its type."""
    if isinstance(error, BrokenProcessPool):
        return "a process died, perhaps for want of memory; try fewer --workers"
    return error.message if isinstance(error, DancerankError) else f"{type(error).__name__}: {error}"


def report(error: BaseException, job: str, console: Console) -> None:
    """Why a cell failed; with a traceback if it was not foreseen."""
    console.print(f"failed: {job}: {message(error)}", markup=False, highlight=False, soft_wrap=True)
    if not isinstance(error, DancerankError):
        console.print("".join(traceback.format_exception(error)), markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
