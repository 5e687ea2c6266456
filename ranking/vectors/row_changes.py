"""Which rows changed lately, for questions that are answered while clips come and go."""

from array import array
from typing import Final

import numpy as np

from schemas.ports import Int64

REMEMBERED: Final = 65_536
"""Changes that are remembered at least: those of some seconds at the rate at which a log is read."""


class ChangesForgotten(Exception):
    """More rows changed since the moment that was asked about than are remembered."""


class RowChanges:
    """The rows of the latest changes, oldest first; all changes are counted."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._rows = array("q")
        self._forgotten = 0

    @property
    def count(self) -> int:
        """Changes so far: the moment for ``since``."""
        return self._forgotten + len(self._rows)

    def add(self, row: int) -> None:
        self._rows.append(row)
        if len(self._rows) == 2 * self._remembered:
            del self._rows[: self._remembered]
            self._forgotten += self._remembered

    def since(self, count: int) -> Int64:
        """Rows that changed after the first ``count`` changes, ascending. Raises ``ChangesForgotten``."""
        if count < self._forgotten:
            raise ChangesForgotten
        return np.unique(np.array(self._rows[count - self._forgotten :], np.int64))
