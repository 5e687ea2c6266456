"""The HTTP API of the ranking: thin handlers around ``RankingService``."""

from ranking.api.app import create_app

__all__ = ["create_app"]
