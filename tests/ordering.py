"""The order of the tests on several workers: slow modules first, so that none is left when the others are through.

``--dist worksteal`` gives each worker a contiguous share, and one that is through takes from the end of another's.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import TypeVar

import pytest

Test = TypeVar("Test", bound=pytest.Item)


def slow_first(items: Sequence[Test], workers: int) -> list[Test]:
    """``items`` in ``workers`` shares of about equal numbers, each with its part of the modules with slow tests first.

    A module's tests stay in their order, and together, for they share servers and graphs; but for a module without slow
    tests that lies where two shares meet. Slow modules that read the graphs of ``tests.exported`` count as one.
    """
    modules = [list(tests) for _, tests in groupby(items, key=lambda item: item.path)]
    slow = [module for module in modules if _has(module, "slow")]
    sharing = [item for module in slow if _has(module, "exported") for item in module]
    slow = [*filter(None, [sharing]), *(module for module in slow if not _has(module, "exported"))]
    rest = iter([item for module in modules if not _has(module, "slow") for item in module])
    ordered: list[Test] = []
    for number in range(workers):
        ordered += [item for module in slow[number::workers] for item in module]
        end = len(items) * (number + 1) // workers
        while len(ordered) < end and (item := next(rest, None)) is not None:
            ordered.append(item)
    return [*ordered, *rest]


def _has(module: Sequence[pytest.Item], marker: str) -> bool:
    return any(item.get_closest_marker(marker) for item in module)
