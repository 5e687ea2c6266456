"""Weights of the modalities, written as ``skeletal:1,scenic:-0.5``."""

from collections.abc import Iterable, Mapping

from schemas.errors import QueryError
from schemas.modalities import MODALITIES, Modality


def parse_weights(text: str) -> dict[Modality, float]:
    """Weights by modality; one left out counts 0. Raises ``QueryError`` naming ``weights``."""
    weights: dict[Modality, float] = {}
    for part in text.split(","):
        name, colon, number = (piece.strip() for piece in part.partition(":"))
        if name not in MODALITIES:
            raise QueryError(
                f"weights name {name!r}; expected modality:weight pairs of {', '.join(MODALITIES)}", field="weights"
            )
        if name in weights:
            raise QueryError(f"weights name {name} twice", field="weights")
        try:
            weights[Modality(name)] = float(number) if colon else 1.0
        except ValueError:
            raise QueryError(f"the weight of {name} is {number!r}; expected a number", field="weights") from None
    return weights


def normalised(asked: Mapping[Modality, float], has: Iterable[Modality]) -> dict[Modality, float]:
    """Weights whose absolute values sum to 1 over the modalities that the example ``has``.

    Negative weights rule out a sum of 1, which can be 0. Raises ``QueryError`` naming ``weights``.
    """
    modalities = [*has]
    largest = max((abs(asked.get(modality, 0.0)) for modality in modalities), default=0.0)
    if not largest:
        there = ", ".join(modalities) or "no modality at all"
        wanted = ", ".join(modality for modality in MODALITIES if asked.get(modality))
        raise QueryError(
            f"the example has {there}, and only {wanted} have a weight; weigh one that it has", field="weights"
        )
    scaled = {modality: asked.get(modality, 0.0) / largest for modality in modalities}
    total = sum(map(abs, scaled.values()))
    return {modality: weight / total for modality, weight in scaled.items()}
