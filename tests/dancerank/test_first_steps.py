"""What a newcomer gets wrong first is answered with one sentence that says what to do."""

import logging
import os
import re
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from dancerank.checks.start import check_start
from dancerank.logs import configure_logs
from dancerank.processes import Processes
from dancerank.settings import LogSettings, Settings, load_settings
from ranking.scores.store import ScoreStore
from schemas.errors import ConfigurationError
from tests.ranking.examples import apply, scored_clip
from tests.servers import free_port
from tests.small_bundle import write_small_bundle
from tests.vdv.data_sets import annotation, written
from tests.warm_starts import WarmCommand
from transport.connection import KafkaConnection


def dancerank(folder: Path, *arguments: str, **environment: str) -> tuple[int, list[str]]:
    """Exit status, and the lines on standard error."""
    log = folder / "errors.log"
    code = WarmCommand(arguments, log, {**os.environ, **environment}, output=folder / "output.log").wait(120)
    return code, log.read_text().splitlines()


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a process, or produce, where no broker is",
    outcome="one sentence, no lines of the client before it",
)
@pytest.mark.parametrize("command", ["stream", "rank", "serve", "pools run", "produce"])
def test_without_a_broker_there_is_one_sentence(tmp_path: Path, command: str) -> None:
    arguments = command.split()
    if command == "produce":
        written(tmp_path, [annotation("a")])
        arguments.append(str(tmp_path))
    code, lines = dancerank(
        tmp_path,
        *arguments,
        DANCERANK_KAFKA__BOOTSTRAP_SERVERS='["127.0.0.1:1"]',
        DANCERANK_KAFKA__TIMEOUT_S="1",
        DANCERANK_SERVER__PORT=str(free_port()),
        DANCERANK_STREAMER__FEATURE_ROOTS=f'["{tmp_path.as_uri()}"]',
        DANCERANK_RANKING__DATABASE_URL=f"sqlite:///{tmp_path}/view.db",
        DANCERANK_RANKING__INDEX_FOLDER=str(tmp_path / "index"),
    )
    assert code == 1
    waiting = re.compile(r"connecting to Kafka at|asking Kafka at")  # said before there is an answer
    assert [line for line in lines if "kafka" in line.lower() and not waiting.search(line)] == lines[-1:], lines
    assert lines[-1].startswith("error (transport): cannot connect; check the address")
    assert "127.0.0.1:1" in lines[-1]


@pytest.mark.parametrize("name", ["faiss.loader", "alembic.runtime.migration", "kafka.client"])
def test_libraries_are_heard_from_warnings_on(name: str) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        configure_logs(LogSettings())
        assert not logging.getLogger(name).isEnabledFor(logging.INFO)
        assert logging.getLogger(name).isEnabledFor(logging.WARNING)
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)


@pytest.mark.parametrize(
    ("toml", "meant"),
    [
        pytest.param('kafka.bootstrap_server = []', "did you mean kafka.bootstrap_servers?", marks=pytest.mark.tried(
            kind="first steps that fail silently", given="a misspelled key in the settings",
            outcome="refused with the key that was meant")),
        pytest.param('kafka.uploads_topic = "x"', "did you mean streamer.uploads_topic?", marks=pytest.mark.tried(
            kind="first steps that fail silently", given="a key in the wrong group",
            outcome="refused with the group that has it")),
        ('feature_roots = ["file:///x"]', "did you mean streamer.feature_roots?"),
        ("serve.port = 1", "did you mean server?"),
    ],
)  # fmt: skip
def test_an_unknown_key_is_answered_with_the_one_that_was_meant(tmp_path: Path, toml: str, meant: str) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text(toml)
    with pytest.raises(ConfigurationError) as refused:
        load_settings(path)
    assert meant in refused.value.message


def test_a_key_like_no_other_is_answered_with_the_keys_there_are(tmp_path: Path) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text("[server]\nxyzzy = 1")
    with pytest.raises(ConfigurationError, match=r"server\.xyzzy: unknown key; the keys here are host, port"):
        load_settings(path)


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("DANCERANK_KAFKA_BOOTSTRAP_SERVERS", "DANCERANK_KAFKA__BOOTSTRAP_SERVERS, with two underscores?"),
        ("DANCERANK_SERVE__PORT", "did you mean server?"),
    ],
)
def test_a_misspelled_variable_is_answered_with_the_one_that_was_meant(
    monkeypatch: pytest.MonkeyPatch, variable: str, meant: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(ConfigurationError) as refused:
        load_settings()
    assert meant in refused.value.message


@pytest.mark.parametrize(
    ("toml", "problem"),
    [
        ('ranking.scored_topics = ["a", "a"]', "ranking.scored_topics: a topic is named twice"),
        ('ranking.index = "annoy"', "ranking.index: 'annoy' is not an index"),
        ('server.port = "x"', "server.port: must be an integer"),
        ("server.port = 70000", "server.port: must be less than or equal to 65535"),
        ('kafka.timeout_s = "soon"', "kafka.timeout_s: must be a number"),
        ('server.metrics_without_key = "maybe"', "server.metrics_without_key: must be true or false"),
        ("kafka = 3", "kafka: is a group of keys, which is written [group]"),
        ("streamer.feature_roots = 3", 'streamer.feature_roots: a list is written ["one", "two"]'),
        ("kafka.security = 3", 'kafka.security: a table is written {"key": …}'),
        ("ranking.deletions_topic = 3", "ranking.deletions_topic: must be a text in quotes"),
        ('log.level = "loud"', "log.level: must be 'debug', 'info', 'warning' or 'error'"),
    ],
)
def test_a_wrong_value_is_refused_in_words_of_this_manual(tmp_path: Path, toml: str, problem: str) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text(toml)
    with pytest.raises(ConfigurationError) as refused:
        load_settings(path)
    assert problem in refused.value.message
    for word in ("Input", "Value error", "valid dictionary", "instance of", "unable to parse"):
        assert word not in refused.value.message


@pytest.fixture
def settings(tmp_path: Path, fresh_name: Callable[[str], str]) -> Settings:
    names = {"uploads_topic": fresh_name("up"), "scored_topic": fresh_name("scored")}
    return Settings.model_validate(
        {
            "kafka": {"streamer_group": fresh_name("streamer")},
            "streamer": {"feature_roots": [tmp_path.as_uri()], **names},
            "ranking": {"database_url": f"sqlite:///{tmp_path / 'view.db'}", "index_folder": tmp_path / "index"},
        }
    )


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="streamers with a new bundle while another generation is active",
    outcome="rank, serve and pools warn at their start, with the command that activates it",
)
@pytest.mark.usefixtures("groups_without_members")
def test_a_bundle_whose_generation_is_not_active_is_warned_of(
    settings: Settings, embedded_broker: KafkaConnection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = write_small_bundle(tmp_path / "bundle")
    processes = Processes(settings.model_copy(update={"bundle": bundle}), connection=embedded_broker)
    check_start(processes, "rank")
    assert not [message for message in caplog.messages if "generation" in message]
    with closing(processes.open_database()) as database:
        apply(ScoreStore(database), [scored_clip("a", generation="g-of-before")])
    for process in ("rank", "serve", "pools run"):
        caplog.clear()
        check_start(processes, process)  # type: ignore[arg-type]
        (warning,) = [message for message in caplog.messages if "generation" in message]
        assert "g-of-before is active" in warning
        assert f"dancerank generations use {processes.bundle.manifest.generation}" in warning


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="a feature root that is not there",
    outcome="stream warns of it at its start",
)
@pytest.mark.usefixtures("groups_without_members")
def test_a_feature_root_that_is_not_there_is_warned_of(
    settings: Settings, embedded_broker: KafkaConnection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    absent = (tmp_path / "fetaures").as_uri()
    roots = settings.streamer.model_copy(update={"feature_roots": (tmp_path.as_uri(), absent)})
    check_start(Processes(settings.model_copy(update={"streamer": roots}), connection=embedded_broker), "stream")
    (warning,) = [message for message in caplog.messages if "feature_roots" in message]
    assert warning.startswith(f"{absent} of streamer.feature_roots cannot be read here (there is no such folder)")
