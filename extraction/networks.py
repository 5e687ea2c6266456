"""What the streams need of a network that sees pictures. ``extraction.models.Model`` is one.

Legend: N pictures, H, W of the network's input, C of its features.
"""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from extraction.models.manifest import ModelManifest
from schemas.ports import Float32

Image = npt.NDArray[np.uint8]


class Network(Protocol):
    """Runs on pictures."""

    @property
    def manifest(self) -> ModelManifest:
        """What the network says of itself."""
        ...

    def run(self, images: Image) -> dict[str, Float32]:
        """The outputs by name, (N, …), for (N, H, W, 3) uint8 RGB."""
        ...


@runtime_checkable
class TwoPartNetwork(Network, Protocol):
    """A network some of whose outputs may be computed later, on another thread, or not at all."""

    def run_first(self, images: Image) -> tuple[dict[str, Float32], Callable[[], dict[str, Float32]]]:
        """Some outputs of ``run``, and what computes the others."""
        ...


def run_first(network: Network, images: Image) -> tuple[dict[str, Float32], Callable[[], dict[str, Float32]]]:
    """Likewise of any network: all outputs come first of one that does not know better."""
    return network.run_first(images) if isinstance(network, TwoPartNetwork) else (network.run(images), dict)


class Features:
    """The features that a network gives of a picture. ``extractor`` names it as feature files do.

    Raises ``ValueError`` for a network that gives none.
    """

    def __init__(self, network: Network) -> None:
        manifest = network.manifest
        if manifest.feature is None:
            raise ValueError(f"{manifest.name} gives no features of a picture")
        self._network = network
        self._output = manifest.feature
        self.extractor = manifest.title
        self.height = manifest.height
        self.width = manifest.width

    def of(self, images: list[Image]) -> Float32:
        """(N, C) of N pictures of the input's size, which run as one batch."""
        features = self._network.run(np.stack(images))[self._output]
        return features.reshape(len(images), -1)


__all__ = ["Features", "Network", "TwoPartNetwork", "run_first"]
