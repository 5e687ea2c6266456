"""A view's positions as it last gave them, for those who need them while it does not answer."""

import threading
from collections.abc import Callable, Collection, Mapping

from schemas.errors import DancerankError
from schemas.ports import TopicPartition

AskView = Callable[[Collection[TopicPartition]], Mapping[TopicPartition, int]]


class KnownPositions:
    """``ask`` is called from time to time, on a thread of its own, which a view that hangs blocks; ``position`` never
    waits. A partition counts from the time that its position was first looked up.
    """

    def __init__(self, ask_view: AskView) -> None:
        self._ask_view = ask_view
        self._lock = threading.Lock()
        self._wanted: set[TopicPartition] = set()
        self._known: dict[TopicPartition, int] = {}

    def position(self, at: TopicPartition) -> int | None:
        """Next offset to apply, as it was last known: 0 for a partition that the view has no position of; ``None`` if
        the view has not answered yet.
        """
        with self._lock:
            self._wanted.add(at)
            return self._known.get(at)

    def ask(self) -> None:
        """Ask the view. If it does not answer, what was known stays."""
        with self._lock:
            wanted = frozenset(self._wanted)
        try:
            found = {**dict.fromkeys(wanted, 0), **self._ask_view(wanted)}
        except DancerankError:
            return  # the loop that keeps the view meets the same error, and logs it
        with self._lock:
            self._known = found
