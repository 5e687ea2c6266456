"""Many rows at once end in the table as they were given, however many, and failures are the errors of the store."""

import math
from typing import Any

import pytest
import sqlalchemy as sa

from ranking.database.bulk import insert_rows, keyed, keys_of
from ranking.database.connection import Database
from ranking.database.tables import clips, ranking_runs, scored_clips
from schemas.errors import StoreRefused, StoreUnavailable

ODD = ["a", "É", "日本", "🕺", "a'b", 'a"b', "a\\b", "{a,b}", "NULL", "\\N", "%s", "?", ":x"]


def scored(clip_id: str, number: int) -> tuple[Any, ...]:
    distance = None if number % 2 else number / 3
    source = (None, None, None) if number % 3 else ("file", ODD[number % len(ODD)], None if number % 2 else "f" * 64)
    style = (None, None) if number % 5 else (ODD[number % len(ODD)], number / 7)
    place = number, 2**60 + number
    return "g1", clip_id, ODD[number % len(ODD)], 10**12 + number, 2**40, "", distance, *place, *source, *style


@pytest.mark.parametrize("count", [1, 49, 50, 1000])
def test_all_values_come_back_as_they_were(any_database: Database, count: int) -> None:
    rows = [scored(f"{ODD[number % len(ODD)]}-{number:04d}", number) for number in range(count)]
    with any_database.writing() as connection:
        insert_rows(connection, scored_clips, rows)
        found = [tuple(row) for row in connection.execute(sa.select(scored_clips))]
    assert sorted(found) == sorted(rows)


@pytest.mark.parametrize("count", [3, 300])
def test_bytes_and_doubles_come_back_bit_by_bit(any_database: Database, count: int) -> None:
    rows = [("g", "c", 0, 0, n, n, 3, bytes([0, 255, n % 256, 92]), None if n % 2 else b"") for n in range(count)]
    with any_database.writing() as connection:
        insert_rows(connection, ranking_runs, rows)
        assert sorted(tuple(row) for row in connection.execute(sa.select(ranking_runs))) == rows
        numbers = [math.pi, 5e-324, 1e308, -0.1, 0.1 + 0.2] * (count // 3)
        insert_rows(connection, clips, [(f"c{n:04d}", "d", "c", 1, each, 0, n) for n, each in enumerate(numbers)])
        assert connection.scalars(sa.select(clips.c.duration_s).order_by(clips.c.clip_id)).all() == numbers


def test_keys_are_found_and_no_others(any_database: Database) -> None:
    with any_database.writing() as connection:
        insert_rows(connection, clips, [(each, "d", "c", 1, 1.0, 0, 1) for each in ODD])
        for keys in ([], ["a"], ODD[1:9], [*ODD, "none"]):
            query = sa.select(clips.c.clip_id).where(keyed(connection.dialect.name, clips.c.clip_id, "keys"))
            given = {"keys": keys_of(connection.dialect.name, keys)}
            assert set(connection.scalars(query, given)) == set(keys) & set(ODD)


@pytest.mark.parametrize("count", [2, 200])
def test_a_key_that_is_there_is_refused(any_database: Database, count: int) -> None:
    rows = [scored("same", number) for number in range(count)]
    with pytest.raises(StoreRefused), any_database.writing() as connection:
        insert_rows(connection, scored_clips, rows)
    with any_database.reading() as connection:
        assert connection.scalars(sa.select(sa.func.count()).select_from(scored_clips)).one() == 0


@pytest.mark.postgresql
@pytest.mark.parametrize("count", [2, 20_000])
def test_a_server_that_goes_while_rows_are_sent_may_answer_later(postgresql_database: Database, count: int) -> None:
    rows = [scored(f"c{number}", number) for number in range(count)]

    def write(*, interrupted: bool) -> None:
        with postgresql_database.writing() as connection:
            pid = connection.scalars(sa.select(sa.func.pg_backend_pid())).one()
            if interrupted:
                with postgresql_database.writing() as other:
                    other.execute(sa.select(sa.func.pg_terminate_backend(pid)))
            insert_rows(connection, scored_clips, rows)

    with pytest.raises(StoreUnavailable):
        write(interrupted=True)
    write(interrupted=False)
