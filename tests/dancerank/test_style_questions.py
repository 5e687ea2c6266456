"""Rankings, tips and counts of dance styles on the command line."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from dancerank.cli import app
from ranking.scores.store import ScoreStore
from schemas.events import StyleResult
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, guidance, scored_clip


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'scores.db'}"
    monkeypatch.setenv("DANCERANK_RANKING__DATABASE_URL", url)
    clips = [
        scored_clip(
            f"clip-{n}", fused_score=n / 10, style=StyleResult(style=style, probability=0.9), guidance=guidance(n)
        )
        for n, style in enumerate(["[b]waltz", "tango", "tango", None])
    ]
    with migrated(url) as database:
        apply(ScoreStore(database), [*clips, scored_clip("plain")])
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words), env={"COLUMNS": "120"})


def test_a_ranking_of_a_style(filled: Path) -> None:
    found = run("rankings", "ch", "--style", "tango")
    assert found.exit_code == 0, found.output
    assert "2 clips of style tango" in found.output
    assert "clip-2" in found.output
    assert "clip-0" not in found.output


def test_the_neighbours_and_the_distribution_in_a_ranking_of_a_style(filled: Path) -> None:
    beside = run("rankings", "--around", "clip-1", "--style", "tango")
    assert beside.exit_code == 0, beside.output
    assert "around clip-1, of 2 clips of style tango" in beside.output
    assert "clip-2" in beside.output
    assert "clip-0" not in beside.output
    counted = run("distribution", "ch", "--style", "tango", "--bins", "2")
    assert counted.exit_code == 0, counted.output
    assert "fused scores of 2 clips of style tango" in " ".join(counted.output.split())
    assert "0.1000" in counted.output
    assert "50.0%" in counted.output


def test_styles_are_counted_and_shown_as_they_are_named(filled: Path) -> None:
    for words in ((), ("ch",)):
        found = run("styles", "list", *words)
        assert found.exit_code == 0, found.output
        for said in ("tango", "40.0%", "[b]waltz", "unknown", "not judged"):
            assert said in found.output


def test_tips_of_a_style(filled: Path) -> None:
    found = run("tips", "ch", "--style", "tango")
    assert found.exit_code == 0, found.output
    assert "style tango" in found.output


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("rankings", "ch", "--style", "samba"), "its styles are tango, [b]waltz, unknown"),
        (("rankings", "--style", "tango"), "--style goes with a challenge"),
        (("rankings", "--around", "clip-0", "--style", "tango"), "does not show the style tango; it shows [b]waltz"),
        (("distribution", "--style", "tango"), "--style and --window go with a challenge"),
        (("distribution", "ch", "--score", "0.5"), "--score goes with all challenges together"),
        (("distribution", "ch", "--style", "samba"), "its styles are tango, [b]waltz, unknown"),
        (("tips", "--style", "tango"), "--style goes with a challenge"),
        (("styles", "list", "none"), "challenge none has no clips"),
    ],
)
def test_what_cannot_be_answered_is_said(filled: Path, words: tuple[str, ...], said: str) -> None:
    found = run(*words)
    assert found.exit_code == 1
    assert said in " ".join(found.output.split())
