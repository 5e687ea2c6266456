"""Arrays that grow."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt

_LEAST: Final = 64


class Column:
    """One value for each row; it grows by doubling, so that a row costs the same however many there are."""

    def __init__(self, dtype: type[np.generic], fill: int) -> None:
        """``fill``: the value of a row that was added and not set."""
        self._fill = fill
        self._all: npt.NDArray[Any] = np.full(_LEAST, fill, dtype)
        self._rows = 0

    @classmethod
    def of(cls, values: npt.NDArray[Any], fill: int) -> "Column":
        made = cls(values.dtype.type, fill)
        made._all, made._rows = np.array(values), len(values)
        return made

    @property
    def values(self) -> npt.NDArray[Any]:
        """The values of all rows, to be read before the next change."""
        return self._all[: self._rows]

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> Any:
        return self._all[row]

    def __setitem__(self, row: int, value: int) -> None:
        self._all[row] = value

    def extend(self, rows: int) -> None:
        """Add rows."""
        self._rows += rows
        if self._rows > len(self._all):
            larger = np.full(max(2 * len(self._all), self._rows), self._fill, self._all.dtype)
            larger[: len(self._all)] = self._all
            self._all = larger
