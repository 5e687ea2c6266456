"""A system whose clips were decided about and received: what the page of a clip shows of it."""

from typing import Final

import msgspec
import sqlalchemy as sa

from ranking.database.tables import engagement
from schemas.events import ClipScored, ClipScoredV3, StyleResult
from tests.page.systems import SmallSystem, some_clips
from tests.ranking.examples import scored_clip
from tests.ranking.pools.examples import POLICY, engaged, plain, rated
from tests.ranking.pools.rows import Pools

SHOWN: Final = "clip-003"
"""A clip with everything."""
OUTSIDE: Final = "clip-outside"
"""A clip that is unlike what the model learned from."""
STYLES: Final = ("tango", "waltz")
ODD: Final = (
    '"><script>document.title="taken"',
    "<img\\src=x\\onerror=alert(1)>",
    "\N{DANCER}\N{EMOJI MODIFIER FITZPATRICK TYPE-5}'\"`${1}",
    "\N{HEBREW LETTER RESH}\N{HEBREW LETTER QOF}\N{HEBREW LETTER DALET}",
    "100%25&k=0#?",
)
"""Ids that would break a page that does not escape them; the clip, its dancer and its challenge are called so."""


def lived_system() -> SmallSystem:
    """Not entered; ``live`` fills it once it is."""
    outside = scored_clip(OUTSIDE, challenge_id="challenge-1", training_distance=3.5)
    odd = [scored_clip(f"clip-{name}", dancer_id=name, challenge_id=name) for name in ODD]
    return SmallSystem([*(_styled(number, clip) for number, clip in enumerate(some_clips())), outside, *odd])


def _styled(number: int, clip: ClipScored) -> ClipScored:
    """Two of three clips show one of two styles."""
    if number % 3 == 1:
        return clip
    style = StyleResult(style=STYLES[number % 2], probability=0.8)
    return ClipScoredV3(**(msgspec.structs.asdict(clip) | {"style": style}))


def live(system: SmallSystem) -> None:
    """Decisions about some clips, and what was counted of those of challenge-1."""
    pools = Pools(system.database, POLICY)
    pools.handle(rated(SHOWN), engaged(SHOWN, 30, 100, at_ms=10), plain("clip-006", at_ms=12))
    pools.write()
    counted = [(number, f"clip-{number:03}") for number in range(0, 36, 3)]
    rows = [
        {
            "clip_id": clip_id,
            "challenge_id": "challenge-1",
            "observed_at_ms": 1_760_000_000_000,
            "likes": 100 + number,
            "comments": 7,
            "reposts": 3,
            "views": 5_000,
            "views_observed_at_ms": 1_760_000_000_000,
            "days_online": 3.0,
            "virality": float(number),
        }
        for number, clip_id in counted
    ]
    with system.database.writing() as connection:
        connection.execute(sa.insert(engagement), rows)
