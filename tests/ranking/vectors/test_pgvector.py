"""pgvector as an index, on a real PostgreSQL: the contract that every index passes, and what is its own."""

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import numpy.typing as npt
import psycopg
import pytest
import sqlalchemy as sa

from ranking.database.connection import Database
from ranking.vectors.backends.contract import INDEX_CHECKS
from ranking.vectors.backends.pgvector import description as module
from ranking.vectors.backends.pgvector.backend import PgvectorBackend
from ranking.vectors.backends.pgvector.graphs import build_graph, has_graph
from ranking.vectors.backends.pgvector.index import Graphs, PgvectorIndex
from ranking.vectors.backends.pgvector.tables import RealArray
from ranking.vectors.backends.port import Filter, IndexBackend, IndexedClip
from schemas.errors import ConfigurationError, StoreRefused, StoreUnavailable
from schemas.modalities import Modality
from tests.ranking.databases import UNREACHABLE
from tests.servers.postgresql import PostgresqlServer
from tests.waiting import wait_until

pytestmark = pytest.mark.postgresql

Vectors = npt.NDArray[np.float32]
SKELETAL = Modality.SKELETAL
_FLOAT32 = 5e-7
"""By which sums of float32 products differ from those in double precision."""
AT_ONCE = Graphs(starting_at=4, background=False)
"""Graphs nearly from the beginning on, so that searches are approximate."""


@pytest.fixture(scope="module")
def url(postgresql_server: PostgresqlServer) -> Iterator[str]:
    made = postgresql_server.new_database()
    yield made
    postgresql_server.drop_database(made)


@pytest.fixture(scope="module")
def backend(url: str) -> Iterator[PgvectorBackend]:
    with closing(PgvectorBackend(database_url=url)) as made:
        yield made


@pytest.fixture(scope="module")
def with_graphs(url: str) -> Iterator[PgvectorBackend]:
    with closing(PgvectorBackend(database_url=url, graphs=AT_ONCE)) as made:
        yield made


def units(count: int, dim: int, seed: int = 0) -> Vectors:
    vectors = np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)
    made: Vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return made


def clips(count: int) -> list[IndexedClip]:
    return [
        IndexedClip(f"c{number:04d}", f"challenge-{number % 2}", f"d{number % 5}", number) for number in range(count)
    ]


def filled(backend: PgvectorBackend, vectors: Vectors, generation: str) -> PgvectorIndex:
    index = backend.open(generation, SKELETAL, vectors.shape[1])
    index.upsert(clips(len(vectors)), vectors)
    return index


def admitting(*clip_ids: str, challenge_id: str | None = None, dancer_id: str | None = None, count: int = 0) -> Filter:
    return Filter(
        clip_ids=lambda: [*clip_ids],
        rows=lambda: np.empty(0, np.int64),
        count=count or len(clip_ids),
        challenge_id=challenge_id,
        dancer_id=dancer_id,
    )


def cosines(vectors: Vectors, query: Vectors) -> list[float]:
    """Of the rounded vectors, by a plain loop in double precision."""
    halves = vectors.astype(np.float16)
    return [sum(float(a) * float(b) for a, b in zip(half, query, strict=True)) for half in halves]


@pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("kind", ["backend", "with_graphs"])
def test_pgvector_keeps_the_contract_of_indexes(
    kind: str, check: Callable[[IndexBackend], None], request: pytest.FixtureRequest
) -> None:
    check(request.getfixturevalue(kind))


@pytest.mark.parametrize("dim", [256, 1024])
def test_a_small_index_finds_what_a_loop_over_the_stored_vectors_finds(backend: PgvectorBackend, dim: int) -> None:
    """Also where neighbours differ by less than what float16 loses of a query: they lie on both sides of the loss."""
    centre, query = units(2, dim)
    lost = centre - centre.astype(np.float16)
    lost -= (lost @ centre) * centre
    sides = np.where(np.arange(60) % 2, 1, -1)[:, None] * lost / np.linalg.norm(lost)
    vectors = np.cos(0.3) * centre + np.sin(0.3) * sides + 0.002 * units(60, dim, 1)
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    index = filled(backend, vectors, "near")
    for asked in (centre, query, -query):
        found = index.search(asked, 7)
        assert found.exact
        known = cosines(vectors, asked)
        of_hits = [known[int(clip_id[1:])] for clip_id in found.ids]
        np.testing.assert_allclose(found.similarities, of_hits, atol=_FLOAT32)
        np.testing.assert_allclose(of_hits, sorted(known, reverse=True)[:7], atol=_FLOAT32)
    backend.drop("near", SKELETAL)


def test_a_vector_is_sent_and_read_as_postgresql_itself_writes_it(url: str, backend: PgvectorBackend) -> None:
    vectors = units(1, 300)
    filled(backend, vectors, "sent")
    with closing(Database(url)) as database, database.reading() as connection:
        (name,) = connection.scalars(
            sa.text("SELECT relname FROM pg_class WHERE relname LIKE 'dancerank_vectors_%_300'")
        )
        text = connection.scalar(sa.select(sa.text("vector::text")).select_from(sa.table(name)))
        sent = connection.exec_driver_sql("SELECT %s::text", (RealArray(vectors[0]),)).scalar_one()
    assert text is not None
    np.testing.assert_array_equal(np.array(text.strip("[]").split(","), np.float32), vectors[0].astype(np.float16))
    np.testing.assert_array_equal(np.array(sent.strip("{}").split(","), np.float32), vectors[0])
    backend.drop("sent", SKELETAL)


def test_a_large_index_says_that_it_is_approximate_and_finds_the_nearest(with_graphs: PgvectorBackend) -> None:
    vectors, queries = units(600, 32), units(10, 32, 1)
    index = filled(with_graphs, vectors, "large")
    index.remove([f"c{number:04d}" for number in range(0, 600, 3)])
    held = [number for number in range(600) if number % 3]
    for among, kept in (
        (None, held),
        (admitting(challenge_id="challenge-1", count=200), [number for number in held if number % 2]),
        (admitting(dancer_id="d2", count=80), [number for number in held if number % 5 == 2]),
        (admitting(*(f"c{number:04d}" for number in held[::2])), held[::2]),
    ):
        hits = 0
        for query in queries:
            found = index.search(query, 10, among=among)
            assert not found.exact
            assert {*found.ids} <= {f"c{number:04d}" for number in kept}
            order = sorted(kept, key=lambda number, query=query: -float(vectors[number] @ query))[:10]
            hits += len({f"c{number:04d}" for number in order} & {*found.ids})
            stored = index.vectors(found.ids)
            np.testing.assert_allclose(found.similarities, stored @ query, atol=1e-6)
        assert hits >= 95
    few = index.search(queries[0], 3, among=admitting("c0001", "c0002", "c0000"))
    assert few.exact
    assert {*few.ids} == {"c0001", "c0002"}
    with_graphs.drop("large", SKELETAL)


def test_a_graph_is_built_beside_reads_and_writes(url: str) -> None:
    with closing(PgvectorBackend(database_url=url, graphs=Graphs(starting_at=100))) as backend:
        vectors = units(300, 16)
        index = filled(backend, vectors, "grown")

        def asked() -> bool:
            index.upsert(clips(1), vectors[:1])
            found = index.search(vectors[7], 1)
            assert found.ids == ["c0007"]
            return not found.exact

        wait_until(asked, what="a graph")
        backend.drop("grown", SKELETAL)


def test_a_graph_that_a_killed_process_left_unfinished_is_built_again(url: str, with_graphs: PgvectorBackend) -> None:
    index = filled(with_graphs, units(20, 8), "unfinished")
    name = index._name
    with closing(Database(url)) as database:
        with database.writing() as connection:
            connection.execute(
                sa.text("UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass(:name)"),
                {"name": f"{name}_hnsw"},
            )
        with database.reading() as connection:
            assert not has_graph(connection, name)
        build_graph(database, name, 8)
        with database.reading() as connection:
            assert has_graph(connection, name)
    with_graphs.drop("unfinished", SKELETAL)


def test_wider_embeddings_than_a_graph_takes_are_scanned_and_the_log_says_so(
    with_graphs: PgvectorBackend, caplog: pytest.LogCaptureFixture
) -> None:
    vectors = units(6, 4001)
    with caplog.at_level(logging.WARNING):
        index = filled(with_graphs, vectors, "wide")
    assert "embeddings of width 4001: an HNSW index of pgvector takes 4,000 components at most" in caplog.text
    found = index.search(vectors[3], 2)
    assert found.exact
    assert found.ids[0] == "c0003"
    with_graphs.drop("wide", SKELETAL)
    with pytest.raises(StoreRefused, match=r"width 16001.*pgvector holds 16,000 components at most"):
        with_graphs.open("wide", SKELETAL, 16_001)


@pytest.mark.parametrize(
    "name", ['quo"te', "back\\slash", "'; DROP TABLE clips; --", "{a,b}", "%(k)s", "日本", "a" * 128]
)
def test_no_id_is_part_of_the_syntax_of_a_statement(backend: PgvectorBackend, name: str) -> None:
    index = backend.open(name, SKELETAL, 2)
    vectors = np.eye(2, dtype=np.float32)
    index.upsert([IndexedClip(name, name, name, 0), IndexedClip("other", "other", "other", 1)], vectors)
    for among in (admitting(name), admitting(challenge_id=name, count=1), admitting(dancer_id=name, count=1)):
        assert index.search(vectors[1], 2, among=among).ids == [name]
    index.remove([name])
    assert len(index) == 1
    backend.drop(name, SKELETAL)


@pytest.mark.parametrize("size", [0, 1, 3_333_333])
def test_a_state_of_any_size_is_stored_whole(backend: PgvectorBackend, size: int) -> None:
    state = np.random.default_rng(size).bytes(size)
    backend.save_state(state)
    assert backend.load_state() == state


def test_what_is_held_already_is_not_written_again(url: str, backend: PgvectorBackend) -> None:
    vectors = units(4, 8)
    index = filled(backend, vectors, "again")

    def places() -> list[tuple[str, str]]:
        statement = sa.text(f'SELECT clip_id, ctid::text FROM "{index._name}" ORDER BY clip_id')
        with closing(Database(url)) as database, database.reading() as connection:
            return [(clip_id, place) for clip_id, place in connection.execute(statement)]

    before = places()
    index.upsert(clips(4), vectors)
    assert places() == before
    index.upsert(clips(4), np.roll(vectors, 1, axis=0))
    assert not {*places()} & {*before}
    backend.drop("again", SKELETAL)


def test_replicas_that_write_the_same_clips_in_another_order_do_not_deadlock(url: str) -> None:
    vectors, ready = units(100, 8), threading.Barrier(2)

    def write(backend: PgvectorBackend, order: list[int]) -> None:
        ready.wait()
        index = backend.open("both", SKELETAL, 8)
        for turn in range(10):
            named = [clips(100)[number]._replace(dancer_id=f"{order[0]}-{turn}") for number in order]
            index.upsert(named, vectors[order])

    with (
        closing(PgvectorBackend(database_url=url)) as one,
        closing(PgvectorBackend(database_url=url)) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        for writing in [pool.submit(write, one, [*range(100)]), pool.submit(write, other, [*range(99, -1, -1)])]:
            writing.result()
        assert len(one.open("both", SKELETAL, 8)) == 100
        one.drop("both", SKELETAL)


def test_a_table_that_another_replica_dropped_is_an_empty_index_that_the_next_upsert_makes(
    backend: PgvectorBackend, with_graphs: PgvectorBackend
) -> None:
    vectors = units(3, 4)
    index = filled(backend, vectors, "dropped")
    with_graphs.drop("dropped", SKELETAL)
    assert len(index) == 0
    assert np.isnan(index.vectors(["c0000"])).all()
    index.remove(["c0000"])
    with pytest.raises(StoreUnavailable, match="was dropped just now"):
        index.search(vectors[0], 1)
    index.upsert(clips(3), vectors)
    assert index.search(vectors[0], 1).ids == ["c0000"]
    backend.drop("dropped", SKELETAL)


def test_connections_that_the_server_ended_are_replaced(url: str, backend: PgvectorBackend) -> None:
    vectors = units(3, 4)
    index = filled(backend, vectors, "ended")
    with closing(Database(url)) as database, database.autocommitting() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    assert index.search(vectors[2], 1).ids == ["c0002"]
    index.remove(["c0002"])
    assert len(index) == 2
    backend.drop("ended", SKELETAL)


def test_sqlite_is_refused_with_the_setting() -> None:
    with pytest.raises(ConfigurationError, match=r"pgvector keeps vectors in PostgreSQL.*names sqlite") as caught:
        PgvectorBackend(database_url="sqlite://")
    assert caught.value.field == "ranking.index"


def test_a_server_that_does_not_answer_may_answer_later() -> None:
    with pytest.raises(StoreUnavailable):
        PgvectorBackend(database_url=UNREACHABLE)


def test_a_server_without_the_extension_is_refused_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, postgresql_url: str
) -> None:
    monkeypatch.setattr(module, "_FOUND", sa.text(str(module._FOUND).replace("'vector'", "'of_nobody'")))
    with pytest.raises(ConfigurationError, match="has no extension vector; install pgvector") as caught:
        PgvectorBackend(database_url=postgresql_url)
    assert caught.value.field == "ranking.index"


def test_an_older_pgvector_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setattr(module, "LEAST_VERSION", (99, 1))
    with pytest.raises(ConfigurationError, match=r"expected 99\.1 or later: .* ALTER EXTENSION vector UPDATE"):
        PgvectorBackend(database_url=url)


def test_types_outside_of_the_search_path_are_refused_with_the_remedy(postgresql_url: str) -> None:
    with closing(Database(postgresql_url)) as database, database.writing() as connection:
        connection.execute(sa.text("CREATE SCHEMA apart"))
        connection.execute(sa.text("CREATE EXTENSION vector SCHEMA apart"))
    with pytest.raises(ConfigurationError, match="not in search_path; add it"):
        PgvectorBackend(database_url=postgresql_url)


def test_a_user_who_may_not_create_the_extension_is_refused_until_a_superuser_did(postgresql_url: str) -> None:
    plain = postgresql_url.replace("+psycopg", "")
    with psycopg.connect(plain, autocommit=True) as connection:
        name = f"plain_{connection.info.dbname}"
        connection.execute(f"CREATE ROLE {name} LOGIN")
        connection.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {name}")
        as_plain = sa.make_url(postgresql_url).set(username=name)
        try:
            with pytest.raises(ConfigurationError, match="have a superuser run CREATE EXTENSION vector") as caught:
                PgvectorBackend(database_url=as_plain.render_as_string(hide_password=False))
            assert caught.value.field == "ranking.index"
            connection.execute("CREATE EXTENSION vector")
            with closing(PgvectorBackend(database_url=as_plain.render_as_string(hide_password=False))) as backend:
                vectors = units(6, 4)
                assert filled(backend, vectors, "plain").search(vectors[1], 1).ids == ["c0001"]
        finally:
            connection.execute(f"DROP OWNED BY {name}")
            connection.execute(f"DROP ROLE {name}")
