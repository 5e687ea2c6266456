"""The demonstration: any number of clips, a folder of its own, and nothing of an operator's touched."""

import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.demo.running import demo_settings
from dancerank.settings import load_settings


@pytest.fixture(autouse=True)
def plain_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("DANCERANK_DATA", raising=False)


def run(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["demo", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def test_the_fewest_clips_are_enough_and_the_environments_database_stays_untouched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DANCERANK_RANKING__DATABASE_URL", f"sqlite:///{tmp_path / 'production.db'}")
    monkeypatch.setenv("DANCERANK_RANKING__INDEX_FOLDER", str(tmp_path / "production-index"))
    code, output = run("--clips", "16", "--folder", str(tmp_path / "demo"))
    assert code == 0, output
    assert "nan" not in output
    assert {path.name for path in tmp_path.iterdir()} == {"demo"}

    code, output = run("--clips", "16", "--folder", str(tmp_path / "demo"))
    assert code == 1
    assert "demo is not empty" in output


def test_a_folder_that_holds_something_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    code, output = run("--folder", str(tmp_path))
    assert code == 1
    assert f"{tmp_path} is not empty" in output
    assert "--folder" in output
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_of_the_operators_settings_the_demo_takes_inference_and_server_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in {
        "RANKING__DATABASE_URL": "postgresql://production/clips",
        "RANKING__INDEX_FOLDER": "/production",
        "RANKING__SCORED_TOPICS": '["other"]',
        "STREAMER__UPLOADS_TOPIC": "production",
        "STREAMER__FEATURE_ROOTS": '["file:///production"]',
        "STREAMER__INFERENCE_THREADS": "3",
        "KAFKA__REPLICATION": "3",
        "SERVER__PORT": "81",
    }.items():
        monkeypatch.setenv(f"DANCERANK_{variable}", value)
    settings = demo_settings(load_settings(), tmp_path)
    assert "production" not in repr(settings) + settings.ranking.database_url
    assert (settings.ranking.scored_topics, settings.kafka.replication) == ((), 1)
    assert (settings.streamer.inference_threads, settings.server.port) == (3, 81)


def test_a_port_in_use_is_named_before_any_clip_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        monkeypatch.setenv("DANCERANK_SERVER__PORT", str(other.getsockname()[1]))
        code, output = run("--serve", "--folder", str(tmp_path / "demo"))
    assert code == 1
    assert "server.port" in output
    assert "DANCERANK_SERVER__PORT" in output
    assert not (tmp_path / "demo").exists()


def test_a_wrong_variable_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCERANK_STREAMER__INFERENCE_THREADS", "-1")
    code, output = run()
    assert code == 1
    assert "DANCERANK_STREAMER__INFERENCE_THREADS" in output


def test_the_bundle_of_the_settings_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DANCERANK_BUNDLE", str(tmp_path))
    code, output = run()
    assert code == 1
    assert str(tmp_path / "bundle.json") in output
