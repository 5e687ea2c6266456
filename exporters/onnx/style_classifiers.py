"""A style classifier as an ONNX graph, compared with torch, in a folder of its own.

Legend: N clips, T time steps, V joints, C coordinates, D features, K styles.
"""

import math
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import compose
from torch import Tensor, nn
from torch.export import Dim

from exporters.onnx.bundle_folders import check_folder
from exporters.onnx.graphs import TRACED_CLIPS, traced_graph
from exporters.onnx.parity import SCORE_TOLERANCE, padded, session
from exporters.onnx.style_graphs import FEATURES, feature_graph, frames_graph
from networks.styles.classifier import TrainedClassifier
from networks.styles.judging import PoseClassifier
from networks.styles.learned import LearnedClassifier
from schemas.bundle import FRAMES, LENGTHS, sha256_hex
from schemas.errors import BundleError
from schemas.style_classifier import (
    DEFAULT_NETWORK,
    FAMILIARITY,
    FILE,
    LOGITS,
    MANIFEST_NAME,
    ClassifierFolder,
    StyleClassifier,
    read_classifier,
)

CLIPS: Final = "clips"
"""The axis of clips in every graph."""
BATCHES: Final[tuple[tuple[int, ...], ...]] = ((1,), (2,), (1, 1), (5, 10, 60, 1), (75, 3, 76), (250, 150))
"""Lengths T of the clips of each batch that is compared."""


class _OfFrames(nn.Module):
    """A method of a classifier that takes frames and lengths, to be traced."""

    def __init__(self, network: PoseClassifier, method: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self.network, self._method = network, method

    def forward(self, frames: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return self._method(frames, lengths)


class _Named(nn.Module):
    def __init__(self, network: LearnedClassifier) -> None:
        super().__init__()
        self.network = network

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.named(features)


def classifier_graph(network: PoseClassifier) -> bytes:
    """``frames`` (N, T, V, C) and ``lengths`` (N,) to ``logits`` (N, K) and ``familiarity`` (N,)."""
    network.eval()
    shape = (network.layout.joint_count, network.layout.coordinates)
    if not isinstance(network, LearnedClassifier):
        return frames_graph(_OfFrames(network, network.judged), shape, (LOGITS, FAMILIARITY))
    # In three parts, because the graph of an LSTM cannot be traced.
    prepared = frames_graph(_OfFrames(network, network.prepared), shape, ("read", "read_lengths"))
    features = feature_graph(network.network, network.frame_shape)
    width = network.whitening.shape[0]
    named = traced_graph(
        _Named(network),
        (torch.rand(TRACED_CLIPS, width),),
        (FEATURES,),
        (LOGITS, FAMILIARITY),
        ({0: Dim(CLIPS)},),
    )
    return joined(prepared, features, named)


def joined(*graphs: bytes) -> bytes:
    """Graphs in a row, as one: each reads what the one before it gives, in that order."""
    parts = [onnx.load_from_string(graph) for graph in graphs]
    whole = compose.add_prefix(parts[0], "0/", rename_inputs=False, rename_outputs=len(parts) > 1)
    for number, part in enumerate(parts[1:], start=1):
        last = number == len(parts) - 1
        _rename_lengths(part, f"{number}/")
        following = compose.add_prefix(part, f"{number}/", rename_outputs=not last)
        pairs = zip(whole.graph.output, following.graph.input, strict=True)
        whole = compose.merge_models(whole, following, io_map=[(given.name, read.name) for given, read in pairs])
    onnx.checker.check_model(whole)
    content: bytes = whole.SerializeToString(deterministic=True)
    return content


def _rename_lengths(graph: onnx.ModelProto, prefix: str) -> None:
    """Axes other than that of clips have other lengths in every graph, which equal names would say are equal."""
    for value in (*graph.graph.input, *graph.graph.value_info, *graph.graph.output):
        for axis in value.type.tensor_type.shape.dim:
            if axis.dim_param and axis.dim_param != CLIPS:
                axis.dim_param = f"{prefix}{axis.dim_param}"


def check_classifier(trained: TrainedClassifier, graph: bytes, batches: Sequence[Sequence[int]] = BATCHES) -> float:
    """The largest difference of a logit or a familiarity, relative to its size, between torch and ``graph``, and
    between a clip alone and in its batch, on poses that move at random.

    Padding is filled with NaN. Raises ``BundleError`` naming the batch and the difference.
    """
    run, layout, generator, largest = session(graph), trained.network.layout, np.random.default_rng(0), 0.0
    for batch in batches:
        shape = (layout.joint_count, layout.coordinates)
        clips = [
            (generator.normal(500, 150, shape) + generator.normal(0, 8, (length, *shape)).cumsum(axis=0)).astype(
                np.float32
            )
            for length in batch
        ]
        frames, lengths = padded(clips), np.array(batch, np.int64)
        with torch.inference_mode():
            expected = trained.network.judged(torch.from_numpy(frames), torch.from_numpy(lengths))
        found = run.run([LOGITS, FAMILIARITY], {FRAMES: frames, LENGTHS: lengths})
        alone = [
            run.run([LOGITS, FAMILIARITY], {FRAMES: clip[None], LENGTHS: lengths[row : row + 1]})
            for row, clip in enumerate(clips)
        ]
        others = {
            "torch": [each.numpy() for each in expected],
            "the clip alone": [np.concatenate(part) for part in zip(*alone, strict=True)],
        }
        for what, other in others.items():
            difference = max(_largest(*pair) for pair in zip(found, other, strict=True))
            if not difference <= SCORE_TOLERANCE:
                raise BundleError(
                    f"the graph and {what} differ by {difference:.2e} of a logit or a familiarity (limit "
                    f"{SCORE_TOLERANCE:.0e}), in a batch of lengths {', '.join(map(str, batch))}; the classifier is "
                    "not fit to serve"
                )
            largest = max(largest, difference)
    return largest


def write_classifier(
    trained: TrainedClassifier,
    folder: Path,
    *,
    training_data: str,
    network: str = DEFAULT_NETWORK,
    overwrite: bool = False,
) -> StyleClassifier:
    """Export ``trained``, compare it with torch, and write graph and description into ``folder``, or nothing.

    Raises ``BundleError`` if ``folder`` exists (``overwrite`` replaces a classifier, nothing else) or if the graph does
    not compute what torch computes.
    """
    check_classifier_folder(folder, overwrite=overwrite)
    graph = classifier_graph(trained.network)
    agreement = check_classifier(trained, graph)
    classifier = StyleClassifier(
        file=FILE,
        sha256=sha256_hex(graph),
        joint_layout=trained.network.layout.name,
        styles=trained.styles,
        temperature=trained.temperature,
        threshold=trained.threshold,
        network=network,
        training_data=training_data,
        metrics={name: round(value, 4) for name, value in trained.metrics.items() if math.isfinite(value)},
        agreement=float(f"{agreement:.1e}"),
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as scratch:
        staged = Path(scratch) / "classifier"
        staged.mkdir()
        (staged / FILE).write_bytes(graph)
        described = msgspec.json.encode(ClassifierFolder(classifier))
        (staged / MANIFEST_NAME).write_bytes(msgspec.json.format(described) + b"\n")
        read_classifier(staged)
        if folder.exists():
            folder.rename(Path(scratch) / "replaced")
        staged.rename(folder)
    return classifier


def check_classifier_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise ``BundleError`` if ``folder`` exists, unless it may be overwritten and holds a classifier or nothing."""
    check_folder(folder, MANIFEST_NAME, "a classifier", overwrite=overwrite)


def _largest(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.nan_to_num(np.abs(one - other) / np.abs(other).clip(min=1), nan=math.inf).max())
