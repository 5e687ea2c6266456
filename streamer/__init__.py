"""Uploads to scored clips: load features, bucket by length, run the streams and the fusion, write results, commit."""

from typing import TYPE_CHECKING

from dancerank_installation import lazy_exports, require_own_packages

if TYPE_CHECKING:
    from streamer.assembly import open_guide, open_scorer, open_streamer
    from streamer.guidance.critical import CriticalFrame, critical_frames
    from streamer.guidance.guide import Guide
    from streamer.pipeline import Streamer
    from streamer.scoring import Scorer
    from streamer.settings import StreamerSettings

__all__ = [
    "CriticalFrame",
    "Guide",
    "Scorer",
    "Streamer",
    "StreamerSettings",
    "critical_frames",
    "open_guide",
    "open_scorer",
    "open_streamer",
]

require_own_packages()

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "streamer.assembly": (
            "open_guide",
            "open_scorer",
            "open_streamer",
        ),
        "streamer.guidance.critical": (
            "CriticalFrame",
            "critical_frames",
        ),
        "streamer.guidance.guide": ("Guide",),
        "streamer.pipeline": ("Streamer",),
        "streamer.scoring": ("Scorer",),
        "streamer.settings": ("StreamerSettings",),
    },
)
