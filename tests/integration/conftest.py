"""Synthetic clips on disk, and settings that keep a test to topics, groups and folders of its own."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dancerank.settings import Settings
from dancerank.synthetic import synthesize
from schemas.events import ClipUploaded
from transport.connection import KafkaConnection
from vdv.folder import open_data_set, write_data_set
from vdv.uploads import read_uploads

CLIPS = 1000


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a thousand synthetic clips, about 1.2 GB."""
    folder = tmp_path_factory.mktemp("clips")
    assert len(write_data_set(folder, (clip.labelled() for clip in synthesize(CLIPS, seed=11)))) == CLIPS
    return folder


@pytest.fixture
def uploads(clip_folder: Path) -> list[ClipUploaded]:
    return list(read_uploads(open_data_set(clip_folder), now_ms=int(time.time() * 1000)))


@pytest.fixture
def settings(
    clip_folder: Path, tmp_path: Path, fresh_name: Callable[[str], str], kafka_connection: KafkaConnection
) -> Settings:
    return Settings.model_validate(
        {
            "kafka": {
                "bootstrap_servers": kafka_connection.servers,
                "streamer_group": fresh_name("streamer"),
                "ranking_group": fresh_name("ranking"),
            },
            "streamer": {
                "feature_roots": [clip_folder.resolve().as_uri()],
                "uploads_topic": fresh_name("uploads"),
                "scored_topic": fresh_name("scored"),
            },
            "ranking": {"database_url": f"sqlite:///{tmp_path / 'view.db'}", "index_folder": tmp_path / "index"},
        }
    )
