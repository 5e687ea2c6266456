"""Worlds of synthetic clips: filmed, then scored by a bundle's own streams and fusion, in memory."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from dancerank.simulation.world import MEDIAN_RATE, Clip, World, make_world
from dancerank.synthetic import Plan, PlannedClip, film, plan_clips
from schemas.bundle import Bundle
from schemas.errors import ConfigurationError, InferenceFailed
from schemas.events import ClipUploaded, InlineFeatures
from schemas.joints import MPII_16
from schemas.modalities import Dimension
from streamer.batching import Batch, LengthBatcher
from streamer.runtimes.selection import open_runtime
from streamer.scoring import Scorer, ScoringInput, length_in_steps
from streamer.settings import StreamerSettings
from vdv.targets import targets

SHORT: Final = Plan(shortest_s=3.0, longest_s=6.0)
"""Short clips are quick to film and to score; length carries no signal."""
FIRST_SEED: Final = 1000
"""World 0 has the clips of this seed, far from those that the bundle was trained and chosen with."""


@dataclass(frozen=True)
class SyntheticWorlds:
    """Makes the world of a seed from ``clips`` clips. Equal seeds give equal worlds."""

    bundle: Bundle
    clips: int
    days: float
    median_rate: float = MEDIAN_RATE
    settings: StreamerSettings = field(default_factory=StreamerSettings)

    def world(self, seed: int, progress: Callable[[int], None] = lambda _: None) -> World:
        """Calls ``progress`` with the number of clips scored so far. Raises ``InferenceFailed`` if one cannot be."""
        plan = self.plan()
        planned = plan_clips(self.clips, seed=FIRST_SEED + seed, plan=plan)
        virality = targets([clip.annotation for clip in planned]).raw
        scores = self._scores(planned, plan, progress)
        clips = [
            Clip(clip.clip_id, clip.dancer.dancer_id, clip.challenge_id, scores[clip.clip_id], float(score))
            for clip, score in zip(planned, virality, strict=True)
        ]
        return make_world(clips, seed=seed, days=self.days, median_rate=self.median_rate)

    def _scores(
        self, planned: list[PlannedClip], plan: Plan, progress: Callable[[int], None]
    ) -> dict[str, dict[Dimension, float]]:
        settings = self.settings
        scorer = Scorer(
            open_runtime(
                settings.runtime, self.bundle, providers=settings.providers, threads=settings.inference_threads
            )
        )
        batcher: LengthBatcher[ScoringInput] = LengthBatcher(
            max_clips=settings.max_batch_clips,
            max_steps=settings.max_batch_steps,
            max_wait_s=math.inf,
            ratio=settings.length_ratio,
        )
        scores: dict[str, dict[Dimension, float]] = {}

        def score(batches: Sequence[Batch[ScoringInput]]) -> None:
            for batch in batches:
                for result in scorer.score(batch.items):
                    if isinstance(result, InferenceFailed):
                        raise result
                    scores[result.clip_id] = result.scores()
                progress(len(scores))

        for clip in planned:
            features = film(clip, plan).features
            batcher.add((_upload(clip), features), length_in_steps(features), 0.0)
            score(batcher.due(0.0))
        score(batcher.drain())
        return scores

    def plan(self) -> Plan:
        """Only what the bundle reads is filmed. Raises ``ConfigurationError`` for a bundle of other joints."""
        manifest = self.bundle.manifest
        if manifest.joint_layout not in (None, MPII_16.name):
            raise ConfigurationError(
                f"the bundle reads joints as {manifest.joint_layout}, synthetic clips have {MPII_16.name}; use another "
                "bundle, or --data with its predictions",
                field="bundle",
            )
        return replace(SHORT, modalities=manifest.fused_modalities)


def _upload(clip: PlannedClip) -> ClipUploaded:
    return ClipUploaded(
        clip_id=clip.clip_id,
        dancer_id=clip.dancer.dancer_id,
        challenge_id=clip.challenge_id,
        uploaded_at_ms=0,
        duration_s=clip.duration_s,
        features=InlineFeatures(b""),  # they are passed beside it
    )
