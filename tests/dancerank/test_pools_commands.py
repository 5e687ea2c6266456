"""``dancerank pools``: what a person sees who tries a policy."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.commands.pools import parse_seeds, shipped_policy
from schemas.errors import ConfigurationError
from tests.vdv.data_sets import labelled, written

POLICY = """
version = "tiny-1"
window_s = 21600
[[tiers]]
name = "first"
exposures = 100
capacity = 2000
least_views = 80
gate = 0.04
stay_s = 86400
[[tiers]]
name = "second"
exposures = 1000
capacity = 4000
least_views = 800
stay_s = 86400
[nomination]
fewest_clips = 5
[nomination.thresholds]
fused = 60
skeletal = 90
[exploration]
share = 0.2
"""
CHARTS = {"exposure-by-percentile.png", "exposure-by-tier.png", "reactions.png"}
TABLES = {"summary.csv", "clips.csv", "tiers.csv"}


@pytest.fixture(autouse=True)
def wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.toml"
    path.write_text(POLICY)
    return path


@pytest.fixture
def recorded(tmp_path: Path) -> list[str]:
    data = written(tmp_path / "data", labelled(120, dancers=25))
    path = tmp_path / "predictions.csv"
    rows = [f"{a.clip_id},{a.likes},{(a.likes or 0) % 70}" for a in data.annotations]
    path.write_text("\n".join(["clip_id,fused,skeletal", *rows]))
    return ["--data", str(data.folder), "--predictions", str(path)]


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["pools", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as table:
        return list(csv.DictReader(table))


@pytest.mark.parametrize("command", ["simulate", "check"])
def test_every_command_explains_itself_and_each_of_its_options(command: str) -> None:
    code, output = run(command, "--help")
    assert code == 0
    for option, text in re.findall(r"^│[ *]+(?:\S+ +)?(--[a-z-]+)(.*)│$", output, flags=re.MULTILINE):
        assert len(re.findall(r"[a-z]{2,}", text)) >= 3, f"{option} is not explained"


def test_a_policy_is_shown_with_what_it_implies(policy: Path) -> None:
    code, output = run("check", policy)
    assert code == 0
    assert re.search(r"first +100 +20 +20 +20 +1 d +80 +4\.0% +8\.8% ", output)
    assert re.search(r"second +1,000 +4 +4 +4 +1 d +800 +– +– +– +–", output)
    assert "skeletal ≥ 90, fused ≥ 60" in output
    assert "16 a window" in output
    assert "20% of the first tier, chosen by Thompson sampling; 4 a window" in output


def test_the_shipped_policy_passes() -> None:
    assert run("check", shipped_policy())[0] == 0


def test_a_policy_that_cannot_work_is_refused_with_its_line(policy: Path) -> None:
    policy.write_text(POLICY.replace("least_views = 800", "least_views = 8000"))
    code, output = run("check", policy)
    assert (code, "Traceback" in output) == (1, False)
    assert "tiny.toml, line 15" in output
    assert "least_views" in output
    code, output = run("simulate", "--policy", policy)
    assert (code, "line 15" in output) == (1, True)


def test_synthetic_clips_are_filmed_scored_and_replayed_under_the_shipped_policy() -> None:
    code, output = run("simulate", "--clips", 64, "--seeds", "5", "--days", 1)
    assert code == 0
    assert re.search(r"Policy \S+, 52 clips in 1 day, seed 5", output)
    for allocation in ("policy", "popularity only", "uniform", "oracle"):
        assert re.search(rf"{allocation} +– +\S+% +\S+% +0\.\d\d", output)


def test_policies_are_compared_over_seeds_and_written_as_tables_and_charts(
    tmp_path: Path, policy: Path, recorded: list[str]
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(POLICY.replace("tiny-1", "other-1").replace("capacity = 4000", "capacity = 8000"))
    out = tmp_path / "new" / "out"
    both = ["simulate", "--policy", policy, "--policy", other, *recorded, "--seeds", "1,2", "--days", 2]
    code, output = run(*both, "--out", out)
    assert code == 0
    assert "Policy tiny-1, 96 clips in 2 days, seeds 1, 2: mean ± deviation. Every row" in output
    assert "Policy other-1" in output
    assert re.search(r"second +\S+ ± \S+ +\S+ ± \S+ +32,000 ", output)
    assert {path.name for path in out.iterdir()} == CHARTS | TABLES
    assert all(name in output for name in CHARTS | TABLES)
    assert all((out / name).read_bytes().startswith(b"\x89PNG") for name in CHARTS)
    summary, clips, tiers = (rows_of(out / name) for name in ("summary.csv", "clips.csv", "tiers.csv"))
    assert len(summary) == 2 * 2 * 4
    assert len(clips) == 2 * 2 * 96
    for row in summary:
        of_policy = [c for c in clips if (c["policy"], c["seed"]) == (row["policy"], row["seed"])]
        column = f"views_{row['allocation'].replace(' ', '_')}"
        assert sum(int(c[column]) for c in of_policy) == int(row["granted"])
        if row["allocation"] == "policy":
            given = [t for t in tiers if (t["policy"], t["seed"]) == (row["policy"], row["seed"])]
            assert sum(int(t["views"]) for t in given) == int(row["granted"])
    again = tmp_path / "again"
    assert run(*both, "--out", again)[0] == 0
    assert all((out / name).read_bytes() == (again / name).read_bytes() for name in TABLES)


@pytest.mark.parametrize("text", ["", "a", "1,", "1.5", "-1", "1,1", "1;2", str(2**31)])
def test_wrong_seeds_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="as in 1,2,3"):
        parse_seeds(text)
    assert parse_seeds("3, 0,12") == (3, 0, 12)


def test_options_that_cannot_go_together_or_lead_nowhere_are_refused(
    tmp_path: Path, policy: Path, recorded: list[str]
) -> None:
    file = tmp_path / "file"
    file.write_text("not a folder")
    for arguments, message in (
        (["--policy", policy, "--policy", policy], "two policies are called tiny-1"),
        (["--policy", tmp_path / "absent.toml"], "absent.toml cannot be read"),
        (["--policy", file], "file, line 1"),
        (["--predictions", file], "name their data set with --data"),
        (["--data", tmp_path], "--data needs --predictions"),
        ([*recorded, "--clips", 50], "--clips is about synthetic clips"),
        ([*recorded, "--bundle", tmp_path], "--bundle is about synthetic clips"),
        ([*recorded, "--days", 0], "0 days cannot be"),
        ([*recorded, "--median-rate", 2], "median rate of 2"),
        ([*recorded, "--seeds", "x"], "as in 1,2,3"),
        ([*recorded, "--out", file], "cannot be made"),
        (["--data", tmp_path / "no", "--predictions", file], "clips.csv: cannot be read"),
        (["--clips", 5], "5 clips are too few"),
        (["--bundle", tmp_path / "no"], "bundle.json"),
    ):
        code, output = run("simulate", *arguments)
        assert (code, "Traceback" in output) == (1, False)
        assert message in output


def test_without_charts_the_simulation_needs_neither_torch_nor_matplotlib(policy: Path, recorded: list[str]) -> None:
    code = (
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in ('torch', 'matplotlib', 'lightning'):\n"
        "            raise ModuleNotFoundError(name, name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from dancerank.cli import app\n"
        "app()\n"
    )
    command = [sys.executable, "-c", code, "pools", "simulate", "--policy", str(policy), *recorded, "--seeds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, "oracle" in done.stdout) == (0, True), done.stderr
    refused = subprocess.run([*command, "--out", "out"], capture_output=True, text=True, timeout=120, check=False)
    assert refused.returncode == 1
    assert "needs matplotlib; install the extra" in refused.stderr
