"""Which extractors run: those that the setting ``extraction.extractors`` names."""

from extraction.decoding.video import require_decoder
from extraction.one_pass import Extractors
from extraction.settings import EXTRACTORS, ExtractionSettings


def open_extractors(settings: ExtractionSettings) -> Extractors:
    """The extractors with their networks loaded and run once: ``shipped``, an entry point of the group
    ``dancerank.stream_extractors``, or ``package.module:factory``, called with ``settings``.

    Raises ``ExtraMissing`` without the extra ``video``, ``ConfigurationError`` for a name that does not lead to
    extractors, and what the factory raises.
    """
    require_decoder()
    made = EXTRACTORS.make(settings.extractors, settings)
    if not isinstance(made, Extractors):
        raise EXTRACTORS.refused(
            settings.extractors, f"which makes a {type(made).__name__}; expected Extractors of extraction.one_pass"
        )
    return made
