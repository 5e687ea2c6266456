"""Synthetic clips on disk, and settings that keep a test to topics, groups and folders of its own."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dancerank.clip_folder import ClipRow, read_uploads, write_clip_folder
from dancerank.settings import Settings
from dancerank.synthetic import synthesize
from schemas.events import ClipUploaded
from transport.connection import KafkaConnection

CLIPS = 1000


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a thousand synthetic clips, about 1.2 GB."""
    folder = tmp_path_factory.mktemp("clips")
    clips = synthesize(CLIPS, seed=11)
    rows = (ClipRow(c.clip_id, c.dancer.dancer_id, c.challenge_id, c.duration_s, c.features) for c in clips)
    assert sum(1 for _ in write_clip_folder(folder, rows)) == CLIPS
    return folder


@pytest.fixture
def uploads(clip_folder: Path) -> list[ClipUploaded]:
    return list(read_uploads(clip_folder, now_ms=int(time.time() * 1000)))


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
