"""Vectors to search among, and how hard they are: what the shipped networks make of synthetic clips, and a hard set.

Legend: N vectors, D width.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dancerank.console.progress import counted
from dancerank.settings import shipped_bundle
from dancerank.synthetic import synthesize
from schemas.bundle import read_bundle
from schemas.modalities import Modality
from streamer.padding import PaddedBuffer
from streamer.runtimes.onnx_runtime import OnnxRuntime

PAPER_WIDTHS: Final = {
    Modality.SKELETAL: 256,
    Modality.HOLISTIC: 1024,
    Modality.FACIAL: 1024,
    Modality.SCENIC: 1024,
}
_SHARED: Final = 24
"""Latent directions that a clip's modalities have in common."""
_OWN: Final = 40
_NOISE: Final = 0.5
_BLOCK: Final = 4096
_BATCH: Final = 16

Vectors = NDArray[np.float32]


class HardVectors:
    """Unit vectors of clips, from latent Gaussians without clusters, and noise in every direction.

    Neighbours are hardly nearer than others, unlike in embeddings of real clips. The n-th clip is the same however many
    are made.
    """

    def __init__(self, widths: dict[Modality, int], seed: int = 5) -> None:
        rng = np.random.default_rng(seed)
        self._seed, self.widths = seed, widths
        self._maps = {
            modality: rng.standard_normal((_SHARED + _OWN, width)).astype(np.float32) / np.sqrt(_SHARED + _OWN)
            for modality, width in widths.items()
        }

    def block(self, number: int, count: int = _BLOCK) -> dict[Modality, Vectors]:
        """The clips of one block, (``count``, D) by modality."""
        rng = np.random.default_rng((self._seed, number))
        shared = rng.standard_normal((count, _SHARED)).astype(np.float32)
        made = {}
        for modality, width in self.widths.items():
            own = rng.standard_normal((count, _OWN)).astype(np.float32)
            noise = rng.standard_normal((count, width)).astype(np.float32)
            made[modality] = unit_rows(np.hstack([shared, own]) @ self._maps[modality] + _NOISE * noise)
        return made

    def blocks(self, clips: int) -> Iterator[dict[Modality, Vectors]]:
        """Blocks of ``clips`` clips together."""
        for number, start in enumerate(range(0, clips, _BLOCK)):
            block = self.block(number)
            yield {modality: vectors[: clips - start] for modality, vectors in block.items()}


def network_vectors(clips: int, seed: int = 31) -> dict[Modality, Vectors]:
    """Unit embeddings, (N, D) by modality, that the shipped bundle makes of the synthetic clips that have all four."""
    runtime = OnnxRuntime(read_bundle(shipped_bundle()))
    whole = (clip.features.frames for clip in synthesize(clips, seed=seed))
    made: dict[Modality, list[Vectors]] = {modality: [] for modality in PAPER_WIDTHS}
    batch: list[Any] = []
    buffer = PaddedBuffer()
    for number, frames in enumerate(counted(whole, "Embedding", clips), start=1):
        if len(frames) == len(PAPER_WIDTHS):
            batch.append(frames)
        if batch and (len(batch) == _BATCH or number == clips):
            for modality, parts in made.items():
                padded = buffer.fill([each[modality] for each in batch])
                parts.append(runtime.run_stream(modality, *padded).embeddings)
            batch = []
    return {modality: unit_rows(np.concatenate(parts)) for modality, parts in made.items()}


def unit_rows(vectors: NDArray[Any]) -> Vectors:
    """(N, D) at length 1."""
    found: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return found


def intrinsic_dimension(vectors: Vectors, sample: int = 2000) -> float:
    """Of the set that (N, D) unit vectors lie on, estimated from the ratio of each one's two nearest distances.

    N / Σ log(r_2 / r_1), the maximum of the likelihood (E. Facco, M. d'Errico, A. Rodriguez, A. Laio: Estimating the
    intrinsic dimension of datasets by a minimal neighborhood information. Scientific Reports 7, 2017, 12140), for a
    sample of the vectors among all of them.
    """
    chosen = np.random.default_rng(0).permutation(len(vectors))[:sample]
    cosines = vectors[chosen] @ vectors.T
    cosines[np.arange(len(chosen)), chosen] = -np.inf
    nearest = -np.sort(-np.partition(cosines, -2, axis=1)[:, -2:], axis=1)
    distances = np.sqrt(np.maximum(2 - 2 * nearest.astype(np.float64), 1e-12))
    return float(len(chosen) / np.log(distances[:, 1] / distances[:, 0]).sum())


def recall(found: Sequence[Sequence[Any]], truth: Sequence[Sequence[Any]]) -> float:
    """Share of the true neighbours that were found, over all queries."""
    hits = sum(len(set(a) & set(b)) for a, b in zip(found, truth, strict=True))
    return hits / sum(map(len, truth))
