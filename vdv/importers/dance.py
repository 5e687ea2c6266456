"""Real dancing: the motion-capture sequences of *Dance with Melody* (Tang et al., ACM MM 2018), cut into clips.

The archive carries no licence and is not part of this repository: ``data`` (sum of T, 23, 3) at 25 Hz in the layout
``dance-23``, ``lengths``, ``names`` and ``style`` per sequence. It has no scores: its clips can be sent and compared,
not learned from.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from schemas.features import ClipFeatures
from schemas.joints import DANCE_23
from schemas.modalities import Modality
from vdv.annotations import Annotation
from vdv.errors import DataSetError, Finding, refusal
from vdv.folder import Clip
from vdv.importers.archives import archive_path, float32, read_archive, same_length, split_ragged
from vdv.resampling import POSE_HZ

ARCHIVE_NAME: Final = "dance_with_melody_skeletons.npz"
CHALLENGE: Final = "dance-with-melody"
CLIP_S: Final = 10.0
STYLES: Final = {"C": "cha-cha", "R": "rumba", "T": "tango", "W": "waltz"}


@dataclass(frozen=True)
class Sequence:
    """One uninterrupted recording: ``frames`` (T, 23, 3), and the style it was danced in."""

    name: str
    style: str
    frames: npt.NDArray[np.float32]


def read_sequences(source: Path) -> list[Sequence]:
    """The recordings in the archive, or in the folder that holds it. Raises ``DataSetError``."""
    path = archive_path(source, ARCHIVE_NAME)
    shapes = {"data": (None, DANCE_23.joint_count, 3), "lengths": (None,), "names": (None,), "style": (None,)}
    arrays = read_archive(path, shapes)
    same_length(path, {name: arrays[name] for name in ("lengths", "names", "style")})
    frames = split_ragged(path, float32(path, "data", arrays["data"]), arrays["lengths"])
    sequences: list[Sequence] = []
    findings: list[Finding] = []
    for row, (name, style, array) in enumerate(zip(arrays["names"], arrays["style"], frames, strict=True), start=1):
        if str(style) not in STYLES:
            problem, remedy = f"sequence {name} is of style {style!s}", f"expected one of {', '.join(STYLES)}"
            findings.append(Finding(path, problem, remedy, row=row, field="style"))
            continue
        sequences.append(Sequence(str(name), STYLES[str(style)], array))
    if findings:
        raise refusal(findings)
    return sequences


def cut(sequence: Sequence) -> Iterator[Clip]:
    """Consecutive clips of ``CLIP_S`` seconds; a shorter rest is left out. The dancer is the sequence."""
    steps = round(CLIP_S * POSE_HZ)
    for number in range(len(sequence.frames) // steps):
        frames = sequence.frames[number * steps : (number + 1) * steps]
        annotation = Annotation(
            clip_id=f"{sequence.name}-{number:03d}",
            dancer_id=sequence.name,
            challenge_id=CHALLENGE,
            duration_s=CLIP_S,
            extra={"style": sequence.style},
        )
        yield Clip(
            annotation,
            ClipFeatures({Modality.SKELETAL: frames}, DANCE_23.name, {Modality.SKELETAL: "motion-capture"}),
        )


def read_clips(source: Path) -> list[Clip]:
    """All clips of all sequences; the column ``style`` names the dance."""
    clips = list(chain.from_iterable(map(cut, read_sequences(source))))
    if not clips:
        raise DataSetError(f"{archive_path(source, ARCHIVE_NAME)}: no sequence is {CLIP_S:g} s long; nothing to cut")
    return clips
