"""ACTION-NET's tables: scores of long routines, by its recipe.

    python -m benchmarks.routines FOLDER --data gymnastics [--apparatus Ball Clubs Hoop Ribbon] [--table 1 2 3 4]
    python -m benchmarks.routines FOLDER --data skating [--table 1 2 3 4] [--splits 5]
    python -m benchmarks.routines [--quick] [--epochs 20] [--planted 48]

Folders are in the layout of ``vdv.importers.routines``; ``--target`` is difficulty, execution or total (of skating:
elements, components or total). Rhythmic Gymnastics has a division of its own, for MIT-Skating ``--splits`` random ones
of 100 and 50 are averaged. Table 4 needs static features of whole frames too, in the folder ``--undetected``.

Without a folder the routines are planted: the score is that of a few segments and frames with a direction of their
own, amid noise. That shows that the recipe learns, and what each part sees; it says nothing about gymnasts.
Correlations are Spearman's. Writes ``out/routines.json``, and as a picture for each column the attention of the best
held-out routine, with stills of its moments where ``--videos`` names a folder with videos, each called as its routine.
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from benchmarks.figures import OUT, Measured, write_figures
from benchmarks.refusals import ends_with_a_sentence
from dancerank.console.progress import working
from dancerank.pictures.moments import Attended, attended_moments, shown_seconds
from dancerank.synthetic.routines import planted_routines
from extraction.decoding.content import open_path
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.frames import FRAME_RATE_HZ, Image
from extraction.settings import ExtractionSettings
from networks.action_net import ActionNet
from networks.action_net.baselines import RecurrentRegressor, pooled_svr
from networks.action_net.recipe import (
    RECIPES,
    Predict,
    Recipe,
    RoutineSample,
    predict_routines,
    random_splits,
    split_correlations,
    train_routines,
)
from vdv.importers.routines import APPARATUS, STATIC, Routine, read_gymnastics, read_skating

SKATING: Final = "MIT-Skating"
PLANTED: Final = "planted"
SKATING_TRAINING: Final = 100
SEGMENT_S: Final = 16 / 5
"""A segment is 16 frames at 5 per second (Section 5.2)."""
FRAME_S: Final = 1.0
"""Static features are of one frame a second."""
LONGEST_ROUTINE_S: Final = 600.0
LARGEST_VIDEO_BYTES: Final = 1 << 32
PLANTED_RECIPE: Final = Recipe(epochs=20, decay_epochs=(15,), segments=10, frames=14, batch_size=8)
COLUMNS: Final = (SKATING, *APPARATUS)

PUBLISHED: Final[Mapping[str, tuple[float, ...]]] = {
    "ResNet, average, SVR": (0.545, 0.279, 0.589, 0.602, 0.395),
    "ResNet, maximum, SVR": (0.512, 0.169, 0.452, 0.376, 0.404),
    "ResNet, LSTM": (0.602, 0.471, 0.472, 0.555, 0.410),
    "ResNet, Bi-LSTM": (0.598, 0.466, 0.444, 0.544, 0.447),
    "I3D, average, SVR": (0.531, 0.403, 0.579, 0.610, 0.456),
    "I3D, maximum, SVR": (0.442, 0.445, 0.465, 0.386, 0.191),
    "I3D, LSTM": (0.472, 0.327, 0.583, 0.546, 0.381),
    "I3D, Bi-LSTM": (0.587, 0.355, 0.653, 0.557, 0.368),
    "ACTION-NET": (0.615, 0.528, 0.657, 0.708, 0.578),
    "dynamic stream": (0.603, 0.346, 0.583, 0.643, 0.394),
    "static stream": (0.575, 0.443, 0.581, 0.686, 0.540),
    "average pooling": (0.605, 0.518, 0.650, 0.650, 0.552),
    "ATT-U alone": (0.590, 0.501, 0.610, 0.703, 0.528),
    "LSTM, ATT-U": (0.596, 0.487, 0.651, 0.690, 0.570),
    "Bi-LSTM, ATT-U": (0.572, 0.522, 0.568, 0.674, 0.600),
    "three filters": (0.611, 0.522, 0.634, 0.713, 0.565),
    "static stream, undetected": (0.565, 0.334, 0.582, 0.602, 0.391),
    "undetected": (0.592, 0.365, 0.632, 0.656, 0.540),
}
"""Tables 1-4 in the order of ``COLUMNS``. Table 4 prints 0.572 where Table 2 prints 0.575."""

ABLATIONS: Final[Mapping[str, dict[str, Any]]] = {
    "ACTION-NET": {},
    "printed adjacency": {"adjacency": "features"},
    "dynamic stream": {"streams": ("dynamic",)},
    "static stream": {"streams": ("static",)},
    "average pooling": {"aggregation": "average"},
    "ATT-U alone": {"aggregation": "attention"},
    "LSTM, ATT-U": {"aggregation": "lstm"},
    "Bi-LSTM, ATT-U": {"aggregation": "bi-lstm"},
    "three filters": {"aggregation": "filters"},
    "static stream, undetected": {"streams": ("static",)},
    "undetected": {},
}
TABLES: Final[Mapping[int, tuple[str, ...]]] = {
    1: (*list(PUBLISHED)[:9], "printed adjacency"),
    2: ("dynamic stream", "static stream", "ACTION-NET"),
    3: ("average pooling", "ATT-U alone", "LSTM, ATT-U", "Bi-LSTM, ATT-U", "three filters", "ACTION-NET"),
    4: ("static stream, undetected", "static stream", "undetected", "ACTION-NET"),
}


class Material(NamedTuple):
    """Routines of one column of the tables, their divisions and their recipe. ``undetected`` has static features of
    whole frames; ``videos`` those of the samples that have one."""

    column: str
    samples: list[RoutineSample]
    names: list[str]
    videos: dict[str, Path]
    undetected: list[RoutineSample]
    splits: list[tuple[list[int], list[int]]]
    recipe: Recipe


@ends_with_a_sentence
def main() -> None:
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    rows = list(dict.fromkeys(row for table in arguments.table for row in TABLES[table]))
    results: dict[str, dict[str, list[float]]] = {row: {} for row in rows}
    for material in materials(arguments):
        for row in rows:
            samples = material.undetected if row.endswith("undetected") else material.samples
            if samples:
                with working(f"{material.column}: {row}"):
                    found = split_correlations(samples, material.splits, predictor(row, material))
                results[row][material.column] = found
    show(results)
    path = write_figures("routines", figures(results), correlations=results, target=arguments.target)
    print(f"figures in {path}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--data", choices=("gymnastics", "skating"), default="gymnastics")
    parser.add_argument("--apparatus", nargs="+", choices=APPARATUS, default=list(APPARATUS))
    parser.add_argument(
        "--target", default="total", choices=("difficulty", "execution", "elements", "components", "total")
    )
    parser.add_argument("--table", nargs="+", type=int, choices=tuple(TABLES), default=[1, 2, 3])
    parser.add_argument("--splits", type=int, default=5, help="random divisions of MIT-Skating")
    parser.add_argument("--undetected", help="folder of static features of whole frames, within FOLDER")
    parser.add_argument("--videos", type=Path, help="folder with videos of the routines, called as they are")
    parser.add_argument("--planted", type=int, default=48, help="planted routines, where no folder is given")
    parser.add_argument("--epochs", type=int, help="fewer or more than the recipe has")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="Table 2 with a few epochs")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.table, arguments.epochs = [2], arguments.epochs or 4
    return arguments


def materials(arguments: argparse.Namespace) -> list[Material]:
    """What is asked for, one for each column of the tables."""
    if arguments.folder is None:
        samples = planted(arguments.planted)
        splits = random_splits(len(samples), round(len(samples) * 2 / 3), splits=1)
        names = [f"planted routine {number}" for number in range(len(samples))]
        return [Material(PLANTED, samples, names, {}, [], splits, PLANTED_RECIPE.shortened(arguments.epochs))]
    if arguments.data == "skating":
        read: Callable[..., list[Routine]] = partial(read_skating, arguments.folder)
        return [material(SKATING, read, arguments)]
    return [material(name, partial(read_gymnastics, arguments.folder, name), arguments) for name in arguments.apparatus]


def material(column: str, read: Callable[..., list[Routine]], arguments: argparse.Namespace) -> Material:
    """The routines of one column; the data set's own division where it has one."""
    routines = read(static=STATIC)
    undetected = read(static=arguments.undetected) if arguments.undetected else []
    parts = [[row for row, one in enumerate(routines) if one.part == part] for part in ("train", "test")]
    splits = [(parts[0], parts[1])]
    if column == SKATING:
        splits = random_splits(len(routines), SKATING_TRAINING, splits=arguments.splits)
    recipe = RECIPES[column].shortened(arguments.epochs)
    target = arguments.target
    names = [routine.name for routine in routines]
    videos = {} if arguments.videos is None else videos_of(arguments.videos, names)
    return Material(column, samples_of(routines, target), names, videos, samples_of(undetected, target), splits, recipe)


def videos_of(folder: Path, names: Sequence[str]) -> dict[str, Path]:
    """The video of each routine that has one: the file whose name without its ending is the routine's."""
    by_name = {path.stem: path for path in sorted(folder.iterdir())}
    return {name: by_name[name] for name in names if name in by_name}


def samples_of(routines: Sequence[Routine], target: Any) -> list[RoutineSample]:
    """Features and the score asked for."""
    return [RoutineSample(one.dynamic, one.static, one.scores[target]) for one in routines]


def planted(count: int) -> list[RoutineSample]:
    """Routines of 12 segments and 16 frames, of which a quarter shows how good they are."""
    return [RoutineSample(one.dynamic, one.static, one.score) for one in planted_routines(count)]


def predictor(row: str, material: Material) -> Predict:
    """What the row of a table learns and scores with; the attention of ACTION-NET itself is drawn."""
    recipe = material.recipe
    features, *rest = row.split(", ")
    stream: Any = {"ResNet": "static", "I3D": "dynamic"}.get(features)
    if stream and rest[-1] == "SVR":
        pooling: Any = rest[0]
        return pooled_svr(stream, pooling)

    def predict(train: Sequence[RoutineSample], test: Sequence[RoutineSample]) -> Any:
        torch.manual_seed(recipe.seed)
        network: nn.Module
        if stream:
            network = RecurrentRegressor(stream, bidirectional=rest[0] == "Bi-LSTM")
        else:
            network = ActionNet(recipe.segments, recipe.frames, **ABLATIONS[row])
        train_routines(network, train, recipe)
        scores = predict_routines(network, test, recipe)
        if row == "ACTION-NET" and isinstance(network, ActionNet):
            draw(network, test[int(scores.argmax())], material)
        return scores

    return predict


@torch.inference_mode()
def draw(network: ActionNet, sample: RoutineSample, material: Material) -> None:
    """The attention of a routine, as ``out/routines-COLUMN.png``."""
    dynamic, static = (torch.from_numpy(each)[None] for each in sample[:2])
    found = network.assess(dynamic, static)
    streams = [
        Attended(f"segments of {SEGMENT_S:g} s", found.dynamic_attention[0].double().numpy(), SEGMENT_S),
        Attended("frames, one a second", found.static_attention[0].double().numpy(), FRAME_S),
    ]
    name = next(name for name, one in zip(material.names, material.samples, strict=True) if one is sample)
    title = f"{name}: score {float(found.score[0]) * material.recipe.scale:.2f}"
    stills = stills_of(material.videos[name], shown_seconds(streams)) if name in material.videos else None
    path = OUT / f"routines-{material.column.lower()}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(attended_moments(streams, title=title, stills=stills))


def stills_of(video: Path, seconds: Sequence[float]) -> dict[float, Image]:
    """The frames of a video at these seconds; none for those after its end."""
    limits = replace(DecoderLimits.of(ExtractionSettings()), longest_s=LONGEST_ROUTINE_S, cpu_s=LONGEST_ROUTINE_S)
    wanted = {round(second * FRAME_RATE_HZ): second for second in seconds}
    with open_path(video, max_bytes=LARGEST_VIDEO_BYTES) as content, DecodedVideo(content, limits) as decoded:
        frames = (frame for batch in decoded.batches() for frame in batch)
        return {wanted[frame.index]: frame.image for frame in frames if frame.index in wanted}


def figures(results: Mapping[str, Mapping[str, Sequence[float]]]) -> list[Measured]:
    """The mean over divisions of each row and column, with the published figure as its bar."""
    return [
        Measured(f"{row}, {column}", float(np.mean(found)), "Spearman", published(row, column))
        for row, columns in results.items()
        for column, found in columns.items()
    ]


def published(row: str, column: str) -> float | None:
    """The paper's figure, if it has one."""
    return PUBLISHED[row][COLUMNS.index(column)] if row in PUBLISHED and column in COLUMNS else None


def show(results: Mapping[str, Mapping[str, Sequence[float]]]) -> None:
    """Our figure and, in brackets, the published one."""
    columns = list(dict.fromkeys(column for found in results.values() for column in found))
    table = Table("method", *columns, title="Spearman's correlation, ours (published)")
    for row, found in results.items():
        cells = []
        for column in columns:
            theirs = published(row, column)
            ours = f"{np.mean(found[column]):.3f}" if column in found else "–"
            cells.append(ours if theirs is None else f"{ours} ({theirs:.3f})")
        table.add_row(row, *cells)
    Console().print(table)


if __name__ == "__main__":
    main()
