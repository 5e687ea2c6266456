"""How a bundle's graphs were made from a network: the export profiles."""

from enum import StrEnum
from typing import Final

import msgspec


class Profile(StrEnum):
    """``exact`` is the network as it is written, ``fast`` the same weights in the form that inference runs fastest.

    Both agree with torch to 1e-5.
    """

    EXACT = "exact"
    FAST = "fast"


DEFAULT_PROFILE: Final = Profile.FAST


class ExportProfile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a manifest says of its export.

    ``agreement`` with torch, by the name of what was compared: the largest difference of scores (absolute) and of
    embeddings (relative to their largest entry).
    """

    name: Profile
    agreement: dict[str, float] = {}


UNSTATED: Final = ExportProfile(Profile.EXACT)
"""Of manifests that say nothing: before there were profiles, networks were exported as they are written."""
