"""Announces decisions of the traffic pools, read from their table while anybody listens."""

import logging

import msgspec

from ranking.pools.service.history import NewDecisions
from ranking.serving.live.broadcast import DECISION, SKIPPED, Broadcast, LiveEvent
from schemas.errors import StoreRefused, StoreUnavailable
from schemas.observation import Observer

log = logging.getLogger(__name__)

_encode = msgspec.json.Encoder().encode


class AnnouncedDecisions:
    """Looks for new decisions when called from time to time, by one thread; without listeners it asks for nothing."""

    def __init__(self, decisions: NewDecisions, broadcast: Broadcast, observer: Observer | None = None) -> None:
        self._decisions = decisions
        self._broadcast = broadcast
        self._observer = observer or Observer()
        self._is_reached = True

    def look(self) -> None:
        """Announce what is new. While the database fails nothing is, and the first failure is logged as a warning."""
        if not self._broadcast.is_heard:
            self._decisions.forget()
            return
        try:
            found, others = self._decisions.look()
        except (StoreUnavailable, StoreRefused) as error:
            if self._is_reached:
                log.warning("new decisions of the traffic pools are not announced: %s", error)
            self._is_reached = False
            self._observer.decisions_polled("failed")
            return
        self._is_reached = True
        self._observer.decisions_polled("read")
        events = [LiveEvent(DECISION, decision.challenge_id, _encode(decision)) for decision in found]
        if others:
            events.insert(0, LiveEvent(SKIPPED, None, _encode({"events": others})))
        self._broadcast.publish(events)
