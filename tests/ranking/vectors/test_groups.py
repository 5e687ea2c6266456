"""Groups of rows against a dict from row to group."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.vectors.groups import Groups

ROWS = 6
NAMES = st.sampled_from(["a", "b", "c", "d"])


@settings(deadline=None)
@given(moves=st.lists(st.tuples(st.integers(0, ROWS - 1), st.none() | NAMES)), asked=st.sets(NAMES))
def test_rows_are_those_that_were_moved_to_a_group_last(moves: list[tuple[int, str | None]], asked: set[str]) -> None:
    groups, expected = Groups(), dict[int, str | None].fromkeys(range(ROWS))
    groups.extend(ROWS)
    for row, name in moves:
        groups.move(row, name)
        expected[row] = name
    for held in (groups, Groups.of(*groups.numbered(np.arange(ROWS)))):
        rows = [row for row, name in expected.items() if name in asked]
        assert held.rows(asked).tolist() == rows
        backwards = np.arange(ROWS)[::-1]
        assert backwards[held.having(backwards, asked)].tolist() == rows[::-1]
        assert [held.name(row) for row in range(ROWS)] == [*expected.values()]
        for name in "abcd":
            assert held.size(name) == [*expected.values()].count(name)
            assert (name in held) == (held.size(name) > 0)


def test_the_name_of_a_group_without_rows_is_forgotten() -> None:
    groups = Groups()
    groups.extend(2)
    groups.move(0, "gone")
    groups.move(0, "held")
    assert "gone" not in groups._names
    groups.move(1, "next")
    assert [groups.name(row) for row in (0, 1)] == ["held", "next"]
