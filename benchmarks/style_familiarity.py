"""Which measure of familiarity refuses unknown dances: each on the same discriminant, clips and folds.

    DANCERANK_DATA=folder python -m benchmarks.style_familiarity [--quick]

Each style is held out whole, as in ``benchmarks.style_product``; the threshold is what 95 % of validation clips reach.
*Validation* holds each of the styles that are left out of the training clips in turn: the AUROC there has seen neither
the unknown style nor a test clip. It needs three known styles; recorded dances have it with none held out.

``--quick``: the first draw of the folds, and fewer synthetic clips. Writes ``out/style_familiarity.json``.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from sklearn.metrics import roc_auc_score

from benchmarks.figures import Measured, options_of, write_figures
from benchmarks.refusals import ends_with_a_sentence
from benchmarks.style_product import FALSE_BAR, FOLDS, KNOWN, SEEDS, draws_of, parse, synthetic_clips_of
from benchmarks.styles import clips_of_all_styles
from dancerank.console.progress import working
from dancerank.fitting.styles import synthetic_poses
from networks.styles.calibration import threshold_accepting
from networks.styles.clips import StyleClip, folds_by_group
from networks.styles.movement import NEAREST, described, discriminant_of
from schemas.joints import DANCE_23, MPII_16, JointLayout

SERVED: Final = "nearest clips, within and over all"

Array = NDArray[np.float64]


class Clips(NamedTuple):
    """Clips with their descriptors (N, D)."""

    clips: list[StyleClip]
    described: Array
    layout: JointLayout

    def where(self, which: Sequence[bool] | NDArray[np.bool_]) -> "Clips":
        rows = np.flatnonzero(which)
        return self.rows(rows.tolist())

    def rows(self, rows: Sequence[int]) -> "Clips":
        return Clips([self.clips[row] for row in rows], self.described[list(rows)], self.layout)


class Refusal(NamedTuple):
    """Shares of known and of unknown clips that are named, and the AUROC between them."""

    known: float
    unknown: float
    auroc: float


@ends_with_a_sentence
def main() -> None:
    arguments = parse(__doc__)
    figures = []
    for name, found, validated in (
        ("recorded", *recorded(arguments.recordings, draws=draws_of(arguments))),
        ("synthetic", *synthetic(clips=synthetic_clips_of(arguments))),
    ):
        show(name, found, validated)
        for measure, each in found.items():
            bar = FALSE_BAR if measure == SERVED else None
            figures += [
                Measured(f"{name}, {measure}, unknown clips named", each.unknown, "", bar, lower_is_better=True),
                Measured(f"{name}, {measure}, AUROC", each.auroc, "", None),
                Measured(f"{name}, {measure}, AUROC of validation", validated[measure], "", None),
            ]
    print(f"figures in {write_figures('style_familiarity', figures, options=options_of(arguments))}")


def recorded(folder: Path, *, draws: int) -> tuple[dict[str, Refusal], dict[str, float]]:
    """Means over the styles held out; validation of the folds of all three known."""
    with working("recorded dances"):
        clips = clips_of_all_styles(folder)
        everything = Clips(clips, described(clips, DANCE_23), DANCE_23)
        found, validated = defaultdict(list), defaultdict(list)
        for held_out in (None, *KNOWN):
            is_known = np.array([clip.style in KNOWN and clip.style != held_out for clip in clips])
            known, unknown = everything.where(is_known), everything.where(~is_known)
            for draw in range(draws):
                for train, test in folds_by_group(known.clips, FOLDS, seed=draw):
                    if held_out is None:
                        collect(validated, validation(known.rows(train)))
                    else:
                        collect(found, refusals(known.rows(train), known.rows(test), unknown))
    return means(found), {name: float(np.mean(each)) for name, each in validated.items()}


def synthetic(*, clips: int) -> tuple[dict[str, Refusal], dict[str, float]]:
    """Means over the styles held out."""
    with working("synthetic dances"):
        parts = [synthetic_poses(clips, seed=seed) for seed in SEEDS]
        learned, tested = (Clips(part, described(part, MPII_16), MPII_16) for part in parts)
        found, validated = defaultdict(list), defaultdict(list)
        for held_out in sorted({clip.style for clip in learned.clips}):
            known = learned.where([clip.style != held_out for clip in learned.clips])
            is_known = np.array([clip.style != held_out for clip in tested.clips])
            collect(found, refusals(known, tested.where(is_known), tested.where(~is_known)))
            collect(validated, validation(known))
    return means(found), {name: float(np.mean(each)) for name, each in validated.items()}


def refusals(learned: Clips, known: Clips, unknown: Clips) -> dict[str, Refusal]:
    """By measure, with thresholds from folds of the learned clips."""
    validated, familiar, strange = held_out_measures(learned), *judged(learned, known, unknown)
    found = {}
    for name, values in validated.items():
        threshold = threshold_accepting(values)
        named = ((part[name] >= threshold).mean() for part in (familiar, strange))
        found[name] = Refusal(*map(float, named), auroc(familiar[name], strange[name]))
    return found


def validation(learned: Clips) -> dict[str, float]:
    """AUROC by measure, each style of the learned clips unknown in turn: a mean. Only folds of these are judged."""
    found = defaultdict(list)
    for style in sorted({clip.style for clip in learned.clips}):
        is_known = np.array([clip.style != style for clip in learned.clips])
        known, unknown = learned.where(is_known), learned.where(~is_known)
        (strange,) = judged(known, unknown)
        for name, values in held_out_measures(known).items():
            found[name].append(auroc(values, strange[name]))
    return {name: float(np.mean(each)) for name, each in found.items()}


def held_out_measures(learned: Clips) -> dict[str, Array]:
    """Of every clip, by a discriminant that has not seen its dancer."""
    parts = defaultdict(list)
    for train, held in folds_by_group(learned.clips, FOLDS):
        (values,) = judged(learned.rows(train), learned.rows(held))
        for name, each in values.items():
            parts[name].append(each)
    return {name: np.concatenate(each) for name, each in parts.items()}


def judged(learned: Clips, *parts: Clips) -> Iterator[dict[str, Array]]:
    """Every measure of the clips of each part; the greater, the more familiar."""
    styles = sorted({clip.style for clip in learned.clips})
    truth = np.array([styles.index(clip.style) for clip in learned.clips])
    network = discriminant_of(learned.described, truth, learned.layout)
    buffers = {name: value.numpy() for name, value in network.named_buffers()}
    basis, places, near = buffers["basis"], buffers["places"], buffers["learned"].astype(np.float64)
    for part in parts:
        whole = (part.described - buffers["mean"]) @ buffers["whitening"] - buffers["centre"]
        within = whole @ basis
        squares = np.square(within[:, None] - places).sum(2)
        first, second = np.sort(squares, axis=1)[:, :2].T
        beside = (np.square(whole).sum(1) - np.square(within).sum(1)) / (whole.shape[1] - basis.shape[1])
        inside, around = -first / basis.shape[1], -beside
        fifth, all_round = (
            -np.sqrt(nearest(within, near @ basis)[:, -1]),
            -nearest(whole, near).mean(1) / whole.shape[1],
        )
        yield {
            SERVED: fifth + all_round,
            "nearest clips, over all": all_round,
            "fifth nearest clip, within": fifth,
            "nearest style, within and outside": inside + around,
            "nearest style, within": inside,
            "outside the space of the styles": around,
            "energy of the logits": np.log(np.exp((first[:, None] - squares) / 2).sum(1)) - first / 2,
            "margin of the two most probable": second - first,
        }


def nearest(x: Array, learned: Array) -> Array:
    """Squared distances (N, ``NEAREST``) to the nearest of (M, D), ascending."""
    squares = np.square(x).sum(1)[:, None] + np.square(learned).sum(1) - 2 * x @ learned.T
    return np.sort(squares.clip(min=0), axis=1)[:, :NEAREST]


def auroc(known: Array, unknown: Array) -> float:
    return float(roc_auc_score(np.r_[np.ones(len(known)), np.zeros(len(unknown))], np.r_[known, unknown]))


def collect(found: dict[str, list[Any]], more: Mapping[str, Any]) -> None:
    for name, each in more.items():
        found[name].append(each)


def means(found: Mapping[str, Sequence[Refusal]]) -> dict[str, Refusal]:
    return {name: Refusal(*np.mean(each, axis=0).tolist()) for name, each in found.items()}


def show(name: str, found: Mapping[str, Refusal], validated: Mapping[str, float]) -> None:
    table = Table(f"familiarity, {name} dances", "known named", "unknown named", "AUROC", "AUROC of validation")
    for measure, each in found.items():
        table.add_row(measure, *(f"{value:.3f}" for value in (*each, validated[measure])))
    Console(width=110).print(table)


if __name__ == "__main__":
    main()
