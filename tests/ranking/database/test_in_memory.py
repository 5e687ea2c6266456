"""An in-memory database has one connection: threads of its process use it in turns."""

import threading

import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.scores.store import ScoreStore
from schemas.errors import DatabaseBusy
from tests.ranking.databases import migrated
from tests.ranking.examples import apply, scored_clip

URLS = ["sqlite://", "sqlite:///:memory:", "sqlite:///file:shared?mode=memory&cache=shared&uri=true"]


@pytest.mark.parametrize("url", URLS)
def test_threads_read_and_write_side_by_side(url: str) -> None:
    failures: list[Exception] = []
    with migrated(url) as database:
        store = ScoreStore(database)

        def work(number: int) -> None:
            try:
                for turn in range(20):
                    apply(store, [scored_clip(f"c{number}-{turn}")], start=100 * number + turn, partition=number)
                    store.ranking("ch", "fused", "g1", order="top", k=10)  # type: ignore[arg-type]
            except Exception as error:  # noqa: BLE001 - reported below
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        assert store.generations() == {"g1": 160}
        assert database.missing_file is None


def test_a_thread_that_waits_too_long_for_its_turn_is_refused_with_a_retry() -> None:
    database = Database("sqlite://", wait_s=0.05)
    failures: list[BaseException] = []

    def read() -> None:
        try:
            with database.reading() as connection:
                connection.execute(sa.select(1))
        except DatabaseBusy as error:
            failures.append(error)

    with database.writing():
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    (error,) = failures
    assert "in-memory database was in use for 0.05 s; try again, or use a file" in str(error)
    read()
    assert len(failures) == 1
