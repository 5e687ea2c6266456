"""What extracting features from videos needs of this machine."""

from collections.abc import Iterator
from typing import Final

from dancerank.doctor.findings import Finding, error, ok
from dancerank.settings import Settings
from dancerank_installation import missing_extra
from extraction.selection import open_extractors
from schemas.errors import DancerankError, ExtraMissing

_SHIPPED: Final = "videos"


def examine_extraction(settings: Settings) -> Iterator[Finding]:
    """Whether the extractors that ``stream`` would load are there: each network is loaded and run once."""
    if settings.streamer.extractor != _SHIPPED or not settings.extraction.workers:
        return
    where = "features from videos"
    try:
        made = open_extractors(settings.extraction)
    except DancerankError as problem:
        yield error(where, problem.message, type(problem).remedy)
    except ModuleNotFoundError as problem:
        sentence = missing_extra(problem)
        if sentence is None:
            raise
        yield error(where, sentence, ExtraMissing.remedy)
    else:
        streams = ", ".join(made.streams)
        yield ok(where, f"are extracted by {made.identity}: {streams}; {settings.extraction.workers} at once")
