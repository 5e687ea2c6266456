"""The gradient graphs of a bundle (Eq. 7), written from its graphs in float32."""

from typing import Final, NamedTuple

from exporters.onnx.gradients import with_gradients
from schemas.bundle import (
    EMBEDDING,
    EMBEDDING_SEED,
    EMBEDDINGS,
    EMBEDDINGS_GRADIENT,
    FRAMES,
    FRAMES_GRADIENT,
    FUSED_SCORE,
    FUSED_SEED,
    SCORE,
    SCORE_SEED,
    SCORES,
    SCORES_GRADIENT,
    GraphFile,
    GuidanceGraphs,
    sha256_hex,
)
from schemas.errors import BundleError
from schemas.modalities import Modality

TOLERANCE: Final = 1e-4
"""Largest difference of a gradient's entry from what it is compared with, relative to the largest of the clip's."""
FEW_KINKS: Final = 0.1
"""Share of what is compared that may differ by more: where the input of a ReLU is zero within rounding, either of its
two derivatives is as good as the other."""


class GradientGraphs(NamedTuple):
    """ONNX bytes: of the stream of ``modality`` and of the fusion, each with its derivatives."""

    modality: Modality
    stream: bytes
    fusion: bytes

    def files(self) -> dict[str, bytes]:
        """By name within the bundle."""
        return {f"{self.modality}-guidance.onnx": self.stream, "fusion-guidance.onnx": self.fusion}

    def described(self, agreement: float) -> GuidanceGraphs:
        """What the manifest says of them."""
        stream, fusion = (GraphFile(name, sha256_hex(content)) for name, content in self.files().items())
        return GuidanceGraphs(self.modality, stream, fusion, agreement=float(f"{agreement:.1e}"))


def gradient_graphs(modality: Modality, stream: bytes, fusion: bytes) -> GradientGraphs:
    """Raises ``BundleError`` if an operator of a graph has no gradient."""
    return GradientGraphs(
        modality,
        with_gradients(stream, {SCORE: SCORE_SEED, EMBEDDING: EMBEDDING_SEED}, {FRAMES: FRAMES_GRADIENT}),
        with_gradients(fusion, {FUSED_SCORE: FUSED_SEED}, {EMBEDDINGS: EMBEDDINGS_GRADIENT, SCORES: SCORES_GRADIENT}),
    )


def accepted(
    what: str, rival: str, differences: list[float], tolerance: float = TOLERANCE, near_kinks: float = FEW_KINKS
) -> float:
    """The largest of ``differences`` from ``rival``, but for the share that may be near a kink. Raises ``BundleError``
    if it is above ``tolerance``.
    """
    ordered = sorted(differences)
    largest = ordered[len(ordered) - int(near_kinks * len(ordered)) - 1]
    if not largest <= tolerance:
        raise BundleError(
            f"{what} differs from {rival} by {largest:.1e} of its largest entry; at most {tolerance:g} passes"
        )
    return largest
