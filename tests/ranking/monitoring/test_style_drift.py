"""Shares of dance styles, then and now."""

import numpy as np
import pytest

from ranking.database.connection import Database
from ranking.monitoring.drift import DriftMonitor
from ranking.monitoring.samples import DriftSamples
from ranking.monitoring.stability import style_drift
from schemas.events import ClipScored, StyleResult
from schemas.observation import Drift, Observer
from tests.ranking.examples import scored_clip


class Seen(Observer):
    drift: Drift

    def drift_measured(self, drift: Drift) -> None:
        self.drift = drift


def clips(first: int, styles: list[str | None], *, judged: bool = True) -> list[ClipScored]:
    return [
        scored_clip(f"c{first + n}", style=StyleResult(style=style, probability=0.5))
        if judged
        else scored_clip(f"c{first + n}")
        for n, style in enumerate(styles)
    ]


def test_shares_of_the_latest_clips_are_reported_beside_those_of_the_first(sqlite_database: Database) -> None:
    seen = Seen()
    monitor = DriftMonitor(DriftSamples(sqlite_database, reference_clips=10, window_clips=10), seen)
    monitor.add(clips(0, ["waltz"] * 8 + ["tango"] * 2))
    monitor.report("g1")
    assert seen.drift.styles == {}
    monitor.add(clips(10, ["waltz"] * 2 + [None] * 6))
    monitor.report("g1")
    monitor.add(clips(18, ["waltz"] * 2, judged=False))
    monitor.report("g1")
    shares = {style: (moved.reference, moved.window) for style, moved in seen.drift.styles.items()}
    assert shares == {"tango": (0.2, 0), "unknown": (0, 0.75), "waltz": (0.8, 0.25)}
    assert sum(moved.psi for moved in seen.drift.styles.values()) > 0.25


def test_the_index_is_that_of_shares_with_half_a_clip_added() -> None:
    found = style_drift({"a": 6, "b": 2}, {"a": 3, "c": 5})
    then, now = np.array([6.5, 2.5, 0.5]) / 9.5, np.array([3.5, 0.5, 5.5]) / 9.5
    expected = [(p - q) * np.log(p / q) for p, q in zip(now, then, strict=True)]
    assert [each.psi for each in found.values()] == pytest.approx(expected)
    assert list(found) == ["a", "b", "c"]
    assert sum(each.psi for each in style_drift({"a": 6, "b": 2}, {"a": 60, "b": 20}).values()) < 0.05


def test_nothing_is_said_without_judged_clips_on_both_sides() -> None:
    assert style_drift({}, {"a": 3}) == style_drift({"a": 3}, {}) == {}
