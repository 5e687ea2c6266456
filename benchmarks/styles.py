"""Which dance is this: recorded dances told apart from skeletons, and the report's table for Let's Dance.

    DANCERANK_DATA=folder python -m benchmarks.styles [--quick] [--draws 3] [--methods chosen lstm …] [--trials 4]
    python -m benchmarks.styles --lets-dance FOLDER [--images FOLDER] [--methods lstm attentive-lstm tcn] [--trials 8]

The recordings of *Dance with Melody* in ten-second clips: cha-cha, rumba and waltz (tango was recorded once only).
Folds hold whole recordings out, never a recording on both sides; everything is chosen inside the training clips of a
fold: *chosen* is the candidate of ``networks.styles.choosing`` that repeated inner folds choose, discriminants and
linear machines on descriptors and sums of these, and *linear*, its rival, the same choice among linear machines alone;
the settings of *lstm*, *attentive-lstm* and *tcn* come from random search, and the best epoch of these, *rtcn* and
*psgcn* from one inner fold. *chosen* and *linear* are repeated for ``--draws`` draws of the folds, networks run for the
first. The bars, 0.97 of accuracy and 0.95 balanced, are for the lowest draw of *chosen*.

Let's Dance in its published layout is divided 80/10/10 by video; frames are sub-sampled every 60, 30 or 5. Without
``--images`` the sequential networks read the 102 features of the pose CNN, with them 614.
Writes ``out/styles.json``, and the confusion of the first draw as ``out/styles.png``.
"""

import argparse
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, options_of, write_figures
from benchmarks.refusals import ends_with_a_sentence
from dancerank.console.progress import working
from networks.styles.choosing import CANDIDATES, LINEAR_MACHINES, Candidate, ChosenMachine
from networks.styles.clips import StyleClip, folds_by_group, split_by_group, styles_of
from networks.styles.evaluation import StyleReport, report
from networks.styles.frames import FrameClassifier, PoseCNN
from networks.styles.network import StyleNetwork
from networks.styles.pictures import draw_confusions
from networks.styles.preparation import SUB_SAMPLING, facing_forward, in_boxes, sub_sampled
from networks.styles.search import SequentialKind, draw_sequential, random_search
from networks.styles.streams import style_psgcn, style_rtcn
from networks.styles.training import StyleTraining, evaluate_styles, predict_styles, train_styles
from schemas.joints import DANCE_23
from schemas.modalities import Modality
from vdv.importers.dance import read_clips
from vdv.importers.lets_dance import PAPER_STYLES, read_image_features, read_videos

SEQUENTIAL: Final[tuple[SequentialKind, ...]] = ("lstm", "attentive-lstm", "tcn")
CHOSEN: Final[Mapping[str, tuple[Candidate, ...]]] = {"chosen": CANDIDATES, "linear": LINEAR_MACHINES}
"""What inner folds choose from."""
METHODS: Final = (*CHOSEN, *SEQUENTIAL, "rtcn")
OTHERS: Final = ("psgcn",)
FRAME_BY_FRAME: Final = ("poses", "frames")
"""What is learned from Let's Dance in any case: the pose CNN, and with ``--images`` single frames."""
FOLDS: Final = 5
INNER_FOLDS: Final = 4
ACCURACY_BAR: Final = 0.97
BALANCED_BAR: Final = 0.95
PUBLISHED: Final = {"frames": 0.564, "lstm": 0.659, "attentive-lstm": 0.637, "tcn": 0.582}
"""On Let's Dance, Table 3."""
RECORDED_EVERY: Final = (25, 10, 5)
STREAM_EVERY: Final = 2
STREAM_WIDTH: Final = 1 / 8

Fold = tuple[list[int], list[int]]


@ends_with_a_sentence
def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    if arguments.lets_dance:
        reports, figures = lets_dance(arguments)
    else:
        reports, figures = recorded(arguments)
    show(reports)
    confusions = {
        name: [{"styles": one.styles, "confusion": one.confusion.tolist()} for one in some]
        for name, some in reports.items()
    }
    path = write_figures("styles", figures, options=options_of(arguments), reports=confusions)
    picture = path.with_suffix(".png")
    draw_confusions({name: some[0] for name, some in reports.items()}, picture)
    print(f"figures and confusion matrices in {path} and {picture}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--recordings",
        type=Path,
        default=Path(os.environ.get("DANCERANK_DATA", ".")),
        help="folder with the recorded dances",
    )
    parser.add_argument("--lets-dance", type=Path, help="folder with densepose/<style>/<video>_<frame>.json")
    parser.add_argument("--images", type=Path, help="folder of <style>/<video>.npy, 512 features of each frame")
    parser.add_argument("--methods", nargs="+", choices=(*METHODS, *OTHERS), help=f"default: {' '.join(METHODS)}")
    parser.add_argument("--draws", type=int, default=3, help="draws of the folds for chosen and linear")
    parser.add_argument("--trials", type=int, default=4, help="candidates of each random search")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="chosen and linear alone")
    arguments = parser.parse_args()
    if arguments.methods is None:
        arguments.methods = list(CHOSEN) if arguments.quick else list(METHODS)
    return arguments


def recorded(arguments: argparse.Namespace) -> tuple[dict[str, list[StyleReport]], list[Measured]]:
    """The recorded dances by every method, and the figures."""
    clips = recorded_clips(arguments.recordings)
    flat = [clip._replace(frames=facing_forward(clip.frames, DANCE_23).reshape(len(clip.frames), -1)) for clip in clips]
    reports: dict[str, list[StyleReport]] = {}
    chosen = [method for method in arguments.methods if method in CHOSEN]
    if chosen:
        with working(f"{' and '.join(chosen)}, {FOLDS} folds"):
            reports |= chosen_reports(clips, chosen, arguments.draws)
    for method in arguments.methods:
        if method not in CHOSEN:
            with working(f"{method}, {FOLDS} folds"):
                predict = network_method(method, arguments)
                reports[method] = [
                    held_out(clips if method == "psgcn" else flat, folds_by_group(clips, FOLDS), predict)
                ]
    return reports, recorded_figures(reports)


def chosen_reports(clips: Sequence[StyleClip], methods: Sequence[str], draws: int) -> dict[str, list[StyleReport]]:
    """A report on each draw of the folds, by what inner folds choose for each of ``methods``; prints the choices."""
    reports: dict[str, list[StyleReport]] = {method: [] for method in methods}
    candidates = list(dict.fromkeys(candidate for method in methods for candidate in CHOSEN[method]))
    choices: dict[str, Counter[Candidate]] = {method: Counter() for method in methods}
    for draw in range(draws):
        named = {method: [""] * len(clips) for method in methods}
        for train, test in folds_by_group(clips, FOLDS, seed=draw):
            machine = ChosenMachine(DANCE_23, candidates=candidates)
            machine.fit([clips[row] for row in train])
            for method in methods:
                choices[method][machine.choice(CHOSEN[method])] += 1
                found = machine.predict([clips[row] for row in test], among=CHOSEN[method])
                for row, style in zip(test, found, strict=True):
                    named[method][row] = style
        for method in methods:
            reports[method].append(report(styles_of(clips), [clip.style for clip in clips], named[method]))
    for method in methods:
        made = ", ".join(f"{count} times {candidate}" for candidate, count in choices[method].most_common())
        print(f"{method}: inner folds chose {made}")
    return reports


def clips_of_all_styles(folder: Path) -> list[StyleClip]:
    """Ten-second clips of the recorded dances; a recording is a group."""
    return [
        StyleClip(
            clip.annotation.clip_id,
            clip.annotation.dancer_id,
            clip.annotation.extra["style"],
            clip.features.frames[Modality.SKELETAL],
        )
        for clip in read_clips(folder)
    ]


def recorded_clips(folder: Path) -> list[StyleClip]:
    """Ten-second clips of the styles of which there is more than one recording."""
    clips = clips_of_all_styles(folder)
    recordings = {style: {clip.group for clip in clips if clip.style == style} for style in {c.style for c in clips}}
    return [clip for clip in clips if len(recordings[clip.style]) > 1]


Predict = Callable[[Sequence[StyleClip], Sequence[StyleClip], int], list[str]]
"""Learns from the first clips and names the styles of the second; the number is the fold's."""


def held_out(clips: Sequence[StyleClip], folds: Sequence[Fold], predict: Predict) -> StyleReport:
    """Every clip once, by what has not seen its recording."""
    named = [""] * len(clips)
    for number, (train, test) in enumerate(folds):
        found = predict([clips[row] for row in train], [clips[row] for row in test], number)
        for row, style in zip(test, found, strict=True):
            named[row] = style
    return report(styles_of(clips), [clip.style for clip in clips], named)


def network_method(method: str, arguments: argparse.Namespace) -> Predict:
    """One of the networks, chosen and stopped by an inner fold."""

    def predict(train: Sequence[StyleClip], test: Sequence[StyleClip], number: int) -> list[str]:
        rows, validation = folds_by_group(train, INNER_FOLDS, seed=number)[0]
        styles = styles_of(train)
        every, network = fitted(method, train, rows, validation, arguments, RECORDED_EVERY, number)
        return predict_styles(network, [clip._replace(frames=sub_sampled(clip.frames, every)) for clip in test], styles)

    return predict


def fitted(
    method: str,
    clips: Sequence[StyleClip],
    train: Sequence[int],
    validation: Sequence[int],
    arguments: argparse.Namespace,
    choices: Sequence[int],
    seed: int,
) -> tuple[int, StyleNetwork]:
    """A trained network of ``method``, and every how many-th frame it reads."""
    styles = styles_of(clips)
    for kind in SEQUENTIAL:
        if kind == method:
            draw = draw_sequential(
                kind, int(np.prod(clips[0].frames.shape[1:])), len(styles), every=choices, epochs=arguments.epochs
            )
            chosen = random_search(draw, clips, train, validation, trials=arguments.trials, seed=seed)
            return chosen.candidate.every, chosen.network
    torch.manual_seed(seed)
    network, settings = single_network(method, clips[0], len(styles), arguments.epochs, seed)
    every = choices[0] if method in FRAME_BY_FRAME else STREAM_EVERY
    parts = [
        [clips[row]._replace(frames=sub_sampled(clips[row].frames, every)) for row in rows]
        for rows in (train, validation)
    ]
    train_styles(network, parts[0], styles, settings, parts[1])
    return every, network


def single_network(
    method: str, clip: StyleClip, styles: int, epochs: int, seed: int
) -> tuple[StyleNetwork, StyleTraining]:
    """A network with fixed settings: those of the report for the pose CNN, ours for the streams."""
    if method == "poses":
        return PoseCNN(styles), StyleTraining(epochs=epochs, learning_rate=0.01, batch_size=100, seed=seed)
    if method == "frames":
        return FrameClassifier(clip.frames.shape[1], styles), StyleTraining(epochs=epochs, batch_size=16, seed=seed)
    settings = StyleTraining(epochs=epochs, learning_rate=0.02, batch_size=16, seed=seed)
    if method == "psgcn":
        return style_psgcn(DANCE_23, styles, width=STREAM_WIDTH), settings
    return style_rtcn(clip.frames.shape[1], styles, width=STREAM_WIDTH), settings


def recorded_figures(reports: Mapping[str, Sequence[StyleReport]]) -> list[Measured]:
    """Of each method the mean over draws, and the lowest draw of what is chosen, with the bars."""
    figures = []
    for name, some in reports.items():
        found = {
            "accuracy": ([one.accuracy for one in some], ACCURACY_BAR),
            "balanced accuracy": ([one.balanced_accuracy for one in some], BALANCED_BAR),
        }
        for measure, (values, bar) in found.items():
            figures.append(Measured(f"{name}, {measure}", float(np.mean(values)), "", None))
            if name in CHOSEN:
                lowest = f"{name}, {measure}, lowest of {len(values)} draws"
                figures.append(Measured(lowest, min(values), "", bar if name == "chosen" else None))
    return figures


def lets_dance(arguments: argparse.Namespace) -> tuple[dict[str, list[StyleReport]], list[Measured]]:
    """Let's Dance in the report's protocol: the pose CNN, whose features, beside those of images, the others read."""
    with working("reading poses"):
        videos = [video for video in read_videos(arguments.lets_dance) if video.style in PAPER_STYLES]
        poses = [
            StyleClip(each.name, each.name, each.style, np.stack([in_boxes(people) for people in each.frames]))
            for each in videos
        ]
    split, styles = split_by_group(poses), styles_of(poses)
    reports: dict[str, list[StyleReport]] = {}

    def evaluated(method: str, clips: Sequence[StyleClip], choices: Sequence[int]) -> StyleNetwork:
        with working(method):
            every, network = fitted(method, clips, split.train, split.validation, arguments, choices, 0)
            test = [clips[row]._replace(frames=sub_sampled(clips[row].frames, every)) for row in split.test]
            reports[method] = [evaluate_styles(network, test, styles)]
        return network

    extractor = evaluated("poses", poses, SUB_SAMPLING[1:2])
    features = [clip._replace(frames=pose_features(extractor, clip)) for clip in poses]
    if arguments.images:
        images = [
            clip._replace(frames=read_image_features(arguments.images, video))
            for clip, video in zip(poses, videos, strict=True)
        ]
        evaluated("frames", images, SUB_SAMPLING[1:2])
        features = [
            clip._replace(frames=np.concatenate([image.frames, clip.frames], axis=1))
            for clip, image in zip(features, images, strict=True)
        ]
    for method in SEQUENTIAL:
        if method in arguments.methods:
            evaluated(method, features, SUB_SAMPLING)
    return reports, [
        Measured(f"Let's Dance, {name}, accuracy", some[0].accuracy, "", PUBLISHED.get(name))
        for name, some in reports.items()
    ]


@torch.inference_mode()
def pose_features(network: StyleNetwork, clip: StyleClip) -> Any:
    """The 102 features of each frame."""
    if not isinstance(network, PoseCNN):
        raise TypeError(f"poses were learned by a {type(network).__name__}")
    return network.features(torch.from_numpy(np.asarray(clip.frames, np.float32))).numpy()


def show(reports: Mapping[str, Sequence[StyleReport]]) -> None:
    """A row for each method, and the confusion of the first draw."""
    table = Table(
        "method", "accuracy", "balanced", "lowest of draws", "confusion, first draw (rows true)", title="dance styles"
    )
    for name, some in reports.items():
        accuracies, balanced = [one.accuracy for one in some], [one.balanced_accuracy for one in some]
        rows = "  ".join(
            f"{style} {row}" for style, row in zip(some[0].styles, some[0].confusion.tolist(), strict=True)
        )
        table.add_row(
            name,
            f"{np.mean(accuracies):.3f}",
            f"{np.mean(balanced):.3f}",
            f"{min(accuracies):.3f} {min(balanced):.3f}",
            rows,
        )
    Console().print(table)


if __name__ == "__main__":
    main()
