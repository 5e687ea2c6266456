"""Events for the traffic pools of which each leads to one decision, and the policy under which they do."""

import time
from collections.abc import Iterator
from random import Random
from typing import Final

import numpy as np

from dancerank.settings import Settings
from schemas.codec import encode
from schemas.events import ClipScored, EngagementObserved, ModalityResult, embedding_bytes
from schemas.modalities import PAPER_MODALITIES
from schemas.ports import OutgoingRecord

SCORED_SHARE: Final = 0.05
CHALLENGES: Final = 10
WIDTH: Final = 64

POLICY: Final = """\
version = "latency-1"
window_s = 86400
[[tiers]]
name = "low"
exposures = 100
capacity = 1000000000
least_views = 100
gate = 0.1
stay_s = 864000
[[tiers]]
name = "high"
exposures = 200
capacity = 1000000000
least_views = 300
floor = 0.1
stay_s = 864000
[nomination]
fewest_clips = 1
[nomination.thresholds]
fused = 0
[exploration]
share = 0.0
"""

Key = tuple[str, int]
"""Clip, and number of the decision about it; of a copied record a name, and its own number."""


class Load:
    """Events of which each leads to one decision; ``known`` clips come first, then the mixture."""

    def __init__(self, settings: Settings, known: int, seed: int = 1) -> None:
        self._settings = settings
        self._random = Random(seed)
        self._names = [f"clip{number}" for number in range(known)]
        self._decisions = dict.fromkeys(self._names, 1)
        self._fresh = known

    def known(self) -> Iterator[tuple[Key, OutgoingRecord]]:
        return (self._scored(name) for name in self._names)

    def mixture(self) -> Iterator[tuple[Key, OutgoingRecord]]:
        while True:
            if self._random.random() < SCORED_SHARE:
                self._fresh += 1
                yield self._scored(f"new{self._fresh}")
            else:
                yield self._engaged(self._random.choice(self._names))

    def _scored(self, name: str) -> tuple[Key, OutgoingRecord]:
        number, random = self._random.randrange(CHALLENGES), self._random
        embedding = embedding_bytes(np.full(WIDTH, 0.5))
        clip = ClipScored(
            clip_id=name,
            dancer_id=f"dancer-of-{name}",
            challenge_id=f"challenge{number}",
            uploaded_at_ms=int(time.time() * 1000),
            duration_s=10.0,
            generation="g1",
            modalities={m: ModalityResult(random.random(), 0.25, embedding) for m in PAPER_MODALITIES},
            missing=(),
            fused_score=random.random(),
            scored_at_ms=int(time.time() * 1000),
        )
        topic = self._settings.streamer.scored_topic
        return (name, 0), OutgoingRecord(topic, name.encode(), encode(clip), partition_by=clip.challenge_id)

    def _engaged(self, name: str) -> tuple[Key, OutgoingRecord]:
        """Half of the viewers react after an odd number of reports, one in a hundred after an even one."""
        number = self._decisions[name]
        self._decisions[name] += 1
        views = 1000 * number
        event = EngagementObserved(
            clip_id=name,
            observed_at_ms=int(time.time() * 1000) + number,
            likes=views // 2 if number % 2 else views // 100,
            comments=0,
            reposts=0,
            views=views,
        )
        return (name, number), OutgoingRecord(self._settings.pools.engagement_topic, name.encode(), encode(event))
