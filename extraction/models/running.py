"""Opens a network of the models' folder and runs it on pictures.

Legend: N pictures, H, W height and width of the network's input.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from extraction.models.folder import default_folder
from extraction.models.manifest import ModelManifest, graph_path, read_graph, read_manifest
from schemas.errors import ExtractorModelInvalid
from schemas.ports import Float32
from streamer.runtimes.picture_networks import GraphRefused, PictureNetwork


class Model:
    """One network, ready to run. ``provider`` is ONNX Runtime's name of what runs it."""

    def __init__(self, manifest: ModelManifest, network: PictureNetwork) -> None:
        self.manifest = manifest
        self._network = network
        self._input = (manifest.height, manifest.width, 3)

    @property
    def provider(self) -> str:
        return self._network.provider

    def blank(self) -> npt.NDArray[np.uint8]:
        """One black picture, (1, H, W, 3)."""
        return np.zeros((1, *self._input), np.uint8)

    def run(self, images: npt.NDArray[np.uint8]) -> dict[str, Float32]:
        """Every output of the manifest by its name, (N, …) float32, for ``images`` (N, H, W, 3), uint8 RGB.

        Raises ``ValueError`` for images of another shape or type, ``InferenceFailed`` if ONNX Runtime fails.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self._input:
            raise ValueError(
                f"{self.manifest.name} takes uint8 images of shape (N, {', '.join(map(str, self._input))}), not "
                f"{images.dtype} of {images.shape}"
            )
        if not len(images):
            return {name: np.zeros((0, *shape), np.float32) for name, shape in self.manifest.outputs.items()}
        return self._network.run(np.ascontiguousarray(images))


def open_model(
    name: str, *, folder: Path | None = None, providers: Sequence[str] = ("cuda", "cpu"), threads: int = 0
) -> Model:
    """The network ``name`` of ``folder`` (absent: ``default_folder``), verified against its manifest.

    ``providers``: best first, those that this machine lacks are skipped; ``threads`` that run one operator, 0: one per
    core. Raises ``ExtractorModelMissing``, which names the command that fetches it, ``ExtractorModelInvalid`` if it is
    damaged or its graph does not have the manifest's inputs and outputs, and ``ConfigurationError`` for the providers.
    """
    folder = folder or default_folder()
    manifest = read_manifest(folder, name)
    graph = read_graph(folder, manifest)
    path = graph_path(folder, name)
    try:
        network = PictureNetwork(graph, providers=providers, threads=threads)
    except GraphRefused as error:
        raise ExtractorModelInvalid(f"{path}: ONNX Runtime cannot load this graph: {error}") from error
    stated = (manifest.height, manifest.width, 3)
    if network.input_shape != stated:
        raise ExtractorModelInvalid(f"{path}: its input is {network.input_shape}, its manifest says {stated}")
    if dict(network.output_shapes) != manifest.outputs:
        raise ExtractorModelInvalid(
            f"{path}: its outputs are {dict(network.output_shapes)}, its manifest says {manifest.outputs}"
        )
    return Model(manifest, network)
