"""The facial stream: the dancer's face, three times in a second, where one is found."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from extraction.faces.alignment import aligned
from extraction.faces.choosing import Heads, Sought, face_of
from extraction.faces.detection import Face, FaceDetector, merged, whole
from extraction.frames import FRAME_RATE_HZ, Frame
from extraction.networks import Features, Network
from extraction.streams import ExtractedStream, NotExtracted, OpenStreamExtractor, Person
from schemas.modalities import Modality
from schemas.plausibility import LEAST_SHARE_OF_FACES
from schemas.ports import Float32

FACES_AT_ONCE: Final = 8
"""Faces that are embedded as one batch."""

Image = npt.NDArray[np.uint8]


class FaceFinder:
    """Finds the dancer's face in single frames."""

    def __init__(self, detector: FaceDetector) -> None:
        self._detector = detector

    def find(self, sought: Sequence[Sought]) -> list[Face | None]:
        """The dancer's face in each picture, looked for in the whole picture and around the dancer's head."""
        views = [(each.image, whole(each.image)) for each in sought]
        closer = [(number, each.head) for number, each in enumerate(sought) if each.head is not None]
        found = self._detector.detect([*views, *((sought[number].image, head) for number, head in closer)])
        for (number, _), faces in zip(closer, found[len(sought) :], strict=True):
            found[number] = merged([*found[number], *faces])
        return [face_of(each, faces) for each, faces in zip(sought, found, strict=False)]


class _Facial:
    def __init__(self, finder: FaceFinder, features: Features) -> None:
        self._finder = finder
        self._features = features
        self._heads = Heads()
        self._searched = 0
        self._faces: list[Image] = []
        self._vectors: list[Float32] = []

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        due = due_of(frames, self._heads.sought(frames, people))
        if not due:
            return
        faces = self._finder.find(due)
        self._searched += len(due)
        height, width = self._features.height, self._features.width
        self._faces += [
            aligned(each.image, face, height, width) for each, face in zip(due, faces, strict=True) if face is not None
        ]
        while len(self._faces) >= FACES_AT_ONCE:
            self._embed()

    def finish(self) -> ExtractedStream | NotExtracted:
        if self._faces:
            self._embed()
        found = sum(map(len, self._vectors))
        if not self._searched:
            return NotExtracted("no frame was decoded")
        if found < LEAST_SHARE_OF_FACES * self._searched:
            return NotExtracted(f"the dancer's face was found in {found} of {self._searched} pictures")
        return ExtractedStream(np.concatenate(self._vectors), self._features.extractor)

    def _embed(self) -> None:
        self._vectors.append(self._features.of(self._faces[:FACES_AT_ONCE]))
        del self._faces[:FACES_AT_ONCE]


def is_due(index: int) -> bool:
    """Whether a face is looked for in a frame: in the first at or after each third of a second."""
    faces, frames = round(Modality.FACIAL.rate_hz), round(FRAME_RATE_HZ)
    return index * faces // frames > (index - 1) * faces // frames


def due_of(frames: Sequence[Frame], sought: Sequence[Sought]) -> list[Sought]:
    """Those whose face is looked for."""
    return [each for frame, each in zip(frames, sought, strict=True) if is_due(frame.index)]


def open_facial(detector: Network, features: Network) -> OpenStreamExtractor:
    """Extractors of the facial stream, (T, C), a step for each of the pictures, three in a second, that show a face.

    ``features`` sees the face upright. Raises ``ValueError`` for networks of other kinds.
    """
    finder, embedding = FaceFinder(FaceDetector(detector)), Features(features)
    return lambda _properties: _Facial(finder, embedding)


__all__ = ["FaceFinder", "due_of", "is_due", "open_facial"]
