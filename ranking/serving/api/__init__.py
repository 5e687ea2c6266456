"""The HTTP API of the ranking: thin handlers around ``RankingService``, and who may use them."""

from ranking.serving.api.app import create_app
from ranking.serving.api.guard import Access
from ranking.serving.api.keys import ApiKey, KeyRing, create_key, read_keys, revoke_key

__all__ = ["Access", "ApiKey", "KeyRing", "create_app", "create_key", "read_keys", "revoke_key"]
