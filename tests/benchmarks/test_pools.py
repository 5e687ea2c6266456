"""The benchmark of workers that decide at once: what it reckons, and a short run on a real PostgreSQL."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks import figures, pools


def run(events_per_s: float) -> dict[str, float]:
    return {
        "events_per_s": events_per_s, "workers_cores": 0.5, "worker_ms_per_event": 0.4,
        "waits_for_locks": 0.031,
    }  # fmt: skip


@pytest.mark.parametrize(("two", "verdict"), [(1700.0, "(met)"), (1600.0, "(missed)")])
def test_the_ratio_is_taken_within_each_round_and_named_beside_the_bar(
    two: float, verdict: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {1: [run(1000.0), run(100.0), run(1000.0)], 2: [run(two), run(500.0), run(two)]}
    report = pools.summary(2, found)
    assert report["ratios"] == [two / 1000, 5.0, two / 1000]
    assert report["medians"]["2"]["events_per_s"] == two
    pools.show(Console(width=200), 2, found, report)
    printed = capsys.readouterr().out
    assert verdict in printed
    assert "3.1%" in printed


@pytest.mark.postgresql
@pytest.mark.slow
def test_a_short_run_measures_one_worker_and_two(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(pools, "KNOWN_CLIPS", 100)
    command = ["pools", "--rounds", "1", "--events", "100", "--batch", "25", "--database", postgresql_url]
    monkeypatch.setattr("sys.argv", command)
    pools.main()
    report = json.loads((tmp_path / "pools.json").read_text())
    assert set(report["runs"]) == {"1", "2"}
    assert report["ratio"] == pytest.approx(
        report["runs"]["2"][0]["events_per_s"] / report["runs"]["1"][0]["events_per_s"]
    )
    first = report["figures"][0]
    assert (first["value"], first["bar"]) == (report["ratio"], 1.7)
    assert 0 <= report["medians"]["2"]["waits_for_locks"] < 1
    assert "2 workers over one" in capsys.readouterr().out
