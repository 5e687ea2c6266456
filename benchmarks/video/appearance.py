"""Faces over MTCNN's, and backgrounds without the dancer, on the sample videos; writes pictures to look at.

    python -m benchmarks.video.appearance [--quick] [--videos dancer pianist …] [--seconds 12]

*Faces*: of the pictures, three in a second, in which MTCNN (K. Zhang et al., 2016) finds the dancer's face with a
probability of 0.9 or more, the share in which ours overlaps it, intersection over union above 0.3. MTCNN is that of
facenet-pytorch and is not installed with dancerank; without it this part is skipped:
``pip install --no-deps facenet-pytorch==2.6.0 torchvision``.

*Backgrounds*: of the dancer's pixels (mask above 0.5) in all pictures, the share that differs visibly, by more than 30
of 255 in a channel, from what is behind the dancer: the median of what the mask leaves visible there in the whole
video, where that is ten frames or more. Only videos of cameras that stand still. *Plain* is ViBe without the mask.
"""

import argparse
import tempfile
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final, NamedTuple, get_args

import cv2
import numpy as np
import numpy.typing as npt
from rich.console import Console

from benchmarks.figures import OUT, Measured, write_figures
from benchmarks.workloads.sample_clips import Clip, preloaded
from extraction.assembly import folder_of, networks_of
from extraction.backgrounds.methods import BackgroundMethod
from extraction.backgrounds.pictures import BackgroundPicture, forbidden_by, open_backgrounds, small
from extraction.decoding.cutting import cut
from extraction.decoding.video import DecoderLimits
from extraction.faces.alignment import aligned
from extraction.faces.choosing import Heads, Sought, face_of
from extraction.faces.detection import Face, FaceDetector, overlap
from extraction.faces.facial import FaceFinder, due_of
from extraction.frames import FRAME_RATE_HZ, Frame
from extraction.models import open_model
from extraction.people import open_people
from extraction.resizing import resized
from extraction.sample_videos import VIDEOS, fetch, video_folder
from extraction.settings import ExtractionSettings
from extraction.streams import Person

FACES_BAR: Final = 0.9
TRACES_BAR: Final = 0.05
SAME_FACE: Final = 0.3
SURE: Final = 0.9
VISIBLE: Final = 30
SEEN_FRAMES: Final = 10
BODY: Final = 0.5
STILL_CAMERAS: Final = ("dancer", "pianist", "two-outdoors")
LONGEST_S: Final = 59.0

Image = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


class FacesFound(NamedTuple):
    """Of ``searched`` pictures: those with the dancer's face by us, by MTCNN, and by both in one place; likewise
    ``followed_theirs`` and ``followed_both`` of those in which a dancer is followed. Of both detectors a face counts
    while the dancer is lost only where the dancer was; if nobody was followed, the largest.
    """

    searched: int
    ours: int
    theirs: int
    both: int
    followed_theirs: int
    followed_both: int


def main() -> None:
    arguments = parse()
    settings = ExtractionSettings(providers=("cpu",), threads=1)
    models = {
        part: open_model(name, folder=folder_of(settings), providers=("cpu",), threads=1)
        for part, name in networks_of(settings).items()
    }
    finder = FaceFinder(FaceDetector(models["face_detector"]))
    mtcnn = opened_mtcnn()
    console = Console()
    if mtcnn is None:
        console.print("MTCNN is not installed: faces are counted, not compared; see --help")
    figures = []
    counts = []
    for name, source in zip(arguments.videos, fetch(arguments.videos, video_folder()), strict=True):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "clip.mkv"
            cut(source, path, length_s=min(arguments.seconds, LONGEST_S))
            people = open_people(models["pose_detector"], models["pose_network"])
            clip = preloaded(path, DecoderLimits.of(settings), people)
        found = faces_in(clip, finder, mtcnn, OUT / "appearance" / f"{name}-faces.png")
        console.print(f"{name}: {clip.length_s:g} s, {found}")
        counts.append(found)
        if found.theirs:
            figures.append(face_figure(name, found.both, found.theirs))
        if 0 < found.followed_theirs < found.theirs:
            followed = f"{name}, while a dancer is followed"
            figures.append(face_figure(followed, found.followed_both, found.followed_theirs))
        if name in STILL_CAMERAS:
            figures += backgrounds_of(name, clip, console)
    if mtcnn is not None:
        together = FacesFound(*(sum(each) for each in zip(*counts, strict=True)))
        figures.append(face_figure("all videos", together.both, together.theirs))
    for figure in figures:
        console.print(f"{figure.name}: {figure.value:.3f}, bar {figure.bar}, met {figure.met}")
    write_figures("appearance", figures, seconds=arguments.seconds)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three seconds of each video")
    parser.add_argument("--videos", nargs="+", default=[name for name in VIDEOS if name != "rabbit"], choices=VIDEOS)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each video, from its beginning")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.seconds = 3.0
    return arguments


def opened_mtcnn() -> Any | None:
    try:
        from facenet_pytorch import MTCNN  # type: ignore[import-not-found] # not installed with dancerank
    except ImportError:
        return None
    return MTCNN(keep_all=True)


def face_figure(name: str, both: int, theirs: int) -> Measured:
    return Measured(f"faces where MTCNN finds them, {name}", both / max(theirs, 1), "share", FACES_BAR)


def faces_in(clip: Clip, finder: FaceFinder, mtcnn: Any | None, sheet: Path) -> FacesFound:
    sought = searched(clip)
    ours = finder.find(sought)
    theirs = [face_of(each, mtcnn_faces(mtcnn, each.image)) for each in sought]
    both = [
        one is not None and other is not None and overlap(one.box, other.box) > SAME_FACE
        for one, other in zip(ours, theirs, strict=True)
    ]
    write_sheet(
        sheet,
        [
            [
                marked(each.image, one, other),
                aligned(each.image, one, 160, 160) if one else np.zeros((160, 160, 3), np.uint8),
            ]
            for each, one, other in every(list(zip(sought, ours, theirs, strict=True)), 8)
        ],
    )
    found = [face is not None for face in theirs]
    followed = [each.person is not None for each in sought]
    return FacesFound(
        len(sought),
        sum(face is not None for face in ours),
        sum(found),
        sum(both),
        sum(map(all, zip(found, followed, strict=True))),
        sum(map(all, zip(both, followed, strict=True))),
    )


def searched(clip: Clip) -> list[Sought]:
    frames, people = list(chain(*clip.batches)), list(chain(*clip.people))
    return due_of(frames, Heads().sought(frames, people))


def mtcnn_faces(mtcnn: Any | None, image: Image) -> list[Face]:
    if mtcnn is None:
        return []
    boxes, scores = mtcnn.detect(image)
    nowhere = np.zeros((6, 2), np.float32)
    found = [] if boxes is None else zip(boxes.tolist(), scores.tolist(), strict=True)
    return [Face((x0, y0, x1, y1), nowhere, score) for (x0, y0, x1, y1), score in found if score >= SURE]


def marked(image: Image, ours: Face | None, theirs: Face | None) -> Image:
    """Scaled, with our face in green and MTCNN's in red."""
    drawn = image.copy()
    width = max(1, max(image.shape) // 300)
    for face, colour in ((theirs, (255, 0, 0)), (ours, (0, 255, 0))):
        if face is not None:
            x0, y0, x1, y1 = (round(value) for value in face.box)
            cv2.rectangle(drawn, (x0, y0), (x1, y1), colour, width)
    for x, y in ours.points.tolist() if ours else ():
        cv2.circle(drawn, (round(x), round(y)), width, (255, 255, 0), -1)
    scale = 320 / max(image.shape)
    return resized(drawn, round(image.shape[0] * scale), round(image.shape[1] * scale))


def backgrounds_of(name: str, clip: Clip, console: Console) -> list[Measured]:
    behind, known = reference(clip)
    methods: list[tuple[str, BackgroundMethod, Sequence[Sequence[Person | None]]]] = [
        (method, method, clip.people) for method in get_args(BackgroundMethod)
    ]
    methods.append(("plain", "vibe", [[None] * len(batch) for batch in clip.batches]))
    figures = []
    for title, method, people in methods:
        backgrounds = open_backgrounds(method)(clip.properties)
        pictures = [
            picture
            for batch, seen in zip(clip.batches, people, strict=True)
            for picture in backgrounds.add(batch, seen)
        ] + backgrounds.finish()
        share, compared = traces(clip, pictures, behind, known)
        console.print(f"{name}, {title}: {share:.3f} of the dancer's pixels differ visibly; {compared:.2f} compared")
        bar = TRACES_BAR if title != "plain" else None
        figures.append(
            Measured(f"dancer's pixels that differ visibly, {name}, {title}", share, "share", bar, lower_is_better=True)
        )
        write_sheet(
            OUT / "appearance" / f"{name}-{title}.png",
            [
                [resized(frame_at(clip, picture).image, *picture.image.shape[:2]), picture.image, shaded(picture)]
                for picture in every(pictures, 8)
            ],
        )
    return figures


def reference(clip: Clip) -> tuple[Image, Mask]:
    """(h, w, 3), the median of what the mask leaves visible, and (h, w), where that is enough."""
    height, width, _ = small(clip.batches[0][0].image).shape
    pairs = list(zip(chain(*clip.batches), chain(*clip.people), strict=True))
    images = np.stack([small(frame.image) for frame, _ in pairs]).astype(np.float32)
    hidden = np.stack([forbidden_by(person, height, width) for _, person in pairs])
    images[hidden] = np.nan
    known = (~hidden).sum(axis=0) >= SEEN_FRAMES
    behind = np.zeros((height, width, 3), np.uint8)
    behind[known] = np.nanmedian(images[:, known], axis=0).round().astype(np.uint8)
    return behind, known


def traces(clip: Clip, pictures: Sequence[BackgroundPicture], behind: Image, known: Mask) -> tuple[float, float]:
    """Of the dancer's pixels, the share that differs visibly from what is behind, and the share that was compared."""
    different = compared = total = 0
    people = list(chain(*clip.people))
    for picture in pictures:
        person = people[frame_at(clip, picture).index]
        if person is None:
            continue
        height, width, _ = picture.image.shape
        body = person.mask_at(height, width) > BODY
        visible = np.abs(picture.image.astype(int) - behind).max(axis=-1) > VISIBLE
        different += int((visible & body & known).sum())
        compared += int((body & known).sum())
        total += int(body.sum())
    return different / max(compared, 1), compared / max(total, 1)


def frame_at(clip: Clip, picture: BackgroundPicture) -> Frame:
    frames = list(chain(*clip.batches))
    return frames[min(len(frames) - 1, -int(-picture.time_s * FRAME_RATE_HZ // 1))]


def shaded(picture: BackgroundPicture) -> Image:
    """The picture with what no frame showed in green."""
    image = picture.image.copy()
    image[picture.unseen] = image[picture.unseen] // 2 + np.array([0, 100, 0], np.uint8)
    return image


def every(items: Sequence[Any], count: int) -> Sequence[Any]:
    """About ``count`` of the items, evenly spaced."""
    return items[:: max(1, len(items) // count)][:count]


def write_sheet(path: Path, columns: Sequence[Sequence[Image]]) -> None:
    """Pictures one below the other in each column, the columns side by side."""
    if not columns:
        return
    width = max(image.shape[1] for column in columns for image in column)
    drawn = [
        np.concatenate([np.pad(image, ((0, 4), (0, width - image.shape[1] + 4), (0, 0))) for image in column])
        for column in columns
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(drawn, axis=1), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
