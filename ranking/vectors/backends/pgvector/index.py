"""One index in a table of PostgreSQL: exact while it is small, and then with a graph (HNSW).

Legend: B vectors, D width.
"""

import logging
import threading
from collections.abc import Callable, Collection, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ranking.database.connection import Database, in_parts
from ranking.database.failures import UNDEFINED_TABLE, has_sqlstate
from ranking.vectors.backends.pgvector.graphs import HNSW_WIDTH, build_graph, has_graph
from ranking.vectors.backends.pgvector.tables import (
    Halfvec,
    RealArray,
    Reals,
    Vector,
    lock_tables,
    read_half,
    vectors_table,
)
from ranking.vectors.backends.port import (
    Filter,
    IndexedClip,
    SearchResult,
    best_first,
    checked_query,
    checked_vectors,
)
from schemas.errors import RetriableError, StoreRefused, StoreUnavailable
from schemas.ports import Float32

log = logging.getLogger(__name__)

_MOST_CANDIDATES: Final = 1000
"""The greatest list that pgvector keeps while it searches a graph."""
_LONGEST: Final = 1.05
"""The greatest length of a vector that ``checked_vectors`` admits, …"""
_ROUNDING: Final = 1e-5
"""… and what sums of D products are rounded by."""
_QUERY: Final = sa.bindparam("query", type_=Reals())
_K: Final = sa.bindparam("k", type_=sa.Integer())
_OFF: Final = sa.bindparam("off", type_=sa.Float())


def _listed(table: sa.Table) -> sa.ColumnElement[bool]:
    listed = sa.bindparam("clip_ids", type_=postgresql.ARRAY(sa.Text))
    condition: sa.ColumnElement[bool] = table.c.clip_id == sa.any_(listed)
    return condition


_CONDITIONS: Final[dict[str, Callable[[sa.Table], sa.ColumnElement[bool]]]] = {
    "challenge_id": lambda table: table.c.challenge_id == sa.bindparam("challenge_id"),
    "dancer_id": lambda table: table.c.dancer_id == sa.bindparam("dancer_id"),
    "clip_ids": _listed,
}
"""By the name of its parameter, what a filter may ask of a clip."""


class Graphs(NamedTuple):
    """From how many vectors on an index has a graph, and how many candidates a search in it keeps at least.

    ``background``: whether graphs are built on a thread of their own.
    """

    starting_at: int = 16_384
    candidates: int = 200
    background: bool = True


GRAPHS: Final = Graphs()


class PgvectorIndex:
    """``VectorIndex`` in one table. ``exact`` by float16 vectors, until a search uses the graph.

    A table that another replica dropped, because it has read further, is an empty index; the next upsert creates it.
    """

    def __init__(self, database: Database, name: str, dim: int, comment: str, graphs: Graphs) -> None:
        self._database, self._name, self._dim, self._graphs = database, name, dim, graphs
        self._table: Final = vectors_table(name, dim, comment)
        self._statements: dict[tuple[bool, tuple[str, ...]], sa.Select[Any]] = {}
        self._is_large = self._has_graph = False
        self._building = threading.Lock()

    @property
    def dim(self) -> int:
        return self._dim

    def create(self) -> None:
        """Make the table if it is not there."""
        with self._database.reading() as connection:
            is_there = sa.inspect(connection).has_table(self._name)
        if is_there:
            self._see_size()
            return
        with self._database.writing() as connection:
            lock_tables(connection)
            self._table.create(connection, checkfirst=True)

    def __len__(self) -> int:
        try:
            return self._counted(sa.select(sa.func.count()).select_from(self._table))
        except StoreRefused as error:
            if _is_dropped(error):
                return 0
            raise

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        vectors = checked_vectors(clips, vectors, self._dim)
        if not clips:
            return
        rows = [
            {"id": clip.clip_id, "challenge": clip.challenge_id, "dancer": clip.dancer_id, "values": RealArray(vector)}
            for clip, vector in zip(clips, vectors, strict=True)
        ]
        rows.sort(key=lambda row: str(row["id"]))  # so that replicas never wait for one another's rows in a ring
        try:
            self._write(rows)
        except StoreRefused as error:
            if not _is_dropped(error):
                raise
            self._is_large = self._has_graph = False
            self.create()
            self._write(rows)
        self._build_graph_if_large()

    def remove(self, clip_ids: Collection[str]) -> None:
        try:
            with self._database.writing() as connection:
                for part in in_parts(clip_ids):
                    connection.execute(sa.delete(self._table).where(_listed(self._table)), {"clip_ids": part})
        except StoreRefused as error:
            if not _is_dropped(error):
                raise

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        query = checked_query(query, self._dim, k)
        if k == 0 or (among is not None and among.count == 0):
            return SearchResult(np.empty(0, np.float32), [], exact=True)
        exact = not self._takes_graph(among)
        admitted = {} if among is None else _conditions(among)
        # What float16 loses of a query is the most that a similarity by it may be off.
        lost = _LONGEST * float(np.linalg.norm(query.astype(np.float16).astype(np.float32) - query)) + _ROUNDING
        asked = {"query": RealArray(query), "k": k, "off": 2 * lost, **admitted}
        statement = self._statement(exact, tuple(admitted))
        try:
            with self._database.reading() as connection:
                if not exact:
                    _prepare_descent(connection, max(k, self._graphs.candidates))
                found = connection.execute(statement, asked).all()
        except StoreRefused as error:
            if _is_dropped(error):
                raise StoreUnavailable(f"{self._name}: the table was dropped just now; try again") from error
            raise
        similarities = np.array([similarity for _, similarity in found], np.float32)
        return best_first(similarities, [clip_id for clip_id, _ in found], k, at_least, exact=exact)

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        held: dict[str, Float32] = {}
        sent = sa.func.halfvec_send(self._table.c.vector, type_=sa.LargeBinary)
        try:
            with self._database.reading() as connection:
                statement = sa.select(self._table.c.clip_id, sent).where(_listed(self._table))
                for part in in_parts(clip_ids):
                    found = connection.execute(statement, {"clip_ids": part})
                    held |= {clip_id: read_half(content) for clip_id, content in found}
        except StoreRefused as error:
            if not _is_dropped(error):
                raise
        rows: Float32 = np.full((len(clip_ids), self._dim), np.nan, np.float32)
        for row, clip_id in zip(rows, clip_ids, strict=True):
            if clip_id in held:
                row[:] = held[clip_id]
        return rows

    def _write(self, rows: Sequence[dict[str, Any]]) -> None:
        table = self._table
        put = postgresql.insert(table).values(
            clip_id=sa.bindparam("id"),
            challenge_id=sa.bindparam("challenge"),
            dancer_id=sa.bindparam("dancer"),
            vector=sa.cast(sa.bindparam("values", type_=Reals()), Halfvec(self._dim)),
        )
        changed = {column.name: put.excluded[column.name] for column in table.c if not column.primary_key}
        differs = [table.c[name].is_distinct_from(value) for name, value in changed.items()]
        # What another replica wrote, or this process before it was ended, is not written again.
        statement = put.on_conflict_do_update(index_elements=["clip_id"], set_=changed, where=sa.or_(*differs))
        with self._database.writing() as connection:
            connection.execute(statement, rows)

    def _takes_graph(self, among: Filter | None) -> bool:
        """Whether so many clips may be found that a scan takes long, and there is a graph."""
        if not self._is_large or (among is not None and among.count <= self._graphs.starting_at):
            return False
        if not self._has_graph:
            with self._database.reading() as connection:
                self._has_graph = has_graph(connection, self._name)
        return self._has_graph

    def _see_size(self) -> None:
        """It counts as large from the first time on that it is."""
        if not self._is_large:
            some = sa.select(sa.literal(1)).select_from(self._table).limit(self._graphs.starting_at + 1).subquery()
            count = self._counted(sa.select(sa.func.count()).select_from(some))
            self._is_large = count > self._graphs.starting_at

    def _build_graph_if_large(self) -> None:
        self._see_size()
        if not self._is_large or self._has_graph or self._dim > HNSW_WIDTH:
            return
        if not self._building.acquire(blocking=False):
            return
        if self._graphs.background:
            threading.Thread(target=self._build_graph, name="build-hnsw", daemon=True).start()
        else:
            self._build_graph()

    def _build_graph(self) -> None:
        try:
            self._has_graph = build_graph(self._database, self._name, self._dim)
        except (RetriableError, StoreRefused) as error:
            # Searches scan until one of the next upserts has it built.
            log.warning("%s: the HNSW index could not be built: %s", self._name, error)
        finally:
            self._building.release()

    def _statement(self, exact: bool, conditions: tuple[str, ...]) -> sa.Select[Any]:
        """With parameters ``query``, ``k``, ``off``, and one for each condition."""
        made = self._statements.get((exact, conditions))
        if made is None:
            where = [_CONDITIONS[name](self._table) for name in conditions]
            made = self._statements[exact, conditions] = self._scan(where) if exact else self._descent(where)
        return made

    def _scan(self, where: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
        """The k nearest by float32, among those that by float16, which is ten times faster, may be: with a distance of
        no more than the kth has, and ``off``.
        """
        near, exact = self._distance(Halfvec), self._distance(Vector)
        nearest = sa.select((near + 0.0).label("distance")).where(*where).order_by("distance").limit(_K).subquery()
        bound = sa.select(sa.func.max(nearest.c.distance)).scalar_subquery()
        found = sa.select(self._table.c.clip_id, -exact).where(*where, near <= bound + _OFF)
        return found.order_by(exact, self._table.c.clip_id).limit(_K)

    def _descent(self, where: Sequence[sa.ColumnElement[bool]]) -> sa.Select[Any]:
        """What the graph finds, with similarities by float32."""
        exact = self._distance(Vector).label("exact")
        near = sa.select(self._table.c.clip_id, exact).where(*where).order_by(self._distance(Halfvec))
        found = near.limit(_K).subquery()
        return sa.select(found.c.clip_id, -found.c.exact)

    def _distance(self, kind: type[Halfvec | Vector]) -> sa.ColumnElement[float]:
        """Minus the inner product of each vector with the query, as pgvector has it."""
        # Only the column itself can use the graph.
        stored = self._table.c.vector if kind is Halfvec else sa.cast(self._table.c.vector, kind(self._dim))
        return stored.op("<#>", return_type=sa.Float())(sa.cast(_QUERY, kind(self._dim)))

    def _counted(self, statement: sa.Select[Any]) -> int:
        with self._database.reading() as connection:
            return int(connection.scalars(statement).one())


def _prepare_descent(connection: sa.Connection, candidates: int) -> None:
    """Until the transaction ends: how many candidates a search keeps, that it goes on if a filter leaves too few, and
    that each statement is planned by itself.
    """
    chosen = {
        "hnsw.ef_search": str(min(candidates, _MOST_CANDIDATES)),
        "hnsw.iterative_scan": "relaxed_order",
        "plan_cache_mode": "force_custom_plan",
    }
    connection.execute(sa.select(*(sa.func.set_config(name, value, True) for name, value in chosen.items())))


def _conditions(among: Filter) -> dict[str, str | list[str]]:
    """Of ``_CONDITIONS``, those of a filter, with the values of their parameters."""
    named = {"challenge_id": among.challenge_id, "dancer_id": among.dancer_id}
    given: dict[str, str | list[str]] = {name: value for name, value in named.items() if value is not None}
    return given or {"clip_ids": [*among.clip_ids()]}


def _is_dropped(error: StoreRefused) -> bool:
    return has_sqlstate(error, UNDEFINED_TABLE)
