"""The configuration of the virality model, read without torch."""

from typing import Literal

import msgspec

from schemas.errors import ConfigurationError
from schemas.features import MAX_CHANNELS
from schemas.joints import layout_named
from schemas.modalities import FUSED_MODALITIES, MODALITIES, PAPER_MODALITIES, Modality

SampleReading = Literal["bounded", "printed"]
"""The two readings of Eq. (6), explained in ``networks/sampling.py``."""

SkeletalNetwork = Literal["psgcn", "st-gcn", "dmgnn"]
AppearanceNetwork = Literal["rtcn", "lstm", "tcn", "segments", "spatial-attention", "usdl"]


class ViralityModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Everything that decides the shapes of a model; the defaults are the paper's full size.

    ``modalities`` are the streams, in ``FUSED_MODALITIES`` order. The skeletal one reads ``joint_channels`` values per
    joint of ``joint_layout``: coordinates, and a confidence if one more than the layout's coordinates. The others read
    the C of their modality, or what ``feature_channels`` says for it: the width of another extractor's features.
    The three widths multiply the channel counts of PSGCN, RTCN and the hidden layer of the fusion.
    ``skeletal_network`` and ``appearance_network`` put a baseline in the place of PSGCN or RTCN; one modality then
    gives that baseline alone. ``sampling`` is the reading of Eq. (6). ``pyramid``, ``relational_pooling`` and
    ``attentive_fusion`` (without it, the mean of the streams' scores) are the paper's ablations.
    Impossible values raise ``ConfigurationError``.
    """

    modalities: tuple[Modality, ...] = PAPER_MODALITIES
    skeletal_network: SkeletalNetwork = "psgcn"
    appearance_network: AppearanceNetwork = "rtcn"
    joint_layout: str = "mpii-16"
    joint_channels: int = 2
    feature_channels: dict[Modality, int] = {}
    graph_width: float = 1.0
    temporal_width: float = 1.0
    fusion_width: float = 1.0
    dropout: float = 0.5
    temporal_kernel: int = 7
    sampling: SampleReading = "bounded"
    pyramid: bool = True
    relational_pooling: bool = True
    attentive_fusion: bool = True

    def __post_init__(self) -> None:
        order = [MODALITIES.index(modality) for modality in self.modalities]
        if not order or not {*self.modalities} <= {*FUSED_MODALITIES} or order != sorted(set(order)):
            raise ConfigurationError(
                f"modalities must be distinct, at least one, and in the order {', '.join(FUSED_MODALITIES)}",
                field="modalities",
            )
        layout = layout_named(self.joint_layout)
        if self.joint_channels not in layout.channel_counts:
            allowed = " or ".join(map(str, layout.channel_counts))
            raise ConfigurationError(f"{layout.name} has {allowed} channels per joint", field="joint_channels")
        for modality, channels in self.feature_channels.items():
            if modality.has_joints or not 1 <= channels <= MAX_CHANNELS:
                raise ConfigurationError(
                    f"feature_channels of {modality} is {channels}: it must be 1 to {MAX_CHANNELS}, of a modality "
                    "without joints",
                    field="feature_channels",
                )
        for name in ("graph_width", "temporal_width", "fusion_width"):
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"{name} must be above zero", field=name)
        if not 0 <= self.dropout < 1:
            raise ConfigurationError("dropout must be at least 0 and below 1", field="dropout")
        if self.temporal_kernel < 1 or self.temporal_kernel % 2 == 0:
            raise ConfigurationError("temporal_kernel must be odd, so that lengths are kept", field="temporal_kernel")

    def input_channels(self, modality: Modality) -> int:
        """C of a modality's frames."""
        if modality.channels is None:
            return self.joint_channels
        return self.feature_channels.get(modality, modality.channels)

    def frame_shape(self, modality: Modality) -> tuple[int, ...]:
        """The shape of one time step of a modality's frames: (V, C) for the skeletal one, (C,) for the others."""
        joints = (layout_named(self.joint_layout).joint_count,) if modality.has_joints else ()
        return (*joints, self.input_channels(modality))
