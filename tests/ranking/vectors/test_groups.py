"""Groups of rows against a dict from row to group."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ranking.vectors.groups import Groups

ROWS = 6
NAMES = st.sampled_from(["a", "b", "c", "d"])


@given(moves=st.lists(st.tuples(st.integers(0, ROWS - 1), st.none() | NAMES)), asked=st.sets(NAMES))
def test_rows_are_those_that_were_moved_to_a_group_last(moves: list[tuple[int, str | None]], asked: set[str]) -> None:
    groups, expected = Groups(), dict.fromkeys(range(ROWS), None)
    groups.extend(ROWS)
    for row, name in moves:
        groups.move(row, expected[row], name)
        expected[row] = name  # type: ignore[assignment]
    rows = [row for row, name in expected.items() if name in asked]
    assert groups.rows(asked).tolist() == rows
    backwards = np.arange(ROWS)[::-1]
    assert backwards[groups.having(backwards, asked)].tolist() == rows[::-1]
    for name in "abcd":
        assert groups.size(name) == list(expected.values()).count(name)  # type: ignore[arg-type]
        assert (name in groups) == (groups.size(name) > 0)
