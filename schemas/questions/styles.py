"""Answers about the dance styles of clips."""

from dataclasses import dataclass

from schemas.questions.retrieval import Window


@dataclass(frozen=True)
class StyleCount:
    """``clips`` show the ``style``; ``unknown`` stands for clips of none that the bundle's classifier knows."""

    style: str
    clips: int


@dataclass(frozen=True)
class StyleCounts:
    """How many clips show each style, most first, in a challenge or (``challenge_id`` ``None``) in all together.

    Of ``clips`` clips, ``not_judged`` have no skeleton, or were scored by a bundle without a classifier. ``window`` and
    ``since_ms`` are those of ``Ranking``.
    """

    challenge_id: str | None
    generation: str
    clips: int
    not_judged: int
    styles: list[StyleCount]
    window: Window = "all"
    since_ms: int | None = None
