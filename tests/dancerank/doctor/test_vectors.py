"""What the doctor says of an index that a server holds."""

from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa

from dancerank.doctor.findings import Level
from dancerank.doctor.vectors import examine_vectors
from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.vectors.backends import milvus
from ranking.vectors.backends.pgvector import description
from ranking.vectors.backends.pgvector.backend import PgvectorBackend
from ranking.vectors.backends.port import IndexBackend
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.observation import Observer
from tests.ranking.databases import UNREACHABLE
from tests.ranking.examples import apply, scored_clip
from tests.ranking.vectors.own_backends import RemoteService


def examined(index: str, **ranking: object) -> list[tuple[Level, str]]:
    settings = Settings.model_validate({"ranking": {"index": index, **ranking}})
    return [(each.level, each.sentence) for each in examine_vectors(Processes(settings))]


def fill(backend: IndexBackend, folder: Path) -> None:
    """Two clips of one generation and one of another."""
    view = IndexView(backend, Observer(), ManualClock())
    apply(view, [scored_clip("a"), scored_clip("b"), scored_clip("a", generation="g2")])
    view.save(folder)


HELD = [
    "holds of generation g1 2 clips; vectors: 2 facial, 2 holistic, 2 scenic, 2 skeletal",
    "holds of generation g2 1 clip; vectors: 1 facial, 1 holistic, 1 scenic, 1 skeletal",
]


@pytest.mark.postgresql
def test_pgvector_is_named_with_its_version_and_the_vectors_of_each_generation(
    postgresql_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> list[tuple[Level, str]]:
        return examined("pgvector", database_url=postgresql_url)

    engine = sa.create_engine(sa.make_url(postgresql_url).set(drivername="postgresql+psycopg"))
    ((level, sentence),) = said()
    assert level is Level.WARNING
    assert "CREATE EXTENSION vector" in sentence
    assert sa.inspect(engine).get_table_names() == [], "nothing is changed"
    processes = Processes(Settings.model_validate({"ranking": {"index": "pgvector", "database_url": postgresql_url}}))
    with closing(cast(PgvectorBackend, processes.index_backend)) as backend:
        version, empty = said()
        assert version[0] is Level.OK
        assert "index pgvector is pgvector 0." in version[1]
        assert "no state yet" in empty[1]
        fill(backend, tmp_path)
    assert [found[1].partition(" (")[0].removeprefix("index pgvector ") for found in said()[1:]] == HELD
    monkeypatch.setattr(description, "LEAST_VERSION", (99, 1))
    ((level, sentence),) = said()
    assert level is Level.ERROR
    assert "ALTER EXTENSION vector UPDATE" in sentence
    engine.dispose()


def test_a_postgresql_that_does_not_answer_or_is_none_is_an_error_with_the_remedy(tmp_path: Path) -> None:
    for url, remedy in ((UNREACHABLE, "Check"), (f"sqlite:///{tmp_path / 'view.db'}", "name a PostgreSQL there")):
        ((level, sentence),) = examined("pgvector", database_url=url)
        assert level is Level.ERROR
        assert remedy.lower() in sentence.lower()
    assert not [*tmp_path.iterdir()]


def test_milvus_is_named_with_its_version_and_the_vectors_of_each_generation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = str(tmp_path / "index.db")
    ((level, sentence),) = examined("milvus", milvus_uri=uri)
    assert level is Level.OK
    assert "is not there yet" in sentence
    assert not [*tmp_path.iterdir()]
    asked: list[dict[str, str]] = []

    def connected(**options: str) -> Any:
        asked.append(options)
        service = RemoteService()
        fill(service, tmp_path)
        return SimpleNamespace(version="2.6.1", load_state=service.load_state, close=lambda: None)

    monkeypatch.setattr(milvus, "MilvusBackend", connected)
    version, *held = examined("milvus", milvus_uri="http://index:19530", milvus_token="root:secret")
    assert asked == [{"uri": "http://index:19530", "token": "root:secret"}]
    assert version[1] == "index milvus is Milvus 2.6.1 at http://index:19530"
    assert [found[1].partition(" (")[0].removeprefix("index milvus ") for found in held] == HELD


def test_a_milvus_that_does_not_answer_is_an_error() -> None:
    ((level, sentence),) = examined("milvus", milvus_uri="http://127.0.0.1:1")
    assert level is Level.ERROR
    assert "no Milvus answers" in sentence


def test_an_index_in_the_process_is_not_examined() -> None:
    assert examined("faiss") == []
