"""What a serving process and the child that makes a comparison say to each other, as JSON."""

import msgspec

from schemas.questions.pool_comparisons import ComparisonAnswer, ComparisonQuestion


class Task(msgspec.Struct, frozen=True):
    """What to compare, with which bundle, and how its networks are run."""

    question: ComparisonQuestion
    bundle: str
    runtime: str
    providers: list[str]


class Failed(msgspec.Struct, frozen=True):
    """Why there is no answer. ``is_asked_for``: the question is to blame, in its ``field``."""

    message: str
    is_asked_for: bool
    field: str = "policies"


class Said(msgspec.Struct, frozen=True):
    """What came of a task: one of both."""

    answer: ComparisonAnswer | None = None
    failed: Failed | None = None
