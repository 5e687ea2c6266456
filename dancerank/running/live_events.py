"""Live events of a serving process, as its settings bound them."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Final, Protocol

from dancerank.settings import ServerSettings
from ranking.database.connection import Database
from ranking.pools.service.history import NewDecisions
from ranking.serving.live.broadcast import Broadcast
from ranking.serving.live.decisions import AnnouncedDecisions
from ranking.views.periodic import every
from schemas.observation import Observer

_LOOK_INTERVAL_S: Final = 1.0


def live_events(server: ServerSettings, observer: Observer) -> Broadcast:
    """Whatever listens, other requests find half of the connections."""
    most = min(server.event_listeners, max(server.max_connections // 2, 1))
    return Broadcast(observer, most_listeners=most)


class Closable(Protocol):
    """Something that lasts until it is closed."""

    def close(self) -> None: ...


def ending(*lasting: Closable) -> Callable[[], None]:
    """A function that closes what would not end by itself while a server stops."""

    def end() -> None:
        for each in lasting:
            each.close()

    return end


def announcing_decisions(database: Database, events: Broadcast, observer: Observer) -> AbstractContextManager[None]:
    """Announces what the traffic pools decide in ``database`` while the context lasts."""
    announced = AnnouncedDecisions(NewDecisions(database), events, observer)
    return every(_LOOK_INTERVAL_S, announced.look, name="live-decisions")
