"""Slow modules come first in the share of each worker, whole and in their order."""

from pathlib import Path
from typing import NamedTuple

from tests.ordering import slow_first


class Item(NamedTuple):
    """As much of a collected test as its place depends on."""

    path: Path
    number: int
    is_slow: bool = False
    is_exported: bool = False

    def get_closest_marker(self, name: str) -> str | None:
        return name if (name == "slow" and self.is_slow) or (name == "exported" and self.is_exported) else None


def module(name: str, tests: int, *slow: int) -> list[Item]:
    return [Item(Path(name), number, number in slow) for number in range(tests)]


def test_each_share_begins_with_its_part_of_the_slow_modules() -> None:
    a, b, c, d, e = module("a", 4), module("b", 2, 1), module("c", 3, 0, 2), module("d", 4), module("e", 1, 0)
    ordered = slow_first([*a, *b, *c, *d, *e], 2)  # type: ignore[type-var]
    assert ordered[:7] == [*b, *e, *a]
    assert ordered[7:] == [*c, *d]


def test_slow_modules_that_read_the_same_graphs_are_in_one_share() -> None:
    a, b, c, d, e = (module(name, 2, 0) for name in "abcde")
    b, d = ([item._replace(is_exported=True) for item in each] for each in (b, d))
    ordered = slow_first([*a, *b, *c, *d, *e], 2)  # type: ignore[type-var]
    assert ordered[:6] == [*b, *d, *c]
    assert ordered[6:] == [*a, *e]


def test_nothing_is_lost_or_comes_twice_for_any_number_of_workers() -> None:
    items = [*module("a", 5), *module("b", 9, 3), *module("c", 1), *module("d", 7, 0), *module("e", 2)]
    for workers in range(1, 9):
        ordered = slow_first(items, workers)  # type: ignore[type-var]
        assert sorted(ordered) == sorted(items)
        for name in "bd":
            places = [place for place, item in enumerate(ordered) if item.path == Path(name)]
            assert places == [*range(places[0], places[-1] + 1)]
