"""Statements that go to the database together: what they read, write and leave behind when one of them fails."""

from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ranking.database.connection import FRESH_PLANS, Database
from ranking.database.round_trip import COMMIT, Step, among, inserting, together, writing
from ranking.database.tables import engagement_aside, pool_kinds
from schemas.errors import StoreRefused, StoreUnavailable

TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)


def kind(challenge_id: str, tenth: int = 0, reactions: int = 1, views: int = 2) -> dict[str, Any]:
    return {"challenge_id": challenge_id, "tenth": tenth, "reactions": reactions, "views": views}


def kinds(database: Database) -> list[dict[str, Any]]:
    with database.reading() as connection:
        rows = connection.execute(sa.select(pool_kinds).order_by(*pool_kinds.primary_key))
        return [row._asdict() for row in rows]


def test_each_step_sees_what_those_before_it_wrote(any_database: Database) -> None:
    query = sa.select(pool_kinds.c.challenge_id, pool_kinds.c.views).order_by(pool_kinds.c.challenge_id)
    with any_database.writing() as connection:
        dialect = connection.dialect.name
        found = together(
            connection,
            [
                Step(query),
                *inserting(connection, pool_kinds, [kind("b"), kind("a")]),
                Step(query),
                *writing(connection, pool_kinds, [kind("a", views=9)]),
                Step(query.where(among(dialect, pool_kinds.c.challenge_id, "some")), {"some": ["a", "c"]}),
                Step(query.where(among(dialect, pool_kinds.c.challenge_id, "some")), {"some": []}),
            ],
        )
    assert [[tuple(row) for row in rows] for rows in found] == [[], [], [("a", 2), ("b", 2)], [], [("a", 9)], []]
    assert found[4][0]._asdict() == {"challenge_id": "a", "views": 9}


def test_columns_that_add_up_are_added_and_the_others_replaced(any_database: Database) -> None:
    for reactions, views in ((1, 10), (2, 20)):
        with any_database.writing() as connection:
            rows = [kind("x", 1, reactions, views), kind("y", 1, reactions, views)]
            together(connection, writing(connection, pool_kinds, rows, adds=frozenset({"views"})))
    assert kinds(any_database) == [kind("x", 1, 2, 30), kind("y", 1, 2, 30)]


def test_no_rows_are_no_step(any_database: Database) -> None:
    with any_database.writing() as connection:
        assert writing(connection, pool_kinds, []) == inserting(connection, pool_kinds, []) == []
        assert together(connection, []) == []


def test_if_one_step_fails_none_has_an_effect_and_the_connection_can_be_used_again(any_database: Database) -> None:
    def fails() -> None:
        with any_database.writing() as connection:
            steps = inserting(connection, pool_kinds, [kind("a")])
            together(connection, [*steps, *steps, *inserting(connection, pool_kinds, [kind("b")])])

    with pytest.raises(StoreRefused, match="refused a statement"):
        fails()
    assert kinds(any_database) == []
    with any_database.writing() as connection:
        together(connection, inserting(connection, pool_kinds, [kind("c")]))
    assert kinds(any_database) == [kind("c")]


@pytest.mark.postgresql
def test_a_connection_that_is_lost_between_two_steps_is_an_outage(postgresql_database: Database) -> None:
    gone = sa.select(sa.func.pg_terminate_backend(sa.func.pg_backend_pid()))

    def ends() -> None:
        with postgresql_database.writing() as connection:
            together(connection, [*inserting(connection, pool_kinds, [kind("a")]), Step(gone), Step(sa.select(1))])

    with pytest.raises(StoreUnavailable):
        ends()
    assert kinds(postgresql_database) == []


@pytest.mark.postgresql
def test_what_ends_with_a_commit_is_committed_with_it(postgresql_database: Database) -> None:
    def fails() -> None:
        with postgresql_database.writing() as connection:
            steps = inserting(connection, pool_kinds, [kind("b")])
            together(connection, [*steps, *steps, COMMIT])

    with postgresql_database.writing() as connection:
        together(connection, [*inserting(connection, pool_kinds, [kind("a")]), COMMIT])
        assert kinds(postgresql_database) == [kind("a")]
    with pytest.raises(StoreRefused):
        fails()
    assert kinds(postgresql_database) == [kind("a")]


@pytest.mark.postgresql
def test_a_prepared_statement_is_planned_each_time_where_the_transaction_asks_for_it(
    postgresql_database: Database,
) -> None:
    named = sa.text(
        "SELECT generic_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE '%pool_kinds%'"
    )
    one = sa.select(pool_kinds.c.views).where(pool_kinds.c.challenge_id == sa.bindparam("challenge"))
    with postgresql_database.writing() as connection:
        connection.execute(sa.select(FRESH_PLANS))
        for _ in range(10):
            together(connection, [Step(one, {"challenge": "a"})], prepared=True)
        plans = [tuple(row) for row in connection.execute(named)]
    assert plans == [(0, 10)]


@given(rows=st.dictionaries(st.tuples(TEXTS, st.integers(-(2**63), 2**63 - 1)), st.tuples(TEXTS, st.binary())))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_text_bytes_and_number_comes_back_as_it_was_given(
    any_database: Database, rows: dict[tuple[str, int], tuple[str, bytes]]
) -> None:
    given_rows = [
        {"clip_id": clip_id, "observed_at_ms": at_ms, "reason": reason, "content": content}
        for (clip_id, at_ms), (reason, content) in rows.items()
    ]
    table = engagement_aside.c
    with any_database.writing() as connection:
        connection.execute(sa.delete(engagement_aside))
        query = sa.select(engagement_aside).where(among(connection.dialect.name, table.clip_id, "clips"))
        clips = {"clips": [clip_id for clip_id, _ in rows]}
        *_, found = together(connection, [*inserting(connection, engagement_aside, given_rows), Step(query, clips)])
        assert {(row.clip_id, row.observed_at_ms): (row.reason, row.content) for row in found} == rows
