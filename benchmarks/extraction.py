"""A video to its four streams, over the bare networks driven on the pictures that they get.

    python -m benchmarks.extraction [--quick] [--video FILE] [--seconds 12] [--rounds 5] [--threads 1]

The first seconds of a video of a dancer (fetched by the package client unless ``--video`` names another) are extracted
from the file, with the decoder in its process and every stream on its thread. *Bare*: a pass records each batch that a
network gets; the same batches are run again without anything else: networks side by side, and one after the other with
two threads for each operator. The faster way counts. Besides, as a limit of what the two cores could do with these
networks: side by side, but the one that follows the dancer in two, as the extractor cuts it, the part that makes masks
on a thread of its own. All take turns in each round, and a ratio is the median of the rounds' ratios. Each part is run
alone, too, on frames in memory; its CPU time is compared with that of its networks. *people* makes the masks, too,
which in the whole the scenic stream's thread does.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from benchmarks.workloads.sample_clips import MAX_BYTES, Clip, preloaded
from extraction.assembly import early_of, folder_of, networks_of
from extraction.backgrounds.scenic import Gist, open_scenic
from extraction.decoding.content import open_path
from extraction.decoding.cutting import cut
from extraction.decoding.video import DecoderLimits
from extraction.faces.facial import open_facial
from extraction.holistic import open_holistic
from extraction.models import Model, open_model
from extraction.models.manifest import ModelManifest
from extraction.one_pass import Extraction, Extractors, extract
from extraction.people import open_people, open_skeletal
from extraction.sample_videos import fetch, video_folder
from extraction.settings import ExtractionSettings
from extraction.streams import Person
from schemas.features import encode_features
from schemas.modalities import Modality
from schemas.ports import Float32

BAR: Final = 0.85
"""What the whole should reach over the bare networks."""
CLIP_S: Final = 12.0
LONGEST_S: Final = 6.0
"""What a clip of ``CLIP_S`` may take on two cores."""
CORES: Final = 2

SIDE_BY_SIDE: Final = {
    "people": ("pose_detector", "pose_network"),
    Modality.HOLISTIC: ("frame_network",),
    Modality.FACIAL: ("face_detector", "face_network"),
}
"""Networks that run one after the other, by what runs beside the others."""

Images = npt.NDArray[np.uint8]
Networks = Mapping[str, "Recorder"]
Later = Callable[[], dict[str, Float32]]


class Recorder:
    """A network that keeps what it is given while ``keeping``. ``cpu_s``: what it took of the threads that ran it."""

    def __init__(self, model: Model) -> None:
        self.model, self.keeping = model, False
        self.given: list[Images] = []
        self.rest: list[Later] = []
        self.cpu_s = 0.0

    @property
    def manifest(self) -> ModelManifest:
        return self.model.manifest

    def run(self, images: Images) -> dict[str, Float32]:
        outputs, rest = self.run_first(images)
        return outputs | rest()

    def run_first(self, images: Images) -> tuple[dict[str, Float32], "Later"]:
        began_s = time.thread_time()
        outputs, rest = self.model.run_first(images)
        self.cpu_s += time.thread_time() - began_s
        if self.keeping:
            self.given.append(images.copy())
            self.rest.append(rest)

        def timed() -> dict[str, Float32]:
            began_s = time.thread_time()
            later = rest()
            self.cpu_s += time.thread_time() - began_s
            return later

        return outputs, timed

    def again(self, model: Model | None = None) -> None:
        """Run all that was kept, by another session if one is given."""
        for images in self.given:
            (model or self.model).run(images)

    def first_again(self) -> None:
        """Likewise, what comes first."""
        for images in self.given:
            self.model.run_first(images)

    def rest_again(self) -> None:
        """Likewise, what comes later."""
        for rest in self.rest:
            rest()


class Part(NamedTuple):
    """One part alone: CPU seconds of its thread, ``networks_s`` of them in its networks."""

    cpu_s: float
    networks_s: float


def main() -> None:
    arguments = parse()
    cv2.setNumThreads(1)
    seconds, rounds = (3.0, 3) if arguments.quick else (arguments.seconds, arguments.rounds)
    settings = ExtractionSettings(providers=("cpu",), threads=arguments.threads)
    limits = DecoderLimits.of(settings)
    networks = {part: Recorder(model) for part, model in opened(settings, arguments.threads).items()}
    broad = opened(settings, CORES)
    extractors = assembled(networks)
    source = arguments.video or fetch(["dancer"], video_folder())[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mkv"
        cut(source, path, length_s=seconds)
        keep(networks, keeping=True)
        first = extracted(path, extractors, limits)
        keep(networks, keeping=False)
        clip = preloaded(path, limits, extractors.people)
        masks_of(clip.people)
        runs = [turn(path, extractors, limits, networks, broad) for _ in range(rounds)]
        again = extracted(path, extractors, limits)
        decoding_s = children_s(lambda: preloaded(path, limits, extractors.people))
    parts = {name: alone(run, networks) for name, run in parts_of(extractors, clip).items()}
    parts["decoding"] = Part(decoding_s, 0.0)
    same = encode_features(first.features) == encode_features(again.features)
    report(runs, parts, clip.length_s, same=same, threads=arguments.threads)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seconds of video, three rounds")
    parser.add_argument("--video", type=Path, help="a video of one dancer; absent: the dancer of the sample videos")
    parser.add_argument("--seconds", type=float, default=CLIP_S, help="of the video, from its beginning")
    parser.add_argument("--rounds", type=int, default=5, help="times that each way runs")
    parser.add_argument("--threads", type=int, default=1, help="that run one operator")
    return parser.parse_args()


def opened(settings: ExtractionSettings, threads: int) -> dict[str, Model]:
    """The networks that ship, by part, each run once."""
    models = {}
    for part, name in networks_of(settings).items():
        models[part] = open_model(
            name, folder=folder_of(settings), providers=settings.providers, threads=threads, early=early_of(part)
        )
        models[part].run(models[part].blank())
    return models


def assembled(networks: Networks) -> Extractors:
    return Extractors(
        open_people(networks["pose_detector"], networks["pose_network"]),
        {
            Modality.SKELETAL: open_skeletal(networks["pose_network"].manifest.title),
            Modality.HOLISTIC: open_holistic(networks["frame_network"]),
            Modality.FACIAL: open_facial(networks["face_detector"], networks["face_network"]),
            Modality.SCENIC: open_scenic("vibe", Gist()),
        },
        identity="benchmark",
    )


def keep(networks: Networks, *, keeping: bool) -> None:
    for network in networks.values():
        network.keeping = keeping


def extracted(path: Path, extractors: Extractors, limits: DecoderLimits) -> Extraction:
    with open_path(path, max_bytes=MAX_BYTES) as content:
        return extract(content, extractors, limits)


def children_s(run: Callable[[], object]) -> float:
    """CPU seconds of the processes that ``run`` starts and ends."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class Turn(NamedTuple):
    """One round: seconds of the whole and of the bare networks, and CPU seconds of the whole with its decoder."""

    whole_s: float
    beside_s: float
    halves_s: float
    after_s: float
    cpu_s: float

    @property
    def bare_s(self) -> float:
        return min(self.beside_s, self.after_s)

    @property
    def ratio(self) -> float:
        return self.bare_s / self.whole_s

    @property
    def ratio_of_halves(self) -> float:
        return min(self.bare_s, self.halves_s) / self.whole_s


def turn(
    path: Path, extractors: Extractors, limits: DecoderLimits, networks: Networks, broad: Mapping[str, Model]
) -> Turn:
    cpu_s, began_s = time.process_time(), time.perf_counter()
    decoder_s = children_s(lambda: extracted(path, extractors, limits))
    whole_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s + decoder_s
    beside_s, halves_s = elapsed_s(lambda: beside(networks)), elapsed_s(lambda: halves_beside(networks))
    return Turn(whole_s, beside_s, halves_s, elapsed_s(lambda: one_by_one(networks, broad)), cpu_s)


def elapsed_s(run: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    run()
    return time.perf_counter() - began_s


def beside(networks: Networks) -> None:
    """The networks side by side, on a thread for each thread of an extraction that has any."""

    def chain(names: Sequence[str]) -> None:
        for name in names:
            networks[name].again()

    with ThreadPoolExecutor(len(SIDE_BY_SIDE)) as threads:
        list(threads.map(chain, SIDE_BY_SIDE.values()))


def halves_beside(networks: Networks) -> None:
    """Likewise, and what comes later of the network that follows the dancer on one more thread."""

    def chain(names: Sequence[str]) -> None:
        for name in names:
            networks[name].first_again()

    with ThreadPoolExecutor(len(SIDE_BY_SIDE) + 1) as threads:
        later = threads.submit(networks["pose_network"].rest_again)
        list(threads.map(chain, SIDE_BY_SIDE.values()))
        later.result()


def one_by_one(networks: Networks, broad: Mapping[str, Model]) -> None:
    for part, network in networks.items():
        network.again(broad[part])


def parts_of(extractors: Extractors, clip: Clip) -> dict[str, Callable[[], object]]:
    """What each part does with a clip in memory."""

    def follow() -> None:
        tracker = extractors.people(clip.properties)
        for batch in clip.batches:
            masks_of([tracker.follow(batch)])

    def stream(modality: Modality) -> None:
        extractor = extractors.streams[modality](clip.properties)
        for batch, people in zip(clip.batches, clip.people, strict=True):
            extractor.add(batch, people)
        extractor.finish()

    return {"people": follow, **{str(modality): partial(stream, modality) for modality in extractors.streams}}


def masks_of(people: Sequence[Sequence[Person | None]]) -> None:
    """Make them at a size at which putting them into the picture takes nothing."""
    for person in (person for batch in people for person in batch if person is not None):
        person.mask_at(8, 8)


def alone(run: Callable[[], object], networks: Networks) -> Part:
    for network in networks.values():
        network.cpu_s = 0.0
    began_s = time.thread_time()
    run()
    return Part(time.thread_time() - began_s, sum(network.cpu_s for network in networks.values()))


def report(turns: Sequence[Turn], parts: Mapping[str, Part], length_s: float, *, same: bool, threads: int) -> None:
    console = Console()
    table = Table(title=f"CPU of {length_s:g} s of video, by part alone, {threads} thread(s) for an operator")
    for column in ("part", "CPU s", "in its networks", "share", "s of video per CPU s"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for name, part in parts.items():
        share = f"{part.networks_s / part.cpu_s:.2f}" if part.networks_s else "–"
        table.add_row(
            name, f"{part.cpu_s:.2f}", f"{part.networks_s:.2f}", share, f"{length_s / max(part.cpu_s, 1e-9):.1f}"
        )
    console.print(table)
    whole_s = statistics.median(each.whole_s for each in turns)
    bare_s = statistics.median(each.bare_s for each in turns)
    cpu_s = statistics.median(each.cpu_s for each in turns)
    ratio = statistics.median(each.ratio for each in turns)
    limit_ratio = statistics.median(each.ratio_of_halves for each in turns)
    bare_cpu_s = sum(part.networks_s for part in parts.values())
    console.print(
        f"whole {length_s / whole_s:.2f} s of video per second, bare networks {length_s / bare_s:.2f} (side by side "
        f"{length_s / statistics.median(each.beside_s for each in turns):.2f}, one by one "
        f"{length_s / statistics.median(each.after_s for each in turns):.2f}): ratio {ratio:.2f}, bar {BAR}; with the "
        f"network that follows in two {length_s / statistics.median(each.halves_s for each in turns):.2f}: ratio "
        f"{limit_ratio:.2f}"
    )
    console.print(
        f"whole {cpu_s:.2f} CPU s, {cpu_s / CORES:.2f} s on {CORES} idle cores; networks {bare_cpu_s:.2f} CPU s; "
        f"features the same when extracted again: {same}"
    )
    figures = [
        Measured("whole over bare networks", ratio, "ratio", BAR),
        Measured("whole over bare networks, the one that follows in two", limit_ratio, "ratio"),
        Measured(f"{length_s:g} s of video", whole_s, "s", LONGEST_S * length_s / CLIP_S, lower_is_better=True),
        Measured(
            f"{length_s:g} s of video, CPU time of {CORES} cores",
            cpu_s / CORES,
            "s",
            LONGEST_S * length_s / CLIP_S,
            lower_is_better=True,
        ),
        Measured("the same bytes when extracted again", float(same), "yes", 1.0),
        *(
            Measured(f"{name}, its networks' share of its CPU time", part.networks_s / part.cpu_s, "ratio", BAR)
            for name, part in parts.items()
            if part.networks_s
        ),
        *(
            Measured(f"{name} alone", length_s / max(part.cpu_s, 1e-9), "s of video per CPU s")
            for name, part in parts.items()
        ),
    ]
    write_figures("extraction", figures, rounds=[each._asdict() for each in turns], threads=threads)


if __name__ == "__main__":
    main()
