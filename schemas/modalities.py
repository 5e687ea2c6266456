"""The table of modalities: what a clip can be scored by, and what the rest of dancerank needs to know of each.

A modality is one row of ``Modality``, or an entry point of the group ``dancerank.modalities`` in an installed package.
The entry point's name is the modality's name; it refers to a mapping of ``channels``, ``rate_hz`` and, optionally,
``step_cost``, for example ``AUDIO = {"channels": 64, "rate_hz": 100.0}``, in a module that does not import dancerank.
Rows of packages follow the rows here, sorted by name. docs/guides/add-a-modality.md has the steps;
docs/decisions/0020 says how a process treats a modality that it does not know.
"""

import re
from collections.abc import Collection, Iterable
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, Final

import msgspec

from schemas.errors import ConfigurationError

STEP_RATE_HZ: Final = 25.0
"""The length of a batch is measured in steps of this rate."""

ENTRY_POINTS: Final = "dancerank.modalities"
MAX_DURATION_S: Final = 60.0
"""Length of the longest clip that the streams of the fusion score."""
MAX_ROUTINE_S: Final = 600.0
"""Length of the longest routine: a clip that is longer than ``MAX_DURATION_S``."""
MODALITY_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")

_FUSED: Final = "fused"
_MAX_LISTED: Final = 64  # characters of the column that lists the modalities a clip lacks, in the table scored_clips

_Row = tuple[str, int | None, float, float, bool, bool]


class _Columns(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Properties of a modality, as an entry point gives them."""

    channels: Annotated[int, msgspec.Meta(ge=1)]
    rate_hz: Annotated[float, msgspec.Meta(gt=0.0, le=1000.0)]
    step_cost: Annotated[float, msgspec.Meta(gt=0.0)] | None = None


def rows_of(points: Iterable[EntryPoint], own: Collection[str]) -> dict[str, _Row]:
    """Member name → row of the modalities that packages add to those named ``own``, sorted by name.

    Raises ``ConfigurationError`` naming the entry point whose name or columns cannot be used.
    """
    rows: dict[str, _Row] = {}
    for point in sorted(points, key=lambda point: point.name):
        where = f"entry point {point.name} = {point.value} of {ENTRY_POINTS}"
        if not MODALITY_NAME.fullmatch(point.name):
            raise ConfigurationError(f"{where}: a modality's name must match {MODALITY_NAME.pattern}; rename it")
        if point.name in (*own, _FUSED) or point.name.upper() in rows:
            raise ConfigurationError(f"{where}: the name {point.name!r} is taken; rename it or uninstall one package")
        try:
            columns = msgspec.convert(point.load(), _Columns)
        except (ImportError, AttributeError, msgspec.ValidationError) as error:
            raise ConfigurationError(
                f"{where}: {error}; give a mapping such as {{'channels': 64, 'rate_hz': 100.0}}"
            ) from error
        cost = columns.step_cost or max(1.0, STEP_RATE_HZ / columns.rate_hz)
        rows[point.name.upper()] = (point.name, columns.channels, columns.rate_hz, cost, False, True)
    listed = ",".join((*own, *(row[0] for row in rows.values())))
    if len(listed) > _MAX_LISTED:
        raise ConfigurationError(
            f"the names of all modalities, {listed}, exceed {_MAX_LISTED} characters; uninstall a package of "
            f"{ENTRY_POINTS} or choose shorter names"
        )
    return rows


class Modality(StrEnum):
    """One stream of the model (paper, Fig. 2)."""

    channels: int | None
    """Channels per time step; ``None`` for joints, whose number and channels their joint layout gives. The appearance
    features are those of TSN, VGGFace2 ResNet-50 and Places ResNet-18 (paper, Section 4.3)."""
    rate_hz: float
    """Nominal sampling rate. The paper gives none for scenic features (one background per 120-frame window slid over
    the clip); Table 1 counts 258 thousand of them for 1,606 thousand frames at 25 fps, which is 4 Hz."""
    step_cost: float
    """The cost of one time step when batches are formed, in steps of ``STEP_RATE_HZ``."""
    in_paper: bool
    """Whether the paper has the modality."""
    is_fused: bool
    """Whether the modality takes part in Eq. (12), in clips of at most ``MAX_DURATION_S``. One that does not scores
    longer clips alone: all attention is its own, and its score is the fused score."""

    def __new__(cls, name: str, *columns: Any) -> "Modality":
        member = str.__new__(cls, name)
        member._value_ = name
        member.channels, member.rate_hz, member.step_cost, member.in_paper, member.is_fused = columns
        return member

    # The order is that of Eq. (12), A = [a_p, a_h, a_f, a_b]; every array with a modality axis uses it.
    #          name        channels  rate_hz  step_cost  in_paper  is_fused
    SKELETAL = "skeletal", None, 25.0, 1.0, True, True
    HOLISTIC = "holistic", 2048, 25.0, 1.0, True, True
    FACIAL = "facial", 2048, 3.0, 25.0 / 3.0, True, True
    SCENIC = "scenic", 512, 4.0, 25.0 / 4.0, True, True
    # ACTION-NET (Zeng et al. 2020): of each second, the static feature of its frame (2048) and the dynamic feature
    # (1024) of the segment of 3.2 s, 16 frames at 5 fps, that it begins in.
    ROUTINE = "routine", 2048 + 1024, 1.0, 25.0, False, False
    vars().update(rows_of(entry_points(group=ENTRY_POINTS), [name.lower() for name in vars() if name.isupper()]))

    @property
    def has_joints(self) -> bool:
        """Whether a time step is a pose, (V, C), rather than one vector, (C,)."""
        return self.channels is None

    @property
    def longest_s(self) -> float:
        """Length of the longest clip that the modality is scored in."""
        return MAX_DURATION_S if self.is_fused else MAX_ROUTINE_S


class Dimension(StrEnum):
    """The dimensions that clips are ranked by: the score of one modality, or the fused score."""

    vars().update({modality.name: modality.value for modality in Modality})
    FUSED = _FUSED

    if TYPE_CHECKING:
        # A type checker takes an enumeration of one member for a constant.
        SKELETAL = "skeletal"


MODALITIES: Final = tuple(Modality)
FUSED_MODALITIES: Final = tuple(modality for modality in Modality if modality.is_fused)
PAPER_MODALITIES: Final = tuple(modality for modality in Modality if modality.in_paper)
DIMENSIONS: Final = tuple(Dimension)
