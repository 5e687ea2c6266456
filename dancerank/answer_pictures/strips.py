"""The best and the last clips of a challenge as strips of skeletons (Fig. 9), from what the service answers."""

import numpy as np

from dancerank.pictures.strips import Strip, strips
from schemas.joints import layout_named
from schemas.picture_formats import StillFormat
from schemas.ports import Float64
from schemas.questions.feedback import Points
from schemas.questions.pictures import ChallengeStrips, ClipStrip


def strips_picture(found: ChallengeStrips, kind: StillFormat) -> bytes:
    """Clips without a skeleton have a sentence in its place."""
    best, last = ([_strip(clip) for clip in clips] for clips in (found.best, found.last))
    return strips(found.challenge_id, found.dimension, best, last, clips=found.clips, kind=kind)


def _strip(clip: ClipStrip) -> Strip:
    skeleton = clip.skeleton
    if skeleton is None:
        return Strip(clip.clip_id, clip.rank, clip.score, None, None, None)
    duration_s, layout = skeleton.frames / skeleton.rate_hz, layout_named(skeleton.layout)
    return Strip(clip.clip_id, clip.rank, clip.score, duration_s, layout, positions(skeleton.positions))


def positions(points: Points) -> Float64:
    """(T, V, 2), NaN at joints that were not detected."""
    return np.array([[(np.nan, np.nan) if p is None else p for p in frame] for frame in points], np.float64)
