"""The paper's virality score (Wang et al. 2021, Section 3.2, Eq. 1 and 2). Legend: N clips."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from vdv.annotations import COUNTS
from vdv.errors import DataSetError

Float64 = npt.NDArray[np.float64]

FEWEST_DAYS: Final = 1.0
MOST_DAYS: Final = 7.0
MIDDLE: Final = 0.5


def raw_score(
    likes: npt.ArrayLike, comments: npt.ArrayLike, reposts: npt.ArrayLike, days_online: npt.ArrayLike
) -> Float64:
    """Eq. 1: s_r = log2((likes + comments + reposts + 1) / clip(days, 1, 7)), elementwise, (N,) each to (N,).

    A clip without reactions scores −log2(days), from 0 down to −2.8; ages below one day count as one. Raises
    ``DataSetError`` for a negative or non-finite value, naming it.
    """
    named = dict(zip(COUNTS, (likes, comments, reposts, days_online), strict=True))
    columns = {name: np.atleast_1d(np.asarray(values, np.float64)) for name, values in named.items()}
    for name, values in columns.items():
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if wrong.size:
            at = int(wrong[0])
            raise DataSetError(f"{name} of clip {at} is {values[at]}; give a finite number, 0 or more", field=name)
    reactions = columns["likes"] + columns["comments"] + columns["reposts"]
    scores: Float64 = np.log2((reactions + 1.0) / np.clip(columns["days_online"], FEWEST_DAYS, MOST_DAYS))
    return scores


def normalise(raw: npt.ArrayLike, challenges: Sequence[str]) -> Float64:
    """Eq. 2: min-max per challenge, (N,) to (N,) in [0, 1].

    Where Eq. 2 is 0/0, a challenge of one clip or of equal scores, every clip gets 0.5: no clip is better than another
    there. Raises ``DataSetError`` for a non-finite score.
    """
    scores = np.asarray(raw, np.float64)
    wrong = np.flatnonzero(~np.isfinite(scores))
    if wrong.size:
        raise DataSetError(f"the score of clip {int(wrong[0])} is {scores[wrong[0]]}; give a finite number")
    if not scores.size:
        return scores.copy()
    _, group = np.unique(np.asarray(challenges), return_inverse=True)
    lowest = np.full(group.max() + 1, np.inf)
    highest = np.full(group.max() + 1, -np.inf)
    np.minimum.at(lowest, group, scores)
    np.maximum.at(highest, group, scores)
    # In halves, so that the span of two huge scores of either sign does not overflow.
    span = (highest / 2 - lowest / 2)[group]
    above = scores / 2 - (lowest / 2)[group]
    normalised: Float64 = np.divide(above, span, out=np.full(scores.shape, MIDDLE), where=span > 0)
    return normalised
