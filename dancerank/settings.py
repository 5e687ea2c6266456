"""One frozen settings object per process, from a TOML file and the environment; a wrong key names itself.

Environment variables are ``DANCERANK_<GROUP>__<KEY>`` (``DANCERANK_KAFKA__BOOTSTRAP_SERVERS='["kafka:9092"]'``) and
win over the file named by ``--config`` or ``DANCERANK_CONFIG``. ``docs/settings.md`` lists every key; ``dancerank
settings`` prints the effective values.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from dancerank.scoring_on_request.settings import ScoringSettings
from dancerank.settings_removed import REMOVED
from dancerank.settings_values import (
    decoded,
    keys_of,
    passwords_among,
    refusal,
    without_password,
    without_secrets,
)
from extraction.settings import ExtractionSettings
from ranking.database.limits import MOST_CONNECTIONS
from ranking.monitoring.settings import MonitoringSettings
from ranking.pools.service.settings import PoolSettings
from ranking.serving.live.broadcast import MOST_LISTENERS
from ranking.vectors.backends.selection import INDEXES
from ranking.views.limits import BATCH_RECORDS
from schemas.decoder_messages import of_pydantic
from schemas.errors import ConfigurationError
from schemas.escaping import shortened
from schemas.local_files import read_text
from schemas.questions.scoring import DEFAULT_MAX_FILE_BYTES
from schemas.toml_documents import parse_toml
from streamer.settings import StreamerSettings
from transport.addresses import check_addresses
from transport.client_options import MAX_BATCH_BYTES, REQUEST_TIMEOUT_S, SESSION_TIMEOUT_S

ENV_PREFIX: Final = "DANCERANK_"
CONFIG_VARIABLE: Final = "DANCERANK_CONFIG"
DATA_VARIABLE: Final = "DANCERANK_DATA"
_OTHER_VARIABLES: Final = re.compile(rf"^({CONFIG_VARIABLE}|{DATA_VARIABLE}|DANCERANK_TEST_\w+)$")

_MAX_KEY: Final = 80

_ALIKE: Final = 0.75
"""How much of a key has to be right for another one to be meant, of 1."""

Port = Annotated[int, Field(ge=1, le=65535)]
PortOrOff = Annotated[int, Field(ge=0, le=65535)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class KafkaSettings(_Group):
    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    """Brokers to start from, host:port. The others are found through them."""
    streamer_group: str = "dancerank-streamer"
    """Consumer group of the streamer's workers, which divide the uploads among them."""
    videos_group: str = "dancerank-videos"
    """Consumer group of the streamer's workers for videos, which divide the uploads with a video among them."""
    ranking_group: str = "dancerank-ranking"
    """Consumer group of the SQL view's workers, which divide the log among them."""
    pools_group: str = "dancerank-pools"
    """Consumer group of the traffic pools' workers."""
    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,150}$")] | None = None
    """Name of this process among those of its groups that stays through restarts, such as its pod's. Its partitions
    wait for it, and what it left unfinished is ended when it is back. Absent: another one at each start, and after a
    crash both take until a timeout."""
    session_timeout_s: Annotated[float, Field(ge=1, le=1800)] = SESSION_TIMEOUT_S
    """Seconds without a sign of life after which a member's partitions go to others. Brokers refuse less than 6 unless
    they are configured otherwise."""
    partitions: Annotated[int, Field(ge=1)] = 8
    """Partitions of topics that are created because they are absent."""
    replication: Annotated[int, Field(ge=1)] = 1
    """Replicas of topics that are created because they are absent. Use 3 in production."""
    timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = REQUEST_TIMEOUT_S
    """How long connecting and a single request may take, in seconds."""
    max_batch_bytes: Annotated[int, Field(ge=1024 * 1024, le=1024 * 1024 * 1024)] = MAX_BATCH_BYTES
    """The most that a compressed batch of records may hold, in bytes. One that holds more is not decompressed any
    further, but dead-lettered as it is. A process holds a few of them at a time, one for each partition at most."""
    security: dict[str, str | bool] = {}
    """kafka-python's security_protocol, sasl_* and ssl_* settings, for example ssl_cafile."""
    secrets: dict[str, SecretStr] = {}
    """Likewise, for values that are never shown: sasl_plain_password, ssl_password."""

    @field_validator("bootstrap_servers")
    @classmethod
    def _name_brokers(cls, servers: tuple[str, ...]) -> tuple[str, ...]:
        try:
            check_addresses(servers)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return servers

    @field_validator("security")
    @classmethod
    def _without_secrets(cls, security: dict[str, str | bool]) -> dict[str, str | bool]:
        for key in passwords_among(security):
            raise refusal(key, "passwords are not hidden here; put it under kafka.secrets")
        return security


class RankingSettings(_Group):
    database_url: Annotated[str, Field(repr=False)] = "sqlite:///dancerank.db"
    """SQLAlchemy URL of the SQL view; in production postgresql+psycopg://user:password@host/database."""
    database_connections: Annotated[int, Field(ge=2, le=1000)] = MOST_CONNECTIONS
    """Most connections of this process to the database; with ``index = "pgvector"``, a serving process opens as many
    more. The sum over all processes has to stay below PostgreSQL's max_connections, which is 100 by default. A request
    that finds none free waits 10 s, then fails with a retriable error (database_busy)."""
    scored_topics: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], Field(max_length=16)] = ()
    """Logs of scored clips that rankings, indexes and traffic pools are built from, one of each model generation or a
    common one; empty: the one that the streamer of these settings writes."""
    deletions_topic: str = "clips.deleted"
    """Topic of deletions: clips named on it disappear from rankings, indexes, traffic pools and the log. It is created
    with unlimited retention, because no record of it may be lost."""
    erased_within_s: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 7 * 86_400.0
    """Seconds within which Kafka drops what a tombstone erases from the log, if the log is created here, and a snapshot
    of the index is written without the vectors of a deleted clip."""
    index: str = "faiss"
    """What holds the vectors for similarity search: faiss (exact below 16,384 clips, approximate above), milvus
    (shared by replicas), pgvector (likewise, in the PostgreSQL of database_url), numpy (exact, for small collections;
    needs no FAISS), an entry point of the group ``dancerank.indexes``, or package.module:factory."""
    milvus_uri: str = "dancerank-milvus.db"
    """Address of Milvus for ``index = "milvus"``: http://host:19530, or a file ending in .db for Milvus Lite, which one
    process uses."""
    milvus_token: SecretStr = SecretStr("")
    """user:password, or an API key, of Milvus."""
    index_folder: Path = Path("dancerank-index")
    """Folder of the index snapshots, and of the segments of a running process."""
    snapshot_interval_s: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between two snapshots of the index."""
    batch_records: Annotated[int, Field(ge=1)] = BATCH_RECORDS
    """Most records applied in one transaction."""
    index_threads: Annotated[int, Field(ge=1)] = 1
    """Threads of one FAISS search. Several requests are answered at once at any value."""

    @field_validator("index")
    @classmethod
    def _is_an_index(cls, name: str) -> str:
        try:
            INDEXES.check(name)
        except ConfigurationError as error:
            raise ValueError(error.message) from None
        return name

    @field_validator("scored_topics")
    @classmethod
    def _each_once(cls, topics: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(topics)) < len(topics):
            raise ValueError("a topic is named twice")
        return topics

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        if url.partition(":")[0].partition("+")[0] not in ("sqlite", "postgresql"):
            raise ValueError("not a database that is supported; use sqlite:///path or postgresql://user@host/name")
        return url

    @field_serializer("database_url")
    def _without_password(self, url: str) -> str:
        return without_password(url)


class ServerSettings(_Group):
    host: str = "127.0.0.1"
    """Address of the HTTP API. Use 0.0.0.0 inside a container."""
    port: Port = 8080
    """Port of the HTTP API."""
    stream_metrics_port: PortOrOff = 9464
    """Port of /metrics and /readyz of the streamer, which serves no API; 0: none."""
    rank_metrics_port: PortOrOff = 9465
    """Port of /metrics and /readyz of the SQL view where it has a process of its own; 0: none."""
    pools_metrics_port: PortOrOff = 9466
    """Port of /metrics and /readyz of a worker of the traffic pools; 0: none."""
    api_keys: Path | None = None
    """File of API keys, kept with ``dancerank keys`` and read again when it changes; absent: no key is asked for."""
    requests_per_minute: Annotated[int, Field(ge=0, le=1_000_000_000)] = 0
    """Requests that a key without a limit of its own may make, counted in each process; 0: any number."""
    metrics_without_key: bool = False
    """Whether /metrics of the API is answered without a key where keys are asked for."""
    max_request_bytes: Annotated[int, Field(ge=1)] = 8 * 1024 * 1024
    """Largest body of a request, in bytes."""
    max_file_bytes: Annotated[int, Field(ge=1)] = DEFAULT_MAX_FILE_BYTES
    """Largest file that is the body of a request (``/v1/score/file``), in bytes. It is written to the temporary folder
    while it is scored."""
    file_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 120.0
    """Seconds within which such a file has to arrive."""
    header_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """Seconds within which the line and headers of a request have to arrive."""
    body_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 10.0
    """Seconds within which the body of a request has to arrive, after its headers."""
    response_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 30.0
    """Seconds within which a client has to take what was written to it; then the connection is aborted."""
    idle_timeout_s: Annotated[float, Field(gt=0, le=3600)] = 5.0
    """Seconds that a connection may wait for its next request. Give a proxy a shorter one for its connections here."""
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 512
    """Most connections to the API at once. A further one replaces the one that has waited longest for a request; if
    all are being answered, it is answered with 503. Each needs a file descriptor."""
    event_listeners: Annotated[int, Field(ge=1, le=100_000)] = MOST_LISTENERS
    """Most clients that listen to live events (/v1/events) at once, but no more than half of max_connections; a further
    one is answered with 503."""
    shutdown_timeout_s: Annotated[float, Field(ge=2, le=86_400)] = 30.0
    """Seconds from SIGTERM within which every process ends. It finishes what is under way; what is not finished by then
    is done again after the next start. Requests have half of it."""


class LogSettings(_Group):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is written."""
    format: Literal["console", "json"] = "console"
    """console for people, json for collectors."""


def video_bundle() -> Path:
    """Likewise, for the features that the extractors of Python's index give of videos: ``dancerank demo-video``."""
    return Path(str(files("dancerank") / "video_bundle"))


def shipped_bundle() -> Path:
    """The small bundle inside this package, trained on synthetic clips."""
    return Path(str(files("dancerank") / "bundle"))


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,  # the groups decode, so that an error is one of validation and names its key
        use_attribute_docstrings=True,
        hide_input_in_errors=True,  # it may be a secret
    )

    kafka: KafkaSettings = KafkaSettings()
    """The broker and the topics."""
    bundle: Path | None = None
    """Folder of the model bundle; absent: the small one that ships with the package."""
    streamer: StreamerSettings = StreamerSettings()
    """Topics, features, batching, inference and commits of the streamer."""
    extraction: ExtractionSettings = ExtractionSettings()
    """Features from videos: networks, frames, and limits of the decoder."""
    ranking: RankingSettings = RankingSettings()
    """The SQL view and the index view."""
    pools: PoolSettings = PoolSettings()
    """The traffic pools."""
    monitoring: MonitoringSettings = MonitoringSettings()
    """Whether the model is right: measured by the workers of the traffic pools."""
    scoring: ScoringSettings = ScoringSettings()
    """Scoring of clips that were never uploaded, by the process that serves."""
    server: ServerSettings = ServerSettings()
    """HTTP."""
    log: LogSettings = LogSettings()
    """Logging."""

    @property
    def bundle_folder(self) -> Path:
        """Folder of the model bundle, that of the shipped one by default."""
        return self.bundle or shipped_bundle()

    @field_validator("*", mode="before")
    @classmethod
    def _from_json(cls, values: Any, info: ValidationInfo) -> Any:
        """Lists and tables come from environment variables as JSON."""
        group = cls.model_fields[info.field_name or ""].annotation
        return decoded(group, values) if isinstance(group, type) and issubclass(group, BaseModel) else values

    @model_validator(mode="after")
    def _logs_are_logs_only(self) -> Self:
        """Tombstones go to every log, and any other record on it is dead-lettered as unreadable."""
        others = {
            "streamer.uploads_topic": self.streamer.uploads_topic,
            "streamer.videos_topic": self.streamer.videos_topic,
            "ranking.deletions_topic": self.ranking.deletions_topic,
            "pools.engagement_topic": self.pools.engagement_topic,
            "pools.decisions_topic": self.pools.decisions_topic,
        }
        for name, topic in others.items():
            if topic in self.ranking.scored_topics:
                raise refusal(
                    "ranking.scored_topics", f"{topic} is already used as {name}; name one that holds only scored clips"
                )
        return self

    @field_serializer("streamer")
    def _streamer_without_secrets(self, streamer: StreamerSettings) -> dict[str, Any]:
        return {**streamer.model_dump(), "store_options": without_secrets(streamer.store_options)}

    @classmethod
    def settings_customise_sources(  # type: ignore[override]
        cls, settings_cls: type[BaseSettings], **sources: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return sources["env_settings"], sources["init_settings"]  # __init__ is given what the file says


def load_settings(config: Path | None = None) -> Settings:
    """Settings from the file ``config`` (or the one that ``DANCERANK_CONFIG`` names) and the environment.

    Raises ``ConfigurationError`` naming every wrong key, where it stands and what is allowed.
    """
    path = config or (Path(os.environ[CONFIG_VARIABLE]) if os.environ.get(CONFIG_VARIABLE) else None)
    _check_environment()
    try:
        return Settings(**(_read_toml(path) if path else {}))
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False)
        problems = "\n".join(f"  {_problem(detail, os.environ)}" for detail in details)
        origin = f"{path} and the environment" if path else "the environment"
        raise ConfigurationError(f"settings from {origin} cannot be used:\n{problems}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(path))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not valid TOML: {shortened(str(error))}") from error


def _check_environment() -> None:
    # pydantic-settings passes over variables whose first part is not a field; a misspelled one must be refused.
    groups = ", ".join(Settings.model_fields)
    for name in os.environ:
        group = name.removeprefix(ENV_PREFIX).split("__")[0].lower()
        if name.startswith(ENV_PREFIX) and not _OTHER_VARIABLES.match(name) and group not in Settings.model_fields:
            raise ConfigurationError(
                f"environment variable {name}: unknown group {group!r}; {_variable_meant(group)}the groups are "
                f"{groups}",
                field=name,
            )


def _variable_meant(group: str) -> str:
    for known in Settings.model_fields:
        key = group.removeprefix(f"{known}_")
        if key in _keys_at([known]):
            return f"did you mean {ENV_PREFIX}{known.upper()}__{key.upper()}, with two underscores? "
    return _meant([group])


def _problem(detail: Any, environment: Mapping[str, str]) -> str:
    location = [shortened(str(part), _MAX_KEY) for part in detail["loc"]]
    if key := detail.get("ctx", {}).get("key"):
        location.append(key)
    variables = (ENV_PREFIX + "__".join(location[:end]).upper() for end in range(len(location), 0, -1))
    variable = next((name for name in variables if name in environment), None)
    named = ".".join(location) + (f" (variable {variable})" if variable else "")
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        if remedy := REMOVED.get(".".join(location)):
            return f"{named}: this key is of an older release; {remedy}"
        meant = _meant(location)
        return f"{named}: unknown key; {meant}the keys here are {', '.join(_keys_at(location[:-1]))}"
    return f"{named}: {of_pydantic(detail['type'], shortened(detail['msg']))}"


def _meant(location: list[str]) -> str:
    """A key that looks like the unknown one, in the same group or in another."""
    *group, key = location
    here = {".".join((*group, name)): name for name in _keys_at(group)}
    elsewhere = {f"{other}.{name}": name for other in Settings.model_fields for name in _keys_at([other])}
    for names in (here, elsewhere):
        if found := get_close_matches(key, names.values(), n=1, cutoff=_ALIKE):
            return f"did you mean {next(full for full, name in names.items() if name == found[0])}? "
    return ""


def _keys_at(location: list[str]) -> list[str]:
    return keys_of(Settings.model_fields[location[0]].annotation if location else Settings)
