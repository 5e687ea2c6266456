"""The benchmark of the index view measures what it says."""

import json
from pathlib import Path

import pytest

from benchmarks import figures, index_view


def test_it_reports_the_cost_of_events_at_each_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(index_view, "SIZES", {"quick": (40, 80)})
    monkeypatch.setattr(index_view, "BATCH", 10)
    monkeypatch.setattr("sys.argv", ["index_view", "--quick", "--rounds", "2", "--width", "8", "--index", "numpy"])
    index_view.main()
    report = json.loads((tmp_path / "index_view.json").read_text())
    assert {each["name"] for each in report["figures"]} == {
        "time of an event, median of rounds",
        "time of an event, mean with all merges",
        "cost of an event: snapshot bytes an event",
        "cost of an event: of the catalogue",
        "restart at 80 clips",
    }
    assert all(each["value"] > 0 for each in report["figures"])
    # 7 new clips, 2 scored again and 1 deleted of 10, in 4 batches of each of 2 rounds.
    assert [len(rounds) for rounds in report["rounds"].values()] == [2, 2]


def test_events_are_new_clips_clips_scored_again_and_deletions() -> None:
    events = index_view.Events(4)
    events.new(50)
    kinds = [type(entry).__name__ for entry in events.mixed(20)]
    assert {kind: kinds.count(kind) for kind in kinds} == {"ScoredRecord": 18, "DeletedRecord": 2}
