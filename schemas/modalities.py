"""The four visual modalities of a dance clip and the dimensions it is ranked by.

The order of ``MODALITIES`` is the order of Eq. (12), ``A = [a_p, a_h, a_f, a_b]``: skeletal, holistic, facial, scenic.
Every array with a modality axis uses it.
"""

from enum import StrEnum
from typing import Final


class Modality(StrEnum):
    """One stream of the framework (paper, Fig. 2)."""

    SKELETAL = "skeletal"
    HOLISTIC = "holistic"
    FACIAL = "facial"
    SCENIC = "scenic"


class Dimension(StrEnum):
    """What a clip can be ranked by: the score of one modality, or the fused score."""

    SKELETAL = "skeletal"
    HOLISTIC = "holistic"
    FACIAL = "facial"
    SCENIC = "scenic"
    FUSED = "fused"


MODALITIES: Final = tuple(Modality)
DIMENSIONS: Final = tuple(Dimension)

FEATURE_DIM: Final[dict[Modality, int]] = {Modality.HOLISTIC: 2048, Modality.FACIAL: 2048, Modality.SCENIC: 512}
"""Channels per time step of the appearance features (TSN, VGGFace2 ResNet-50, Places ResNet-18; paper, Section 4.3)."""

FRAME_RATE_HZ: Final[dict[Modality, float]] = {
    Modality.SKELETAL: 25.0,
    Modality.HOLISTIC: 25.0,
    Modality.FACIAL: 3.0,
    Modality.SCENIC: 4.0,
}
"""Nominal sampling rates. The paper gives none for scenic features (one background per 120-frame window slid over the
clip); Table 1 counts 258 thousand of them for 1,606 thousand frames at 25 fps, which is 4 Hz."""
