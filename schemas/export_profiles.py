"""How a bundle's graphs were made from a network: the export profiles, and the sample that they are checked on."""

from enum import StrEnum
from typing import Final

import msgspec

from schemas.modalities import Modality


class Profile(StrEnum):
    """``exact`` is the network as it is written, ``fast`` the same weights in the form that inference runs fastest.

    Both agree with torch to 1e-5. The others are ``fast`` in fewer bits, in those streams that keep order and
    neighbours of clips so (``LEAST_SPEARMAN``, ``LEAST_RECALL``): ``int8`` has their convolutions in eight bits,
    ``bf16`` computes them in bfloat16 (OpenVINO), ``fp16`` has graphs in float16 (for GPUs).
    """

    EXACT = "exact"
    FAST = "fast"
    INT8 = "int8"
    BF16 = "bf16"
    FP16 = "fp16"

    @property
    def calibrated(self) -> bool:
        """Whether it needs clips to be calibrated and checked on."""
        return self not in (Profile.EXACT, Profile.FAST)


class Precision(StrEnum):
    """What a runtime computes a graph in, where the graph itself says float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


DEFAULT_PROFILE: Final = Profile.FAST
LEAST_SPEARMAN: Final = 0.999
"""Rank correlation of scores with those of the network in float32, for each stream and fused."""
LEAST_RECALL: Final = 0.98
"""Share of a clip's ten nearest neighbours in float32 that are still its ten nearest."""


class Server(StrEnum):
    """The runtime that a calibrated profile is for, and that it is checked in; named as in ``streamer.runtime``."""

    ONNX_RUNTIME = "onnxruntime"
    OPENVINO = "openvino"


class ParitySample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of clips with what the network makes of them in float32; each runtime and provider is checked on it.

    ``score`` and ``embedding`` are the largest differences that each stream may show: absolute, and relative to the
    embedding's largest entry. ``sha256`` is that of the bytes (hex).
    """

    file: str
    sha256: str
    score: dict[Modality, float]
    embedding: dict[Modality, float]


class ExportProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a manifest says of its export.

    ``agreement`` with torch, by the name of what was compared: the largest difference of scores (absolute) and of
    embeddings (relative to their largest entry); of forms in fewer bits, admitted or not, the rank correlation and the
    recall of neighbours on clips of ``calibration`` that did not calibrate. ``quantised`` names the streams in eight
    bits; ``longest`` is the length in steps of the longest clip that a stream in fewer bits was checked on, and longer
    ones are refused.
    """

    name: Profile
    agreement: dict[str, float] = {}
    quantised: tuple[Modality, ...] = ()
    calibration: str = ""
    sample: ParitySample | None = None
    longest: dict[Modality, int] = {}


UNSTATED: Final = ExportProfile(Profile.EXACT)
"""Of manifests that say nothing: before there were profiles, networks were exported as they are written."""
