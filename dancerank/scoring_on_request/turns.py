"""How many requests are worked on at once, and how many may wait for that."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Self

from schemas.errors import TooManyAtOnce


class Turns:
    """``at_once`` requests have their turn, ``waiting`` more have a place; whoever comes then is refused at once."""

    def __init__(self, at_once: int, waiting: int, *, what: str, setting: str) -> None:
        """``what``: the requests in words, for messages; ``setting``: the one that says how many may wait."""
        self._turns = threading.BoundedSemaphore(at_once)
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._refusal = f"{at_once + waiting} {what} are being answered or wait ({setting}); try again"

    def place(self) -> "Place":
        """A place among those that have their turn or wait. Raises ``TooManyAtOnce``, which names the setting."""
        if not self._places.acquire(blocking=False):
            raise TooManyAtOnce(self._refusal)
        return Place(self._places, self._turns)


class Place:
    """The place of one request. A context that gives it back."""

    def __init__(self, places: threading.BoundedSemaphore, turns: threading.BoundedSemaphore) -> None:
        self._places, self._turns = places, turns
        self._given_back = False
        self._lock = threading.Lock()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Waits for the turn of this request, which the context is."""
        with self._turns:
            yield

    def close(self) -> None:
        """Gives the place back. Idempotent."""
        with self._lock:
            given_back, self._given_back = self._given_back, True
        if not given_back:
            self._places.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
