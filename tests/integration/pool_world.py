"""Clips and observations of a busy platform, and a record of what was sent."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

from schemas.events import ClipScored, EngagementObserved
from schemas.modalities import FUSED_MODALITIES
from tests.ranking.examples import with_scores

HOUR_MS = 3_600_000


@dataclass
class World:
    """What was sent, which is all that the test knows."""

    random: Random
    started_ms: int
    clips: dict[str, ClipScored] = field(default_factory=dict)
    observed: defaultdict[str, list[EngagementObserved]] = field(default_factory=lambda: defaultdict(list))
    deleted: set[str] = field(default_factory=set)

    def scored(self, number: int) -> ClipScored:
        random = self.random
        clip = with_scores(
            f"c{number}",
            {modality: random.random() for modality in FUSED_MODALITIES},
            random.random(),
            challenge_id=f"challenge{number % 5}",
            dancer_id=f"dancer{int(25 * random.random() ** 3)}",
            uploaded_at_ms=self.started_ms - random.randrange(3 * 24 * HOUR_MS),
        )
        self.clips[clip.clip_id] = clip
        return clip

    def observation(self, newest: int) -> EngagementObserved:
        """Of a clip that was sent, or will be, or never; late, on time or of the future; counts rise and fall."""
        random, now_ms = self.random, int(time.time() * 1000)
        chance = random.random()
        number = random.randrange(max(newest - 300, 0), newest + 40)
        clip_id = f"nobody{number % 50}" if chance < 0.03 else f"c{number}"
        views = random.choice([None, int(random.expovariate(1 / 900))])
        at_ms = now_ms - int(random.expovariate(1 / 4000))
        if chance > 0.97:
            at_ms = now_ms + HOUR_MS + random.choice([2000, 4000, HOUR_MS])
        counts = [int(random.betavariate(1.2, 6) * (400 if views is None else views) / 3) for _ in range(3)]
        event = EngagementObserved(clip_id=clip_id, observed_at_ms=at_ms, likes=counts[0], comments=counts[1],
                                   reposts=counts[2], views=views)  # fmt: skip
        self.observed[clip_id].append(event)
        return event
