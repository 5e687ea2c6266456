"""The outcome of a simulation as CSV, one row for each thing that was counted."""

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Final

from dancerank.simulation.comparison import POLICY, Outcome
from dancerank.simulation.measures import Measures
from dancerank.simulation.world import DAY_MS
from schemas.errors import ConfigurationError

SUMMARY: Final = "summary.csv"
"""The measures, by policy, seed and allocation."""
CLIPS: Final = "clips.csv"
"""Each clip with what it was and the impressions that it was granted."""
TIERS: Final = "tiers.csv"
"""Impressions that a policy granted, by day and tier."""


def make_folder(folder: Path) -> None:
    """Raises ``ConfigurationError`` if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"--out {folder} cannot be made ({error.strerror}); choose another folder", field="out"
        ) from error


def write_tables(folder: Path, by_policy: Sequence[Sequence[Outcome]]) -> list[Path]:
    """Write the three tables into ``folder``, which is there; returns their paths. Raises ``ConfigurationError``."""
    outcomes = [outcome for of_policy in by_policy for outcome in of_policy]
    keys = ("policy", "seed")
    return [
        _write(
            folder / SUMMARY,
            (*keys, "allocation", *(field.name for field in fields(Measures))),
            (
                (o.policy.version, o.world.seed, name, *asdict(allocation.measures).values())
                for o in outcomes
                for name, allocation in o.allocations.items()
            ),
        ),
        _write(
            folder / CLIPS,
            (*keys, *_CLIP_COLUMNS, *(f"views_{name.replace(' ', '_')}" for name in outcomes[0].allocations)),
            (row for outcome in outcomes for row in _clips(outcome)),
        ),
        _write(
            folder / TIERS,
            (*keys, "day", "tier", "entries", "views"),
            (row for outcome in outcomes for row in _tiers(outcome)),
        ),
    ]


_CLIP_COLUMNS: Final = (
    "clip_id", "dancer_id", "challenge_id", "uploaded_day", "newcomer", "virality", "percentile", "rate",
)  # fmt: skip


def _clips(outcome: Outcome) -> Iterable[tuple[object, ...]]:
    world = outcome.world
    for index, clip in enumerate(world.clips):
        yield (
            outcome.policy.version,
            world.seed,
            *(clip.clip_id, clip.dancer_id, clip.challenge_id, int(world.arrivals_ms[index]) / DAY_MS),
            *(int(clip.dancer_id in world.newcomers), clip.virality),
            *(float(world.percentiles[index]), float(world.rates[index])),
            *(int(allocation.exposures[index]) for allocation in outcome.allocations.values()),
        )


def _tiers(outcome: Outcome) -> Iterable[tuple[object, ...]]:
    entries: Counter[tuple[int, int]] = Counter()
    views: Counter[tuple[int, int]] = Counter()
    for grant in outcome.allocations[POLICY].grants:
        key = (grant.at_ms // DAY_MS, grant.tier)
        entries[key] += 1
        views[key] += grant.exposures
    names = [tier.name for tier in outcome.policy.tiers]
    for key in sorted(entries):
        yield outcome.policy.version, outcome.world.seed, key[0], names[key[1]], entries[key], views[key]


def _write(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    try:
        with path.open("w", newline="", encoding="utf-8") as table:
            csv.writer(table).writerows([header, *rows])
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}); choose another folder", field="out"
        ) from error
    return path
