"""Which extractor takes features from videos: the one that the setting ``streamer.extractor`` names."""

from typing import Final

from schemas.implementations import Implementations
from schemas.ports import FeatureExtractor

EXTRACTORS: Final = Implementations(
    field="streamer.extractor", noun="an extractor", group="dancerank.extractors", shipped={}
)


def open_extractor(name: str) -> FeatureExtractor | None:
    """The extractor ``name``: an entry point of the group ``dancerank.extractors``, or ``package.module:factory``,
    called without arguments; ``None`` for an empty name.

    Raises ``ConfigurationError`` for a name that does not lead to an extractor, and what the factory raises.
    """
    if not name:
        return None
    extractor = EXTRACTORS.make(name)
    if not isinstance(extractor, FeatureExtractor):
        made = f"which makes a {type(extractor).__name__}"
        raise EXTRACTORS.refused(name, f"{made}; expected a FeatureExtractor of schemas.ports")
    return extractor
