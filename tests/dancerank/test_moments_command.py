"""``moments`` lists the seconds that made the score of a routine, and draws them."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.answer_pictures.moments import moments_picture
from dancerank.cli import app
from ranking.scores.store import ScoreStore
from schemas.moments import ClipMoments, moments_of
from schemas.picture_formats import PictureFormat
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, attention_over, routine, scored_clip


@pytest.fixture
def filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    with migrated("sqlite:///dancerank.db") as database:
        apply(ScoreStore(database), [routine("[b]r1", seed=5, score=0.7345), scored_clip("short")])


@pytest.mark.usefixtures("filled")
def test_moments_are_listed_the_heaviest_first(tmp_path: Path) -> None:
    found = CliRunner().invoke(app, ["moments", "[b]r1", "--count", "3", "--picture", "moments.svg"])
    assert found.exit_code == 0, found.output
    assert "[b]r1: what made its score of 0.7345, over 83 s" in " ".join(found.output.split())
    rows = [line.strip("│ ").split("│") for line in found.output.splitlines() if re.match(r"│\s+\d", line)]
    expected = moments_of(attention_over(83, 5), 3).moments
    assert [[cell.strip() for cell in row] for row in rows] == [
        [
            f"{number}",
            f"{each.start_s:.1f}–{each.end_s:.1f}",
            f"{each.weight:.3f}",
            f"{each.times_equal:.2f}",
            each.part,
        ]
        for number, each in enumerate(expected, 1)
    ]
    assert "[b]r1" in (tmp_path / "moments.svg").read_text()


@pytest.mark.usefixtures("filled")
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["short"], "moments_missing", "clip short is not a routine"),
        (["none"], "not_found", "clip none is not known"),
        (["[b]r1", "--out", "moments.pdf"], "configuration", "must end in .png or .svg"),
    ],
)
def test_what_has_no_moments_is_said_in_a_sentence(arguments: list[str], code: str, said: str) -> None:
    found = CliRunner().invoke(app, ["moments", *arguments])
    assert found.exit_code == 1
    assert (code in found.output, said in " ".join(found.output.split())) == (True, True), found.output


def test_each_moment_is_numbered_at_its_bar_and_listed_once() -> None:
    found = moments_of(attention_over(83, 5), 9, 3.0)
    clip = ClipMoments(clip_id="r", generation="g", score=0.5, **vars(found))
    drawn = moments_picture(clip, PictureFormat.SVG).decode()
    numbers = re.findall(r'class="number"[^>]*>(\d+)<', drawn)
    assert sorted(map(int, numbers)) == list(range(1, 10))
    listed = dict(re.findall(r'class="moment"[^>]*>(\d+): ([\d.]+) s', drawn))
    assert listed == {f"{n}": f"{each.start_s:.1f}" for n, each in enumerate(found.moments, 1)}
    assert "26 segments of 3.2 s (dynamic)" in drawn
    assert "83 steps of 1 s (static)" in drawn
