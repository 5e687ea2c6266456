"""How well styles are named and unknown ones refused, and whether the probability means what it says.

    DANCERANK_DATA=folder python -m benchmarks.style_product [--quick]

*Recorded*: ten-second clips of the sequences of *Dance with Melody*: cha-cha, rumba and waltz in five folds by
recording, of which one is tested and the others are learned from; temperature and threshold come from inner folds of
these. Then each style in turn is held out whole: it is learned from nowhere, and every clip of it is unknown. Tango, of
which there is one recording, is unknown throughout. *Synthetic*: the six ways of moving of synthetic dancers, tested on
other dancers, each held out whole in turn. The rival is the probability of the most probable style, by which a
classifier without a distance would refuse. *Cost*: seconds of the classifier's graph, and of the skeletal stream of the
bundle that ships, on the same clips in turn.

``--quick``: the first draw of the folds, and fewer synthetic clips. Writes ``out/style_product.json``.
"""

import argparse
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Final, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, options_of, write_figures
from benchmarks.refusals import ends_with_a_sentence
from benchmarks.styles import ACCURACY_BAR, BALANCED_BAR, clips_of_all_styles
from dancerank.console.progress import working
from dancerank.fitting.styles import synthetic_poses
from dancerank.settings import shipped_bundle
from networks.styles.classifier import Evaluation, evaluate_classifier, refusal_by_probability, train_classifier
from networks.styles.clips import StyleClip, folds_by_group
from schemas.bundle import read_bundle
from schemas.errors import ConfigurationError
from schemas.joints import DANCE_23, MPII_16, JointLayout
from schemas.modalities import Modality
from streamer.runtimes.onnx_runtime import OnnxRuntime
from streamer.runtimes.style_network import style_network

KNOWN: Final = ("cha-cha", "rumba", "waltz")
FOLDS: Final = 5
SEEDS: Final = (201, 202)
AUROC_BAR: Final = 0.9
FALSE_BAR: Final = 0.2
ERROR_BAR: Final = 0.05
"""The bars of accuracy are what recorded dances have to reach; these are what a product would want."""
ROUNDS: Final = 15


class Outcome(NamedTuple):
    """An evaluation, or the mean of several; ``by_probability``: AUROC of refusing by the probability alone."""

    name: str
    found: Evaluation
    by_probability: float


@ends_with_a_sentence
def main() -> None:
    arguments = parse(__doc__)
    with working("recorded dances"):
        recorded = recorded_outcomes(arguments.recordings, draws=draws_of(arguments))
    with working("synthetic dances"):
        synthetic = synthetic_outcomes(clips=synthetic_clips_of(arguments))
    with working("cost"):
        classifier_s, stream_s = cost()
    show(recorded + synthetic)
    print(
        f"classifier {1e3 * classifier_s:.2f} ms a clip, skeletal stream {1e3 * stream_s:.2f} ms: a clip of 10 s alone"
    )
    figures = [*figures_of("recorded", recorded), *figures_of("synthetic", synthetic)]
    figures += [
        Measured("classifier over skeletal stream, time", classifier_s / stream_s, "", 0.1, lower_is_better=True),
        Measured("classifier, a clip of 10 s", 1e3 * classifier_s, "ms", None),
    ]
    rows = [{"name": each.name, **each.found._asdict(), "by_probability": each.by_probability} for each in
            recorded + synthetic]  # fmt: skip
    print(f"figures in {write_figures('style_product', figures, options=options_of(arguments), outcomes=rows)}")


def parse(description: str | None) -> argparse.Namespace:
    """The options of benchmarks that read recorded and synthetic dances."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    folder = Path(os.environ.get("DANCERANK_DATA", "."))
    parser.add_argument("--recordings", type=Path, default=folder, help="folder with the recorded dances")
    parser.add_argument("--quick", action="store_true", help="one draw of the folds, fewer synthetic clips")
    return parser.parse_args()


def draws_of(arguments: argparse.Namespace) -> int:
    """Of the folds of recorded dances."""
    return 1 if arguments.quick else 3


def synthetic_clips_of(arguments: argparse.Namespace) -> int:
    """To learn from, and as many to test on."""
    return 800 if arguments.quick else 1600


def recorded_outcomes(folder: Path, *, draws: int) -> list[Outcome]:
    """All three known, then each held out whole; tango is unknown throughout."""
    clips = clips_of_all_styles(folder)
    outcomes = []
    for held_out in (None, *KNOWN):
        known = [clip for clip in clips if clip.style in KNOWN and clip.style != held_out]
        unknown = [clip for clip in clips if clip.style not in KNOWN or clip.style == held_out]
        found = []
        for draw in range(draws):
            for train, test in folds_by_group(known, FOLDS, seed=draw):
                learned, tested = [known[row] for row in train], [known[row] for row in test]
                found.append(outcome("", learned, [*tested, *unknown], DANCE_23))
        name = "recorded, all three known" if held_out is None else f"recorded, {held_out} unknown"
        outcomes.append(mean_of(name, found))
    return outcomes


def synthetic_outcomes(*, clips: int) -> list[Outcome]:
    """All six known, then each held out whole."""
    learned, tested = (synthetic_poses(clips, seed=seed) for seed in SEEDS)
    styles = sorted({clip.style for clip in learned})
    return [
        outcome(
            "synthetic, all known" if held_out is None else f"synthetic, {held_out} unknown",
            [clip for clip in learned if clip.style != held_out],
            tested,
            MPII_16,
        )
        for held_out in (None, *styles)
    ]


def outcome(name: str, learned: Sequence[StyleClip], tested: Sequence[StyleClip], layout: JointLayout) -> Outcome:
    trained = train_classifier(learned, layout)
    return Outcome(name, evaluate_classifier(trained, tested), refusal_by_probability(trained, tested))


def mean_of(name: str, found: Sequence[Outcome]) -> Outcome:
    """Weighed by the clips that each has seen."""
    known = [each.found.known for each in found]
    means = {
        field: float(np.average([getattr(each.found, field) for each in found], weights=known))
        for field in Evaluation._fields
    }
    means |= {"known": sum(known), "unknown": sum(each.found.unknown for each in found)}
    by_probability = float(np.average([each.by_probability for each in found], weights=known))
    return Outcome(name, Evaluation(**means), by_probability)


def cost() -> tuple[float, float]:
    """Seconds of a clip of ten seconds alone: the classifier, and the skeletal stream of the bundle that ships; the
    medians of alternating rounds."""
    bundle = read_bundle(shipped_bundle())
    network = style_network(bundle)
    if network is None:
        raise ConfigurationError("the bundle that ships has no style classifier; run dancerank demo-bundle")
    runtime, lengths = OnnxRuntime(bundle, threads=1), np.array([250])
    frames = np.random.default_rng(0).normal(500, 100, (1, 250, 16, 2)).astype(np.float32)
    pairs = [
        (seconds(lambda: network.run(frames, lengths)),
         seconds(lambda: runtime.run_stream(Modality.SKELETAL, frames, lengths)))
        for _ in range(ROUNDS)
    ]  # fmt: skip
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def seconds(act: Callable[[], object]) -> float:
    started_s = perf_counter()
    act()
    return perf_counter() - started_s


def figures_of(name: str, outcomes: Iterable[Outcome]) -> list[Measured]:
    every, *held = outcomes
    auroc = [each.found.auroc for each in held]
    return [
        Measured(f"{name}, accuracy", every.found.accuracy, "", ACCURACY_BAR if name == "recorded" else None),
        Measured(
            f"{name}, balanced accuracy",
            every.found.balanced_accuracy,
            "",
            BALANCED_BAR if name == "recorded" else None,
        ),
        Measured(f"{name}, calibration error", every.found.calibration_error, "", ERROR_BAR, lower_is_better=True),
        Measured(f"{name}, calibration error at temperature 1", every.found.uncalibrated_error, "", None),
        Measured(f"{name}, AUROC of unknown styles, mean", float(np.mean(auroc)), "", AUROC_BAR),
        Measured(f"{name}, AUROC of unknown styles, least", min(auroc), "", None),
        Measured(
            f"{name}, AUROC by the probability, mean", float(np.mean([each.by_probability for each in held])), "", None
        ),
        Measured(
            f"{name}, unknown clips named, mean",
            float(np.mean([each.found.falsely_accepted for each in held])),
            "",
            FALSE_BAR,
            lower_is_better=True,
        ),
    ]


def show(outcomes: Iterable[Outcome]) -> None:
    headings = ("accuracy", "balanced", "error", "at T = 1", "known named", "unknown named", "AUROC", "by probability")
    table = Table("", *headings, title="styles named, and unknown ones refused")
    for name, found, by_probability in outcomes:
        cells = (
            *(found.accuracy, found.balanced_accuracy, found.calibration_error, found.uncalibrated_error),
            *(found.accepted, found.falsely_accepted, found.auroc, by_probability),
        )
        table.add_row(name, *(f"{each:.3f}" if each == each else "–" for each in cells))
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
