"""Topics and groups of a test's own on a real Kafka, a database in a file, and ``dancerank offsets`` on them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest
from typer.testing import CliRunner

from dancerank.cli import app
from dancerank.settings import Settings, load_settings
from ranking.views.applied_offsets import ViewPositions
from schemas.ports import TopicPartition
from tests.ranking.databases import migrated
from transport.connection import KafkaConnection


@dataclass
class OffsetsDesk:
    """Settings with topics of two partitions, and the command, in a wide terminal."""

    settings: Settings
    config: Path
    connection: KafkaConnection

    @classmethod
    def made(
        cls,
        folder: Path,
        connection: KafkaConnection,
        fresh_name: Callable[[str], str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Self:
        monkeypatch.setenv("COLUMNS", "250")
        config = folder / "dancerank.toml"
        config.write_text(f"""
            [kafka]
            bootstrap_servers = ["{connection.servers[0]}"]
            streamer_group = "{fresh_name("streamer")}"
            ranking_group = "{fresh_name("ranking")}"
            pools_group = "{fresh_name("pools")}"
            partitions = 2
            [streamer]
            uploads_topic = "{fresh_name("up")}"
            scored_topic = "{fresh_name("scored")}"
            [ranking]
            database_url = "sqlite:///{folder / "view.db"}"
            deletions_topic = "{fresh_name("deleted")}"
            [pools]
            engagement_topic = "{fresh_name("engagement")}"
        """)
        return cls(load_settings(config), config, connection)

    def run(self, *arguments: str, answer: str | None = None) -> tuple[int, str]:
        """Exit status and what was printed, in one line."""
        result = CliRunner().invoke(app, ["offsets", *arguments, "--config", str(self.config)], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, " ".join(result.output.split())

    def store(self, view: str, positions: dict[TopicPartition, int]) -> None:
        with migrated(self.settings.ranking.database_url) as database:
            ViewPositions(database).set(view, positions)


def filled(topic: str) -> TopicPartition:
    """Where records under the key ``k`` are."""
    return TopicPartition(topic, 1)  # CRC-32 of "k" is odd
