"""What extracting features from videos needs of this machine."""

from collections.abc import Iterator
from typing import Final

from dancerank.doctor.findings import Finding, failures_found, ok
from dancerank.settings import Settings
from extraction.selection import open_extractors

_SHIPPED: Final = "videos"
_WHERE: Final = "features from videos"


def examine_extraction(settings: Settings) -> Iterator[Finding]:
    """Whether the extractors that ``stream`` would load are there: each network is loaded and run once."""
    if settings.streamer.extractor != _SHIPPED or not settings.extraction.workers:
        return
    yield from failures_found(_WHERE, _loaded(settings))


def _loaded(settings: Settings) -> Iterator[Finding]:
    made = open_extractors(settings.extraction)
    streams = ", ".join(made.streams)
    yield ok(_WHERE, f"are extracted by {made.identity}: {streams}; {settings.extraction.workers} at once")
