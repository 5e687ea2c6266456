"""Extractors without networks: closed forms of a picture's colours, so that tests know what has to come out."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from extraction.frames import Frame, VideoProperties
from extraction.one_pass import Extractors
from extraction.settings import ExtractionSettings
from extraction.streams import ExtractedStream, NotExtracted, PeopleSeen, Person
from extraction.video_extractor import VideoExtractor
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.ports import Float32
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore

JOINTS: Final = 16


class WholePicture:
    """Whoever is filmed fills the picture; nobody is in a black one. There are always two, whoever is filmed."""

    seen = PeopleSeen(most_people=2)

    def follow(self, frames: Sequence[Frame]) -> Sequence[Person | None]:
        return [self._person(frame) for frame in frames]

    def _person(self, frame: Frame) -> Person | None:
        height, width = frame.image.shape[:2]
        if not frame.image.any():
            return None
        return Person(np.zeros((33, 4), np.float32), np.ones((height, width), np.float32), (0.0, 0.0, width, height))


class Colours:
    """Channel c of a step is the colour of a picture at its pixel c, around the picture; for joints, positions on a
    circle whose radius the colours change.
    """

    def __init__(self, modality: Modality) -> None:
        self._modality = modality
        self._steps: list[Float32] = []
        self.batches: list[int] = []

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        self.batches.append(len(frames))
        for frame, person in zip(frames, people, strict=True):
            due = len(self._steps) / self._modality.rate_hz <= frame.time_s + 1e-9
            if due and person is not None:
                self._steps.append(values(self._modality, frame))

    def finish(self) -> ExtractedStream | NotExtracted:
        if not self._steps:
            return NotExtracted("every picture is black")
        return ExtractedStream(np.stack(self._steps), f"colours/1 sha256:{'0' * 12}")


def values(modality: Modality, frame: Frame) -> Float32:
    """One step of a stream."""
    count = JOINTS if modality.has_joints else modality.channels or 0
    pixels = frame.image.reshape(-1).astype(np.float32) / 255
    colours = pixels[np.arange(count) * 1013 % len(pixels)]
    if not modality.has_joints:
        return colours + np.arange(count, dtype=np.float32) % 7 / 7
    angles = np.arange(count) * 2 * np.pi / count
    radius = 20 + 2 * colours + np.arange(count) % 3
    return (np.stack([np.cos(angles) * radius, np.sin(angles) * radius], axis=-1) + 32).astype(np.float32)


def open_tiny(_: ExtractionSettings | None = None) -> Extractors:
    """The factory for the setting ``extraction.extractors``."""

    def opened(modality: Modality) -> Colours:
        return Colours(modality)

    def people(_: VideoProperties) -> WholePicture:
        return WholePicture()

    return Extractors(people, {m: lambda _, m=m: opened(m) for m in FUSED_MODALITIES}, identity="colours/1")  # type: ignore[misc]


MAY_GO_ON: Final = threading.Event()
"""What the extractors of ``open_gated`` wait for, at each batch."""


class Gated(WholePicture):
    def follow(self, frames: Sequence[Frame]) -> Sequence[Person | None]:
        MAY_GO_ON.wait(200)
        return super().follow(frames)


def open_gated(_: ExtractionSettings | None = None) -> Extractors:
    """``open_tiny``, held up until ``MAY_GO_ON``."""
    return replace(open_tiny(), people=lambda _: Gated())


TINY: Final = "tests.extraction.tiny:open_tiny"


def tiny_extractor(root: str) -> VideoExtractor:
    """``VideoExtractor`` of the videos below ``root``, a URI."""
    store = FeatureStore(FeatureRoots([root]), max_bytes=1 << 30, patience_s=0.1, options={})
    return VideoExtractor.open(store, ExtractionSettings(extractors=TINY))
