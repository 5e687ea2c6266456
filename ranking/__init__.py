"""Scored clips in, answers out: the SQL view, the vector view, rankings, similarity search and the HTTP API."""

from typing import TYPE_CHECKING

from dancerank_installation import lazy_exports, require_own_packages

if TYPE_CHECKING:
    from ranking.serving.api import create_app
    from ranking.serving.service import RankingService

__all__ = [
    "RankingService",
    "create_app",
]

require_own_packages()

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "ranking.serving.api": ("create_app",),
        "ranking.serving.service": ("RankingService",),
    },
)
