import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from dancerank.policies import read_policy, shipped_policy
from dancerank.reference.settings import example, reference
from dancerank.settings import Settings, load_settings
from dancerank.settings_removed import REMOVED
from schemas.errors import ConfigurationError
from transport.connection import KafkaConnection


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
        ('[ranking]\ndatabase_url = "mysql://db/x"\n', r"ranking\.database_url: .*use sqlite:///path or postgresql"),
        (
            "[streamer]\nmax_batch_clips = 0\n",
            r"dancerank\.toml[^:]*:\n  streamer\.max_batch_clips: .*greater than or equal to 1",
        ),
        ('[streamer]\nproviders = "cpu"\n', r"streamer\.providers: .*a list is written"),
        ("[kafka]\ntimeout_s = inf\n", r"kafka\.timeout_s: "),
        (
            '[ranking]\nindex = "annoy"\n',
            r"ranking\.index: .*'annoy' is not an index; expected one of faiss, milvus, numpy, pgvector, "
            r"package\.module:factory",
        ),
        ("port = [\n", "not valid TOML"),
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


@pytest.mark.parametrize(
    ("variable", "value", "named"),
    [
        ("DANCERANK_KAFKA__BOOTSTRAP_SERVERS", "localhost:9092", r'bootstrap_servers .*written \["one", "two"\]'),
        ("DANCERANK_KAFKA__BOOTSTRAP_SERVERS", '{"a": 1}', r"kafka\.bootstrap_servers .*a list is written"),
        ("DANCERANK_STREAMER__FEATURE_ROOTS", "file:///data", r"streamer\.feature_roots .*a list is written"),
        ("DANCERANK_STREAMER__STORE_OPTIONS", "[]", r"streamer\.store_options .*a table is written"),
        ("DANCERANK_STREAMER__MAX_BATCH_CLIPS", "0", r"streamer\.max_batch_clips .*or equal to 1"),
        ("DANCERANK_SERVER__PORT", "none", r"server\.port .*integer"),
    ],
)
def test_a_wrong_value_in_a_variable_names_the_variable_and_the_form(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, named: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=named) as caught:
        load_settings()
    assert f"(variable {variable})" in caught.value.message


def test_an_unknown_key_is_answered_with_the_keys_there_are_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text("[streamer]\nmax_wait = 81\n")
    with pytest.raises(ConfigurationError, match="uploads_topic, scored_topic") as caught:
        load_settings(path)
    assert "__" not in caught.value.message


@pytest.mark.tried(
    kind="first steps that fail silently",
    given="kafka.bootstrap_servers that is empty, or whose entries have no port, a wrong port, no host or a scheme",
    outcome="refused when the settings are read, naming the key and the form",
)
@pytest.mark.parametrize(
    ("servers", "named"),
    [
        ([], "no Kafka server named; give at least one host:port"),
        ([""], "'' is empty; write host:port"),
        (["  "], "is empty"),
        (["kafka"], "'kafka' has no port; write host:port"),
        (["kafka-1:9092", "kafka-2"], "'kafka-2' has no port"),
        (["kafka:"], "'kafka:' has no port"),
        ([":9092"], "':9092' has no host"),
        (["kafka:0"], "'kafka:0' has no port from 1 to 65535"),
        (["kafka:65536"], "has no port from 1 to 65535"),
        (["kafka:" + "9" * 5000], "has no port from 1 to 65535"),
        (["kafka:-1"], "is not an address"),
        (["kafka:http"], "is not an address"),
        (["kafka:٩٠٩٢"], "is not an address"),
        (["kafka:9092 "], "is not an address"),
        (["ka fka:9092"], "is not an address"),
        (["PLAINTEXT://kafka:9092"], "has a scheme; write host:port, and the protocol under kafka.security"),
        (["kafka-1:9092,kafka-2:9092"], r'names several brokers in one text; write \["one:9092", "two:9092"\]'),
        (["::1:9092"], r"an IPv6 address in brackets, as in \[::1\]:9092"),
        (["[kafka]:9092"], "has no IPv6 address in its brackets"),
        (["[::1]"], "is not an address|has no port"),
        (["kafka:9092/clips"], "is not an address"),
    ],
)
def test_servers_that_are_not_addresses_are_refused_with_the_form(
    tmp_path: Path, servers: list[str], named: str
) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text(f"[kafka]\nbootstrap_servers = {json.dumps(servers)}\n")
    with pytest.raises(ConfigurationError, match=rf"kafka\.bootstrap_servers: .*{named}") as caught:
        load_settings(path)
    assert len(caught.value.message) < 500
    with pytest.raises(ConfigurationError, match=named):
        KafkaConnection(servers=tuple(servers))


def test_a_password_in_an_address_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text('[kafka]\nbootstrap_servers = ["dancer:sesame@kafka:9092"]\n')
    with pytest.raises(ConfigurationError, match=r"kafka\.bootstrap_servers: .*kafka\.secrets") as caught:
        load_settings(path)
    assert "sesame" not in caught.value.message


@pytest.mark.parametrize("server", ["kafka:9092", "10.0.0.1:1", "[::1]:9092", "[fe80::1]:65535", "kafka_1.data:9092"])
def test_names_and_addresses_of_both_kinds_are_servers(tmp_path: Path, server: str) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text(f'[kafka]\nbootstrap_servers = ["{server}"]\n')
    assert load_settings(path).kafka.bootstrap_servers == (server,)
    assert KafkaConnection(servers=(server,)).servers == (server,)


OTHER_VALUES = {
    "DANCERANK_KAFKA__BOOTSTRAP_SERVERS": '["kafka-1:9092", "kafka-2:9092"]',
    "DANCERANK_RANKING__DATABASE_URL": "sqlite:///other.db",
    "DANCERANK_RANKING__INDEX": "numpy",
    "DANCERANK_STREAMER__EXTRACTOR": "their_package.module:factory",
    "DANCERANK_STREAMER__RUNTIME": "their_package.module:factory",
    "DANCERANK_EXTRACTION__EXTRACTORS": "their_package.module:factory",
    "DANCERANK_EXTRACTION__BACKGROUND": "median",
    "DANCERANK_LOG__LEVEL": "debug",
    "DANCERANK_LOG__FORMAT": "json",
    "DANCERANK_SCORING__LOAD": "start",
    "DANCERANK_STREAMER__STORE_OPTIONS": '{"s3": {"endpoint_url": "http://minio:9000"}}',
    "DANCERANK_STREAMER__GUIDANCE_SHARE": "1",
    "DANCERANK_STREAMER__STREAM_BATCH_CLIPS": '{"skeletal": 1}',
    "DANCERANK_KAFKA__SECURITY": '{"ssl_cafile": "ca.pem"}',
    "DANCERANK_KAFKA__SECRETS": '{"ssl_password": "1234"}',
}
ROWS = re.findall(r"^\| `(\w+)` .*`(DANCERANK_\w+)` \|$", Path("docs/settings.md").read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize(("key", "variable"), ROWS, ids=[variable for _, variable in ROWS])
def test_every_row_of_the_reference_can_be_set_through_its_variable(
    monkeypatch: pytest.MonkeyPatch, key: str, variable: str
) -> None:
    default = _value(Settings(), key, variable)
    text = OTHER_VALUES.get(variable) or _another(default)
    monkeypatch.setenv(variable, text)
    value = _value(load_settings(), key, variable)
    assert value != default
    if isinstance(value, Mapping):
        assert value.keys() == json.loads(text).keys()
    elif not isinstance(value, bool):
        assert value == (tuple(json.loads(text)) if isinstance(value, tuple) else type(value)(text))


def _value(settings: Settings, key: str, variable: str) -> Any:
    *group, _ = variable.removeprefix("DANCERANK_").split("__")
    return getattr(getattr(settings, group[0].lower()) if group else settings, key)


def _another(default: object) -> str:
    if isinstance(default, bool):
        return str(not default)
    if isinstance(default, tuple):
        return '["file:///data", "file:///more"]'
    return str(default + 1) if isinstance(default, int | float) else "other"


@pytest.mark.parametrize("password", ["1234", "true", "null", '"quoted"', "a__b"])
def test_one_secret_can_be_set_through_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch, password: str) -> None:
    monkeypatch.setenv("DANCERANK_KAFKA__SECRETS__SSL_PASSWORD", password)
    assert load_settings().kafka.secrets["ssl_password"].get_secret_value() == password


def test_every_key_has_a_meaning_and_the_reference_is_current() -> None:
    page = reference()
    assert page == Path("docs/settings.md").read_text(), "python -m dancerank.reference.settings > docs/settings.md"
    for group in Settings.model_fields:
        assert f"`{group}`" in page or f"`[{group}]`" in page


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql+psycopg://ranker:open-sesame@db/clips", "postgresql+psycopg://ranker:***@db/clips"),
        ("postgresql://ranker:open@sesame@db/clips", "postgresql://ranker:***@db/clips"),
        ("postgresql://ranker:open/sesame?@db/clips", "postgresql://ranker:***@db/clips"),
        ("postgresql://db/clips?user=u&password=sesame", "postgresql://db/clips?user=u&password=***"),
        ("postgresql://db/clips?sslPassword=sesame&user=u", "postgresql://db/clips?sslPassword=***&user=u"),
        ("sqlite:///sesame-free.db", "sqlite:///sesame-free.db"),
    ],
)
def test_a_password_in_the_database_url_is_never_shown(url: str, shown: str) -> None:
    settings = Settings(ranking={"database_url": url})
    assert settings.ranking.database_url == url
    assert settings.model_dump()["ranking"]["database_url"] == shown
    assert url not in repr(settings)


def test_a_password_among_what_is_shown_is_refused_with_the_place_for_it(tmp_path: Path) -> None:
    path = tmp_path / "dancerank.toml"
    path.write_text('[kafka.security]\nsasl_plain_password = "open sesame"\n')
    with pytest.raises(ConfigurationError, match=r"kafka\.security\.sasl_plain_password: .*kafka\.secrets") as caught:
        load_settings(path)
    assert "sesame" not in caught.value.message


def test_credentials_of_a_feature_store_are_kept_and_never_shown() -> None:
    options = {"s3": {"key": "sesame", "secret": "sesame", "endpoint_url": "http://minio:9000"}}
    settings = Settings(streamer={"store_options": options})
    assert settings.streamer.store_options == options
    assert "sesame" not in settings.model_dump_json()
    assert "minio" in settings.model_dump_json()
    assert "sesame" not in repr(settings) + repr(settings.streamer)


@pytest.mark.parametrize(
    "options",
    [
        {"account_key": "sesame"},
        {"connection_string": "AccountName=a;AccountKey=sesame"},
        {"credentials": {"private_key": "sesame"}},
        {"credentials": "sesame"},
        {"sas_token": ["sesame"]},
        {"auth": ["user", "sesame"]},
        {"mirrors": [{"passwd": "sesame"}, {"Passphrase": "sesame"}]},
        {"endpoint_url": "http://user:sesame@minio:9000"},
        {"hosts": ["http://user:sesame@minio:9000"]},
    ],
)
def test_an_option_of_a_store_that_may_be_secret_is_not_shown(options: dict[str, Any]) -> None:
    settings = Settings(streamer={"store_options": {"s3": options}})
    assert settings.streamer.store_options == {"s3": options}
    assert "sesame" not in settings.model_dump_json() + repr(settings)


def test_secrets_are_kept_and_never_shown() -> None:
    settings = Settings(kafka={"secrets": {"ssl_password": "open sesame"}})
    assert settings.kafka.secrets["ssl_password"].get_secret_value() == "open sesame"
    assert "sesame" not in repr(settings) + settings.model_dump_json()


def test_settings_cannot_be_changed_after_they_are_read() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load_settings().server.port = 1  # type: ignore[misc]


EXAMPLE = Path("deploy/dancerank.example.toml")


def test_the_example_file_is_current_and_holds_every_key_as_a_comment() -> None:
    text = EXAMPLE.read_text()
    assert text == example(), f"python -m dancerank.reference.settings --example > {EXAMPLE}"
    assert not [key for table in tomllib.loads(text).values() for key in table]


def test_the_example_file_loads_as_it_is_and_with_every_key_set(tmp_path: Path) -> None:
    assert load_settings(EXAMPLE) == Settings()
    path = tmp_path / "dancerank.toml"
    path.write_text(re.sub(r"^#(?=\w+ = )", "", EXAMPLE.read_text(), flags=re.MULTILINE))
    assert _by_key(tomllib.loads(path.read_text())).keys() == {_dotted(variable) for _, variable in ROWS}
    loaded, defaults = _by_key(load_settings(path).model_dump()), _by_key(Settings().model_dump())
    without_default = {key for key, value in defaults.items() if value is None}
    assert {key for key, value in loaded.items() if value != defaults[key]} == without_default


def _by_key(groups: Mapping[str, Any]) -> dict[str, Any]:
    """The values of settings by dotted key."""
    tables = {name: group for name, group in groups.items() if isinstance(group, dict)}
    below = {f"{name}.{key}": value for name, table in tables.items() for key, value in table.items()}
    return below | {name: value for name, value in groups.items() if name not in tables}


def _dotted(variable: str) -> str:
    return variable.removeprefix("DANCERANK_").lower().replace("__", ".")


@pytest.mark.parametrize("key", REMOVED)
def test_a_key_of_an_older_release_is_refused_with_what_to_do_instead(tmp_path: Path, key: str) -> None:
    path = tmp_path / "dancerank.toml"
    group, _, name = key.partition(".")
    path.write_text(f'[{group}]\n{name} = "x"\n')
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path)
    [_, problem] = caught.value.message.splitlines()
    assert problem == f"  {key}: this key is of an older release; {REMOVED[key]}"


def test_what_an_older_key_is_replaced_by_exists() -> None:
    keys = {_dotted(variable) for _, variable in ROWS}
    assert not keys & REMOVED.keys()
    for remedy in REMOVED.values():
        assert set(re.findall(r"\b[a-z]+\.[a-z_]+\b", remedy)) <= keys


@pytest.mark.tried(
    kind="two readers, two truths", given="settings and policies with a byte-order mark", outcome="read as without it"
)
def test_files_that_begin_with_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    def marked(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8-sig")
        return path

    assert load_settings(marked("settings.toml", "[server]\nport = 81\n")).server.port == 81
    assert load_settings(marked("empty.toml", "")).server.port == 8080
    shipped = shipped_policy()
    assert read_policy(marked("policy.toml", shipped.read_text(encoding="utf-8"))) == read_policy(shipped)
