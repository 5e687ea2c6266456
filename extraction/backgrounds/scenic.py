"""The scenic stream: an embedding of the background, four in a second."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from extraction.backgrounds import gist
from extraction.backgrounds.methods import BackgroundMethod
from extraction.backgrounds.pictures import BackgroundPicture, Backgrounds, open_backgrounds
from extraction.frames import Frame
from extraction.networks import Features, Network
from extraction.resizing import fitted
from extraction.stream_threads import cores
from extraction.streams import ExtractedStream, NotExtracted, OpenStreamExtractor, Person
from schemas.ports import Float32

MOST_UNSEEN: Final = 0.95
"""If a person covers more of all pictures, nothing can be said of the scene."""


_MANY: Final = 4
"""Pictures that are embedded on all cores: those that waited for the end of the video, when nobody else has much to do.
"""


class SceneEmbedding(Protocol):
    """Turns pictures of a background into vectors. ``extractor`` names it as a feature file does."""

    extractor: str

    def embed(self, images: Sequence[npt.NDArray[np.uint8]]) -> Float32:
        """(B, C) vectors of B images (h, w, 3), RGB."""
        ...


class Gist:
    """512 values of a closed form, which stands in for the paper's ResNet-18 of Places365."""

    extractor: str = gist.VERSION

    def embed(self, images: Sequence[npt.NDArray[np.uint8]]) -> Float32:
        if len(images) < _MANY:
            return np.stack([gist.gist(image) for image in images])
        with ThreadPoolExecutor(cores(), "gist") as threads:
            return np.stack(list(threads.map(gist.gist, images)))


class SceneNetwork:
    """Features by a network of single pictures, such as the paper's."""

    def __init__(self, network: Network) -> None:
        self._features = Features(network)
        self.extractor = self._features.extractor

    def embed(self, images: Sequence[npt.NDArray[np.uint8]]) -> Float32:
        height, width = self._features.height, self._features.width
        return self._features.of([fitted(image, height, width) for image in images])


class _Scenic:
    def __init__(self, backgrounds: Backgrounds, embedding: SceneEmbedding, method: BackgroundMethod) -> None:
        self._backgrounds = backgrounds
        self._embedding = embedding
        self._method = method
        self._vectors: list[Float32] = []
        self._unseen: list[float] = []

    def add(self, frames: Sequence[Frame], people: Sequence[Person | None]) -> None:
        self._take(self._backgrounds.add(frames, people))

    def finish(self) -> ExtractedStream | NotExtracted:
        self._take(self._backgrounds.finish())
        if not self._unseen:
            return NotExtracted("no frame was decoded")
        count = len(self._unseen)
        if float(np.mean(self._unseen)) > MOST_UNSEEN:
            return NotExtracted(f"the dancer covers the background in all {count} pictures")
        vectors = np.concatenate(self._vectors)
        if not vectors.any():
            return NotExtracted(f"the background has one colour in all {count} pictures")
        return ExtractedStream(vectors, f"{self._embedding.extractor} of {self._method}")

    def _take(self, pictures: Sequence[BackgroundPicture]) -> None:
        if pictures:
            self._vectors.append(self._embedding.embed([picture.image for picture in pictures]))
            self._unseen += [float(picture.unseen.mean()) for picture in pictures]


def open_scenic(method: BackgroundMethod, embedding: SceneEmbedding) -> OpenStreamExtractor:
    """Extractors of the scenic stream, (T, C) at 4 Hz, from backgrounds by ``method``."""
    backgrounds = open_backgrounds(method)
    return lambda properties: _Scenic(backgrounds(properties), embedding, method)


__all__ = ["Gist", "SceneEmbedding", "SceneNetwork", "open_scenic"]
