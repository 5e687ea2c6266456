"""Clips that were scored and observed, written to a database, for the tests of the monitoring."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.database.tables import engagement
from ranking.scores.store import ScoreStore
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Agreement, Calibration, Drift, Observer
from tests.ranking.examples import NOW_MS, apply, result, scored_clip, with_scores


class Seen(NamedTuple):
    """A clip: what was predicted of it, what came of it, and when that was counted."""

    clip_id: str
    challenge_id: str
    scores: Mapping[Modality, float]
    fused: float
    virality: float
    observed_at_ms: int = NOW_MS
    days_online: float = 2.0
    generation: str = "g1"


def observe(database: Database, clips: Sequence[Seen]) -> None:
    """Write the clips' scores and engagement to the migrated database at ``url``."""
    store = ScoreStore(database)
    apply(
        store,
        [
            with_scores(c.clip_id, c.scores, c.fused, challenge_id=c.challenge_id, generation=c.generation)
            for c in clips
        ],
    )
    rows = {
        clip.clip_id: {
            "clip_id": clip.clip_id,
            "challenge_id": clip.challenge_id,
            "observed_at_ms": clip.observed_at_ms,
            "likes": 1,
            "comments": 0,
            "reposts": 0,
            "views": None,
            "views_observed_at_ms": 0,
            "days_online": clip.days_online,
            "virality": clip.virality,
        }
        for clip in clips
    }
    with database.writing() as connection:
        connection.execute(sa.insert(engagement), list(rows.values()))


def random_clips(
    challenge_id: str, count: int, generator: np.random.Generator, *, agreement: float = 0.5, absent: float = 0.2
) -> list[Seen]:
    """Clips with scores that agree with virality as much as asked, in a random order of observation."""
    seen = []
    for number in range(count):
        virality = float(generator.normal(5, 2))
        noise = generator.normal(0, 0.3, size=5)
        values = 0.5 + agreement * (virality - 5) / 4 + noise
        scores = {m: float(values[i]) for i, m in enumerate(FUSED_MODALITIES) if not i or generator.random() >= absent}
        at_ms = NOW_MS + int(generator.integers(1_000_000))
        days = float(generator.choice([0.4, 1.0, 3.0, 9.0]))
        seen.append(
            Seen(f"{challenge_id}-{number}", challenge_id, scores, float(values[4]), virality, at_ms, days_online=days)
        )
    return seen


def plain_clips(count: int, *, start: int = 0, generation: str = "g1", norm: float = 1.0) -> list[ClipScored]:
    """Clips with skeletal results only, whose fused score is their number and whose norms are near ``norm``."""
    return [
        scored_clip(
            f"c{number}",
            generation=generation,
            modalities={Modality.SKELETAL: result((norm * (1 + number % 10 / 100), 0.0), score=number % 7)},
            fused_score=float(number),
            scored_at_ms=NOW_MS + number,
        )
        for number in range(start, start + count)
    ]


class RecordingObserver(Observer):
    """Keeps the last report of each kind."""

    def __init__(self) -> None:
        self.agreements: dict[tuple[str | None, str], Agreement] = {}
        self.calibrations: dict[str, Calibration] = {}
        self.drift: Drift | None = None
        self.measured_at_ms: int | None = None
        self.failures = 0

    def agreement_measured(self, agreements: Iterable[Agreement]) -> None:
        self.agreements = {(a.challenge_id, str(a.dimension)): a for a in agreements}

    def calibration_measured(self, calibrations: Iterable[Calibration]) -> None:
        self.calibrations = {str(c.dimension): c for c in calibrations}

    def drift_measured(self, drift: Drift) -> None:
        self.drift = drift

    def model_measured(self, measured_at_ms: int) -> None:
        self.measured_at_ms = measured_at_ms

    def model_not_measured(self) -> None:
        self.failures += 1
