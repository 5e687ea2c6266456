"""The methods of the paper's tables by name: what each is trained with, and which rows a table has (Section 5).

A method says only in what it differs. Everything else, from widths to epochs, is one recipe for all rows of a table.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from networks.baselines.pooled import PooledSVR
from networks.baselines.pose_dct import PoseDCT
from networks.baselines.selection import Regressor
from networks.errors import UnusableSamples
from networks.model_config import ViralityModelConfig
from schemas.joints import layout_named
from schemas.modalities import PAPER_MODALITIES, Modality

_PAPER: Final = "Wang et al. 2021"
_SKELETAL: Final = (Modality.SKELETAL,)
_HOLISTIC: Final = (Modality.HOLISTIC,)


@dataclass(frozen=True, kw_only=True)
class Method:
    """One row: ``label`` as in the paper's tables, ``source`` where it comes from.

    ``network`` and ``training`` are the fields of ``ViralityModelConfig`` and ``TrainingSettings`` that it sets; a
    ``regressor`` is built instead of a model and needs neither (it reads the joint layout of the config).
    ``modalities`` are its streams. Where ``fewest`` is given, those that a data set lacks are done without, as long
    as so many remain. ``removed`` is the stream whose loss the row shows.
    """

    name: str
    label: str
    source: str
    modalities: tuple[Modality, ...]
    fewest: int | None = None
    removed: Modality | None = None
    network: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    regressor: Callable[[ViralityModelConfig], Regressor] | None = None

    def streams(self, available: Collection[Modality]) -> tuple[Modality, ...]:
        """Its modalities on a data set that has those ``available``.

        Raises ``UnusableSamples`` if the method cannot be used there, saying what is missing.
        """
        if self.removed is not None and self.removed not in available:
            raise UnusableSamples(f"there are no {self.removed} features to leave out", field="modalities")
        missing = [modality for modality in self.modalities if modality not in available]
        used = tuple(modality for modality in self.modalities if modality in available)
        if self.fewest is None and missing:
            raise UnusableSamples(f"there are no {' and no '.join(missing)} features", field="modalities")
        if self.fewest is not None and len(used) < self.fewest:
            there = ", ".join(used) or "none"
            raise UnusableSamples(
                f"it needs {self.fewest} of {', '.join(self.modalities)}; there are {there}", field="modalities"
            )
        return used


def _pose_dct(config: ViralityModelConfig) -> Regressor:
    return PoseDCT(layout_named(config.joint_layout))


def _pooled_svr(config: ViralityModelConfig) -> Regressor:
    return PooledSVR(config.modalities[0])


def _skeletal(name: str, label: str, source: str, **network: Any) -> Method:
    return Method(name=name, label=label, source=source, modalities=_SKELETAL, network=network)


def _holistic(name: str, label: str, source: str, network: str, **training: Any) -> Method:
    chosen = {"appearance_network": network}
    return Method(name=name, label=label, source=source, modalities=_HOLISTIC, network=chosen, training=training)


def _rtcn(name: str, *modalities: Modality, **network: Any) -> Method:
    label = f"RTCN ({'+'.join(modalities)})"
    chosen = {"appearance_network": "rtcn", **network}
    return Method(name=name, label=label, source=_PAPER, modalities=modalities, network=chosen)


def _integrated(name: str, label: str, *, training: Mapping[str, Any] | None = None, **network: Any) -> Method:
    return Method(
        name=name,
        label=f"Integrated {label}".strip(),
        source=_PAPER,
        modalities=PAPER_MODALITIES,
        fewest=2,
        network=network,
        training=training or {},
    )


def _without(removed: Modality) -> Method:
    return Method(
        name=f"no-{removed}",
        label=f"Integrated w/o {removed}",
        source=_PAPER,
        modalities=tuple(modality for modality in PAPER_MODALITIES if modality is not removed),
        fewest=1,
        removed=removed,
    )


_ALL: Final = (
    Method(
        name="pose-dct",
        label="Pose+DCT",
        source="Pirsiavash et al. 2014",
        modalities=_SKELETAL,
        regressor=_pose_dct,
    ),
    _skeletal("st-gcn", "ST-GCN", "Yan et al. 2018", skeletal_network="st-gcn"),
    _skeletal("dmgnn", "DMGNN", "Li et al. 2020", skeletal_network="dmgnn"),
    _skeletal("psgcn", "PSGCN", _PAPER, skeletal_network="psgcn"),
    # The paper's three rows of this kind differ in the video network that features are taken from. Ours are given.
    Method(
        name="pooled-svr",
        label="Pooled features+SVR",
        source="Parmar & Morris 2017",
        modalities=_HOLISTIC,
        regressor=_pooled_svr,
    ),
    _holistic("segments", "S3D", "Xiang et al. 2018", "segments"),
    _holistic("spatial-attention", "Spatial Attn.", "Bielski & Trzcinski 2018", "spatial-attention"),
    _holistic("usdl", "USDL", "Tang et al. 2020", "usdl", objective="distribution"),
    _holistic("lstm", "LSTM", "Hochreiter & Schmidhuber 1997", "lstm"),
    _holistic("tcn", "TCN", "Bai et al. 2018", "tcn"),
    _rtcn("rtcn", Modality.HOLISTIC),
    _rtcn("rtcn-holistic-facial", Modality.HOLISTIC, Modality.FACIAL),
    _rtcn("rtcn-holistic-scenic", Modality.HOLISTIC, Modality.SCENIC),
    _rtcn("rtcn-appearance", Modality.HOLISTIC, Modality.FACIAL, Modality.SCENIC),
    _rtcn("rtcn-facial", Modality.FACIAL),
    _rtcn("rtcn-scenic", Modality.SCENIC),
    _integrated("integrated", ""),
    Method(
        name="integrated-sports",
        label="Integrated (skeletal+holistic)",
        source=_PAPER,
        modalities=(Modality.SKELETAL, Modality.HOLISTIC),
    ),
    _skeletal("no-pyramid", "PSGCN w/o pyramid", _PAPER, pyramid=False),
    Method(
        name="no-self-attention",
        label="RTCN w/o self-attention",
        source=_PAPER,
        modalities=_HOLISTIC,
        network={"relational_pooling": False},
    ),
    _integrated("no-fusion", "w/o attentive fusion", attentive_fusion=False),
    *map(_without, PAPER_MODALITIES),
    _integrated("no-mse", "w/o MSE loss", training={"terms": ("ranking",)}),
    _integrated("no-ranking", "w/o ranking loss", training={"terms": ("error",)}),
    _skeletal("psgcn-bounded", "PSGCN, Eq. 6 bounded", _PAPER, sampling="bounded"),
    _skeletal("psgcn-printed", "PSGCN, Eq. 6 as printed", _PAPER, sampling="printed"),
)

METHODS: Final[Mapping[str, Method]] = {method.name: method for method in _ALL}
"""By name."""

_SKELETAL_ROWS: Final = ("pose-dct", "st-gcn", "dmgnn", "psgcn")
_HOLISTIC_ROWS: Final = ("pooled-svr", "segments", "spatial-attention", "usdl", "lstm", "tcn", "rtcn")


@dataclass(frozen=True)
class MethodTable:
    """A table: its title, and the names of its methods in sections."""

    title: str
    sections: tuple[tuple[str, ...], ...]


TABLES: Final[Mapping[str, MethodTable]] = {
    "3": MethodTable(
        "Table 3: comparison",
        (
            _SKELETAL_ROWS,
            (*_HOLISTIC_ROWS, "rtcn-holistic-facial", "rtcn-holistic-scenic", "rtcn-appearance"),
            ("integrated",),
        ),
    ),
    "4": MethodTable("Table 4: sports", (_SKELETAL_ROWS, _HOLISTIC_ROWS, ("integrated-sports",))),
    "5": MethodTable(
        "Table 5: ablations",
        (
            ("psgcn", "no-pyramid"),
            ("rtcn", "no-self-attention"),
            ("integrated", "no-fusion", *(f"no-{modality}" for modality in PAPER_MODALITIES), "no-mse", "no-ranking"),
        ),
    ),
    "eq6": MethodTable("Readings of Eq. 6", (("psgcn-bounded", "psgcn-printed"),)),
    "streams": MethodTable("Single streams", (("psgcn", "rtcn", "rtcn-facial", "rtcn-scenic"), ("integrated",))),
}
"""By number in the paper, or by name: the two readings of Eq. (6), and every stream alone beside all of them."""
