"""The seconds that made the score of a routine, from what the service answers."""

from typing import Final

import numpy as np

from dancerank.pictures.moments import Attended, Numbered, attended_moments
from dancerank.pictures.scales import figure
from schemas.moments import DYNAMIC, SEGMENT_S, ClipMoments, instances
from schemas.picture_formats import StillFormat

_START_S: Final = 1e-6


def moments_picture(found: ClipMoments, kind: StillFormat) -> bytes:
    """The attention of each part, a bar for each segment or step, and the moments numbered from the heaviest."""
    streams = [_attended(found, part) for part in found.parts]
    title = f"{found.clip_id}: the moments that made its score of {figure(found.score)}"
    return attended_moments(streams, title=title, moments=[_numbered(found, part) for part in found.parts], kind=kind)


def _attended(found: ClipMoments, part: str) -> Attended:
    weights = np.array([each.weight for each in instances(part, found.weights[part], found.rate_hz)])
    if part == DYNAMIC:
        return Attended(f"segments of {SEGMENT_S:g} s ({part}): share of the attention", weights, SEGMENT_S)
    each_s = 1 / found.rate_hz
    return Attended(f"steps of {figure(each_s)} s ({part}): share of the attention", weights, each_s)


def _numbered(found: ClipMoments, part: str) -> list[Numbered]:
    """The moments of a part, as the instances that they are."""
    starts_s = np.array([each.start_s for each in instances(part, found.weights[part], found.rate_hz)])
    return [
        (f"{number}", int(np.searchsorted(starts_s, moment.start_s - _START_S)))
        for number, moment in enumerate(found.moments, 1)
        if moment.part == part
    ]
