"""What may come of an input: it is accepted, or refused by a named error that a person can act on. Nothing else."""

import os
from collections.abc import Callable
from random import Random
from typing import Any, Final, Generic, NamedTuple, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from schemas.errors import FinalError
from schemas.escaping import shortened

T = TypeVar("T")

EXAMPLES: Final = int(os.environ.get("DANCERANK_FUZZ_EXAMPLES", "150"))
"""How many inputs a test of the usual cost tries; each target has its share of it."""
ACCEPTED: Final = "accepted"
LONGEST_SENTENCE: Final = 2_048
"""Characters, as a dead letter holds. What is quoted of an input is cut."""
LONGEST_LIST: Final = 8_192
"""Characters of several findings, one a line."""


class Target(NamedTuple):
    """Something that reads what others wrote.

    ``source`` makes inputs: from a random number generator, cheaply, or as a strategy. ``feed`` reads one of them: it
    returns if the input is accepted, and raises a ``FinalError`` if it is refused. ``share``: inputs of this target for
    each one of ``EXAMPLES``, fewer where one takes long.
    """

    name: str
    source: Callable[[Random], Any] | st.SearchStrategy[Any]
    feed: Callable[[Any], object]
    share: float = 1.0

    @property
    def inputs(self) -> st.SearchStrategy[Any]:
        return self.source if isinstance(self.source, st.SearchStrategy) else seeded(self.source)


def seeded(make: Callable[[Random], Any]) -> st.SearchStrategy[Any]:
    """Inputs that ``make`` draws from a random number generator."""
    return st.integers(0, 2**63 - 1).map(lambda seed: make(Random(seed)))


class Shown(Generic[T]):
    """An input whose report is short, however large it is."""

    def __init__(self, value: T) -> None:
        self.value = value

    def __repr__(self) -> str:
        return shortened(repr(self.value), LONGEST_SENTENCE)


def outcome(target: Target, value: Any) -> str:
    """``ACCEPTED``, or the code of the refusal. Every other error is raised: it is a defect of what was fed."""
    try:
        target.feed(value)
    except FinalError as error:
        check_refusal(error)
        return error.code
    return ACCEPTED


def check_refusal(error: FinalError) -> None:
    """A refusal has a code and a remedy of its class, and a message of a readable length that can be written."""
    assert type(error) is not FinalError
    assert error.code != FinalError.code
    assert error.remedy
    longest = LONGEST_LIST if "\n" in error.message else LONGEST_SENTENCE
    assert 10 < len(error.message) <= longest, f"{len(error.message)} characters: {error.message[:500]}"
    assert len(error.field or "") <= LONGEST_SENTENCE


def fuzzed(share: float = 1.0) -> settings:
    """Settings of a fuzz test: so many examples, no deadline for one (the test has one), no complaints about cost."""
    return settings(
        deadline=None,
        max_examples=max(5, round(EXAMPLES * share)),
        suppress_health_check=list(HealthCheck),
    )
