"""Dance tips as heat maps (Fig. 11), from what the service answers."""

import numpy as np

from dancerank.answer_pictures.strips import positions
from dancerank.pictures.bodies import Moving
from dancerank.pictures.heat_maps import ChallengeAttention, Example, Tips, overall_heat_map, tips_heat_map
from schemas.joints import layout_named
from schemas.picture_formats import StillFormat
from schemas.questions.pictures import ClipStrip
from schemas.questions.tips import ChallengeTips, TipsAnswer


def challenge_picture(found: ChallengeTips, example: ClipStrip | None, kind: StillFormat) -> bytes:
    """Joints over the time of a challenge, below the poses of the ``example``."""
    tips = Tips(
        challenge_id=found.challenge_id,
        clips=found.clips,
        joints=found.joints,
        bin_s=found.bin_s,
        temporal=np.array(found.temporal, np.float64),
        clips_by_bin=np.array(found.clips_by_bin, np.int64),
        overall=np.array(found.overall, np.float64),
        unit=found.unit,
        style=found.style,
    )
    poses = None if example is None else _over(found.bin_s * len(found.clips_by_bin), example)
    return tips_heat_map(tips, poses, kind=kind)


def _over(length_s: float, clip: ClipStrip) -> Example | None:
    """The poses of a clip in the first ``length_s`` seconds of its challenge; none where it has ended."""
    skeleton = clip.skeleton
    if skeleton is None or not skeleton.frames:
        return None
    frames = max(1, round(length_s * skeleton.rate_hz))
    shown = positions(skeleton.positions)[:frames]
    longer = np.full((frames - len(shown), *shown.shape[1:]), np.nan)
    return Example(clip.clip_id, clip.rank, Moving(layout_named(skeleton.layout), np.concatenate([shown, longer])))


def overall_picture(found: TipsAnswer, kind: StillFormat) -> bytes:
    """Joints by challenges."""
    challenges = [
        ChallengeAttention(each.challenge_id, each.clips, np.array(each.overall, np.float64))
        for each in found.challenges
    ]
    return overall_heat_map(challenges, found.joints, unit=found.unit, kind=kind)
