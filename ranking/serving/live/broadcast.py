"""Fan-out of live events, bounded in listeners and in memory.

The latest events are kept once, for all listeners together, each of whom is a position among them. A listener who falls
behind what is kept has skipped events, and is given their number: nothing waits for it and nothing is kept for it.
"""

import asyncio
import secrets
import threading
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from typing import Final, NamedTuple

from schemas.observation import Observer

CLIP: Final = "clip"
DECISION: Final = "decision"
SKIPPED: Final = "skipped"
"""Names of events."""
KEPT: Final = 1024
MOST_LISTENERS: Final = 64
_AT_ONCE: Final = 100


class TooManyListeners(Exception):
    """As many listen as are allowed."""


class LiveEvent(NamedTuple):
    """``content`` is JSON. ``challenge_id`` ``None``: it is of interest in every challenge."""

    name: str
    challenge_id: str | None
    content: bytes


class Taken(NamedTuple):
    """Events for a listener, numbered, and how many others of any challenge it has skipped; ``None``: unknown."""

    events: list[tuple[int, LiveEvent]]
    skipped: int | None = 0


class Broadcast:
    """The latest events of this process. Any thread may publish, which never waits; listeners are coroutines."""

    def __init__(
        self, observer: Observer | None = None, *, most_listeners: int = MOST_LISTENERS, kept: int = KEPT
    ) -> None:
        self.run: Final = secrets.token_hex(4)
        """Numbers count within one process: what tells those of another from these."""
        self._observer = observer or Observer()
        self._most_listeners = most_listeners
        self._latest: deque[LiveEvent] = deque(maxlen=kept)
        self._next = 0
        self._listeners: set[Listener] = set()
        self._closed = False
        self._lock = threading.Lock()

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def publish(self, events: Iterable[LiveEvent]) -> None:
        """Give ``events`` to all who listen."""
        with self._lock:
            before = self._next
            for event in events:
                self._latest.append(event)
                self._next += 1
            if self._next > before:
                self._wake()

    def listen(self, after: str | None = None) -> "Listener":
        """Listen from now on, or after the event that has the id ``after``. Raises ``TooManyListeners``."""
        with self._lock:
            if len(self._listeners) >= self._most_listeners:
                raise TooManyListeners
            listener = Listener(self, self._next)
            if after is not None:
                listener.resume(self._number(after))
            listener.is_closed = self._closed
            self._listeners.add(listener)
            self._observer.event_listeners(len(self._listeners))
        return listener

    def identified(self, number: int) -> str:
        """The id of an event by its number."""
        return f"{self.run}-{number}"

    def close(self) -> None:
        """End all listening, at once."""
        with self._lock:
            self._closed = True
            for listener in self._listeners:
                listener.is_closed = True
            self._wake()

    def leave(self, listener: "Listener") -> None:
        """Forget a listener."""
        with self._lock:
            if listener in self._listeners:
                self._listeners.discard(listener)
                self._observer.event_listeners(len(self._listeners))

    def after(self, number: int, challenge_id: str | None) -> tuple[Taken, int]:
        """What there is from ``number`` on, as much as is sent at once, and the number to continue from."""
        with self._lock:
            oldest = self._next - len(self._latest)
            skipped = max(oldest - number, 0)
            start = max(number, oldest)
            found: list[tuple[int, LiveEvent]] = []
            at = start
            for at, event in enumerate(islice(self._latest, start - oldest, None), start=start):
                if len(found) == _AT_ONCE:
                    break
                if challenge_id is None or event.challenge_id in (None, challenge_id):
                    found.append((at, event))
            else:
                at = self._next
        if skipped:
            self._observer.events_skipped(skipped)
        return Taken(found, skipped), at

    def _number(self, identifier: str) -> int | None:
        run, _, number = identifier.partition("-")
        if run != self.run or not number.isdecimal() or len(number) > 18 or int(number) >= self._next:
            return None
        return int(number)

    def _wake(self) -> None:
        for listener in self._listeners:
            listener.wake()


class Listener:
    """One who listens; of the event loop in which it was made."""

    def __init__(self, broadcast: Broadcast, number: int) -> None:
        self.is_closed = False
        self._broadcast = broadcast
        self._next = number
        self._lost = False
        self._loop = asyncio.get_running_loop()
        self._something = asyncio.Event()
        self._is_woken = False

    def resume(self, number: int | None) -> None:
        """Continue after the event of that number; ``None``: it is not known here, so some may be missing."""
        if number is None:
            self._lost = True
        else:
            self._next = number + 1
            self.wake()

    def wake(self) -> None:
        """Called under the lock of the broadcast, from any thread, however often: the loop is woken once."""
        if not self._is_woken:
            self._is_woken = True
            with suppress(RuntimeError):  # the loop has ended
                self._loop.call_soon_threadsafe(self._something.set)

    async def take(self, challenge_id: str | None, within_s: float) -> Taken | None:
        """What has come since, of one challenge or of all; empty after ``within_s``, ``None`` once it is closed."""
        if self.is_closed:
            return None
        if self._lost:
            self._lost = False
            return Taken([], None)
        taken = Taken([])
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while not (taken.events or taken.skipped):
                    if not await self._is_woken_open():
                        return None
                    self._something.clear()
                    self._is_woken = False
                    taken, self._next = self._broadcast.after(self._next, challenge_id)
        if len(taken.events) == _AT_ONCE:
            self.wake()
        return taken

    async def _is_woken_open(self) -> bool:
        await self._something.wait()
        return not self.is_closed

    def close(self) -> None:
        """Stop listening; a ``take`` that waits ends."""
        self.is_closed = True
        self._something.set()
        self._broadcast.leave(self)
