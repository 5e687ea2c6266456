"""Ports: what follows the dancer through a video, and what makes a stream of features of the frames.

Legend: H, W height and width of ``Frame.image``; T time steps of the stream.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from extraction.frames import Frame, VideoProperties
from schemas.features import Frames
from schemas.ports import Float32

Box = tuple[float, float, float, float]


class Person:
    """The dancer in one frame.

    ``landmarks``: (33, 4) BlazePose's points: x, y in pixels of ``Frame.image``, visibility and presence in [0, 1];
    ``mask``: (H, W) probability in [0, 1] that a pixel shows the dancer; ``box``: x0, y0, x1, y1 in pixels of
    ``Frame.image``.
    """

    def __init__(self, landmarks: Float32, mask: Float32, box: Box) -> None:
        self.landmarks = landmarks
        self._mask, self._box = mask, box

    @property
    def mask(self) -> Float32:
        """(H, W)."""
        return self._mask

    @property
    def box(self) -> Box:
        """x0, y0, x1, y1."""
        return self._box

    def mask_at(self, height: int, width: int) -> Float32:
        """(height, width): the mask at another size of the whole picture."""
        import cv2  # of the extra video, which importing this module does without

        return np.asarray(cv2.resize(self.mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


class PeopleSeen(NamedTuple):
    """What a tracker has seen: ``followed`` of ``frames`` with the dancer; ``looks`` at whole pictures at regular
    intervals, ``crowded`` of them with more than one person and ``most_people`` at most; ``cuts``; and ``switches`` to
    another person between cuts.
    """

    frames: int = 0
    followed: int = 0
    looks: int = 0
    crowded: int = 0
    most_people: int = 0
    cuts: int = 0
    switches: int = 0


class PersonTracker(Protocol):
    """Follows one dancer through one video."""

    @property
    def seen(self) -> PeopleSeen:
        """In all frames so far."""
        ...

    def follow(self, frames: Sequence[Frame]) -> Sequence[Person | None]:
        """The dancer in each of up to 8 frames, ``None`` where nobody is seen. Called with every frame, in order."""
        ...


class ExtractedStream(NamedTuple):
    """``frames`` (T, …) at the nominal rate of the modality, as a feature file holds them; ``extractor`` names what
    made them: ``name/version sha256:`` and 12 hexadecimal digits of the graph's checksum.
    """

    frames: Frames
    extractor: str


class NotExtracted(NamedTuple):
    """Why a video has no such stream, as a sentence that a person can read: ``no face was found in 36 pictures``."""

    reason: str


class StreamExtractor(Protocol):
    """Makes the stream of one modality of one video."""

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        """Take the next frames, up to 8, in order, with the dancer in each."""
        ...

    def finish(self) -> ExtractedStream | NotExtracted:
        """The stream of all frames that were added. Called once, at the end."""
        ...


OpenPersonTracker = Callable[[VideoProperties], PersonTracker]
OpenStreamExtractor = Callable[[VideoProperties], StreamExtractor]
