"""Gradient graphs for a bundle that was exported without them, from its graphs alone: no checkpoint is needed.

Legend: N clips, T time steps, V joints, C channels, D embedding width, M modalities.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
from onnx.reference import ReferenceEvaluator

from exporters.onnx.gradient_graphs import accepted, gradient_graphs
from exporters.onnx.gradients.double import in_float64
from exporters.onnx.parity import random_pose, session
from schemas.bundle import (
    EMBEDDING,
    EMBEDDING_SEED,
    EMBEDDINGS,
    EMBEDDINGS_GRADIENT,
    FRAMES,
    FRAMES_GRADIENT,
    FUSED_SCORE,
    FUSED_SEED,
    LENGTHS,
    MANIFEST_NAME,
    PRESENT,
    SCORE,
    SCORE_SEED,
    SCORES,
    SCORES_GRADIENT,
    Bundle,
    BundleManifest,
    read_bundle,
)
from schemas.errors import BundleError
from schemas.joints import layout_named
from schemas.modalities import Modality

LENGTHS_COMPARED: Final = (1, 5, 8, 11, 14)
TOLERANCE: Final = 1e-3
"""Of float32 from double precision: the score itself has lost digits. A rule that is wrong is off by the whole."""
_NEAR_KINKS: Final = 0.5
"""Share of the clips that may differ by more: in float32 some ReLUs of a wide network are on the other side of zero."""
_ENTRIES: Final = 12
"""Entries of each gradient that are compared: those with the largest derivative and as many at random."""
_STEP: Final = 1e-5
_DIFFERENCES: Final = "central differences in double precision"

Floats = npt.NDArray[np.floating[Any]]


def add_guidance(folder: Path) -> BundleManifest:
    """Write gradient graphs into the bundle at ``folder``, name them in its manifest and return it.

    Nothing else changes: scores, embeddings and the generation stay. The manifest is replaced last, so that the folder
    holds a whole bundle at each moment. Raises ``BundleError`` for a bundle that has no stream of joints, or has its
    graph in fewer bits only, for an operator without a gradient, and if a gradient differs from central differences.
    """
    bundle = read_bundle(folder)
    manifest = bundle.manifest
    with_joints = [modality for modality in manifest.modalities if modality.has_joints]
    if not with_joints:
        raise BundleError(f"{folder}: the bundle reads no joints, so there is nothing to guide")
    modality = with_joints[0]
    if manifest.profile.name.calibrated:
        raise BundleError(
            f"{folder}: its graphs are in fewer bits ({manifest.profile.name}), and gradients are those of the graphs "
            "in float32; export the checkpoint again, which writes gradient graphs too"
        )
    graphs = gradient_graphs(
        modality, bundle.graphs[manifest.stream(modality).file], bundle.graphs[manifest.fusion.file]
    )
    reached = max(_check_stream(bundle, modality, graphs.stream), _check_fusion(bundle, graphs.fusion))
    manifest = msgspec.structs.replace(manifest, guidance=graphs.described(reached))
    written = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
    with tempfile.TemporaryDirectory(prefix=".guidance-", dir=folder) as scratch:
        for name, content in (*graphs.files().items(), (MANIFEST_NAME, written)):
            staged = Path(scratch) / name
            staged.write_bytes(content)
            staged.replace(folder / name)
    return read_bundle(folder).manifest


def _check_stream(bundle: Bundle, modality: Modality, graph: bytes) -> float:
    manifest, generator, reached = bundle.manifest, np.random.default_rng(0), list[float]()
    stream, layout = manifest.stream(modality), layout_named(manifest.joint_layout or "")
    plain, run = _reference(bundle.graphs[stream.file]), session(graph)
    for length in LENGTHS_COMPARED:
        frames = random_pose(manifest.step_shape(modality), layout, length, generator)[None]
        seeds = {
            SCORE_SEED: np.ones(1, np.float32),
            EMBEDDING_SEED: generator.normal(size=(1, stream.embedding_dim)).astype(np.float32),
        }
        (found,) = run.run([FRAMES_GRADIENT], {FRAMES: frames, LENGTHS: np.array([length]), **seeds})

        def total(moved: Floats, seeds: Mapping[str, Floats] = seeds) -> Floats:
            inputs = {FRAMES: moved, LENGTHS: np.full(len(moved), moved.shape[1])}
            score, embedding = plain.run([SCORE, EMBEDDING], inputs)
            summed: Floats = score * seeds[SCORE_SEED] + embedding @ seeds[EMBEDDING_SEED][0]
            return summed

        reached.append(_difference(found[0], frames[0], total, generator))
    return accepted(f"the gradient of the {modality} stream", _DIFFERENCES, reached, TOLERANCE, _NEAR_KINKS)


def _check_fusion(bundle: Bundle, graph: bytes) -> float:
    manifest, generator, reached = bundle.manifest, np.random.default_rng(0), list[float]()
    streams = len(manifest.fused_streams)
    plain, run = _reference(bundle.graphs[manifest.fusion.file]), session(graph)
    for missing in range(streams):
        present = np.ones((1, streams), np.bool_)
        present[0, missing] = streams == 1
        given = {
            EMBEDDINGS: generator.normal(size=(1, manifest.embedding_width)).astype(np.float32),
            SCORES: generator.normal(size=(1, streams)).astype(np.float32),
        }
        inputs = {**given, PRESENT: present, FUSED_SEED: np.ones(1, np.float32)}
        found = run.run([EMBEDDINGS_GRADIENT, SCORES_GRADIENT], inputs)
        for gradient, name in zip(found, (EMBEDDINGS, SCORES), strict=True):

            def fused(moved: Floats, name: str = name, given: Any = given, present: Any = present) -> Floats:
                rows = {other: np.repeat(value, len(moved), axis=0).astype(float) for other, value in given.items()}
                inputs = rows | {name: moved, PRESENT: np.repeat(present, len(moved), axis=0)}
                (score,) = plain.run([FUSED_SCORE], inputs)
                return np.asarray(score)

            reached.append(_difference(gradient[0], given[name][0], fused, generator))
    return accepted("the gradient of the fusion", _DIFFERENCES, reached, TOLERANCE, _NEAR_KINKS)


def _reference(graph: bytes) -> ReferenceEvaluator:
    return ReferenceEvaluator(onnx.load_from_string(in_float64(graph)))


def _difference(found: Floats, at: Floats, function: Any, generator: np.random.Generator) -> float:
    """The largest of some entries of the gradient ``found`` of ``function`` at ``at``, over the largest entry."""
    flat, point = found.reshape(-1), at.astype(np.float64)
    largest = max(float(np.abs(flat).max()), float(np.finfo(np.float32).tiny))
    entries = np.union1d(np.argsort(np.abs(flat))[-_ENTRIES:], generator.permutation(flat.size)[:_ENTRIES])
    moved = np.repeat(point[None], 2 * len(entries), axis=0)
    moves = moved.reshape(len(moved), -1)
    steps = _STEP * np.maximum(1, np.abs(point.reshape(-1)[entries]))
    rows = np.arange(len(entries))
    moves[2 * rows, entries] += steps
    moves[2 * rows + 1, entries] -= steps
    values = function(moved)
    slopes = (values[0::2] - values[1::2]) / (2 * steps)
    return float((np.abs(flat[entries] - slopes) / largest).max())
