"""The benchmark of the pools: what it counts, and what it prints and writes."""

import json
from pathlib import Path

import pytest

from benchmarks import figures, pool_events


def test_bare_counts_are_those_that_the_pools_learn() -> None:
    policy = pool_events.many_times_policy()
    ledger = pool_events.ledger_of(policy, pool_events.made_uploads(60))
    cohorts = {clip.clip_id: clip.cohort for clip in ledger.clips()}
    bare = pool_events.BareCounts(cohorts)
    for event in pool_events.made_events(60, 1000):
        ledger.handle(event)
        bare.handle(event)
    assert set(bare.sums) == set(cohorts.values())
    assert all(ledger.counts(cohort) == counts for cohort, counts in bare.sums.items())


def test_figures_and_their_ratio_are_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    command = ["pool_events", "--events", "500", "--clips", "50", "--rounds", "2", "--waiting", "100"]
    monkeypatch.setattr("sys.argv", command)
    pool_events.main()
    printed, report = capsys.readouterr().out, json.loads((tmp_path / "pool-events.json").read_text())
    assert "pools over bare counts:" in printed
    assert "wanted:" in printed
    pools, bare = (report["events_per_s"][name] for name in (pool_events.POOLS, pool_events.BARE))
    assert report["ratio_to_bare"] == pytest.approx([ours / least for ours, least in zip(pools, bare, strict=True)])
    assert set(report["round_s"]) == {"10", "100"}
