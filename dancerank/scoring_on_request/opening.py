"""Opens what scores on request, as the settings say."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

from dancerank.running.streaming import extractor_of
from dancerank.scoring_on_request.scoring import OnRequest
from dancerank.settings import Settings
from schemas.bundle import Bundle
from schemas.observation import Observer


@contextmanager
def scoring_on_request(
    settings: Settings, read_bundle: Callable[[], Bundle], observer: Observer
) -> Iterator[OnRequest]:
    """Raises ``NotOffered`` if the bundle has to be loaded at the start and cannot be."""
    opened = OnRequest(
        read_bundle,
        lambda: extractor_of(settings, observer),
        settings.scoring,
        streamer=settings.streamer,
        max_file_bytes=settings.server.max_file_bytes,
    )
    with closing(opened):
        if settings.scoring.load == "start":
            opened.load()
        yield opened
