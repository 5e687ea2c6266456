"""Weights of the modalities, written as ``skeletal:1,facial:0.5``."""

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
