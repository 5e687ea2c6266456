"""Which challenge or dancer the clip in each row belongs to."""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import numpy as np
from pyroaring import BitMap

from ranking.vectors.columns import Column
from schemas.ports import Bool, Int64, UInt32

_NONE: Final = 0
_FEW: Final = 64
"""Rows of which a bitmap is made in microseconds whenever it is needed."""


class GroupNumbers(NamedTuple):
    """The groups of N rows: ``numbers`` (N,) counted from 1, 0 for a row in no group, and the names that they have."""

    numbers: UInt32
    names: list[str]


class Groups:
    """Rows by the name of the group that they are in; a row is in one group at most.

    Each group has a compressed bitmap of its rows, so that a change takes the same time whatever its size; a group of
    one row, as most dancers are, is that row. A small one that was restored is a range of the rows sorted by group,
    until it changes. A group has a number as long as it has rows, and each row that of its group.
    """

    def __init__(self) -> None:
        self._numbers = Column(np.uint32, _NONE)
        self._number_of: dict[str, int] = {}
        self._names: list[str] = [""]  # by number
        self._members: list[BitMap | int | range] = [BitMap()]
        self._sorted: UInt32 = np.empty(0, np.uint32)
        self._free: list[int] = []

    @classmethod
    def of(cls, numbers: UInt32, names: Sequence[str]) -> "Groups":
        """Groups as ``numbered`` gave them, without names that no row has. Raises ``ValueError`` if they are not."""
        made = cls()
        order = np.argsort(numbers, kind="stable")
        used, starts = np.unique(numbers[order], return_index=True)
        if len(used) and used[-1] > len(names):
            raise ValueError(f"a row is in group {used[-1]} of {len(names)}")
        first = 1 if len(used) and used[0] == _NONE else 0
        used, starts, ends = used[first:], starts[first:], np.append(starts[first + 1 :], len(order))
        made._names += [names[number - 1] for number in used.tolist()]
        made._sorted = order.astype(np.uint32)
        made._members += map(range, starts.tolist(), ends.tolist())
        for place in np.flatnonzero(ends - starts > _FEW).tolist():
            made._members[place + 1] = made._opened(place + 1)
        made._number_of = {name: number for number, name in enumerate(made._names) if number}
        if len(made._number_of) != len(used):
            raise ValueError("two groups have one name")
        own = np.zeros(len(names) + 1, np.uint32)
        own[used] = np.arange(1, len(used) + 1)
        made._numbers = Column.of(own[numbers], _NONE)
        return made

    def __contains__(self, name: object) -> bool:
        return name in self._number_of

    def names(self) -> Iterable[str]:
        """Of all groups."""
        return self._number_of.keys()

    def extend(self, rows: int) -> None:
        """Add ``rows`` rows that are in no group."""
        self._numbers.extend(rows)

    def name(self, row: int) -> str | None:
        """The group that a row is in."""
        return self._names[number] if (number := int(self._numbers[row])) else None

    def move(self, row: int, name: str | None) -> None:
        """Move a row to a group, or to none."""
        before = int(self._numbers[row])
        if name == (self._names[before] if before else None):
            return
        if before:
            self._leave(row, before)
        self._numbers[row] = _NONE if name is None else self._join(row, name)

    def size(self, name: str) -> int:
        """Rows in the group."""
        members = self._members[self._number_of.get(name, _NONE)]
        return 1 if isinstance(members, int) else len(members)

    def members(self, names: Iterable[str]) -> BitMap:
        """Rows of any of the groups; names of no group are ignored."""
        found = [self._opened(number) for number in self._known(names)]
        single = BitMap(each for each in found if isinstance(each, int))
        return BitMap.union(single, *(each for each in found if not isinstance(each, int)))

    def rows(self, names: Iterable[str]) -> Int64:
        """Rows of any of the groups, ascending."""
        return np.asarray(self.members(names).to_array(), np.int64)

    def having(self, rows: Int64, names: Iterable[str]) -> Bool:
        """Which of ``rows`` (N,) are in one of the groups, (N,)."""
        numbers = np.array([*self._known(names)], np.uint32)
        if not len(numbers) or not len(rows):
            return np.zeros(len(rows), bool)
        found: Bool = np.isin(self._numbers.values[rows], numbers)
        return found

    def in_any(self) -> Bool:
        """Which of all rows are in a group."""
        found: Bool = self._numbers.values != _NONE
        return found

    def numbered(self, rows: Int64) -> GroupNumbers:
        """The groups of ``rows`` (N,)."""
        used, numbers = np.unique(self._numbers.values[rows], return_inverse=True)
        names = [self._names[number] for number in used.tolist()]
        if len(used) and used[0] == _NONE:
            return GroupNumbers(numbers.astype(np.uint32), names[1:])
        return GroupNumbers(numbers.astype(np.uint32) + 1, names)

    def _known(self, names: Iterable[str]) -> Iterable[int]:
        return (self._number_of[name] for name in set(names) if name in self._number_of)

    def _opened(self, number: int) -> BitMap | int:
        """The rows of a group, of which one alone is itself."""
        members = self._members[number]
        if isinstance(members, range):
            rows = self._sorted[members.start : members.stop]
            return BitMap(rows) if len(rows) > 1 else int(rows[0])
        return members

    def _join(self, row: int, name: str) -> int:
        number = self._number_of.get(name)
        if number is None:
            number = self._number_of[name] = self._free.pop() if self._free else len(self._names)
            if number == len(self._names):
                self._names.append(name)
                self._members.append(row)
            self._names[number], self._members[number] = name, row
            return number
        members = self._opened(number)
        if isinstance(members, int):
            self._members[number] = BitMap((members, row))
        else:
            members.add(row)
            self._members[number] = members
        return number

    def _leave(self, row: int, number: int) -> None:
        members = self._opened(number)
        if isinstance(members, int) or len(members) == 1:
            # The name goes with its last clip: it may be that of a dancer whose clips were deleted.
            del self._number_of[self._names[number]]
            self._names[number], self._members[number] = "", BitMap()
            self._free.append(number)
        else:
            members.remove(row)
            self._members[number] = members
