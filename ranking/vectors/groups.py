"""Which challenge or dancer the clip in each row belongs to: a column of numbers, which a filter reads in one pass."""

from array import array
from collections.abc import Iterable
from typing import Final

import numpy as np

from schemas.ports import Bool, Int64

_NONE: Final = 0


class Groups:
    """Rows by the name of the group that they are in; a row is in one group at most.

    A group has a number as long as it has rows. A change takes the same time whatever the sizes of the groups; the rows
    of a group are found by one pass over the numbers of all rows (about 0.5 ms for 10⁶).
    """

    def __init__(self) -> None:
        self._number_of_row = array("I")
        self._numbers: dict[str, int] = {}
        self._sizes: list[int] = [0]  # by number; 0 stands for no group
        self._free: list[int] = []

    def __contains__(self, name: object) -> bool:
        return name in self._numbers

    def extend(self, rows: int) -> None:
        """Add ``rows`` rows that are in no group."""
        self._number_of_row.extend([_NONE] * rows)

    def move(self, row: int, before: str | None, after: str | None) -> None:
        """Move a row from one group to another; ``None``: no group."""
        if before == after:
            return
        if before is not None:
            number = self._numbers[before]
            self._sizes[number] -= 1
            if not self._sizes[number]:
                del self._numbers[before]
                self._free.append(number)
        self._number_of_row[row] = _NONE if after is None else self._joined(after)

    def size(self, name: str) -> int:
        """Rows in the group."""
        return self._sizes[self._numbers[name]] if name in self._numbers else 0

    def rows(self, names: Iterable[str]) -> Int64:
        """Rows of any of the groups, ascending."""
        numbers = self._known(names)
        if len(numbers) == 1:
            return np.flatnonzero(self._column() == numbers[0])
        return np.flatnonzero(np.isin(self._column(), numbers)) if len(numbers) else np.empty(0, np.int64)

    def having(self, rows: Int64, names: Iterable[str]) -> Bool:
        """Which of ``rows`` (N,) are in one of the groups, (N,)."""
        numbers = self._known(names)
        if not len(numbers) or not len(rows):
            return np.zeros(len(rows), bool)
        found: Bool = np.isin(self._column()[rows], numbers)
        return found

    def _column(self) -> np.ndarray[tuple[int], np.dtype[np.uintc]]:
        return np.frombuffer(self._number_of_row, np.uintc)

    def _known(self, names: Iterable[str]) -> np.ndarray[tuple[int], np.dtype[np.uintc]]:
        return np.array([self._numbers[name] for name in set(names) if name in self._numbers], np.uintc)

    def _joined(self, name: str) -> int:
        number = self._numbers.get(name)
        if number is None:
            number = self._numbers[name] = self._free.pop() if self._free else len(self._sizes)
            if number == len(self._sizes):
                self._sizes.append(0)
        self._sizes[number] += 1
        return number
