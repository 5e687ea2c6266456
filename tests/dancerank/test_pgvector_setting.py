"""The setting ``ranking.index = "pgvector"``: processes of one database share the vectors and write no snapshot."""

from contextlib import closing
from pathlib import Path
from typing import cast

import pytest

from dancerank.processes import Processes
from dancerank.settings import Settings
from ranking.vectors.backends.pgvector.backend import PgvectorBackend
from schemas.errors import ConfigurationError
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import apply, scored_clip


def processes_of(url: str, folder: Path) -> Processes:
    return Processes(
        Settings.model_validate({"ranking": {"index": "pgvector", "database_url": url, "index_folder": folder}})
    )


@pytest.mark.postgresql
def test_a_process_answers_from_what_another_one_wrote_to_the_database(postgresql_url: str, tmp_path: Path) -> None:
    first, second = (processes_of(postgresql_url, tmp_path / "index") for _ in range(2))
    with (
        closing(cast(PgvectorBackend, first.index_backend)),
        closing(cast(PgvectorBackend, second.index_backend)),
        first.database(),
    ):
        written = first.open_index()
        apply(written, [scored_clip(f"c{number}") for number in range(4)])
        written.save(tmp_path / "index")
        read = second.open_index()
        assert read.content() == written.content()
        assert {hit.clip_id for hit in read.similar(SimilarQuery(clip_id="c0")).hits} == {"c1", "c2", "c3"}
    assert not (tmp_path / "index").exists()


def test_with_sqlite_the_setting_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"ranking\.database_url names sqlite; name a PostgreSQL") as caught:
        _ = processes_of(f"sqlite:///{tmp_path / 'view.db'}", tmp_path).index_backend
    assert caught.value.field == "ranking.index"
    assert not [*tmp_path.iterdir()]
