"""A replica whose snapshot has a damaged index rebuilds it from Kafka, and answers from the others meanwhile."""

import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from benchmarks.recovery import scored_clips, write
from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.vectors.view import IndexView
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.questions.retrieval import SimilarQuery
from tests.waiting import wait_until
from transport.connection import KafkaConnection
from transport.kafka_sink import KafkaSink

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

CLIPS = 600
WIDTH = 16


@pytest.fixture
def processes(tmp_path: Path, fresh_name: Callable[[str], str], kafka_connection: KafkaConnection) -> Processes:
    settings = Settings.model_validate(
        {
            "kafka": {"bootstrap_servers": kafka_connection.servers},
            "streamer": {"scored_topic": fresh_name("scored")},
            "ranking": {
                "database_url": f"sqlite:///{tmp_path / 'view.db'}",
                "index_folder": tmp_path / "index",
                "deletions_topic": fresh_name("deleted"),
            },
        }
    )
    return Processes(settings, connection=kafka_connection)


def damage_one_index(root: Path) -> Path:
    """Change a byte of a file of the scenic index in every snapshot; returns the newest such file."""
    for folder in sorted(root.glob("snapshot-*")):
        manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
        (index,) = (each for each in manifest["spaces"][0]["indexes"] if each["modality"] == Modality.SCENIC)
        damaged = folder / f"0-scenic-{index['width']}.state"
        content = bytearray(damaged.read_bytes())
        content[len(content) // 2] ^= 1
        damaged.write_bytes(content)
    return damaged


@pytest.mark.tried(
    kind="decoding errors",
    given="a damaged file of one index in all snapshots of a serving process, on a real Kafka",
    outcome="/readyz names it, the others answer, the index is read from the log again",
)
def test_a_damaged_index_is_read_from_the_log_again_while_the_others_answer(
    processes: Processes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes.create_topics()
    with closing(KafkaSink(processes.connection)) as sink:
        write(sink, processes.settings, scored_clips(CLIPS, WIDTH), lambda *_: None, CLIPS)
    with processes.replica() as replica:
        wait_until(lambda: replica.loops[0].loop.caught_up, what="the log was not read")
        expected, query = replica.index.content(), SimilarQuery(clip_id="clip-7", k=20)
        answer = replica.index.similar(query)
    damaged = damage_one_index(tmp_path / "index")
    goes_on, refill = threading.Event(), IndexView.refill

    def held_up(view: IndexView, *arguments: object) -> None:
        assert goes_on.wait(60.0)
        refill(view, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(IndexView, "refill", held_up)
    with processes.replica() as replica:
        wait_until(lambda: replica.loops[0].loop.caught_up, what="the log was not read")
        assert [str(damaged) in said for said in replica.index.incomplete()] == [True]
        readiness = replica.service.readiness()
        assert any(str(damaged) in said for said in readiness.waiting)
        meanwhile = replica.index.similar(query)
        assert meanwhile.approximate
        assert all(Modality.SCENIC in hit.missing or Modality.SCENIC not in meanwhile.weights for hit in meanwhile.hits)
        assert {Modality.SCENIC: 0} | dict.fromkeys(
            set(FUSED_MODALITIES) - {Modality.SCENIC}, CLIPS
        ) == replica.index.sizes()
        goes_on.set()
        wait_until(lambda: not replica.index.incomplete(), what="the index stays incomplete")
        assert replica.index.content() == expected
        assert replica.index.similar(query).hits == answer.hits
    with processes.replica() as replica:
        assert replica.index.incomplete() == []
        assert replica.index.content() == expected
