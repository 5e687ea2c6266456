"""Real dancing: the motion-capture sequences of *Dance with Melody* (Tang et al., ACM MM 2018), cut into clips.

The recordings carry no licence and are not part of this repository; the variable ``DANCERANK_DATA`` names the folder
that holds ``dance_with_melody_skeletons.npz``: ``data`` (sum of T, 23, 3) at 25 Hz in the layout ``dance-23``,
``lengths``, ``names`` and ``style`` per sequence.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from dancerank.clip_folder import ClipRow
from dancerank.settings import DATA_VARIABLE
from schemas.errors import ConfigurationError
from schemas.features import ClipFeatures
from schemas.joints import DANCE_23
from schemas.modalities import FRAME_RATE_HZ, Modality

ARCHIVE_NAME: Final = "dance_with_melody_skeletons.npz"
CHALLENGE: Final = "dance-with-melody"
CLIP_S: Final = 10.0
STYLES: Final = {"C": "cha-cha", "R": "rumba", "T": "tango", "W": "waltz"}


@dataclass(frozen=True)
class Sequence:
    """One uninterrupted recording: ``frames`` (T, 23, 3), and the style it was danced in."""

    name: str
    style: str
    frames: np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def recordings_folder() -> Path | None:
    """The folder that ``DANCERANK_DATA`` names, ``None`` if unset; ``ConfigurationError`` if it holds no archive."""
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        return None
    if not (Path(value) / ARCHIVE_NAME).is_file():
        raise ConfigurationError(f"{DATA_VARIABLE} is {value}, which holds no {ARCHIVE_NAME}; correct or unset it")
    return Path(value)


def read_sequences(folder: Path) -> list[Sequence]:
    with np.load(folder / ARCHIVE_NAME) as archive:
        ends = np.cumsum(archive["lengths"])
        frames = np.split(archive["data"].astype(np.float32), ends[:-1])
        labels = zip(archive["names"], archive["style"], frames, strict=True)
        return [Sequence(str(name), STYLES[str(style)], array) for name, style, array in labels]


def cut(sequence: Sequence) -> Iterator[ClipRow]:
    """Clips of ``CLIP_S`` seconds, one after the other; a shorter rest is left out. The dancer is the sequence."""
    steps = round(CLIP_S * FRAME_RATE_HZ[Modality.SKELETAL])
    for number in range(len(sequence.frames) // steps):
        frames = sequence.frames[number * steps : (number + 1) * steps]
        features = ClipFeatures({Modality.SKELETAL: frames}, DANCE_23.name, {Modality.SKELETAL: "motion-capture"})
        yield ClipRow(f"{sequence.name}-{number:03d}", sequence.name, CHALLENGE, CLIP_S, features)
