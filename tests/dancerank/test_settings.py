from pathlib import Path

import pytest

from dancerank.settings import Settings, load_settings
from dancerank.settings_reference import reference
from schemas.errors import ConfigurationError


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DANCERANK_CONFIG", raising=False)


def test_without_file_and_environment_every_key_has_its_default() -> None:
    assert load_settings() == Settings()


def test_the_environment_wins_over_the_file_key_by_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text('[server]\nhost = "10.0.0.1"\nport = 81\n[streamer]\nscored_topic = "log"\n')
    monkeypatch.setenv("DANCERANK_SERVER__PORT", "82")
    monkeypatch.setenv("DANCERANK_CONFIG", str(path))
    settings = load_settings()
    assert (settings.server.host, settings.server.port) == ("10.0.0.1", 82)
    assert (settings.streamer.scored_topic, settings.streamer.uploads_topic) == ("log", "clips.uploaded")


@pytest.mark.parametrize(
    ("toml", "named"),
    [
        ("[server]\nprot = 81\n", r"server\.prot: .* port"),
        ("[streamer]\nmax_wait = 81\n", r"streamer\.max_wait: .*_s"),
        ("[servers]\nport = 81\n", r"servers: .* server"),
        ("[server]\nport = 99999\n", r"server\.port: "),
        ("[streamer]\nmax_batch_clips = 0\n", "max_batch_clips"),
        ("port = [\n", "no valid TOML"),
    ],
)
def test_a_wrong_key_or_value_in_the_file_names_itself(tmp_path: Path, toml: str, named: str) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text(toml)
    with pytest.raises(ConfigurationError, match=named):
        load_settings(path)


@pytest.mark.parametrize("variable", ["DANCERANK_SERVE__PORT", "DANCERANK_SERVER__PROT", "DANCERANK_PORT"])
def test_a_wrong_environment_variable_names_itself(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "82")
    with pytest.raises(ConfigurationError, match=f"(?i){variable.removeprefix('DANCERANK_').split('__')[-1]}"):
        load_settings()


def test_every_key_has_a_meaning_and_the_reference_is_current() -> None:
    page = reference()
    assert page == Path("docs/settings.md").read_text(), "python -m dancerank.settings_reference > docs/settings.md"
    for group in Settings.model_fields:
        assert f"`{group}`" in page or f"`[{group}]`" in page


def test_a_password_in_the_database_url_is_never_shown() -> None:
    url = "postgresql+psycopg://ranker:open-sesame@db/clips"
    settings = Settings(ranking={"database_url": url})
    assert settings.ranking.database_url == url
    assert "sesame" not in repr(settings) + settings.model_dump_json()
    assert "ranker:***@db/clips" in settings.model_dump_json()


def test_secrets_are_kept_and_never_shown() -> None:
    settings = Settings(kafka={"secrets": {"ssl_password": "open sesame"}})
    assert settings.kafka.secrets["ssl_password"].get_secret_value() == "open sesame"
    assert "sesame" not in repr(settings) + settings.model_dump_json()


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().server.port = 1  # type: ignore[misc]
