"""What the settings allow clients of the HTTP API: who may ask, how often, and what a connection may take."""

from dancerank.listening import ConnectionLimits
from dancerank.settings import ServerSettings
from ranking.serving.api import Access, KeyRing
from schemas.clock import Clock
from schemas.observation import Observer


def api_access(server: ServerSettings, clock: Clock, observer: Observer) -> Access:
    """Raises ``ConfigurationError`` for a file of keys that cannot be read."""
    return Access(
        keys=None if server.api_keys is None else KeyRing(server.api_keys),
        requests_per_minute=server.requests_per_minute,
        metrics_are_open=server.metrics_without_key,
        max_request_bytes=server.max_request_bytes,
        clock=clock,
        observer=observer,
    )


def connection_limits(server: ServerSettings) -> ConnectionLimits:
    """The limits of each connection, and how many there may be."""
    return ConnectionLimits(
        header_timeout_s=server.header_timeout_s,
        body_timeout_s=server.body_timeout_s,
        response_timeout_s=server.response_timeout_s,
        idle_timeout_s=server.idle_timeout_s,
        connections=server.max_connections,
    )
