"""Do the converted networks compute what the packages' networks compute, and how fast are they?

    python -m benchmarks.video.parity [--quick] [--rounds 40] [--frames 8]

Fetches what is missing (``dancerank extractors fetch --keep-sources`` and videos of real people), and runs each
TensorFlow Lite file in its own runtime (LiteRT, kernels without delegates) and as ONNX in ONNX Runtime: on frames of a
dancer, of two people outdoors and of a face, fitted into the network's input, and on noise. The difference of an output
is that of its worst entry, relative to its largest entry; of a probability, absolute. Beside it, the same between
LiteRT's kernels and its default delegate (XNNPACK): what rounding alone makes of the network. Then both runtimes in
turn on one thread, picture by picture, LiteRT with its delegate. Writes ``out/extractor_parity.json``.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any, Final

import av
import cv2
import numpy as np
import numpy.typing as npt
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from extraction import sample_videos
from extraction.models import Model, open_model
from extraction.models.catalogue import RECIPES, Recipe
from extraction.models.fetching import fetch, source_path
from extraction.models.folder import default_folder

VIDEOS: Final = ("dancer", "two-outdoors", "carphone")
BAR: Final = 1e-4
PROBABILITY: Final = "presence"
Images = npt.NDArray[np.uint8]
Arrays = dict[str, npt.NDArray[Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two frames of each video, five rounds")
    parser.add_argument("--rounds", type=int, default=40, help="pictures that each runtime is timed on")
    parser.add_argument("--frames", type=int, default=8, help="frames of each video that are compared")
    arguments = parser.parse_args()
    frames, rounds = (2, 5) if arguments.quick else (arguments.frames, arguments.rounds)
    recipes = [recipe for recipe in RECIPES if recipe.kind == "tflite"]
    folder = default_folder()
    fetch([recipe.name for recipe in recipes], folder, on_progress=lambda *_: None, keep_sources=True)
    paths = sample_videos.fetch([*VIDEOS], sample_videos.video_folder())
    pictures = [picture for path in paths for picture in read_frames(path, frames)]
    table = Table(
        "network", "real frames", "noise", "LiteRT's own, real", "ONNX Runtime, ms", "LiteRT, ms", "speed over LiteRT"
    )
    figures = []
    for recipe in recipes:
        model = open_model(recipe.name, providers=("cpu",), threads=1)
        file = source_path(folder, recipe.sources[0])
        real = np.stack([fitted(picture, recipe.size) for picture in pictures])
        noise = np.random.default_rng(0).integers(0, 256, (frames, *recipe.size, 3), dtype=np.uint8)
        worst, own = {}, {}
        for kind, images in (("real", real), ("noise", noise)):
            worst[kind], own[kind] = differences(recipe, model, file, images)
        ours, theirs = timed(recipe, model, file, real[:1], rounds)
        figures += [
            Measured(f"{recipe.name}: {output}, {kind}", value, "relative", BAR, lower_is_better=True)
            for kind, found in worst.items()
            for output, value in found.items()
        ]
        figures += [
            Measured(f"{recipe.name}: {output}, {kind}, LiteRT's own", value, "relative")
            for kind, found in own.items()
            for output, value in found.items()
        ]
        figures.append(Measured(f"{recipe.name}: speed over LiteRT, one thread", theirs / ours, "ratio"))
        shown = [
            f"{(name := max(found, key=found.__getitem__))} {found[name]:.1e}"
            for found in (*worst.values(), own["real"])
        ]
        table.add_row(recipe.name, *shown, f"{1000 * ours:.1f}", f"{1000 * theirs:.1f}", f"{theirs / ours:.2f}")
    console = Console()
    console.print(table)
    for figure in figures:
        if figure.met is False:
            console.print(f"missed: {figure.name}: {figure.value:.1e} (bar {BAR:.0e})", highlight=False)
    print(f"figures in {write_figures('extractor_parity', figures, frames=len(pictures), rounds=rounds)}")


def read_frames(path: Path, count: int) -> list[Images]:
    """``count`` frames of a video, evenly spaced."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        every = max(1, (stream.frames or 100) // count)
        chosen = [
            frame.to_ndarray(format="rgb24")
            for n, frame in enumerate(container.decode(stream))
            if n % every == every // 2
        ]
    return chosen[:count]


def fitted(picture: Images, size: tuple[int, int]) -> Images:
    """The middle square of a picture, as large as the network's input."""
    side = min(picture.shape[:2])
    top, left = (picture.shape[0] - side) // 2, (picture.shape[1] - side) // 2
    resized: Images = cv2.resize(picture[top : top + side, left : left + side], size, interpolation=cv2.INTER_AREA)
    return resized


def differences(recipe: Recipe, model: Model, file: Path, images: Images) -> tuple[dict[str, float], dict[str, float]]:
    """Of each output, the largest over all images, each relative to its own largest entry: of ONNX Runtime, and of
    LiteRT's delegate, both from LiteRT's kernels."""
    kernels, delegate = (
        opened(file, OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES),
        opened(file, OpResolverType.AUTO),
    )
    found = model.run(images)
    worst, own = dict.fromkeys(recipe.outputs, 0.0), dict.fromkeys(recipe.outputs, 0.0)
    for row, image in enumerate(prepared(recipe, images)):
        expected, delegated = run(kernels, image), run(delegate, image)
        for name, (node, shape) in recipe.outputs.items():
            reference = expected[node].reshape(shape)
            largest = 1.0 if name == PROBABILITY else float(np.abs(reference).max())
            for where, values in ((worst, found[name][row]), (own, delegated[node].reshape(shape))):
                where[name] = max(where[name], float(np.abs(values - reference).max()) / largest)
    return worst, own


def timed(recipe: Recipe, model: Model, file: Path, image: Images, rounds: int) -> tuple[float, float]:
    """Median seconds for one picture, of ONNX Runtime and of LiteRT, which take turns."""
    interpreter, inputs = opened(file, OpResolverType.AUTO), prepared(recipe, image)[0]
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds + 3):
        for spent, work in zip(seconds, (lambda: model.run(image), lambda: run(interpreter, inputs)), strict=True):
            start = time.perf_counter()
            work()
            spent.append(time.perf_counter() - start)
    return statistics.median(seconds[0][3:]), statistics.median(seconds[1][3:])


def prepared(recipe: Recipe, images: Images) -> npt.NDArray[np.float32]:
    scaled = images * recipe.preparation.scale
    return ((scaled - np.array(recipe.preparation.mean)) / np.array(recipe.preparation.std)).astype(np.float32)


def opened(file: Path, kernels: OpResolverType) -> Interpreter:
    interpreter = Interpreter(str(file), num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    return interpreter


def run(interpreter: Interpreter, image: npt.NDArray[np.float32]) -> Arrays:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[np.newaxis])
    interpreter.invoke()
    return {
        output["name"].split(":")[0]: interpreter.get_tensor(output["index"])
        for output in interpreter.get_output_details()
    }


if __name__ == "__main__":
    main()
