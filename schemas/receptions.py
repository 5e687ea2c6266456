"""How a clip was received, as the platform counted it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ObservedReception:
    """The latest counts of a clip, and where its virality (Eq. 1) stands among the counted clips of its challenge.

    ``days_online``: its age when the reactions were counted. ``views``: people who saw it, ``None`` where the platform
    does not say. ``rank``, ``percentile`` are as in ``RankedClip``, by virality, among ``clips`` clips, whose virality
    ranges from ``lowest_virality`` to ``highest_virality``: the bounds of Eq. (2).
    """

    clip_id: str
    challenge_id: str
    observed_at_ms: int
    days_online: float
    likes: int
    comments: int
    reposts: int
    views: int | None
    virality: float
    rank: int
    percentile: float
    clips: int
    lowest_virality: float
    highest_virality: float
