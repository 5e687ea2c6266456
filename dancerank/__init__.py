"""The command: settings, the processes built from them, the demonstration and its synthetic clips."""

from typing import TYPE_CHECKING

from dancerank_installation import lazy_exports, require_own_packages

if TYPE_CHECKING:
    from dancerank.processes import Processes
    from dancerank.running.embedded import EmbeddedSystem, run_embedded
    from dancerank.running.replica import Replica
    from dancerank.settings import Settings, load_settings
    from dancerank.uploads import send_clips, send_upload
    from dancerank.version import __version__

__all__ = [
    "EmbeddedSystem",
    "Processes",
    "Replica",
    "Settings",
    "__version__",
    "load_settings",
    "run_embedded",
    "send_clips",
    "send_upload",
]

require_own_packages()

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "dancerank.running.embedded": (
            "EmbeddedSystem",
            "run_embedded",
        ),
        "dancerank.processes": ("Processes",),
        "dancerank.running.replica": ("Replica",),
        "dancerank.settings": (
            "Settings",
            "load_settings",
        ),
        "dancerank.uploads": (
            "send_clips",
            "send_upload",
        ),
        "dancerank.version": ("__version__",),
    },
)
