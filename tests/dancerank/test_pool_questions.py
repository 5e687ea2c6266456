"""``dancerank pools clip``, ``status`` and ``try``: what a person sees who asks the traffic pools."""

import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from dancerank.cli import app
from dancerank.commands.pool_questions import parse_by_dimension
from dancerank.commands.tables.pools import clip_tables, try_tables
from ranking.pools.service.reading import PoolReader
from ranking.scores.store import ScoreStore
from schemas.clock import ManualClock
from schemas.errors import QueryError
from schemas.modalities import Dimension, Modality
from schemas.questions.pools import HypotheticalClip
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, with_scores
from tests.ranking.pools.examples import POLICY, engaged, plain, policy, rated, removed, tiers
from tests.ranking.pools.rows import Pools

URL = "sqlite:///dancerank.db"
AWKWARD = "a[b]:smile:[red]"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def pools() -> Iterator[Pools]:
    with migrated(URL) as database:
        yield Pools(database, POLICY)


def asked(*arguments: str) -> str:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return re.sub(r"\s+", " ", result.output)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["pools", *arguments])


def test_a_clip_shows_its_tier_and_its_history_with_reasons(pools: Pools) -> None:
    pools.handle(rated("c1"), engaged("c1", 30, 100, at_ms=10))
    pools.write()
    output = asked("clip", "c1")
    assert "state │ in t2" in output
    assert "percentile │ 90, of the fused score, which nominated it" in output
    assert "30 reactions, 100 impressions; 30.00% of 100 viewers react; at least 23.07% and at most 37.98%" in output
    assert "judged from 400 impressions in all; to t3 if surely 20% of viewers react, or more" in output
    assert output.index("nominated into t1") < output.index("promoted from t1 to t2: at least 23.1% of viewers react")
    assert "entered │ 1970-01-01 00:00:00 UTC" in output


def test_each_state_of_a_clip_is_printed(pools: Pools) -> None:
    pools.start(policy(tiers=tiers(t1={"capacity": 1000}, t2={"capacity": 600})))
    clips = [rated(f"c{n}") for n in range(8)]
    pools.handle(*clips, plain("plain"), rated("gone"), removed("gone", at_ms=1), removed("never", at_ms=1))
    pools.handle(engaged("c0", 30, 100, at_ms=2), engaged("c1", 30, 100, at_ms=3))
    pools.write()
    assert "in t1; waits for room in the next tier" in asked("clip", "c1")
    waiting = asked("clip", "c7")
    assert "in no tier; nominated, and waits for room" in waiting
    assert "waits for │ t1, since 1970-01-01 00:00:00 UTC; there is room for it now" in waiting
    assert "state │ in no tier; exploration may draw it" in asked("clip", "plain")
    assert "state │ deleted" in asked("clip", "gone")
    assert "No decision was made about it." in asked("clip", "never")


def test_the_status_shows_every_tier_and_the_totals(pools: Pools) -> None:
    pools.handle(rated("c1"), engaged("c1", 30, 100, at_ms=10), plain("c2"))
    pools.write(published=1)
    output = asked("status")
    assert re.search(r"t1 │ │ 0 │ 0 │ 1,000 │ │ 0 │ 1,000 │", output)
    assert re.search(r"│ nominated │ │ │ 700 │ │ 0 │ 700 │ 7 │", output)
    assert "t2 │ promoted │ 1 │ 0 │ 1,200 │ │ 0 │ 1,200 │ 3 │" in output
    assert "at most 0.7 of a tier's impressions in a window: 700, 840, 1,400" in output
    assert "1 clip in no tier that exploration may draw" in output
    assert "3 made, 1 published" in output
    pools.adopt(policy(version="p2", tiers=tiers(t2={"name": "second"})))
    pools.write()
    output = asked("status")
    assert "Policy p2" in output
    assert "1 clip in tiers that this policy lacks" in output


def test_a_clip_that_is_made_up_shows_the_decision_and_what_it_takes(pools: Pools) -> None:
    pools.write()
    output = asked("try", "x", "--percentiles", "fused:85, skeletal:91", "--clips", "50", "--dancer", "d1")
    assert "fused 85, skeletal 91, in a challenge of 50 clips" in output
    assert "nominated into t1 by its fused score (percentile 85 in its challenge, threshold 80)" in output
    assert "What entering pays from" in output
    assert "dancer d1 │ 700 │ 0 │ 700 │ 100 │" in output
    later = asked(
        "try", "x", "--percentiles", "fused:85", "--clips", "50", "--reactions", "30", "--views", "100"
    )  # fmt: skip
    assert "dancer (new)" in later
    assert "promoted from t1 to t2: at least 23.1% of viewers react (30 of 100; gate 10%)" in later
    assert later.count("What entering pays from") == 2
    small = asked("try", "x", "--percentiles", "fused:85", "--reactions", "3")
    assert "in a challenge of 1 clip │" in small
    assert "which do not count: that takes 20 clips" in small
    assert "What exploration would pay from, if it drew the clip now" in small
    assert "no rate yet" in small


def test_scores_are_compared_with_the_rankings(pools: Pools) -> None:
    pools.write()
    with migrated(URL) as database:
        apply(ScoreStore(database), [with_scores(f"s{n}", {Modality.SCENIC: 0.5}, n / 40) for n in range(39)])
    assert "fused 98.75, in a challenge of 40 clips" in asked("try", "ch", "--scores", "fused:2")


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["clip", "nobody"], "error (not_found): clip nobody is not known to the traffic pools"),
        (["clip", "a b"], "error (invalid_query): clip_id must be 1 to 128 characters"),
        (["try", "x"], "error (invalid_query): give percentiles or scores"),
        (["try", "x", "--percentiles", "fused:101"], "percentiles.fused is 101.0; expected 0 to 100"),
        (["try", "x", "--percentiles", "charm:1"], "percentiles name 'charm'; expected dimension:number pairs"),
        (["try", "x", "--scores", "fused"], "scores.fused is ''; expected a number"),
        (["try", "x", "--percentiles", "fused:1", "--views", "3"], "views say nothing without reactions"),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused_in_a_sentence(
    pools: Pools, arguments: list[str], problem: str
) -> None:
    pools.write()
    result = run(*arguments)
    assert (result.exit_code, problem in result.output) == (1, True), result.output


QUESTIONS = [["status"], ["clip", "c1"], ["try", "x", "--percentiles", "fused:90"]]


@pytest.mark.parametrize("arguments", QUESTIONS)
def test_a_question_before_there_are_pools_names_the_place_and_what_fills_it_and_creates_nothing(
    folder: Path, arguments: list[str]
) -> None:
    result = run(*arguments)
    assert (result.exit_code, "error (no_data)" in result.output) == (1, True)
    assert f"no traffic pools in {URL} (ranking.database_url)" in result.output
    assert "dancerank pools run adopts a policy" in result.output
    assert list(folder.iterdir()) == []
    with migrated(URL):
        pass
    result = run(*arguments)
    assert (result.exit_code, "dancerank pools run adopts a policy" in result.output) == (1, True)


def test_ids_are_shown_as_they_are_whatever_they_look_like(pools: Pools) -> None:
    odd = tiers(t1={"name": AWKWARD})
    pools.start(policy(version=AWKWARD, tiers=odd))
    pools.handle(rated(AWKWARD, dancer_id=AWKWARD, challenge_id=AWKWARD))
    pools.write()
    with migrated(URL) as database:
        reader = PoolReader(database, ManualClock(start_ms=0))
        clip = reader.clip(AWKWARD)
        tried = reader.try_clip(
            HypotheticalClip(
                challenge_id=AWKWARD, dancer_id=AWKWARD, percentiles={Dimension.FUSED: 90}, challenge_clips=50
            ),
            None,
        )
    console = Console(width=300, record=True, file=StringIO())
    console.print(clip_tables(clip))
    # Its id, state, challenge, dancer and policy, and the tier and policy of its one decision.
    assert console.export_text().count(AWKWARD) == 7
    console.print(try_tables(tried))
    assert console.export_text().count(AWKWARD) == 4
    assert AWKWARD in asked("status")


def test_numbers_by_dimension_are_read_or_refused() -> None:
    assert parse_by_dimension("fused:80, skeletal: 9.5", "scores") == {Dimension.FUSED: 80, Dimension.SKELETAL: 9.5}
    assert _field_of("fused:1,fused:2") == "scores"
    assert _field_of("") == "scores"
    assert _field_of("fused:x") == "scores.fused"


def _field_of(text: str) -> str | None:
    with pytest.raises(QueryError) as raised:
        parse_by_dimension(text, "scores")
    return raised.value.field
