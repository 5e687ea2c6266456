"""Identifiers in questions: a text that is not one need not be looked up; a database may even refuse it."""

import msgspec

from schemas.errors import QueryError
from schemas.identifiers import Identifier
from schemas.questions.retrieval import SimilarQuery


def check_identifier(name: str, value: str) -> None:
    """Raises ``QueryError`` naming the parameter ``name``."""
    try:
        msgspec.convert(value, Identifier)
    except msgspec.ValidationError:
        raise QueryError(f"{name} must be 1 to 128 characters without white space or /", field=name) from None


def check_query(query: SimilarQuery) -> None:
    """Raises ``QueryError`` naming the parameter whose identifier is none."""
    for name in ("clip_id", "dancer_id", "challenge_id", "tier"):
        if (value := getattr(query, name)) is not None:
            check_identifier(name, value)
    for name in ("challenge_ids", "among_dancer_ids", "exclude_clip_ids", "exclude_dancer_ids"):
        for number, value in enumerate(getattr(query, name)):
            check_identifier(f"{name}.{number}", value)
    for name in ("like", "unlike"):
        for number, example in enumerate(getattr(query, name)):
            for part in ("clip_id", "dancer_id"):
                if (value := getattr(example, part)) is not None:
                    check_identifier(f"{name}.{number}.{part}", value)
