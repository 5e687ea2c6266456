"""A trained ACTION-NET as a graph, compared with torch, in a folder of its own."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy

from exporters.onnx.bundle_folders import check_folder
from exporters.onnx.graphs import OPSET
from exporters.onnx.parity_sample import SAMPLE_FILE, stream_sample
from exporters.onnx.routine_graphs import RoutineStream, check_routine, random_routine, routine_graph
from exporters.onnx.running import in_onnx_runtime
from networks.action_net import ActionNet
from schemas.bundle import sha256_hex
from schemas.export_profiles import ParitySample
from schemas.modalities import Modality
from schemas.routine_network import (
    FILE,
    MANIFEST_NAME,
    RoutineNetwork,
    ScoreRange,
    manifest_bytes,
    read_routine_network,
)
from schemas.routines import PARTS
from schemas.training_distribution import ModalityDistribution

SAMPLE_S: Final = (4, 2)
"""Lengths of the sample's clips in seconds."""


def write_routine_network(
    network: ActionNet,
    folder: Path,
    *,
    score_range: ScoreRange,
    training_data: str,
    architecture: Mapping[str, str],
    metrics: Mapping[str, float],
    distribution: ModalityDistribution | None,
    overwrite: bool = False,
) -> RoutineNetwork:
    """Export ``network``, compare it with torch, and write it to ``folder``, or nothing.

    Raises ``BundleError`` if ``folder`` exists (``overwrite`` replaces such a network, nothing else), for ablations
    that are not exported, or if the graph does not compute what torch computes.
    """
    check_network_folder(folder, overwrite=overwrite)
    network = network.eval()
    graph = routine_graph(network)
    agreement = check_routine(network, graph)
    generator = np.random.default_rng(0)
    clips = [random_routine(seconds, generator) for seconds in SAMPLE_S]
    tensors, allowed = stream_sample(Modality.ROUTINE, RoutineStream(network), in_onnx_runtime(graph), clips)
    sample = safetensors.numpy.save(tensors)
    limits = ({Modality.ROUTINE: allowed[name]} for name in ("score", "embedding"))
    described = RoutineNetwork(
        file=FILE,
        sha256=sha256_hex(graph),
        opset=OPSET,
        embedding_dim=network.embedding_dim,
        attention=PARTS,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        score_range=score_range,
        sample=ParitySample(SAMPLE_FILE, sha256_hex(sample), *limits),
        training_data=training_data,
        architecture=dict(architecture),
        metrics=dict(metrics),
        agreement={name: float(f"{difference:.1e}") for name, difference in agreement._asdict().items()},
        distribution=distribution,
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "network"
        staged.mkdir()
        for name, content in ((FILE, graph), (SAMPLE_FILE, sample), (MANIFEST_NAME, manifest_bytes(described))):
            (staged / name).write_bytes(content)
        read_routine_network(staged)
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        staged.rename(folder)
    return described


def check_network_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise ``BundleError`` if ``folder`` exists, unless it may be overwritten and holds a network of routines or
    nothing."""
    check_folder(folder, MANIFEST_NAME, "a network of routines", overwrite=overwrite)
