"""Tables of vectors in PostgreSQL: one for each generation, modality and width, and one for the view's state.

No migration makes them: which there are follows from the log, and a database without pgvector has none.

Legend: D width.
"""

import hashlib
import struct
from typing import Any, Final

import numpy as np
import psycopg
import sqlalchemy as sa
from psycopg.adapt import Dumper
from psycopg.pq import Format
from sqlalchemy.types import UserDefinedType

from schemas.modalities import Modality
from schemas.ports import Float32

PREFIX: Final = "dancerank_vectors"
_REAL: Final = 700
_REAL_ARRAY: Final = 1021
"""Object ids of PostgreSQL's types ``real`` and ``real[]``."""
_ELEMENT: Final = np.dtype([("size", ">i4"), ("value", ">f4")])
_MOST_INLINE: Final = 3000
"""Width up to which a row fits into a page of 8 KiB, whatever the ids."""
_HALF_HEADER: Final = 4
_TABLES_LOCK: Final = 0x766563746F72  # "vector"

state_table: Final = sa.Table(
    f"{PREFIX}_state",
    sa.MetaData(),
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
)


class _OfWidth(UserDefinedType[Any]):
    name = ""

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def get_col_spec(self, **_options: Any) -> str:
        return f"{self.name}({self.dim})"


class Halfvec(_OfWidth):
    """pgvector's ``halfvec(D)``: float16."""

    cache_ok = True
    name = "halfvec"


class Vector(_OfWidth):
    """pgvector's ``vector(D)``: float32."""

    cache_ok = True
    name = "vector"


class Reals(UserDefinedType[Any]):
    """``real[]``, given as ``RealArray``."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        return "real[]"


class RealArray:
    """A vector (D,) as the bytes of a ``real[]`` in PostgreSQL's binary format, which pgvector casts to its types."""

    __slots__ = ("content",)

    def __init__(self, vector: Float32) -> None:
        elements = np.empty(len(vector), _ELEMENT)
        elements["size"], elements["value"] = 4, vector
        self.content: Final = struct.pack(">iiIii", 1, 0, _REAL, len(vector), 1) + elements.tobytes()


class _RealArrayDumper(Dumper):
    format = Format.BINARY
    oid = _REAL_ARRAY

    def dump(self, obj: RealArray) -> bytes:
        return obj.content


psycopg.adapters.register_dumper(RealArray, _RealArrayDumper)


def read_half(content: bytes) -> Float32:
    """What ``halfvec_send`` returns, as (D,)."""
    values: Float32 = np.frombuffer(content, ">f2", offset=_HALF_HEADER).astype(np.float32)
    return values


def stem(generation: str, modality: Modality) -> str:
    """How the names of the tables of an index begin, whatever its width; names have 63 bytes at most."""
    digest = hashlib.sha256(f"{generation}\0{modality}".encode()).hexdigest()[:24]
    return f"{PREFIX}_{digest}_"


def vectors_table(name: str, dim: int, comment: str = "") -> sa.Table:
    """A table of vectors of width D, without the index of its graph."""

    def text() -> sa.Text:
        return sa.Text(collation="C")  # ties are broken in the order of code points

    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("clip_id", text(), primary_key=True),
        sa.Column("challenge_id", text(), nullable=False),
        sa.Column("dancer_id", text(), nullable=False),
        sa.Column("vector", Halfvec(dim), nullable=False),
        sa.Index(f"{name}_challenge", "challenge_id"),
        sa.Index(f"{name}_dancer", "dancer_id"),
        comment=comment,
    )
    if dim <= _MOST_INLINE:
        # By default PostgreSQL moves values of more than 2 kB to another table, where a scan fetches each by a lookup.
        inline = sa.schema.DDL("ALTER TABLE %(fullname)s ALTER COLUMN vector SET STORAGE PLAIN")  # type: ignore[no-untyped-call]  # SQLAlchemy's constructor has no annotations
        sa.event.listen(table, "after_create", inline)
    return table


def lock_tables(connection: sa.Connection) -> None:
    """Have the transaction alone create and drop tables of vectors: two that create one at once would fail."""
    connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_TABLES_LOCK)))


def graph_index(name: str, dim: int) -> sa.Index:
    """The HNSW index of a table, which is built while the table is read and written."""
    table = vectors_table(name, dim)
    return sa.Index(
        f"{name}_hnsw",
        table.c.vector,
        postgresql_using="hnsw",
        postgresql_ops={"vector": "halfvec_ip_ops"},
        postgresql_concurrently=True,
    )
