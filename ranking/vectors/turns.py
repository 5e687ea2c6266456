"""When changes are carried out while questions are under way: between two of them, if that does not take long.

A change between two questions delays the next by its few milliseconds. The same change beside a question holds that up
several times: by the locks, by Python's own, and by the caches of the processor. While questions follow each other or
run side by side without end, changes do not wait for an end of all: what has come has to be found soon.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

PATIENCE_S: Final = 0.03
"""A third of the time in which a clip that came is to be found; changes are collected meanwhile."""
MANY: Final = 128
"""Records of a change for which nobody waits, neither it nor questions: the log is ahead, and it takes longer."""


class Turns:
    """Any number of questions, and one change at a time."""

    def __init__(self) -> None:
        self._moved = threading.Condition()
        self._questions = self._waiting = 0
        self._is_awaited = False
        self._is_changing = False

    @contextmanager
    def question(self) -> Iterator[None]:
        """Within, a question is under way. It begins once no change has its turn."""
        with self._moved:
            self._waiting += 1
            try:
                self._moved.wait_for(lambda: not self._is_changing)
            finally:
                self._waiting -= 1
            self._questions += 1
        try:
            yield
        finally:
            with self._moved:
                self._questions -= 1
                if not self._questions and self._is_awaited:
                    self._is_changing = True  # at once: the next question may begin before the change's thread runs
                    self._moved.notify_all()

    @contextmanager
    def change(self, records: int) -> Iterator[None]:
        """Begins once no question is under way, nor waits for the change before, and then none begins within; at the
        latest after ``PATIENCE_S``, and then others go on. A change of ``MANY`` records begins at once.
        """
        try:
            with self._moved:
                if records < MANY and (self._questions or self._waiting):
                    self._is_awaited = True
                    self._moved.wait_for(lambda: self._is_changing, PATIENCE_S)
                    self._is_awaited = False
                else:
                    self._is_changing = records < MANY
            yield
        finally:
            with self._moved:  # a change that is interrupted while it waits leaves no turn behind
                self._is_awaited = self._is_changing = False
                self._moved.notify_all()
