"""``make papers``: both lanes run, what parts print is shown whole, and a part that fails fails the whole."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks import figures, papers
from benchmarks.papers import LANES, Part, measured, run_lanes


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Modules ``busy_part`` and ``failing_part``, whose figures go to a folder of their own."""
    (tmp_path / "busy_part.py").write_text(
        "import sys, time\n"
        "while time.process_time() < 0.3: pass\n"
        "print('busy', *sys.argv[1:])\n"
        "print('progress of a part', file=sys.stderr)\n"
    )
    (tmp_path / "failing_part.py").write_text("print('before the fault')\nraise SystemExit('the fault')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setattr(figures, "OUT", tmp_path)
    return tmp_path


def test_every_part_of_a_lane_runs_and_its_processor_time_is_measured(
    parts: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    lanes = {"one": (("failing_part",), ("busy_part", "--quick")), "two": (("busy_part",),)}
    found = run_lanes(lanes, ("--quick",))
    assert [(part.lane, part.command, part.status) for part in found] == [
        ("one", "python -m failing_part --quick", 1),
        ("one", "python -m busy_part --quick", 0),
        ("two", "python -m busy_part --quick", 0),
    ]
    assert all(part.processor_s >= 0.25 for part in found[1:])
    printed = capfd.readouterr().out
    assert "==> python -m failing_part --quick\nbefore the fault\n\nthe fault\n" in printed
    assert "progress of a part" not in printed
    assert printed.count("==> python -m busy_part --quick\nbusy --quick\n") == 2


def test_the_longer_lane_is_held_against_its_bar() -> None:
    found = measured([Part("a", "x", 1, 300, 0), Part("a", "y", 1, 200, 0), Part("b", "z", 1, 400, 0)], 650)
    assert [(each.name, each.value, each.met) for each in found] == [
        ("both lanes, by the clock", 650, False),
        ("longer lane (a), processor time", 500, False),
    ]


def test_a_part_that_fails_fails_the_whole_and_styles_need_their_data(
    parts: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("DANCERANK_DATA", raising=False)
    monkeypatch.setattr(papers, "LANES", {papers.ROUTINES: (("failing_part",),), papers.STYLES: (("busy_part",),)})
    monkeypatch.setattr(sys, "argv", ["papers"])
    assert papers.main() == 1
    printed = capfd.readouterr().out
    assert "set DANCERANK_DATA" in printed
    assert "failed (1)" in printed
    assert "==> python -m busy_part" not in printed
    assert len(json.loads((parts / "papers.json").read_text())["parts"]) == 1


def test_the_parts_are_benchmarks_of_this_package() -> None:
    modules = [command[0].removeprefix("benchmarks.") for lane in LANES.values() for command in lane]
    assert all((Path(papers.__file__).parent / f"{module}.py").is_file() for module in modules)
