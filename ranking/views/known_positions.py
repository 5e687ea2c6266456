"""A view's positions as it last gave them, for those who need them while it does not answer."""

import threading
from collections.abc import Callable, Collection, Mapping

from ranking.database.probe import Probe
from schemas.clock import Clock
from schemas.ports import TopicPartition

AskView = Callable[[Collection[TopicPartition]], Mapping[TopicPartition, int]]


class KnownPositions:
    """``position`` never waits, whatever the view does; ``probe`` asks it, on a thread of its own. A partition counts
    from the time that its position was first looked up.
    """

    def __init__(self, ask_view: AskView, clock: Clock) -> None:
        self._ask_view = ask_view
        self._lock = threading.Lock()
        self._wanted: set[TopicPartition] = set()
        self.probe = Probe(self._ask, clock)

    def position(self, at: TopicPartition) -> int | None:
        """Next offset to apply, as it was last known: 0 for a partition that the view has no position of; ``None`` if
        the view has not answered yet.
        """
        with self._lock:
            self._wanted.add(at)
        return (self.probe.found().answer or {}).get(at)

    def _ask(self) -> Mapping[TopicPartition, int]:
        with self._lock:
            wanted = frozenset(self._wanted)
        return {**dict.fromkeys(wanted, 0), **self._ask_view(wanted)}
