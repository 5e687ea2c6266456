"""Processor time of a part is what it takes without the parts within it."""

from types import SimpleNamespace

import pytest

from benchmarks import budget


class Reader:
    """Takes 3 s itself, and 4 s for what it checks twice."""

    def __init__(self, clock: SimpleNamespace) -> None:
        self._clock = clock

    def read(self) -> str:
        self._clock.now_s += 1.0
        self.check()
        self._clock.now_s += 2.0
        self.check()
        return "read"

    def check(self) -> None:
        self._clock.now_s += 2.0


def test_the_time_of_a_part_within_another_is_its_own_and_nothing_is_timed_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, times = SimpleNamespace(now_s=0.0), budget.PartTimes()
    monkeypatch.setattr(budget.time, "thread_time", lambda: clock.now_s)
    monkeypatch.setattr(budget, "PARTS", {"reading": (Reader, "read"), "checking": (Reader, "check")})
    reader = Reader(clock)
    with times.watching():
        assert [reader.read(), reader.read()] == ["read", "read"]
        reader.check()
    assert times.spent_s == {"reading": 6.0, "checking": 10.0}
    reader.read()
    assert sum(times.spent_s.values()) == 16.0


def test_every_part_names_a_function_that_is_there() -> None:
    for owner, attribute in budget.PARTS.values():
        assert callable(getattr(owner, attribute))
