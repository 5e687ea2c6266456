"""A checkpoint → a network of the models' folder: exported, compared with torch, written with its manifest.

Legend: N pictures, H, W height and width of the network's input, C channels of its feature.
"""

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from exporters.onnx.graphs import traced_graph
from extraction.models.folder import install
from extraction.models.importing.architectures import open_architecture
from extraction.models.importing.checkpoints import load_weights, read_weights
from extraction.models.manifest import IMAGES, ModelManifest, Preparation, Source
from schemas.bundle import sha256_hex
from schemas.errors import CheckpointError, ExtractorModelInvalid
from schemas.local_files import read_file
from streamer.runtimes.picture_networks import GraphRefused, PictureNetwork

FEATURES: Final = "features"
TOLERANCE: Final = 1e-4
"""Largest difference of a feature's entry between torch and ONNX Runtime, relative to the feature's largest entry."""

_TRACED: Final = 2
_COMPARED: Final = (1, 3)
"""Pictures of each batch that is compared."""


class Described(NamedTuple):
    """What the person who imports a network says of it; the fields of ``ModelManifest`` of the same names."""

    name: str
    size: int
    preparation: Preparation
    version: str = "1"
    purpose: str = "features of a picture"
    licence: str = "not stated"
    approximates: str | None = None
    width: int | None = None
    """C that is expected; ``None``: whatever the network gives."""


class WithPreparation(nn.Module):
    """``network`` on uint8 pictures (N, H, W, 3), RGB, which are prepared as it expects them. Gives (N, C)."""

    factor: Tensor
    offset: Tensor

    def __init__(self, network: nn.Module, preparation: Preparation) -> None:
        super().__init__()
        self.network = network
        std = torch.tensor(preparation.std, dtype=torch.float64)
        factor, offset = preparation.scale / std, -torch.tensor(preparation.mean, dtype=torch.float64) / std
        self.register_buffer("factor", factor.float().reshape(3, 1, 1))
        self.register_buffer("offset", offset.float().reshape(3, 1, 1))
        self.blue_first = preparation.colours == "BGR"

    def forward(self, images: Tensor) -> Tensor:
        x = images.permute(0, 3, 1, 2).to(torch.float32)
        if self.blue_first:
            x = x.flip(1)
        features: Tensor = self.network(x * self.factor + self.offset)
        return features.flatten(1)


def import_checkpoint(checkpoint: Path, architecture: str, described: Described, folder: Path) -> ModelManifest:
    """Write the network of ``checkpoint`` into ``folder`` and return its manifest.

    Raises ``ConfigurationError`` and ``ExtraMissing`` as ``open_architecture``, ``CheckpointError`` for weights that
    are not this architecture's, or features of another width than ``described.width``, and ``ExtractorModelInvalid`` if
    ONNX Runtime does not compute what torch computes; nothing is written then.
    """
    network = open_architecture(architecture)
    load_weights(network, read_weights(checkpoint), checkpoint)
    prepared = WithPreparation(network, described.preparation).eval()
    images = torch.zeros(_TRACED, described.size, described.size, 3, dtype=torch.uint8)
    with torch.inference_mode():
        width = int(prepared(images).shape[1])
    if described.width not in (None, width):
        raise CheckpointError(
            f"{checkpoint}: {architecture} gives {width} features, --width says {described.width}; correct one of them"
        )
    graph = traced_graph(prepared, (images,), (IMAGES,), (FEATURES,), ({0: Dim("pictures")},))
    _compare(prepared, graph, described)
    manifest = ModelManifest(
        name=described.name,
        version=described.version,
        purpose=described.purpose,
        height=described.size,
        width=described.size,
        preparation=described.preparation,
        outputs={FEATURES: (width,)},
        licence=described.licence,
        sources=(Source("file", architecture, checkpoint.name, sha256_hex(read_file(checkpoint))),),
        sha256=sha256_hex(graph),
        feature=FEATURES,
        approximates=described.approximates,
    )
    install(folder, manifest, graph)
    return manifest


def _compare(network: WithPreparation, graph: bytes, described: Described) -> None:
    """Raise ``ExtractorModelInvalid`` unless the graph gives what torch gives, for one picture and for several."""
    try:
        session = PictureNetwork(graph, providers=("cpu",), threads=0)
    except GraphRefused as error:
        raise ExtractorModelInvalid(
            f"{described.name}: ONNX Runtime cannot load the exported graph: {error}"
        ) from error
    generator = np.random.default_rng(0)
    for count in _COMPARED:
        images = generator.integers(0, 256, (count, described.size, described.size, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = network(torch.from_numpy(images)).numpy()
        found = session.run(images)[FEATURES]
        size = np.abs(expected).max(axis=1).clip(min=np.finfo(np.float32).tiny)
        difference = float((np.abs(found - expected).max(axis=1) / size).max())
        if not difference <= TOLERANCE:
            raise ExtractorModelInvalid(
                f"{described.name}: torch and ONNX Runtime differ by {difference:.1e} (limit {TOLERANCE:.0e}) for "
                f"{count} pictures; the network is not fit to be used"
            )
