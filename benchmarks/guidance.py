"""What guidance (Eq. 7) is worth: parity of the gradient, what moving along it does, and whether it finds the cause.

    python -m benchmarks.guidance [--quick] [--bundle FOLDER] [--other FOLDER] [--data FOLDER]

*Parity*: gradient graphs of skeletal networks beside torch's automatic differentiation and central differences.
*Steps*: each joint of held-out synthetic clips moves by ε of the body's size along the gradient, raw and smoothed,
against it, and in random directions; judged by the bundle itself and by another one, whose weights the gradient has not
seen. With ``DANCERANK_DATA``, recorded dances too. *Cause*: the cosine of guidance with the direction in which a
synthetic clip's joints move as its planted quality grows. *Smoothing*: the same for sizes of noise, on validation
clips; the constants of ``streamer.guidance.smoothing`` come from this table, all others are of test clips.

With ``--data`` steps alone, of the clips that a data set holds out (of its first fold, if it has folds), by bundles
that were trained on the rest; written to ``out/guidance-data.json``.

Needs the ``[train]`` extra for parity. Writes ``out/guidance.json``.
"""

import argparse
import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.guided.causes import CAUSES, Causal, Choice, agreement, choices, planned
from benchmarks.guided.causes import RANDOM as RANDOM_DIRECTION
from benchmarks.guided.moves import LENGTHS, OPPOSITE, RANDOM, STEPS, Moved, moved, rising
from benchmarks.guided.scores import FUSED, SKELETAL, Networks
from benchmarks.refusals import ends_with_a_sentence
from dancerank.settings import DATA_VARIABLE, shipped_bundle, video_bundle
from dancerank.synthetic import synthesize
from schemas.bundle import read_bundle
from schemas.features import ClipFeatures
from schemas.joints import JointLayout, convert, layout_named
from schemas.modalities import Modality
from streamer.guidance.smoothing import RAW, SMOOTHINGS
from vdv.folder import open_data_set
from vdv.importers.dance import ARCHIVE_NAME, cut, read_sequences
from vdv.splits import track_folds

PARITY_BAR: Final = 1e-4
RISING_BAR: Final = 0.95
SMALL_STEP: Final = 0.01
POSITIVE_BAR: Final = 0.9
CLIPS_SEED: Final = 901
CAUSES_SEED: Final = 911
VALIDATION_SEED: Final = 921
"""Of clips; the bundles that ship have learned from seeds 7 and 8."""
POOL: Final = 400
"""Clips of a seed, so that its dancers are many; the first are measured."""


@ends_with_a_sentence
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few networks, clips and sizes of noise")
    parser.add_argument("--bundle", type=Path, default=shipped_bundle())
    parser.add_argument("--other", type=Path, default=video_bundle(), help="a bundle that judges the first")
    parser.add_argument("--data", type=Path, help="a data set (docs/data.md) of the bundle's layout")
    arguments = parser.parse_args()
    quick: bool = arguments.quick
    console = Console(width=150)
    networks, other = (Networks(read_bundle(folder)) for folder in (arguments.bundle, arguments.other))
    if arguments.data is not None:
        held = held_out(arguments.data, 8 if quick else 100)
        figures = report_steps(console, "skeletal", moved(networks, held, SKELETAL, other, CLIPS_SEED))
        console.print(write_figures("guidance-data", figures, clips=len(held)), markup=False)
        return
    figures = report_parity(console, quick=quick)
    clips = [clip.features for clip in islice(synthesize(POOL, seed=CLIPS_SEED), 12 if quick else 100)]
    for of in (SKELETAL, FUSED):
        found = moved(networks, clips, of, other if of == SKELETAL else None, CLIPS_SEED)
        figures += report_steps(console, of, found)
    recorded = recorded_dances(networks.layout, 8 if quick else 48)
    if recorded:
        figures += report_steps(console, "recorded", moved(networks, recorded, SKELETAL, other, CLIPS_SEED))
    else:
        console.print(f"{DATA_VARIABLE} names no folder with {ARCHIVE_NAME}: recorded dances are left out")
    plans, plan = planned(POOL, CAUSES_SEED)
    figures += report_causes(console, agreement(networks, plans[: 24 if quick else 100], plan, CAUSES_SEED))
    plans, plan = planned(POOL, VALIDATION_SEED)
    tried = choices(networks, plans[:60], plan) if not quick else choices(networks, plans[:12], plan, samples=(8,))
    figures += report_choices(console, tried)
    bars = [each for each in figures if each.bar is not None]
    console.print(f"{sum(bool(each.met) for each in bars)} of {len(bars)} bars are met")
    console.print(write_figures("guidance", figures, clips=len(clips)), markup=False)


def report_parity(console: Console, *, quick: bool) -> list[Measured]:
    from benchmarks.guided.parity import CONFIGURATIONS, parity

    table = Table(
        "network", *(f"{side}: {n}" for side in ("torch", "differences") for n in ("median", "90 %", "alike"))
    )
    figures = []
    for name, configuration in islice(CONFIGURATIONS.items(), 2 if quick else None):
        found = parity(configuration, batches=5 if quick else 10)
        sides = (found.torch, found.central)
        table.add_row(
            name, *(cell for s in sides for cell in (f"{s.typical:.0e}", f"{s.accepted:.0e}", f"{s.alike:.0%}"))
        )
        for rival, side in zip(("torch", "differences"), sides, strict=True):
            figures.append(
                Measured(f"parity with {rival}, {name}", side.accepted, "relative", PARITY_BAR, lower_is_better=True)
            )
    table.title = f"Differences of gradients; in 9 of 10 clips at most as under 90 %; alike: within {PARITY_BAR:g}"
    console.print(table)
    return figures


def report_steps(console: Console, of: str, found: Moved) -> list[Measured]:
    """A table for each way of laying out ε, with the judgement of the other networks below it."""
    figures = []
    small = STEPS.index(SMALL_STEP)
    clips = len(found.before)
    for way in LENGTHS:
        for judge, changes in (("itself", found.own), ("another network", found.other)):
            if changes is None:
                continue
            title = f"Change of the {of} score of {clips} clips, ε {way}, judged by {judge}; clips that rise"
            table = Table("direction", *(f"ε {step:g}" for step in STEPS), title=title)
            for name in (*SMOOTHINGS, OPPOSITE, RANDOM):
                values = changes[way, name]
                shares, means = rising(values), values.mean(axis=0)
                table.add_row(name, *(f"{m:+.4f}  {s:.0%}" for m, s in zip(means, shares, strict=True)))
                bar = RISING_BAR if judge == "itself" and name == RAW else None
                named = f"{of}, ε {SMALL_STEP:g} {way}, {name}, by {judge}"
                figures.append(Measured(f"{named}: rise", float(shares[small]), "share", bar))
                figures.append(Measured(f"{named}: change", float(means[small]), "score"))
            console.print(table)
    console.print(f"the {of} score's standard deviation over these clips is {found.before.std():.3f}")
    return figures


def report_causes(console: Console, found: Causal) -> list[Measured]:
    title = f"Cosine with the planted direction, {found.clips} test clips; share above zero"
    table = Table("direction", *CAUSES, "joints by size", "frame to frame", title=title)
    figures = []
    for name, each in found.agreement.items():
        cells = [f"{values.mean():+.3f}  {(values > 0).mean():.0%}" for values in each.cosines.values()]
        table.add_row(name, *cells, f"{each.ranks['size'].mean():+.2f}", f"{each.steady.mean():.2f}")
        for cause, values in each.cosines.items():
            figures.append(Measured(f"cosine of {name} with {cause}", float(values.mean()), "cosine"))
        above = float((each.cosines["both"] > 0).mean())
        bar = POSITIVE_BAR if name in SMOOTHINGS else None
        figures.append(Measured(f"{name}: cosine with both causes above zero", above, "share of clips", bar))
        figures.append(
            Measured(f"{name}: joints in the order of their planted size", each.ranks["size"].mean(), "rank")
        )
    spread = found.agreement[RANDOM_DIRECTION].cosines["both"].std()
    shares = ", ".join(f"{name} {share:.2f}" for name, share in found.shares.items())
    console.print(table)
    console.print(
        f"a random direction's cosine has a deviation of {spread:.3f}; norm of a cause, of all together: {shares}"
    )
    console.print(joints_table(found))
    return figures


def joints_table(found: Causal) -> Table:
    """Cosines of each joint's movement over the clip."""
    layout: JointLayout = layout_named("mpii-16")
    shown = [(name, cause) for name in (RAW, "smoothgrad", "bones") for cause in ("steadiness", "size")]
    table = Table("joint", *(f"{name}, {cause}" for name, cause in shown), title="Cosine by joint")
    means = [found.agreement[name].joints[cause].mean(axis=0) for name, cause in shown]
    for joint, label in enumerate(layout.joints):
        table.add_row(label, *(f"{mean[joint]:+.3f}" for mean in means))
    return table


def report_choices(console: Console, tried: Sequence[Choice]) -> list[Measured]:
    clips = len(tried[0].cosines["both"])
    table = Table("smoothing", "steadiness", "size", "both", title=f"Cosine with the causes, {clips} validation clips")
    figures = []
    for choice in tried:
        cosines = choice.cosines
        error = cosines["both"].std() / np.sqrt(clips)
        shown = (f"{cosines['steadiness'].mean():+.3f}", f"{cosines['size'].mean():+.3f}")
        table.add_row(choice.name, *shown, f"{cosines['both'].mean():+.3f} ± {error:.3f}")
        figures.append(Measured(f"validation: {choice.name}", float(cosines["both"].mean()), "cosine"))
    console.print(table)
    return figures


def recorded_dances(layout: JointLayout, count: int) -> list[ClipFeatures]:
    """One clip of each of ``count`` recorded sequences, as the streamer reads it; none without the archive."""
    folder = os.environ.get(DATA_VARIABLE, "")
    if not folder or not (Path(folder) / ARCHIVE_NAME).is_file():
        return []
    firsts: Iterable[ClipFeatures] = (next(iter(cut(each))).features for each in read_sequences(Path(folder)))
    return [
        ClipFeatures(
            {Modality.SKELETAL: convert(clip.frames[Modality.SKELETAL], layout_named(clip.joint_layout or ""), layout)},
            layout.name,
        )
        for clip in islice(firsts, count)
    ]


def held_out(folder: Path, count: int) -> list[ClipFeatures]:
    """The first ``count`` clips of the test part of a data set, or of its first fold."""
    data = open_data_set(folder)
    rows = track_folds(data)[0].test[:count]
    return [data.features(data.annotations[row]) for row in rows]


if __name__ == "__main__":
    main()
