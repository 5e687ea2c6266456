"""Uploads, and settings that keep a test to topics, groups and a database of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.faults import ONE_ROUTINE_IN, routine_uploads
from benchmarks.pipeline import repeated, settings_for
from dancerank.settings import Settings
from dancerank.synthetic import Plan, synthesize
from dancerank.topics import create_topics
from dancerank.uploads import send_clips
from schemas.clock import SystemClock
from schemas.events import MIN_DURATION_S, ClipUploaded
from tests.faults.processes import write_config
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink
from vdv.folder import write_data_set
from vdv.uploads import read_uploads

FILES = 40
SESSION_S = 6.0


@pytest.fixture(scope="session")
def feature_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="session")
def distinct_uploads(feature_folder: Path) -> list[ClipUploaded]:
    """Of the shortest clips there may be: what they are is not what is tested here."""
    plan = Plan(shortest_s=MIN_DURATION_S, longest_s=MIN_DURATION_S + 1)
    data = write_data_set(feature_folder, (clip.labelled() for clip in synthesize(FILES, seed=5, plan=plan)))
    return list(read_uploads(data, now_ms=SystemClock().now_ms()))


@pytest.fixture(scope="session")
def mixed_uploads(feature_folder: Path, distinct_uploads: list[ClipUploaded]) -> list[ClipUploaded]:
    """Likewise, and some routines, which the bundle that ships scores too; it names styles of the others."""
    return [*distinct_uploads, *routine_uploads(feature_folder, FILES // ONE_ROUTINE_IN)]


@dataclass(frozen=True)
class Scene:
    """Uploads that lie on their topic, and what processes need to work on them."""

    settings: Settings
    connection: KafkaConnection
    config: Path
    sent: Sequence[ClipUploaded]


@pytest.fixture
def scene(
    feature_folder: Path,
    distinct_uploads: list[ClipUploaded],
    mixed_uploads: list[ClipUploaded],
    tmp_path: Path,
) -> Callable[..., Scene]:
    """Sends so many uploads to a Kafka, for views in a database; of short clips alone unless ``with_routines``."""

    def made(connection: KafkaConnection, database_url: str, clips: int, *, with_routines: bool = False) -> Scene:
        base = settings_for(feature_folder)
        kafka = base.kafka.model_copy(update={"bootstrap_servers": connection.servers, "session_timeout_s": SESSION_S})
        ranking = base.ranking.model_copy(update={"database_url": database_url})
        settings = base.model_copy(update={"kafka": kafka, "ranking": ranking})
        more = {"kafka": {"session_timeout_s": SESSION_S}, "streamer": {"inference_threads": 1, "tuning_s": 0}}
        config = write_config(tmp_path / "dancerank.toml", settings, **more)
        create_topics(settings, connection)
        sent = list(repeated(mixed_uploads if with_routines else distinct_uploads, clips))
        sink = KafkaSink(connection)
        send_clips(sink, settings.streamer.uploads_topic, sent, 60.0)
        sink.close()
        return Scene(settings, connection, config, sent)

    return made
