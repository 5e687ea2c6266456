"""The benchmark of dance styles: recordings stay whole, and small runs give figures and confusion matrices."""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import figures, styles
from benchmarks.styles import held_out, recorded_figures
from networks.styles.clips import StyleClip
from networks.styles.evaluation import report
from schemas.joints import COCO_17


def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, *options: str) -> dict[str, Any]:
    monkeypatch.setattr(figures, "OUT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["styles", *options])
    styles.main()
    written: dict[str, Any] = json.loads((tmp_path / "styles.json").read_text())
    return written


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--recordings", "{folder}", "--quick"], r"error \(\w+\): .*dance_with_melody_skeletons.npz"),
        (["--lets-dance", "{folder}"], r"error \(data_set\): .*densepose"),
    ],
    ids=["recordings", "Let's Dance"],
)
def test_a_folder_of_another_layout_is_refused_in_a_sentence(
    options: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=says):
        run(monkeypatch, tmp_path, *(option.format(folder=tmp_path) for option in options))


def test_every_clip_is_named_once_by_what_has_not_seen_its_recording() -> None:
    clips = [StyleClip(f"c{n}", f"g{n // 2}", "ab"[n // 2 % 2], np.zeros((2, 1))) for n in range(8)]

    def predict(train: Any, test: Any, number: int) -> list[str]:
        assert not {one.group for one in train} & {one.group for one in test}
        return ["a" if number == 0 else "b"] * len(test)

    found = held_out(clips, [([4, 5, 6, 7], [0, 1, 2, 3]), ([0, 1, 2, 3], [4, 5, 6, 7])], predict)
    assert found.confusion.tolist() == [[2, 2], [2, 2]]


def test_the_bars_are_for_the_lowest_draw_of_what_is_chosen() -> None:
    draws = [report(["a", "b"], ["a", "a", "a", "b"], named) for named in (["a"] * 3 + ["b"], ["a"] * 4)]
    measured = recorded_figures({"chosen": draws, "tcn": draws[:1]})
    assert [one.value for one in measured] == [0.875, 0.75, 0.75, 0.5, 1.0, 1.0]
    assert [one.bar for one in measured] == [None, 0.97, None, 0.95, None, None]


def test_a_small_run_on_recordings_writes_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    generator = np.random.default_rng(0)
    pose = generator.normal(0, 30, (23, 3))
    clips = []
    for number in range(24):
        frames = pose + generator.normal(0, 0.5, (40, 23, 3))
        frames[:, 15] += 30 * np.sin(np.arange(40) * (0.2 + number % 3 * 0.4))[:, None]
        clips.append(StyleClip(f"c{number}", f"g{number}", "abc"[number % 3], frames.astype(np.float32)))
    monkeypatch.setattr(styles, "recorded_clips", lambda folder: clips)
    monkeypatch.setattr(styles, "CHOSEN", {"chosen": styles.LINEAR_MACHINES[-1:]})
    monkeypatch.setattr(styles, "FOLDS", 2)
    monkeypatch.setattr(styles, "INNER_FOLDS", 3)
    options = ("--methods", "chosen", "lstm", "--draws", "1", "--trials", "1", "--epochs", "1", "--threads", "1")
    written = run(monkeypatch, tmp_path, *options)
    assert [one["name"] for one in written["figures"]][:2] == [
        "chosen, accuracy",
        "chosen, accuracy, lowest of 1 draws",
    ]
    assert written["figures"][0]["value"] > 0.6
    assert "inner folds chose" in capsys.readouterr().out
    assert (tmp_path / "styles.png").read_bytes().startswith(b"\x89PNG")
    assert [sum(map(sum, one[0]["confusion"])) for one in written["reports"].values()] == [24, 24]


def test_a_small_run_on_lets_dance_writes_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    names = [name.replace(" ", "_") for name in COCO_17.joints]
    for style in ("ballet", "tango", "waltz"):
        (tmp_path / "densepose" / style).mkdir(parents=True)
        for video in range(10):
            for frame in range(1, 41, 3):
                points = generator.normal(300, 50, (17, 2)).tolist()
                person = [["person", 1.0], *([name, at] for name, at in zip(names, points, strict=True))]
                path = tmp_path / "densepose" / style / f"{style}{video}_{frame:04d}.json"
                path.write_text(json.dumps([person]))
            (tmp_path / "images" / style).mkdir(parents=True, exist_ok=True)
            np.save(tmp_path / "images" / style / f"{style}{video}.npy", generator.random((40, 512)))
    options = (
        "--lets-dance",
        str(tmp_path),
        "--images",
        str(tmp_path / "images"),
        "--methods",
        "tcn",
        "--trials",
        "1",
        "--epochs",
        "1",
        "--threads",
        "1",
    )
    monkeypatch.setattr(styles, "SUB_SAMPLING", (10, 5, 2))
    written = run(monkeypatch, tmp_path, *options)
    bars = {one["name"]: one["bar"] for one in written["figures"]}
    names = ("poses", "frames", "tcn")
    assert bars == {
        f"Let's Dance, {name}, accuracy": bar for name, bar in zip(names, (None, 0.564, 0.582), strict=True)
    }
    assert all(sum(map(sum, one[0]["confusion"])) == 3 for one in written["reports"].values())
