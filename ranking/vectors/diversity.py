"""Maximal marginal relevance: hits that are relevant and unlike those before them.

After the hits S the next one is argmax_d λ r(d) - (1 - λ) max_{d' ∈ S} s(d, d') over the candidates d that are left,
with relevance r and similarity s between candidates; for the first one the maximum over nothing is 0. (J. Carbonell,
J. Goldstein: The use of MMR, diversity-based reranking for reordering documents and producing summaries. SIGIR 1998,
335–336.)
"""

import numpy as np

from schemas.ports import Float64


def mmr_order(relevance: Float64, similarity: Float64, weight: float) -> list[int]:
    """Numbers of all N candidates in the order of MMR, equal ones in the order given.

    ``relevance`` (N,); ``similarity`` (N, N) between candidates; ``weight``: λ, 1 for relevance alone.
    """
    nearest = np.zeros(len(relevance))
    left = np.ones(len(relevance), bool)
    order: list[int] = []
    for _ in range(len(relevance)):
        value = np.where(left, weight * relevance - (1 - weight) * nearest, -np.inf)
        chosen = int(np.argmax(value))
        nearest = similarity[chosen] if not order else np.maximum(nearest, similarity[chosen])
        left[chosen] = False
        order.append(chosen)
    return order
