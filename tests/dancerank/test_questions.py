"""Queries on the command line: their output, and the errors where there is no data."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.commands.questions import ranking_table
from dancerank.commands.similarity import hits_table
from dancerank.demo.running import show_dead_letters
from ranking.scores.store import ScoreStore
from ranking.vectors.view import IndexView
from schemas.clock import SystemClock
from schemas.modalities import FUSED_MODALITIES, Dimension, Modality
from schemas.ports import Record
from schemas.questions.retrieval import RankedClip, Ranking, SimilarAnswer, SimilarHit
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, scored_clip

AWKWARD = "a[/b]:smile:[red]"


def shown(table: Table) -> str:
    console = Console(width=200, record=True, file=StringIO())
    console.print(table)
    return console.export_text()


def test_ids_are_shown_as_they_are_whatever_they_look_like() -> None:
    hit = SimilarHit(AWKWARD, AWKWARD, AWKWARD, 0.5, {Modality.SKELETAL: 0.5}, [])
    answer = SimilarAnswer("g", {Modality.SKELETAL: 1.0}, [hit])
    assert shown(hits_table(answer, f"Similar to {AWKWARD}")).count(AWKWARD) == 4
    ranking = Ranking(AWKWARD, Dimension.FUSED, "g", "top", 1, [RankedClip(1, 50.0, AWKWARD, AWKWARD, 0.5)])
    assert shown(ranking_table(ranking)).count(AWKWARD) == 3


def test_an_approximate_answer_says_so() -> None:
    answers = [SimilarAnswer("g", {Modality.SKELETAL: 1.0}, [], approximate=said) for said in (False, True)]
    assert ["approximate" in shown(hits_table(answer, "Similar")) for answer in answers] == [False, True]


@pytest.mark.parametrize("modality", [Modality.SCENIC, Modality.ROUTINE])
def test_what_is_not_fused_has_a_column_where_a_row_has_it(modality: Modality) -> None:
    hits = [
        SimilarHit(name, "d", "ch", 0.5, {each: 0.5}, []) for name, each in (("a", Modality.SKELETAL), ("b", modality))
    ]
    columns = [str(column.header) for column in hits_table(SimilarAnswer("g", {}, hits), "Similar").columns]
    assert columns[4:] == [*FUSED_MODALITIES, *([] if modality.is_fused else [modality])]


def test_dead_letters_are_shown_as_they_are() -> None:
    texts = {"topic": "t", "partition": "0", "offset": "1", "code": "c", "message": AWKWARD, "clip_id": AWKWARD}
    dead_record = Record("dead", 0, 0, 0, None, None, tuple((name, text.encode()) for name, text in texts.items()))
    console = Console(width=200, record=True, file=StringIO())
    show_dead_letters(console, [dead_record])
    assert console.export_text().count(AWKWARD) == 2


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_question_before_there_is_data_names_the_place_and_what_fills_it_and_creates_nothing(empty: Path) -> None:
    similar = CliRunner().invoke(app, ["similar", "--clip", "a"])
    assert (similar.exit_code, "error (no_data)" in similar.output) == (1, True)
    assert "dancerank-index (ranking.index_folder); dancerank serve" in similar.output
    for arguments in ([], ["challenge"]):
        rankings = CliRunner().invoke(app, ["rankings", *arguments])
        assert (rankings.exit_code, "error (no_data)" in rankings.output) == (1, True)
        assert "sqlite:///dancerank.db (ranking.database_url): the file " in rankings.output
    assert list(empty.iterdir()) == []


def test_similar_needs_no_database(empty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(IndexView, "clips", lambda _: 1)
    result = CliRunner().invoke(app, ["similar", "--clip", "nobody"])
    assert (result.exit_code, "error (not_" in result.output) == (1, True), result.output
    assert list(empty.iterdir()) == []


def test_an_empty_database_is_named(empty: Path) -> None:
    with migrated("sqlite:///dancerank.db"):
        pass
    result = CliRunner().invoke(app, ["rankings"])
    assert result.exit_code == 1
    assert "no rankings in sqlite:///dancerank.db" in result.output


def test_the_clips_around_one_are_listed_best_first_and_a_window_is_named(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    now_ms = SystemClock().now_ms()
    with migrated("sqlite:///dancerank.db") as database:
        clips = [scored_clip(f"c{n}", fused_score=n / 8, uploaded_at_ms=now_ms - n * 50_000_000) for n in range(5)]
        apply(ScoreStore(database), clips)
    around = CliRunner().invoke(app, ["rankings", "--around", "c2", "-k", "1"])
    assert around.exit_code == 0
    assert [name for name in around.output.split() if name in {"c1", "c2", "c3"}] == ["c3", "c2", "c1"]
    recent = CliRunner().invoke(app, ["rankings", "ch", "--window", "24h"])
    assert "top of 2 clips, uploaded in the last 24h" in " ".join(recent.output.split())
    assert "c3" not in recent.output
    both = CliRunner().invoke(app, ["rankings", "ch", "--around", "c2"])
    assert both.exit_code == 1
    assert "--around" in both.output
