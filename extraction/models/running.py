"""Opens a network of the models' folder and runs it on pictures.

Legend: N pictures, H, W height and width of the network's input.
"""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from extraction.models.folder import default_folder
from extraction.models.manifest import ModelManifest, graph_path, read_graph, read_manifest
from extraction.models.splitting import split
from schemas.errors import ExtractorModelInvalid
from schemas.ports import Float32
from streamer.runtimes.picture_networks import GraphRefused, LaterNetwork, PictureNetwork


class _Later(NamedTuple):
    network: LaterNetwork
    between: tuple[str, ...]


class Model:
    """One network, ready to run. ``provider`` is ONNX Runtime's name of what runs it."""

    def __init__(self, manifest: ModelManifest, network: PictureNetwork, later: _Later | None = None) -> None:
        self.manifest = manifest
        self._network, self._later = network, later
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
        outputs, rest = self.run_first(images)
        return outputs | rest()

    def run_first(self, images: npt.NDArray[np.uint8]) -> tuple[dict[str, Float32], Callable[[], dict[str, Float32]]]:
        """The outputs of ``run`` that come first, and a function that computes the others each time it is called, on
        any thread: those that are not ``early`` of ``open_model``, otherwise none. Both raise as ``run`` does.
        """
        if images.dtype != np.uint8 or images.shape[1:] != self._input:
            raise ValueError(
                f"{self.manifest.name} takes uint8 images of shape (N, {', '.join(map(str, self._input))}), not "
                f"{images.dtype} of {images.shape}"
            )
        if not len(images):
            return {name: np.zeros((0, *shape), np.float32) for name, shape in self.manifest.outputs.items()}, dict
        outputs = self._network.run(np.ascontiguousarray(images))
        if self._later is None:
            return outputs, dict
        network, names = self._later
        between = {name: outputs[name] for name in names}
        first = {name: outputs[name] for name in outputs if name in self.manifest.outputs}
        return first, lambda: network.run(between)


def open_model(
    name: str,
    *,
    folder: Path | None = None,
    providers: Sequence[str] = ("cuda", "cpu"),
    threads: int = 0,
    early: Collection[str] = (),
) -> Model:
    """The network ``name`` of ``folder`` (absent: ``default_folder``), verified against its manifest.

    ``providers``: best first, those that this machine lacks are skipped; ``threads`` that run one operator, 0: one per
    core; ``early``: outputs that ``Model.run_first`` gives first, if the graph can be cut. Raises
    ``ExtractorModelMissing``, which names the command that fetches it, ``ExtractorModelInvalid`` if it is damaged or
    its graph does not have the manifest's inputs and outputs, and ``ConfigurationError`` for the providers.
    """
    folder = folder or default_folder()
    manifest = read_manifest(folder, name)
    graph = read_graph(folder, manifest)
    path = graph_path(folder, name)
    try:
        network, later = _opened(graph, providers, threads, early)
    except GraphRefused as error:
        raise ExtractorModelInvalid(f"{path}: ONNX Runtime cannot load this graph: {error}") from error
    stated = (manifest.height, manifest.width, 3)
    if network.input_shape != stated:
        raise ExtractorModelInvalid(f"{path}: its input is {network.input_shape}, its manifest says {stated}")
    outputs = dict(network.output_shapes)
    if later is not None:
        outputs = {name: shape for name, shape in outputs.items() if name not in later.between}
        outputs |= {name: network.output_shapes[name] for name in later.between if name in manifest.outputs}
        outputs |= later.network.output_shapes
    if outputs != manifest.outputs:
        raise ExtractorModelInvalid(f"{path}: its outputs are {outputs}, its manifest says {manifest.outputs}")
    return Model(manifest, network, later)


def _opened(
    graph: bytes, providers: Sequence[str], threads: int, early: Collection[str]
) -> tuple[PictureNetwork, _Later | None]:
    """The network in two parts, or whole if nothing is to come first, or if the runtime does not take the parts."""
    halves = split(graph, early) if early else None
    if halves is not None:
        try:
            first = PictureNetwork(halves.first, providers=providers, threads=threads)
            if not first.floats.issuperset(halves.between):
                raise GraphRefused("what crosses the cut is not known to be float32 with N in front")
            rest = LaterNetwork(halves.later(first.output_shapes), providers=providers, threads=threads)
            return first, _Later(rest, halves.between)
        except GraphRefused:
            pass
    return PictureNetwork(graph, providers=providers, threads=threads), None
