"""Convolutions in eight bits: calibrated on some clips, admitted by what they do to others.

Static quantisation by ONNX Runtime, in its QDQ form: weights per output channel, activations by their smallest and
largest value. Legend: N clips, D embedding width.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static

from exporters.onnx.parity import session
from networks.correlation import spearman
from networks.datasets import Features
from schemas.bundle import EMBEDDING, EMBEDDINGS, FRAMES, FUSED_SCORE, LENGTHS, PRESENT, SCORE, SCORES
from schemas.errors import BundleError
from schemas.export_profiles import LEAST_RECALL, LEAST_SPEARMAN
from schemas.modalities import Modality

FEWEST_CLIPS: Final = 100
"""Clips with a modality, half of which calibrate and half of which check."""
NEIGHBOURS: Final = 10

Frames = NDArray[np.floating[Any]]


class Calibration(NamedTuple):
    """Clips to calibrate on, and what is written of them into the manifest."""

    clips: Sequence[Features]
    source: str


class StreamOutputs(NamedTuple):
    """Embeddings (N, D) and scores (N,) of clips that ran one at a time."""

    embeddings: NDArray[np.float32]
    scores: NDArray[np.float32]


class Kept(NamedTuple):
    """What eight bits keep of a stream: the rank correlation of its scores, and the recall of its neighbours."""

    spearman: float
    recall: float

    @property
    def enough(self) -> bool:
        return self.spearman >= LEAST_SPEARMAN and self.recall >= LEAST_RECALL


def quantised_streams(
    graphs: Mapping[Modality, bytes], fusion: bytes, calibration: Calibration
) -> tuple[dict[Modality, bytes], dict[str, float]]:
    """Those of the streams' ``graphs`` that may be in eight bits, so, and what all of them keep, by name.

    A stream that loses too much is left out. Every second clip calibrates, the others check. Raises ``BundleError`` for
    too few clips, if no stream may be in eight bits, or if the fused scores change order.
    """
    calibrating, checking = calibration.clips[::2], calibration.clips[1::2]
    admitted, reached = dict[Modality, bytes](), dict[str, float]()
    reference, found = dict[Modality, StreamOutputs](), dict[Modality, StreamOutputs]()
    for modality, graph in graphs.items():
        _check_enough(calibration, modality)
        made = quantised(graph, _frames(calibrating, modality))
        checked = _frames(checking, modality)
        reference[modality], found[modality] = outputs(graph, checked), outputs(made, checked)
        keeps = kept(reference[modality], found[modality])
        reached |= {f"{modality} spearman": round(keeps.spearman, 5), f"{modality} recall": round(keeps.recall, 4)}
        if keeps.enough:
            admitted[modality] = made
        else:
            found[modality] = reference[modality]
    if not admitted:
        raise BundleError(
            f"{calibration.source}: in eight bits no stream keeps a rank correlation of {LEAST_SPEARMAN} and a recall "
            f"of {LEAST_RECALL} ({_listed(reached)}); export with --profile fast"
        )
    fused = spearman(_fused(fusion, found, checking), _fused(fusion, reference, checking))
    reached["fused spearman"] = round(fused, 5)
    if fused < LEAST_SPEARMAN:
        raise BundleError(
            f"{calibration.source}: in eight bits the fused scores keep a rank correlation of {fused:.5f}, less than "
            f"{LEAST_SPEARMAN}; export with --profile fast"
        )
    return admitted, reached


def quantised(graph: bytes, clips: Sequence[Frames]) -> bytes:
    """``graph`` of a stream with its convolutions in eight bits, calibrated on ``clips``."""
    with tempfile.TemporaryDirectory() as scratch:
        before, after = Path(scratch) / "float.onnx", Path(scratch) / "int8.onnx"
        before.write_bytes(graph)
        quantize_static(
            before,
            after,
            _Reader(clips),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv"],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
        return after.read_bytes()


def outputs(graph: bytes, clips: Sequence[Frames]) -> StreamOutputs:
    """What the graph of a stream makes of ``clips``."""
    run = session(graph)
    results = [run.run([EMBEDDING, SCORE], inputs) for inputs in map(_inputs, clips)]
    return StreamOutputs(*(np.concatenate(parts) for parts in zip(*results, strict=True)))


def kept(reference: StreamOutputs, found: StreamOutputs) -> Kept:
    """How much of ``reference``, in float32, is left in ``found``."""
    if not (np.isfinite(found.scores).all() and np.isfinite(found.embeddings).all()):
        return Kept(0.0, 0.0)
    before, after = _nearest(reference.embeddings), _nearest(found.embeddings)
    recall = np.mean([len(np.intersect1d(*rows)) / len(rows[0]) for rows in zip(before, after, strict=True)])
    return Kept(spearman(found.scores, reference.scores), float(recall))


def _check_enough(calibration: Calibration, modality: Modality) -> None:
    having = sum(modality in clip for clip in calibration.clips)
    if having < FEWEST_CLIPS:
        raise BundleError(
            f"{calibration.source}: {having} clips have {modality}, and calibration takes at least {FEWEST_CLIPS}; "
            "give it more, or export with --profile fast"
        )


def _frames(clips: Sequence[Features], modality: Modality) -> list[Frames]:
    return [clip[modality] for clip in clips if modality in clip]


def _fused(fusion: bytes, streams: Mapping[Modality, StreamOutputs], clips: Sequence[Features]) -> NDArray[np.float32]:
    """Fused scores (N,) of clips from what the streams made of those that have their modality."""
    present = np.array([[modality in clip for modality in streams] for clip in clips])
    scores = np.zeros(present.shape, np.float32)
    embeddings = []
    for column, made in enumerate(streams.values()):
        rows = present[:, column]
        scores[rows, column] = made.scores
        embeddings.append(np.zeros((len(clips), made.embeddings.shape[1]), np.float32))
        embeddings[-1][rows] = made.embeddings
    inputs = {EMBEDDINGS: np.concatenate(embeddings, axis=1), SCORES: scores, PRESENT: present}
    fused: NDArray[np.float32] = session(fusion).run([FUSED_SCORE], inputs)[0]
    return fused


def _listed(reached: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value}" for name, value in reached.items())


def _nearest(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, 10) numbers of the nearest other clips by cosine, nearest first."""
    wide = embeddings.astype(np.float64)
    directions = wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]


def _inputs(frames: Frames) -> dict[str, NDArray[Any]]:
    return {FRAMES: frames[None].astype(np.float32), LENGTHS: np.array([len(frames)])}


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, clips: Sequence[Frames]) -> None:
        self._rest: Iterator[Frames] = iter(clips)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        frames = next(self._rest, None)
        return None if frames is None else _inputs(frames)
