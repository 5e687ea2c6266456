"""The best and the last clips of a challenge by one dimension, with their skeletons."""

from collections.abc import Callable
from typing import Final

from ranking.serving.service import RankingService
from schemas.errors import FeatureError
from schemas.events import FeatureFile
from schemas.modalities import Dimension
from schemas.questions.feedback import FeaturesKept, Skeleton
from schemas.questions.pictures import STRIPS, ChallengeStrips, ClipStrip
from schemas.questions.retrieval import Order, RankedClip, Ranking, Window

_RATE_HZ: Final = 5.0
"""Enough for ten poses of a clip of two seconds."""

SkeletonOf = Callable[[FeaturesKept, float], Skeleton]
"""The skeleton that a feature file holds, at a rate in hertz."""


def challenge_strips(
    service: RankingService,
    skeleton_of: SkeletonOf,
    challenge_id: str,
    by: Dimension,
    *,
    generation: str | None = None,
    window: Window = "all",
) -> ChallengeStrips:
    """The first and the last ``STRIPS`` clips; of a challenge with fewer than both together the better half is first.

    A clip whose features came inline, are no longer there or hold no skeleton is there without one, and so is one of
    which only the video is kept: to extract ten skeletons would take minutes. Raises as ``RankingService.ranking``.
    """

    def ranked(order: Order, k: int) -> Ranking:
        return service.ranking(challenge_id, by, order=order, k=k, generation=generation, window=window)

    def strip(entry: RankedClip) -> ClipStrip:
        return ClipStrip(entry.clip_id, entry.rank, entry.score, _skeleton(service, skeleton_of, entry.clip_id))

    top = ranked("top", STRIPS)
    best = top.entries[: (top.clips + 1) // 2]
    first = {entry.clip_id for entry in best}
    # Clips with equal scores may come in one order from above and in another from below.
    others = [entry for entry in ranked("bottom", 2 * STRIPS).entries if entry.clip_id not in first]
    last = others[: min(STRIPS, top.clips - len(best))]
    return ChallengeStrips(challenge_id, by, top.clips, [*map(strip, best)], [*map(strip, reversed(last))])


def example_of(
    service: RankingService,
    skeleton_of: SkeletonOf,
    challenge_id: str,
    *,
    generation: str | None = None,
    style: str | None = None,
) -> ClipStrip | None:
    """The clip with the best movement of a challenge, and of a dance style, whose skeleton can be read; ``None`` if
    none of the first ``STRIPS`` is one. Raises as ``RankingService.ranking``.
    """
    found = service.ranking(challenge_id, Dimension.SKELETAL, k=STRIPS, generation=generation, style=style)
    for entry in found.entries:
        if (skeleton := _skeleton(service, skeleton_of, entry.clip_id)) is not None:
            return ClipStrip(entry.clip_id, entry.rank, entry.score, skeleton)
    return None


def _skeleton(service: RankingService, skeleton_of: SkeletonOf, clip_id: str) -> Skeleton | None:
    kept = service.source(clip_id)
    if kept is None or not isinstance(kept.source, FeatureFile):
        return None
    try:
        return skeleton_of(kept, _RATE_HZ)
    except FeatureError:
        return None
