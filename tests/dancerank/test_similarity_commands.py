"""Similarity on the command line, over an index snapshot and a database, and what is wrong by the option's name."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.processes import Processes
from dancerank.settings import load_settings
from ranking.scores.store import ScoreStore
from ranking.vectors.view import IndexView
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.modalities import Modality
from schemas.observation import Observer
from tests.ranking.databases import migrated
from tests.ranking.examples import NOW_MS, logged, result, scored_clip

SKELETAL, SCENIC = Modality.SKELETAL, Modality.SCENIC
# Clip: dancer, challenge, hours before NOW_MS, fused score, movement, room.
CLIPS: dict[str, tuple[str, str, int, float, list[float], list[float]]] = {
    "clip-a": ("d1", "ch", 0, 0.9, [1, 0], [1, 0]),
    "clip-b": ("d2", "ch", 1, 0.7, [4, 3], [1, 0]),
    "clip-c": ("d3", "ch", 2, 0.5, [3, 4], [0, 1]),
    "clip-d": ("d4", "other", 3, 0.3, [4, 3], [-1, 0]),
    "clip-e": ("d2", "other", 4, 0.1, [0, 1], [0, 1]),
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    clips = [
        scored_clip(
            name,
            dancer_id=dancer,
            challenge_id=challenge,
            uploaded_at_ms=NOW_MS - hours * 3_600_000,
            fused_score=score,
            modalities={SKELETAL: result(movement), SCENIC: result(room)},
        )
        for name, (dancer, challenge, hours, score, movement, room) in CLIPS.items()
    ]
    entries = logged(clips)
    settings = load_settings(None)
    index: IndexView = Processes(settings, observer=Observer(), clock=ManualClock(start_ms=NOW_MS)).open_index()
    with migrated(settings.ranking.database_url) as database:
        for view in (ScoreStore(database), index):
            view.apply(entries, positions_after(entry.record for entry in entries))
    index.save(settings.ranking.index_folder)
    return tmp_path


def similar(*options: str) -> list[str]:
    """The clips of the table, best first, one for each dancer unless asked otherwise."""
    run = CliRunner().invoke(app, ["similar", "--weights", "skeletal", *options])
    assert run.exit_code == 0, run.output
    rows = [line.split("│") for line in run.output.splitlines() if line.startswith("│")]
    return [row[2].strip() for row in rows]


def refused(*options: str) -> str:
    run = CliRunner().invoke(app, ["similar", *options])
    assert run.exit_code == 1, run.output
    return run.output


def test_examples_filters_and_exclusions(folder: Path) -> None:
    example = ("--clip", "clip-a", "--by", "clip")
    assert similar(*example) == ["clip-b", "clip-d", "clip-c", "clip-e"]
    assert similar(*example, "--challenge", "ch", "--challenge", "other", "-k", "2") == ["clip-b", "clip-d"]
    assert similar(*example, "--among-dancer", "d2") == ["clip-b", "clip-e"]
    assert similar(*example, "--exclude", "clip-b", "--exclude-dancer", "d3") == ["clip-d", "clip-e"]
    (folder / "seen").write_text("clip-d\n\nclip-e\nnever-uploaded\n")
    assert similar(*example, "--exclude-from", "seen") == ["clip-b", "clip-c"]
    assert similar(*example, "--uploaded-from", "2023-11-14T20:13:20") == ["clip-b", "clip-c"]
    assert similar(*example, "--uploaded-before", "2023-11-14T20:13:20") == ["clip-d", "clip-e"]
    assert similar(*example, "--percentile-from", "50", "--percentile-by", "fused") == ["clip-b", "clip-d"]


def test_several_examples_negative_weights_and_embeddings(folder: Path) -> None:
    assert similar("--like", "clip-a", "--like", "clip-b", "--like-dancer", "d1", "--by", "clip") == [
        "clip-d",
        "clip-c",
    ]
    unlike = ("--unlike-dancer", "d3", "--unlike-weight", "1")
    assert similar("--clip", "clip-e", "--by", "clip", *unlike)[0] == "clip-d"
    run = CliRunner().invoke(app, ["similar", "--clip", "clip-a", "--weights", "skeletal:1,scenic:-1"])
    assert "skeletal 0.50, scenic -0.50" in run.output
    (folder / "asked.json").write_text(json.dumps({"scenic": [-1, 0]}))
    of_file = ("--embeddings", "asked.json", "--generation", "g1", "--weights", "scenic", "--by", "clip", "-k", "1")
    run = CliRunner().invoke(app, ["similar", *of_file])
    assert "clip-d" in run.output


def test_pages_recency_and_diversity(folder: Path) -> None:
    example = ("--clip", "clip-a", "--by", "clip")
    run = CliRunner().invoke(app, ["similar", "--weights", "skeletal", *example, "-k", "3"])
    cursor = run.output.rsplit("--cursor ", 1)[1].strip()
    assert similar(*example, "--cursor", cursor) == ["clip-e"]
    assert "another question" in refused(*example, "--cursor", cursor)
    assert similar(*example, "--mmr-lambda", "0.3", "--mmr-pool", "10") == ["clip-b", "clip-e", "clip-d", "clip-c"]
    assert similar(*example, "--half-life-s", "1e12") == ["clip-b", "clip-d", "clip-c", "clip-e"]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["-k", "0"], "-k is 0"),
        (["--weights", "elbow:1"], "--weights"),
        (["--weights", "skeletal:0"], "--weights"),
        (["--weights", "skeletal:nan"], "--weights"),
        (["--clip", "unknown"], "--clip: clip unknown"),
        (["--like", "clip-a"], "give exactly one of --clip"),
        (["--unlike", "unknown"], "--unlike: unlike.0"),
        (["--unlike-weight", "3"], "--unlike-weight"),
        (["--challenge", "nowhere"], "--challenge"),
        (["--among-dancer", "nobody"], "--among-dancer"),
        (["--uploaded-from", "soon"], "--uploaded-from"),
        (["--uploaded-from", "2024-01-02", "--uploaded-before", "2024-01-01"], "--uploaded-before"),
        (["--percentile-from", "101"], "--percentile-from"),
        (["--percentile-from", "60", "--percentile-to", "50"], "--percentile-to"),
        (["--half-life-s", "0"], "--half-life-s"),
        (["--mmr-lambda", "2"], "--mmr-lambda"),
        (["--mmr-pool", "0"], "--mmr-pool"),
        (["--cursor", "nonsense"], "--cursor"),
        (["--exclude-from", "absent"], "--exclude"),
        (["--generation", "g9"], "--generation"),
        (["--tier", "first"], "pools run"),
    ],
)
def test_what_is_wrong_is_named_by_its_option(folder: Path, options: list[str], named: str) -> None:
    assert named in refused(*(("--clip", "clip-a") if "--clip" not in options else ()), *options)


@pytest.mark.parametrize("content", ["[1, 2]", '{"elbow": [1]}', '{"scenic": ["a"]}', '{"scenic": 1}', "{"])
def test_a_file_without_embeddings_is_named(folder: Path, content: str) -> None:
    (folder / "asked.json").write_text(content)
    said = refused("--embeddings", "asked.json", "--generation", "g1")
    assert "--embeddings" in said
    assert "asked.json" in said


def test_near_duplicates(folder: Path) -> None:
    run = CliRunner().invoke(app, ["duplicates", "clip-b", "--threshold", "0.4"])
    assert run.exit_code == 0, run.output
    assert [name in run.output for name in ("clip-a", "clip-c", "clip-d")] == [True, True, False]
    assert "at least 0.40000" in run.output
    for options, named in (
        (["clip-b", "--threshold", "2"], "--threshold"),
        (["clip-b", "-k", "0"], "-k is 0"),
        (["unknown"], "clip unknown"),
    ):
        run = CliRunner().invoke(app, ["duplicates", *options])
        assert (run.exit_code, named in run.output) == (1, True), run.output


def test_similar_dancers(folder: Path) -> None:
    run = CliRunner().invoke(app, ["dancers", "d4", "--weights", "skeletal"])
    assert run.exit_code == 0, run.output
    rows = [line.split("│") for line in run.output.splitlines() if line.startswith("│")]
    assert [row[1].strip() for row in rows] == ["d3", "d2", "d1"]
    run = CliRunner().invoke(app, ["dancers", "d4", "--weights", "skeletal", "--by", "clips", "-k", "1"])
    assert "clip-b" in run.output
    for options, named in (
        (["d4", "-k", "0"], "-k is 0"),
        (["d4", "--weights", "elbow"], "--weights"),
        (["nobody"], "dancer nobody"),
    ):
        run = CliRunner().invoke(app, ["dancers", *options])
        assert (run.exit_code, named in run.output) == (1, True), run.output


def test_percentiles_need_the_database(folder: Path) -> None:
    (folder / "dancerank.db").unlink()
    assert "ranking.database_url" in refused("--clip", "clip-a", "--percentile-from", "50")
