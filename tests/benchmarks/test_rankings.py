"""The benchmark of rankings asks every question of a real store, and holds its figures against the bars."""

from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.rankings import BAR_CLIPS_PER_S, BAR_MS, Found, Latency, measure, measured, table
from ranking.database.connection import Database


def test_every_question_is_asked_of_a_challenge_of_the_size(tmp_path: Path) -> None:
    with closing(Database(f"sqlite:///{tmp_path / 'rankings.db'}")) as database:
        database.migrate()
        found = measure(database, "sqlite", 600, batch=50, asked_times=20)
    assert (found.database, found.clips) == ("sqlite", 600)
    assert {"place", "neighbours", "mean attention", "top 10 in 7 d"} <= set(found.questions)
    assert all(0 < each.p50_ms <= each.p99_ms for each in found.questions.values())
    assert all(each.processor_ms > 0 for each in found.questions.values())
    assert found.clips_per_s > 0
    assert found.per_processor_s > 0
    assert found.bytes_per_clip > 100
    assert table([found]).row_count == len(found.questions) + 4


def test_figures_have_bars_at_every_size_and_ratios_between_the_ends() -> None:
    small = Found("sqlite", 10, 2 * BAR_CLIPS_PER_S, 9e3, 1.0, 1.0, {"place": Latency(0.2, 0.5, 0.1)})
    large = Found("sqlite", 1000, BAR_CLIPS_PER_S / 2, 9e3, 1.0, 1.0, {"place": Latency(0.3, 2 * BAR_MS, 0.1)})
    figures = {each.name: each for each in measured([small, large])}
    assert figures["sqlite, 10 clips: place, p99"].met is True
    assert figures["sqlite, 1000 clips: place, p99"].met is False
    assert figures["sqlite, 1000 clips: written"].met is False
    assert figures["sqlite: place, p50, most over fewest clips"].value == pytest.approx(1.5)
    assert figures["sqlite: written, most over fewest clips"].value == 0.25
