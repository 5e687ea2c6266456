"""The holistic stream: features of the whole picture, at 25 Hz."""

from collections.abc import Sequence

import numpy as np

from extraction.frames import Frame
from extraction.networks import Features, Network
from extraction.resizing import fitted
from extraction.streams import ExtractedStream, NotExtracted, OpenStreamExtractor, Person
from schemas.ports import Float32


class _Holistic:
    def __init__(self, features: Features) -> None:
        self._features = features
        self._vectors: list[Float32] = []

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:  # noqa: ARG002 - the port's
        height, width = self._features.height, self._features.width
        self._vectors.append(self._features.of([fitted(frame.image, height, width) for frame in frames]))

    def finish(self) -> ExtractedStream | NotExtracted:
        if not self._vectors:
            return NotExtracted("no frame was decoded")
        return ExtractedStream(np.concatenate(self._vectors), self._features.extractor)


def open_holistic(features: Network) -> OpenStreamExtractor:
    """Extractors of the holistic stream, (T, C) at 25 Hz. Raises ``ValueError`` for a network without features."""
    embedding = Features(features)
    return lambda _properties: _Holistic(embedding)


__all__ = ["open_holistic"]
