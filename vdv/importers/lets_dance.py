"""Let's Dance (Castro et al. 2018): ten-second clips of dances from YouTube, with the poses of everyone in each frame.

Published layout: ``densepose/<style>/<video>_<frame>.json`` beside ``rgb/<style>/<video>_<frame>.jpg``, 30 frames per
second. A pose file is a list of people; a person is a list that begins with ``["person", …]``, followed by a pair of
name and ``[x, y, …]`` in pixels for each of 17 joints, named as COCO's.

Legend: T frames, V = 17 joints.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from schemas.escaping import shortened
from schemas.joints import COCO_17
from schemas.local_files import is_folder
from vdv.errors import DataSetError, Finding, refusal
from vdv.importers.step_features import read_steps

POSES: Final = "densepose"
FRAMES_PER_S: Final = 30
MOST_PEOPLE: Final = 20
FEWEST_FRAMES: Final = 2
IMAGE_FEATURES: Final = 512
LONGEST_FRAMES: Final = 20 * FRAMES_PER_S
"""Twice the published length; beyond it a number in a file's name is a mistake."""

PAPER_STYLES: Final = (
    *("ballet", "break", "flamenco", "foxtrot", "latin", "quickstep", "square", "swing", "tango", "waltz"),
)
"""The ten of the original data set; six more came later."""

_JOINTS: Final = tuple(name.replace(" ", "_") for name in COCO_17.joints)

People = tuple[npt.NDArray[np.float32], ...]
"""The people of a frame, each (V, 2) in pixels."""


@dataclass(frozen=True)
class DanceVideo:
    """One clip. ``frames`` has the people of each of T frames; ``missing`` counts frames without a file, which have
    none."""

    name: str
    style: str
    frames: tuple[People, ...]
    missing: int


def read_videos(source: Path) -> Iterator[DanceVideo]:
    """The clips below ``source`` (the folder that holds ``densepose``, or that folder), by style and name.

    Raises ``DataSetError`` for a folder of another layout; for fewer than two styles; for a file whose name, content or
    number of people (over 20) is not as published; and for clips of one frame or without a person in any frame, each
    with the file and the remedy. Frames that have no file are counted.
    """
    folder = source / POSES if is_folder(source / POSES) else source
    styles = _styles(folder)
    for style in styles:
        for name, files in sorted(_videos(style).items()):
            yield _video(style, name, files)


def read_image_features(folder: Path, video: DanceVideo) -> npt.NDArray[np.float32]:
    """The features (T, 512) of ResNet-18 for each frame of ``video``, from ``folder``/<style>/<name>.npy.

    They are not published with the data set: extract them from its frames. Raises ``DataSetError`` naming the file,
    also for another number of frames than the poses have.
    """
    path = folder / video.style / f"{video.name}.npy"
    features = read_steps(path, IMAGE_FEATURES, owner=f"of {video.name}")
    if len(features) != len(video.frames):
        problem = f"has {len(features)} frames, the poses have {len(video.frames)}"
        raise refusal([Finding(path, problem, "extract one feature for each frame, also for those without a pose")])
    return features


def _styles(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise DataSetError(
            f"{folder} cannot be read ({error.strerror or error}); give the folder that holds {POSES}"
        ) from error
    styles = [entry for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
    if all(next(style.glob("*.json"), None) is None for style in styles):
        raise refusal(
            [Finding(folder, "has no folder of pose files", f"expected {POSES}/<style>/<video>_<frame>.json")]
        )
    spaced = [style for style in styles if style.name != style.name.strip()]
    if spaced:
        problem = f"the style {spaced[0].name!r} has spaces around it"
        raise refusal([Finding(spaced[0], problem, "rename the folder", field="style")])
    if len(styles) == 1:
        raise refusal([Finding(folder, f"has one style only, {styles[0].name}", "add another one", field="style")])
    return styles


def _videos(style: Path) -> dict[str, dict[int, Path]]:
    """By video the files of its frames, by their numbers."""
    videos: dict[str, dict[int, Path]] = defaultdict(dict)
    for path in style.glob("*.json"):
        name, _, number = path.stem.rpartition("_")
        if not name or not (number.isascii() and number.isdigit()):
            raise refusal([Finding(path, "is not named <video>_<frame>.json", "rename or remove it")])
        videos[name][int(number)] = path
    if not videos:
        raise refusal([Finding(style, "has no pose files", "add clips of this style, or remove its folder")])
    return videos


def _video(style: Path, name: str, files: dict[int, Path]) -> DanceVideo:
    first, last = min(files), max(files)
    if last - first + 1 > LONGEST_FRAMES:
        problem = f"is frame {last} of a clip that begins with {first}, longer than {LONGEST_FRAMES} frames"
        raise refusal([Finding(files[last], problem, "correct the number in its name")])
    if len(files) < FEWEST_FRAMES:
        raise refusal([Finding(files[first], f"is the only frame of {name}", "leave the clip out, or add its frames")])
    frames = tuple(_people(files[at]) if at in files else () for at in range(first, last + 1))
    if not any(frames):
        problem = f"no frame of {name} shows a person ({len(files)} files)"
        raise refusal([Finding(files[first], problem, "extract its poses again, or leave the clip out")])
    return DanceVideo(name, style.name, frames, len(frames) - len(files))


def _people(path: Path) -> People:
    try:
        content = json.loads(path.read_bytes() or b"[]")  # an empty file: nobody was found
    except OSError as error:
        raise DataSetError(f"{path} cannot be read ({error.strerror or error}); fetch it again") from error
    except (ValueError, RecursionError) as error:
        raise refusal([Finding(path, f"is not JSON ({shortened(str(error))})", "fetch it again")]) from error
    if not isinstance(content, list):
        raise refusal([Finding(path, "is not a list of people", "give the published pose files")])
    if len(content) > MOST_PEOPLE:
        problem = f"has {len(content)} people, over the limit of {MOST_PEOPLE}"
        raise refusal([Finding(path, problem, "remove those that do not dance", row=MOST_PEOPLE + 1)])
    return tuple(_joints(path, row, person) for row, person in enumerate(content, start=1))


def _joints(path: Path, row: int, person: Any) -> npt.NDArray[np.float32]:
    """(V, 2) of one person; ``row`` counts the people of the file from one."""
    try:
        (label, *_), *pairs = person
        named = {str(pair[0]): (float(pair[1][0]), float(pair[1][1])) for pair in pairs}
    except (TypeError, ValueError, LookupError) as error:
        raise refusal(
            [Finding(path, "is not a person as published", 'expected [["person", …], ["nose", [x, y]], …]', row=row)]
        ) from error
    absent = [joint for joint in _JOINTS if joint not in named]
    if label != "person" or absent:
        problem = f"lacks {', '.join(absent[:3])}" if absent else f"is a {shortened(str(label))!r}, not a person"
        raise refusal([Finding(path, problem, "extract the pose again, or remove the person", row=row)])
    with np.errstate(over="ignore"):  # an infinity is refused below
        joints = np.array([named[joint] for joint in _JOINTS], np.float32)
    if not np.isfinite(joints).all():
        raise refusal([Finding(path, "has coordinates that are not finite", "remove the person", row=row)])
    return joints
