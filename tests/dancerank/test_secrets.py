"""Secrets are set in every setting that takes one, every operation fails, and no output contains a secret."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner, Result

from dancerank.cli import app
from dancerank.logs import configure_logs
from dancerank.processes import Processes
from dancerank.settings import LogSettings, load_settings
from exporters.prometheus import PrometheusObserver
from ranking.scores.store import ScoreStore
from ranking.serving.api import create_app, create_key
from ranking.serving.service import RankingService
from schemas.errors import DancerankError
from streamer.roots import FeatureRoots
from streamer.stores import FeatureStore
from tests.servers import free_port

SECRET = "sesame"
"""Part of every planted secret."""

CONFIG = """
[kafka]
bootstrap_servers = ["127.0.0.1:1"]
timeout_s = 0.3
security = {security_protocol = "SASL_SSL", sasl_mechanism = "PLAIN", sasl_plain_username = "streamer"}
secrets = {sasl_plain_password = "sesame-sasl", ssl_password = "sesame-key"}
[streamer]
feature_roots = ["memory://clips"]
[streamer.store_options.memory]
key = "sesame-store"
secret = "sesame-store"
client_kwargs = {aws_session_token = "sesame-token", password = "sesame-nested"}
[ranking]
database_url = "postgresql://ranker:sesame-database@127.0.0.1:1/none?sslpassword=sesame-parameter"
[log]
level = "debug"
"""


class Watched:
    """A folder with the planted settings; remembers all that was said."""

    def __init__(self, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
        self.folder, self.config, self.caplog = folder, folder / "dancerank.toml", caplog
        self.said: list[str] = []
        self.keys = folder / "keys"
        self.key = create_key(self.keys, "app", created=datetime(2026, 3, 1, tzinfo=UTC))
        self.config.write_text(f'{CONFIG}[server]\nport = {free_port()}\napi_keys = "{self.keys}"\n')

    def run(self, *arguments: str) -> Result:
        result = CliRunner(env={"COLUMNS": "300"}).invoke(app, [*arguments, "--config", str(self.config)])
        self.said += [result.output, result.stderr]
        if result.exception is not None:
            self.hear(result.exception)
        return result

    def hear(self, error: BaseException) -> None:
        while error is not None:
            self.said += [*traceback.format_exception(error), repr(error), str(error.args)]
            error = error.__cause__ or error.__context__  # type: ignore[assignment]

    def everything(self) -> str:
        return "\n".join([*self.said, self.caplog.text])


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Iterator[Watched]:
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.DEBUG)
    made = Watched(tmp_path, caplog)
    yield made
    everything = made.everything()
    assert everything.strip()
    for secret in (SECRET, made.key, made.key.removeprefix("dr_")):
        assert secret not in everything, next(line for line in everything.splitlines() if secret in line)


COMMANDS = [
    ("settings",),
    ("stream",),
    ("rank",),
    ("serve", "--with-rank"),
    ("pools", "run"),
    ("pools", "status"),
    ("rankings",),
    ("keys", "list"),
    ("keys", "revoke", "nobody"),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_tells_a_secret_whatever_it_says(watched: Watched, command: tuple[str, ...]) -> None:
    result = watched.run(*command)
    assert (result.exit_code == 0) is (command in (("settings",), ("keys", "list")))
    assert result.output
    if command == ("settings",):
        assert "***" in result.output


MISTAKES = [
    ("sasl_plain_password =", "sasl_plain_pasword =", ("rank",)),
    ("sasl_plain_password = ", "sasl_plain_password = 7, sasl_x = ", ("rank",)),
    ('security_protocol = "SASL_SSL"', 'security_protocol = "sesame"', ("rank",)),
    ('sasl_plain_username = "streamer"', 'sasl_plain_password = "sesame"', ("settings",)),
    ('["memory://clips"]', '["memory://user:sesame@clips"]', ("stream",)),
    ('["memory://clips"]', '"sesame"', ("settings",)),
    ("[streamer.store_options.memory]", '[streamer.store_options]\nmemory = "sesame"\n[other]', ("settings",)),
    ("postgresql://ranker:", "postgres//ranker:", ("rankings",)),
    ("postgresql://ranker:", "mysql://ranker:", ("rankings",)),
    ("127.0.0.1:1/none", "127.0.0.1:port/none", ("rankings",)),
    ("?sslpassword=", "?sslmode=verify-full&passwort=", ("rankings",)),
    ("[ranking]\n", '[ranking]\ndatabase = "sesame"\n', ("settings",)),
    ("[ranking]\n", "[ranking\n", ("settings",)),
    ('database_url = "', 'database_url = ["', ("settings",)),
]


@pytest.mark.parametrize(("right", "wrong", "command"), MISTAKES, ids=[wrong for _, wrong, _ in MISTAKES])
def test_a_mistake_in_the_settings_is_named_without_the_value(
    watched: Watched, right: str, wrong: str, command: tuple[str, ...]
) -> None:
    content = watched.config.read_text()
    assert right in content
    watched.config.write_text(content.replace(right, wrong))
    result = watched.run(*command)
    assert isinstance(result.exception, SystemExit), result.exception  # our own error, no traceback
    assert result.exit_code == 1


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_crash_is_logged_without_the_values_of_its_variables(
    watched: Watched, capsys: pytest.CaptureFixture[str], form: Any
) -> None:
    configure_logs(LogSettings(format=form))
    settings = load_settings(watched.config)
    connection, api_key = Processes(settings).connection, watched.key
    try:
        raise RuntimeError(f"{settings!r} {connection!r} {settings.model_dump()}")
    except RuntimeError:
        logging.getLogger("test").exception("crashed with %r", [settings, connection])
    assert api_key
    said = capsys.readouterr().err
    assert "RuntimeError" in said
    watched.said.append(said)


def test_a_crash_prints_no_variables() -> None:
    assert app.pretty_exceptions_show_locals is False


def test_the_api_and_its_metrics_tell_no_secret_while_everything_behind_it_fails(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, observer = load_settings(watched.config), PrometheusObserver()
    with closing(Processes(settings).open_database()) as database:
        service = RankingService(ScoreStore(database), observer=observer)
        monkeypatch.setattr(service, "challenges", lambda **_: 1 / 0)
        api = create_app(service, observer.render, Processes(settings, observer=observer).api_access())

        def ask(path: str, key: str, **headers: str) -> int:
            answer = request(api, path, {"Authorization": f"Bearer {key}", **headers})
            watched.said += [answer.text, str(answer.headers)]
            return answer.status_code

        assert ask("/readyz", "none") == 503
        assert ask("/v1/clips/c?generation=g", watched.key) == 503
        assert ask("/v1/challenges", watched.key, Cookie=f"key={watched.key}") == 500
        assert ask(f"/v1/challenges?key={watched.key}", watched.key) == 422
        assert ask("/v1/challenges", f"{watched.key}sesame") == 401
        watched.keys.write_text(f'{{"name": "{watched.key}"}}\n')
        assert ask("/v1/nothing", watched.key) == 404
        assert ask("/metrics", watched.key) == 200
    assert 'dancerank_requests_refused_total{reason="unknown_key"} 1.0' in watched.everything()


def request(api: Any, path: str, headers: dict[str, str]) -> httpx.Response:
    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(api, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ranking") as client:
            return await client.get(path, headers=headers)

    return asyncio.run(send())


@pytest.mark.parametrize(
    "fail",
    [
        lambda store: store.read("memory://clips/absent", lambda _: None),
        lambda store: store.read("memory://others/clip", lambda _: None),
        lambda store: store.read("s3://clips/clip", lambda _: None),
    ],
)
def test_a_feature_store_tells_no_secret_of_its_options(
    watched: Watched, fail: Callable[[FeatureStore], bytes]
) -> None:
    streamer = load_settings(watched.config).streamer
    store = FeatureStore(
        FeatureRoots(streamer.feature_roots), max_bytes=100, patience_s=0.2, options=streamer.store_options
    )
    with pytest.raises(DancerankError) as caught:
        fail(store)
    watched.hear(caught.value)
    watched.said += [repr(store), repr(streamer)]
