"""The benchmark of ACTION-NET: its rows, and that small runs on planted routines and a made-up folder give figures."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import figures, routines
from benchmarks.routines import ABLATIONS, COLUMNS, PUBLISHED, TABLES, published
from extraction.drawing.video_files import VideoWriter
from networks.action_net.recipe import RECIPES


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str) -> dict[str, Any]:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(routines, "OUT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["routines", *options, "--threads", "1"])
    routines.main()
    written: dict[str, Any] = json.loads((tmp_path / "routines.json").read_text())
    return written


def test_every_row_can_be_run_and_published_figures_have_their_column() -> None:
    assert all(len(row) == len(COLUMNS) for row in PUBLISHED.values())
    for rows in TABLES.values():
        assert all(row in ABLATIONS or row.startswith(("ResNet", "I3D")) for row in rows)
    assert published("ACTION-NET", "Hoop") == 0.708
    assert published("ACTION-NET", "planted") is None
    assert RECIPES["Ball"].shortened(40).decay_epochs == (30, 35)


def test_a_small_run_on_planted_routines_writes_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = run(monkeypatch, tmp_path, "--quick", "--planted", "12", "--epochs", "1")
    names = [one["name"] for one in written["figures"]]
    assert names == ["dynamic stream, planted", "static stream, planted", "ACTION-NET, planted"]
    assert (tmp_path / "routines-planted.png").read_bytes().startswith(b"\x89PNG")


def test_a_small_run_on_a_made_up_folder_averages_random_divisions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = np.random.default_rng(0)
    for kind, width in (("dynamic_feat", 1024), ("static_feat", 2048), ("whole", 2048)):
        (tmp_path / kind).mkdir()
        for number in range(8):
            np.save(tmp_path / kind / f"{number}.npy", generator.random((3, width)))
    (tmp_path / "scores.txt").write_text("".join(f"{n} {30 + n} {20 + n}\n" for n in range(8)))
    monkeypatch.setattr(routines, "SKATING_TRAINING", 5)
    options = ("--data", "skating", "--table", "1", "4", "--epochs", "1", "--splits", "2", "--undetected", "whole")
    monkeypatch.setitem(TABLES, 1, ("I3D, average, SVR", "ResNet, LSTM"))  # type: ignore[arg-type]
    monkeypatch.setitem(TABLES, 4, ("undetected",))  # type: ignore[arg-type]
    written = run(monkeypatch, tmp_path, str(tmp_path), *options)
    assert {one["name"]: one["bar"] for one in written["figures"]}["undetected, MIT-Skating"] == 0.592
    assert all(len(found["MIT-Skating"]) == 2 for found in written["correlations"].values())
    assert len(written["correlations"]) == 3


def test_a_folder_of_another_layout_is_refused_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        SystemExit, match=r"error \(data_set\): .*scores.txt cannot be read .*; give the published folder"
    ):
        run(monkeypatch, tmp_path, str(tmp_path), "--data", "skating")


def test_routines_are_shown_with_the_stills_of_their_videos(tmp_path: Path) -> None:
    made = tmp_path / "videos"
    made.mkdir()
    with VideoWriter(made / "one.mp4", "mp4") as writer:
        for number in range(50):
            writer.write(np.full((64, 64, 3), 2 * number, np.uint8))
    videos = routines.videos_of(made, ["one", "two"])
    assert videos == {"one": made / "one.mp4"}
    stills = routines.stills_of(videos["one"], [0.4, 1.6, 7.0])
    assert sorted(stills) == [0.4, 1.6]
    assert [round(float(stills[second].mean())) for second in (0.4, 1.6)] == pytest.approx([20, 80], abs=4)
