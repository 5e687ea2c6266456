"""What fewer bits keep of a model: the order of its scores and the neighbours of its embeddings.

Legend: N clips, D embedding width.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exporters.onnx.parity import session
from exporters.onnx.running import StreamOutputs
from networks.correlation import spearman
from networks.datasets import Features
from schemas.bundle import EMBEDDINGS, FUSED_SCORE, PRESENT, SCORES
from schemas.export_profiles import LEAST_RECALL, LEAST_SPEARMAN
from schemas.modalities import Modality

NEIGHBOURS: Final = 10


class Kept(NamedTuple):
    """What is left of a stream: the rank correlation of its scores, and the recall of its neighbours."""

    spearman: float
    recall: float

    @property
    def enough(self) -> bool:
        return self.spearman >= LEAST_SPEARMAN and self.recall >= LEAST_RECALL


def kept(reference: StreamOutputs, found: StreamOutputs) -> Kept:
    """How much of ``reference``, in float32, is left in ``found``."""
    if not (np.isfinite(found.scores).all() and np.isfinite(found.embeddings).all()):
        return Kept(0.0, 0.0)
    before, after = _nearest(reference.embeddings), _nearest(found.embeddings)
    recall = np.mean([len(np.intersect1d(*rows)) / len(rows[0]) for rows in zip(before, after, strict=True)])
    return Kept(spearman(found.scores, reference.scores), float(recall))


def fused(fusion: bytes, streams: Mapping[Modality, StreamOutputs], clips: Sequence[Features]) -> NDArray[np.float32]:
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
    result: NDArray[np.float32] = session(fusion).run([FUSED_SCORE], inputs)[0]
    return result


def _nearest(embeddings: NDArray[np.float32]) -> NDArray[np.int64]:
    """(N, 10) numbers of the nearest other clips by cosine, nearest first."""
    wide = embeddings.astype(np.float64)
    directions = wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(min=np.finfo(np.float64).tiny)
    cosines = directions @ directions.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :NEIGHBOURS]
