"""Two copies of a view hash alike exactly if they hold the same, and the command prints it."""

from pathlib import Path

from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.scores.store import ScoreStore
from tests.ranking.examples import apply, scored_clip

CLIPS = [scored_clip(f"c{number}") for number in range(4)]


def hashes(config: Path) -> dict[str, str]:
    result = CliRunner().invoke(app, ["content-hash", "--config", str(config)])
    assert result.exit_code == 0, result.output
    return {name: value for value, name in (line.split() for line in result.output.splitlines())}


def configured(folder: Path) -> tuple[Settings, Path]:
    folder.mkdir()
    ranking = {"database_url": f"sqlite:///{folder / 'view.db'}", "index_folder": folder / "index"}
    config = folder / "dancerank.toml"
    config.write_text("[ranking]\n" + "".join(f'{key} = "{value}"\n' for key, value in ranking.items()))
    return Settings.model_validate({"ranking": ranking}), config


def filled(folder: Path, *batches: slice) -> Path:
    """Settings of a database and an index snapshot that applied ``batches`` of the clips."""
    settings, config = configured(folder)
    processes = Processes(settings)
    index = processes.open_index()
    with processes.database() as database:
        for batch in batches:
            for view in (ScoreStore(database), index):
                apply(view, CLIPS[batch], start=batch.start)
    index.save(settings.ranking.index_folder)
    return config


def test_copies_of_the_same_records_hash_alike_and_one_clip_more_is_seen(tmp_path: Path) -> None:
    at_once = hashes(filled(tmp_path / "at_once", slice(0, 4)))
    in_parts = hashes(filled(tmp_path / "in_parts", slice(0, 3), slice(1, 4)))
    fewer = hashes(filled(tmp_path / "fewer", slice(0, 3)))
    assert at_once == in_parts
    assert set(at_once) == {"rankings", "index"}
    assert all(len(value) == 64 and fewer[name] != value for name, value in at_once.items())


def test_a_copy_without_an_index_or_without_anything_is_named(tmp_path: Path) -> None:
    settings, config = configured(tmp_path / "here")
    empty = CliRunner().invoke(app, ["content-hash", "--config", str(config)])
    assert (empty.exit_code, "error (no_data)" in empty.output) == (1, True)
    assert not list(config.parent.glob("view.db"))
    with Processes(settings).database() as database:
        apply(ScoreStore(database), CLIPS)
    assert hashes(config)["index"] == "none"
