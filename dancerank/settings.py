"""One frozen settings object per process, from a TOML file and the environment; a wrong key names itself.

Environment variables are ``DANCERANK_<GROUP>__<KEY>`` (``DANCERANK_KAFKA__BOOTSTRAP_SERVERS='["kafka:9092"]'``) and
win over the file named by ``--config`` or ``DANCERANK_CONFIG``. ``docs/settings.md`` lists every key; ``dancerank
settings`` prints the values in force.
"""

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_serializer
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.errors import ConfigurationError
from streamer.settings import StreamerSettings

ENV_PREFIX: Final = "DANCERANK_"
CONFIG_VARIABLE: Final = "DANCERANK_CONFIG"
DATA_VARIABLE: Final = "DANCERANK_DATA"
_OTHER_VARIABLES: Final = re.compile(rf"^({CONFIG_VARIABLE}|{DATA_VARIABLE}|DANCERANK_TEST_\w+)$")

Port = Annotated[int, Field(ge=1, le=65535)]


class _Group(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class KafkaSettings(_Group):
    bootstrap_servers: tuple[str, ...] = ("localhost:9092",)
    """Brokers to start from, host:port. The others are found through them."""
    streamer_group: str = "dancerank-streamer"
    """Consumer group of the streamer's workers, which divide the uploads among them."""
    ranking_group: str = "dancerank-ranking"
    """Consumer group of the SQL view's workers, which divide the log among them."""
    partitions: Annotated[int, Field(ge=1)] = 8
    """Partitions of topics that are created because they are absent."""
    replication: Annotated[int, Field(ge=1)] = 1
    """Replicas of topics that are created because they are absent. Use 3 in production."""
    timeout_s: Annotated[float, Field(gt=0)] = 10.0
    """How long connecting and a single request may take, in seconds."""
    security: dict[str, str | bool] = {}
    """kafka-python's security_protocol, sasl_* and ssl_* settings, for example ssl_cafile."""
    secrets: dict[str, SecretStr] = {}
    """Likewise, for values that are never shown: sasl_plain_password, ssl_password."""


class RankingSettings(_Group):
    database_url: Annotated[str, Field(repr=False)] = "sqlite:///dancerank.db"
    """SQLAlchemy URL of the SQL view; in production postgresql+psycopg://user:password@host/database."""
    index_folder: Path = Path("dancerank-index")
    """Folder of the index snapshots."""
    generation: str | None = None
    """Model generation that the index serves; absent: that of the snapshot, or of the first clip read."""
    snapshot_interval_s: Annotated[float, Field(gt=0)] = 300.0
    """Seconds between two snapshots of the index."""
    batch_records: Annotated[int, Field(ge=1)] = 500
    """Most records applied in one transaction."""
    index_threads: Annotated[int, Field(ge=1)] = 1
    """Threads of one FAISS search. Several requests are answered at once whatever this says."""

    @field_serializer("database_url")
    def _without_password(self, url: str) -> str:
        return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


class ServerSettings(_Group):
    host: str = "127.0.0.1"
    """Address of the HTTP API. Use 0.0.0.0 inside a container."""
    port: Port = 8080
    """Port of the HTTP API."""
    metrics_port: Port = 9464
    """Port of /metrics of the streamer and of the SQL view, which serve no API."""


class LogSettings(_Group):
    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe message that is written."""
    format: Literal["console", "json"] = "console"
    """console for people, json for collectors."""


class Settings(BaseSettings):
    """Everything that can be set."""

    model_config = SettingsConfigDict(
        frozen=True, extra="forbid", env_prefix=ENV_PREFIX, env_nested_delimiter="__", use_attribute_docstrings=True
    )

    kafka: KafkaSettings = KafkaSettings()
    """The broker and the topics."""
    bundle: Path | None = None
    """Folder of the model bundle; absent: the small one that ships with the package."""
    streamer: StreamerSettings = StreamerSettings()
    """Topics, features, batching, inference and commits of the streamer."""
    ranking: RankingSettings = RankingSettings()
    """The SQL view and the index view."""
    server: ServerSettings = ServerSettings()
    """HTTP."""
    log: LogSettings = LogSettings()
    """Logging."""

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
        problems = "\n".join(f"  {_problem(detail)}" for detail in error.errors(include_url=False, include_input=False))
        origin = f"{path} and the environment" if path else "the environment"
        raise ConfigurationError(f"settings from {origin} cannot be used:\n{problems}") from None


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: no valid TOML: {error}") from error


def _check_environment() -> None:
    # pydantic-settings passes over variables whose first part is no field; a typing error must not pass.
    groups = ", ".join(Settings.model_fields)
    for name in os.environ:
        group = name.removeprefix(ENV_PREFIX).split("__")[0].lower()
        if name.startswith(ENV_PREFIX) and not _OTHER_VARIABLES.match(name) and group not in Settings.model_fields:
            raise ConfigurationError(
                f"environment variable {name}: no group is called {group!r}; groups are {groups}",
                field=name,
            )


def _problem(detail: Any) -> str:
    path = ".".join(str(part) for part in detail["loc"])
    if detail["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = ", ".join(_fields_at(detail["loc"][:-1]))
        return f"{path}: there is no such key; keys here are {allowed}"
    return f"{path}: {detail['msg']}"


def _fields_at(location: tuple[str | int, ...]) -> list[str]:
    fields: Any = Settings.model_fields
    for part in location:
        annotation = fields[part].annotation
        fields = getattr(annotation, "model_fields", None) or getattr(annotation, "__dataclass_fields__", {})
    return list(fields)
