"""Counts that differ from the rows are listed with status 1, and counted again when that is asked for."""

from pathlib import Path

import sqlalchemy as sa
from click.testing import Result
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.database.tables import ranking_runs
from ranking.scores.store import ScoreStore
from tests.ranking.examples import apply, scored_clip


def check(config: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check-counts", "--config", str(config), *options])


def test_counts_that_differ_are_listed_and_counted_again(tmp_path: Path) -> None:
    ranking = {"database_url": f"sqlite:///{tmp_path / 'view.db'}"}
    config = tmp_path / "dancerank.toml"
    config.write_text(f'[ranking]\ndatabase_url = "{ranking["database_url"]}"\n')
    with Processes(Settings.model_validate({"ranking": ranking})).database() as database:
        apply(ScoreStore(database), [scored_clip(f"c{number}", challenge_id="[b]x") for number in range(4)])
        assert (check(config).exit_code, check(config).output) == (0, "every count is that of the rows\n")
        with database.writing() as connection:
            connection.execute(sa.delete(ranking_runs))
    found = check(config)
    assert found.exit_code == 1
    assert "[b]x under g1: 0 clips counted by facial, 4 held" in found.output.splitlines()
    assert check(config, "--rebuild").output.endswith("counted again\n")
    assert check(config).exit_code == 0


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    config = tmp_path / "dancerank.toml"
    config.write_text(f'[ranking]\ndatabase_url = "sqlite:///{tmp_path / "none.db"}"\n')
    found = check(config)
    assert found.exit_code == 1
    assert "none.db" in found.output
    assert not (tmp_path / "none.db").exists()
