"""Milvus behind the index port: vectors that outlive the process and that replicas share.

A collection for each generation, modality and width, and one for the view's state. Ids are stored as the hexadecimal
digits of their UTF-8, so that no id can be part of a filter's syntax. Legend: B vectors, D width.
"""

import hashlib
import logging
import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from pymilvus import DataType, MilvusClient, MilvusException
from pymilvus.exceptions import (
    DataNotMatchException,
    DataTypeNotMatchException,
    FieldsTypeException,
    ParamError,
    PrimaryKeyException,
    ServerVersionIncompatibleException,
)

from ranking.vectors.backends.port import (
    Filter,
    IndexedClip,
    SearchResult,
    best_first,
    checked_query,
    checked_vectors,
)
from schemas.errors import ConfigurationError, StoreRefused, StoreUnavailable
from schemas.escaping import shortened
from schemas.modalities import Modality
from schemas.ports import Float32

PREFIX: Final = "dancerank"
MOST_HITS: Final = 16_384
"""Milvus answers a search with no more."""
_STATE: Final = f"{PREFIX}_state"
MOST_LISTED: Final = 10_000
"""Clips that a filter names by their ids; of more the nearest of all clips are taken, and those admitted are kept."""
_AT_ONCE: Final = 1000
_CHUNK: Final = 32_000
"""Bytes of the state in one entity, in hexadecimal digits less than the 65,535 that a text may have."""
_ID_DIGITS: Final = 1024
_CURRENT: Final = "current"
_TIMEOUT_S: Final = 30.0
_OF_THE_REQUEST: Final = (
    DataNotMatchException,
    DataTypeNotMatchException,
    FieldsTypeException,
    ParamError,
    PrimaryKeyException,
    ServerVersionIncompatibleException,
)
"""What the client raises before it sends a request, whatever the state of the server."""


class MilvusIndex:
    """``VectorIndex`` in one collection. Answers may miss neighbours, since the server chooses the kind of index."""

    def __init__(self, client: MilvusClient, collection: str, dim: int) -> None:
        self._client, self._collection, self._dim = client, collection, dim

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        with _asking(f"counting {self._collection}"):
            found = self._client.query(self._collection, filter="", output_fields=["count(*)"], timeout=_TIMEOUT_S)
        return int(found[0]["count(*)"])

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        vectors = checked_vectors(clips, vectors, self._dim)
        rows = [
            {
                "clip_id": _stored(clip.clip_id),
                "challenge_id": _stored(clip.challenge_id),
                "dancer_id": _stored(clip.dancer_id),
                "vector": vector.tolist(),
            }
            for clip, vector in zip(clips, vectors, strict=True)
        ]
        for part in _parts(rows):
            with _asking(f"writing to {self._collection}"):
                self._client.upsert(self._collection, part, timeout=_TIMEOUT_S)

    def remove(self, clip_ids: Collection[str]) -> None:
        for part in _parts([_stored(clip_id) for clip_id in clip_ids]):
            with _asking(f"deleting from {self._collection}"):
                self._client.delete(self._collection, ids=part, timeout=_TIMEOUT_S)

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        query = checked_query(query, self._dim, k)
        if k == 0 or (among is not None and among.count == 0):
            return SearchResult(np.empty(0, np.float32), [], exact=True)
        expression = "" if among is None else _expression(among)
        admitted = None if among is None or expression is not None else frozenset(among.clip_ids())
        with _asking(f"searching {self._collection}"):
            hits = self._client.search(
                self._collection,
                data=[query.tolist()],
                limit=min(k, MOST_HITS) if admitted is None else MOST_HITS,
                filter=expression or "",
                search_params={"metric_type": "IP"},
                timeout=_TIMEOUT_S,
            )[0]
        found = [(hit["distance"], _read(hit["clip_id"])) for hit in hits]
        if admitted is not None:
            found = [(similarity, clip_id) for similarity, clip_id in found if clip_id in admitted]
        similarities = np.array([similarity for similarity, _ in found], np.float32)
        return best_first(similarities, [clip_id for _, clip_id in found], k, at_least, exact=False)

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        held: dict[str, Any] = {}
        for part in _parts([_stored(clip_id) for clip_id in dict.fromkeys(clip_ids)]):
            with _asking(f"reading {self._collection}"):
                found = self._client.get(
                    self._collection, ids=part, output_fields=["clip_id", "vector"], timeout=_TIMEOUT_S
                )
            held |= {_read(row["clip_id"]): row["vector"] for row in found}
        rows: Float32 = np.full((len(clip_ids), self._dim), np.nan, np.float32)
        for row, clip_id in zip(rows, clip_ids, strict=True):
            if clip_id in held:
                row[:] = held[clip_id]
        return rows


class MilvusBackend:
    """``RemoteBackend`` in a Milvus, or in a file with Milvus Lite.

    ``uri``: ``http://host:19530``, or the path of a file ending in ``.db``. ``token``: ``user:password`` or an API key.
    Raises ``ConfigurationError`` naming ``ranking.milvus_uri`` if none answers there.
    """

    name = "milvus"

    def __init__(self, *, uri: str, token: str = "") -> None:
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)  # every error is raised as well
        try:
            self._client = MilvusClient(uri, token=token, timeout=_TIMEOUT_S)
        except Exception as error:  # of pymilvus, of gRPC, or of Milvus Lite
            raise ConfigurationError(
                f"no Milvus answers at {uri or '(empty)'} ({shortened(str(error))}); start it, or correct the address",
                field="ranking.milvus_uri",
            ) from error

    @property
    def version(self) -> str:
        """Of the server."""
        with _asking("asking for its version"):
            return str(self._client.get_server_version(timeout=_TIMEOUT_S))

    def close(self) -> None:
        """End the connection."""
        self._client.close()

    def open(self, generation: str, modality: Modality, dim: int) -> MilvusIndex:
        collection = f"{_of(generation, modality)}_{dim}"
        with _asking(f"opening {collection}"):
            if not self._client.has_collection(collection, timeout=_TIMEOUT_S):
                names = ("clip_id", "challenge_id", "dancer_id")
                self._create(collection, dict.fromkeys(names, _ID_DIGITS), dim)
        return MilvusIndex(self._client, collection, dim)

    def drop(self, generation: str, modality: Modality) -> None:
        start = f"{_of(generation, modality)}_"
        with _asking(f"dropping {start}"):
            for collection in self._client.list_collections(timeout=_TIMEOUT_S):
                if collection.startswith(start):
                    self._client.drop_collection(collection, timeout=_TIMEOUT_S)

    def load_state(self) -> bytes | None:
        with _asking("reading the state"):
            if not self._client.has_collection(_STATE, timeout=_TIMEOUT_S):
                return None
            current = self._get([_CURRENT])
            if not current:
                return None
            version, chunks = current[_CURRENT].split()
            names = [f"{version}-{number}" for number in range(int(chunks))]
            held: dict[str, str] = {}
            for part in _parts(names):
                held |= self._get(part)
            return b"".join(bytes.fromhex(held[name]) for name in names)

    def save_state(self, state: bytes) -> None:
        """The chunks go under names of their own; one entity then says which are the state's."""
        version = uuid.uuid4().hex
        chunks = [state[start : start + _CHUNK].hex() for start in range(0, len(state), _CHUNK)]
        with _asking("writing the state"):
            if not self._client.has_collection(_STATE, timeout=_TIMEOUT_S):
                self._create(_STATE, {"clip_id": _ID_DIGITS, "content": 65_535}, 2)
            for part in _parts([*enumerate(chunks)], 100):
                self._put({f"{version}-{number}": content for number, content in part})
            before = self._get([_CURRENT]).get(_CURRENT)
            self._put({_CURRENT: f"{version} {len(chunks)}"})
            if before is not None:
                old, count = before.split()
                for part in _parts([f"{old}-{number}" for number in range(int(count))]):
                    self._client.delete(_STATE, ids=part, timeout=_TIMEOUT_S)

    def _create(self, collection: str, texts: Mapping[str, int], dim: int) -> None:
        """``texts``: the greatest length of each field of text, the first of which is the key."""
        schema = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
        for number, (name, digits) in enumerate(texts.items()):
            schema.add_field(name, DataType.VARCHAR, is_primary=number == 0, max_length=digits)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dim)
        indexes = self._client.prepare_index_params()
        indexes.add_index("vector", index_type="AUTOINDEX", metric_type="IP")
        # Strong: what a change wrote is seen by the next search.
        self._client.create_collection(
            collection, schema=schema, index_params=indexes, consistency_level="Strong", timeout=_TIMEOUT_S
        )

    def _put(self, contents: Mapping[str, str]) -> None:
        rows = [{"clip_id": name, "content": content, "vector": [1.0, 0.0]} for name, content in contents.items()]
        self._client.upsert(_STATE, rows, timeout=_TIMEOUT_S)

    def _get(self, names: Sequence[str]) -> dict[str, str]:
        found = self._client.get(_STATE, ids=[*names], output_fields=["clip_id", "content"], timeout=_TIMEOUT_S)
        return {row["clip_id"]: row["content"] for row in found}


@contextmanager
def _asking(what: str) -> Iterator[None]:
    """What Milvus raises becomes ``StoreRefused`` if the request is wrong, and else ``StoreUnavailable``: a change may
    be repeated, and a question asked again.
    """
    try:
        yield
    except MilvusException as error:
        if error.is_input_error or isinstance(error, _OF_THE_REQUEST):
            raise StoreRefused(
                f"{what}: Milvus refuses ({shortened(str(error))}); see that its release is the one that "
                "docs/decisions/0037 names and that nothing else writes to its collections"
            ) from error
        raise StoreUnavailable(f"{what}: Milvus does not answer as it should ({shortened(str(error))})") from error


def _of(generation: str, modality: Modality) -> str:
    # Names of collections are letters, digits and underscores.
    digest = hashlib.sha256(generation.encode()).hexdigest()[:24]
    return f"{PREFIX}_{digest}_{str(modality).encode().hex()}"


def _expression(among: Filter) -> str | None:
    """A filter in Milvus's language; ``None`` if it would name too many clips for a request."""
    conditions = [
        f'{name} == "{_stored(value)}"'
        for name, value in (("challenge_id", among.challenge_id), ("dancer_id", among.dancer_id))
        if value is not None
    ]
    if not conditions and among.count > MOST_LISTED:
        return None
    if not conditions:
        listed = ", ".join(f'"{_stored(clip_id)}"' for clip_id in among.clip_ids())
        return f"clip_id in [{listed}]"
    return " and ".join(conditions)


def _stored(name: str) -> str:
    return name.encode().hex()


def _read(stored: str) -> str:
    return bytes.fromhex(stored).decode()


def _parts(rows: Sequence[Any], size: int = _AT_ONCE) -> Iterator[list[Any]]:
    return ([*rows[start : start + size]] for start in range(0, len(rows), size))
