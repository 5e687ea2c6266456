"""Which extractor takes features from videos: the one that the setting ``streamer.extractor`` names."""

from collections.abc import Mapping
from typing import Any, Final

from schemas.implementations import Implementations
from schemas.ports import FeatureExtractor

EXTRACTORS: Final = Implementations(
    field="streamer.extractor",
    noun="an extractor",
    group="dancerank.extractors",
    shipped={"videos": "extraction.video_extractor:open_video_extractor"},
)


def open_extractor(name: str, shipped_options: Mapping[str, Any] | None = None) -> FeatureExtractor | None:
    """The extractor ``name``: ``videos``, made with ``shipped_options``, an entry point of the group
    ``dancerank.extractors``, or ``package.module:factory``, called without arguments; ``None`` for an empty name.

    Raises ``ConfigurationError`` for a name that does not lead to an extractor, and what the factory raises.
    """
    if not name:
        return None
    options = (shipped_options or {}) if name in EXTRACTORS.shipped else {}
    extractor = EXTRACTORS.make(name, **options)
    if not isinstance(extractor, FeatureExtractor):
        made = f"which makes a {type(extractor).__name__}"
        raise EXTRACTORS.refused(name, f"{made}; expected a FeatureExtractor of schemas.ports")
    return extractor
