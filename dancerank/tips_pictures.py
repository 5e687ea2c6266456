"""Dance tips as heat maps (Fig. 11), from what the service answers."""

import numpy as np

from dancerank.pictures.heat_maps import ChallengeAttention, Tips, overall_heat_map, tips_heat_map
from dancerank.pictures.sheets import PictureFormat
from schemas.tips import ChallengeTips, TipsAnswer


def challenge_picture(found: ChallengeTips, kind: PictureFormat) -> bytes:
    """Joints over the time of a challenge."""
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
    return tips_heat_map(tips, kind=kind)


def overall_picture(found: TipsAnswer, kind: PictureFormat) -> bytes:
    """Joints by challenges."""
    challenges = [
        ChallengeAttention(each.challenge_id, each.clips, np.array(each.overall, np.float64))
        for each in found.challenges
    ]
    return overall_heat_map(challenges, found.joints, unit=found.unit, kind=kind)
