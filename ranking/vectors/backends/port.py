"""The port of vector indexes: what a backend implements, what it is asked with and what it answers.

An index holds unit vectors of one modality and one model generation under clip ids, which mean the same in every
process. A backend is one of two: a ``SnapshotBackend``, whose indexes live in this process and are saved in the
snapshots of the index view, or a ``RemoteBackend``, which persists by itself and keeps the view's state beside the
vectors. ``ranking.vectors.backends.contract`` checks an implementation.

Legend: B vectors, K hits, D width.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol, TypeGuard, runtime_checkable

import numpy as np

from schemas.errors import GenerationMismatch, SnapshotError
from schemas.escaping import shortened
from schemas.modalities import Modality
from schemas.ports import Float32, Int64

_LENGTH_TOLERANCE: Final = 0.05
"""By which a unit vector's length may differ from 1: that of one that an index stored in bytes does."""


class IndexedClip(NamedTuple):
    """Id of a vector, what a filter may ask of it, and the clip's row number in its space."""

    clip_id: str
    challenge_id: str
    dancer_id: str
    row: int = -1


class RowNumbers(Protocol):
    """The row number of each clip of a space: dense, kept across snapshots, reused after the clip was removed.

    For indexes in this process, which hold no ids of their own. A clip has its row from before ``upsert`` is called for
    it until after ``remove`` is; ``IndexedClip.row`` is the same number.
    """

    def find(self, clip_ids: Collection[str]) -> Int64:
        """Rows (B,) in the order asked; -1 for a clip that has none."""
        ...

    def clip_ids(self, rows: Int64) -> list[str]:
        """Ids of the clips in ``rows`` (B,), each the row of a clip."""
        ...


@dataclass(frozen=True, kw_only=True)
class Filter:
    """The only clips that a search may find.

    ``challenge_id`` and ``dancer_id``, as far as they are given, are conditions on what ``upsert`` stored, for an index
    that can evaluate them itself. ``clip_ids()`` lists the same clips; it is the whole filter if neither is given.
    ``rows()`` are their row numbers, ascending, for an index in this process. ``count``: how many clips it admits.
    """

    clip_ids: Callable[[], Collection[str]]
    rows: Callable[[], Int64]
    count: int
    challenge_id: str | None = None
    dancer_id: str | None = None


class SearchResult(NamedTuple):
    """Hits, best first: cosine ``similarities`` (K,) and the clip ids that they belong to.

    ``exact``: by the vectors that the index keeps, these are the K = min(k, candidates) nearest, ties by the smaller
    clip id. Otherwise nearer ones may be missing, there may be fewer than k, and ``similarities`` may be estimates.
    """

    similarities: Float32
    ids: list[str]
    exact: bool


class VectorIndex(Protocol):
    """One thread changes an index; any number of others may search it meanwhile. Of a clip that is being changed they
    see what was before or what is after.

    A remote index raises ``StoreUnavailable`` if a later try may succeed; every change may be repeated.
    """

    @property
    def dim(self) -> int:
        """Width D of its vectors."""
        ...

    def __len__(self) -> int:
        """Vectors held."""
        ...

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        """Set the unit vectors (B, D) of B distinct clips, replacing those that are held.

        Raises ``GenerationMismatch`` for another width, ``ValueError`` for what ``checked_vectors`` refuses.
        """
        ...

    def remove(self, clip_ids: Collection[str]) -> None:
        """Remove the vectors of these clips; ids that are not held are ignored."""
        ...

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        """The k clips nearest to the unit vector ``query`` (D,): of those that ``among`` admits, with a similarity of
        ``at_least`` so much. Raises ``GenerationMismatch`` for another width, ``ValueError`` for what ``checked_query``
        refuses.
        """
        ...

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        """The stored vectors (B, D), in the order asked; a row of NaN for each id that is not held."""
        ...


class FoundRows(NamedTuple):
    """``rows`` (K,) and their cosine ``similarities`` (K,), in no order: at least the k nearest that a search is asked
    for, or all that there are. ``exact``: as in ``SearchResult``.
    """

    rows: Int64
    similarities: Float32
    exact: bool


class RowSearch(Protocol):
    """The search of an index for one query, by one thread. What changes once it has begun may show or not."""

    def nearest(self, k: int) -> FoundRows:
        """As ``VectorIndex.search``. May be called again with a larger k, for less than another search costs."""
        ...


class SearchesRows(Protocol):
    """An index in this process that says which rows are near, so that no ids have to be looked up, and that compares
    its vectors with a query faster than ``vectors`` hands them out.
    """

    def row_search(self, query: Float32, *, among: Filter | None = None) -> RowSearch:
        """A search for the unit vector ``query`` (D,). While the index changes, a row may belong to another clip by
        now.
        """
        ...

    def cosines(self, rows: Int64, query: Float32) -> Float32:
        """Cosines (B,) of the stored vectors with the unit vector ``query`` (D,), NaN for each row that has none."""
        ...


class SegmentFile(Protocol):
    """A file of an index that never changes: stored once, however many snapshots refer to it."""

    @property
    def size_bytes(self) -> int: ...

    def write(self, path: Path) -> None:
        """Put its content at ``path``, as a link where the file system can, or a copy. Raises ``OSError``."""
        ...


class FrozenIndex(Protocol):
    """An index as it was when it was frozen, for ``SnapshotBackend.read``; changes since then do not show."""

    @property
    def state(self) -> bytes:
        """What changes from one snapshot to the next."""
        ...

    @property
    def segments(self) -> Mapping[str, SegmentFile]:
        """What does not, by names that no other segment ever has."""
        ...


class FrozenState(NamedTuple):
    """``FrozenIndex`` without segments: all of it is in ``state``."""

    state: bytes
    segments: Mapping[str, SegmentFile] = {}


class SnapshotIndex(VectorIndex, Protocol):
    """An index in this process, saved with the snapshots of the view."""

    def freeze(self) -> FrozenIndex:
        """The index as it is now, at no cost that grows with it; what is frozen may be read while the index changes."""
        ...

    def await_room(self) -> None:
        """Return once the next ``upsert`` does not wait, for merges or anything else.

        Called before changes that hold up searches, so that no search waits for what the index does in the background.
        """
        ...

    def compact(self) -> None:
        """Return once nothing that is frozen from now on holds a vector that was removed before the call.

        Called from time to time, so that the vectors of deleted clips leave the disk; searches and changes go on
        meanwhile. Raises ``OSError``.
        """
        ...


@runtime_checkable
class SnapshotBackend(Protocol):
    """Makes and reads indexes that live in this process.

    ``name`` stands in each snapshot: only the backend that wrote one reads it.
    """

    name: str

    def create(self, dim: int, numbers: RowNumbers, /) -> SnapshotIndex:
        """An empty index of width D for clips of the space that ``numbers`` are of."""
        ...

    def read(self, state: bytes, segments: Mapping[str, Path], dim: int, numbers: RowNumbers, /) -> SnapshotIndex:
        """The index of width D that was frozen as ``state``, with the files of its segments by their names.

        Raises ``SnapshotError`` if ``state`` is not of such an index, naming the file if a segment is not.
        """
        ...


@runtime_checkable
class RemoteBackend(Protocol):
    """Opens indexes that outlive this process, and keeps the view's state, positions included, beside them.

    The view saves its state after the vectors that belong to it, so that an index may be ahead of the state, never
    behind. Replicas may share one backend if all read the same log.
    """

    name: str

    def open(self, generation: str, modality: Modality, dim: int) -> VectorIndex:
        """The index as it is held, or an empty one if none of this width is. Each width has an index of its own."""
        ...

    def drop(self, generation: str, modality: Modality) -> None:
        """Delete an index in every width; nothing happens if it is not held."""
        ...

    def load_state(self) -> bytes | None:
        """The state that ``save_state`` stored last."""
        ...

    def save_state(self, state: bytes) -> None:
        """Store ``state`` in place of the one before, whole or not at all."""
        ...


IndexBackend = SnapshotBackend | RemoteBackend


@runtime_checkable
class WorksInBackground(Protocol):
    """A backend with threads of its own, which go on after the last change of its indexes."""

    def rest(self) -> None:
        """Return once none of them does anything; the next change of an index may wake them."""
        ...


@contextmanager
def resting_afterwards(backend: IndexBackend) -> Iterator[None]:
    """At the end the backend does nothing in the background, so that its folder can be removed."""
    try:
        yield
    finally:
        if isinstance(backend, WorksInBackground):
            backend.rest()


@contextmanager
def reading(what: Path | str) -> Iterator[None]:
    """For ``SnapshotBackend.read``: what content raises becomes a ``SnapshotError`` naming the file, or the index."""
    try:
        yield
    except (OSError, EOFError, ValueError, KeyError, RuntimeError) as error:
        problem = shortened(str(error))
        raise SnapshotError(f"{what}: not the content of an index ({problem}); delete the snapshot") from error


def checked_vectors(clips: Sequence[IndexedClip], vectors: Float32, dim: int) -> Float32:
    """``vectors`` (B, D) as contiguous float32.

    Raises ``GenerationMismatch`` for another D, ``ValueError`` for another B, a clip that is there twice and a vector
    that has not unit length.
    """
    if vectors.ndim != 2 or vectors.shape[1] != dim:
        raise GenerationMismatch(
            f"vectors of shape {vectors.shape} in an index of width {dim}: they come from different model generations"
        )
    if len(vectors) != len(clips):
        raise ValueError(f"{len(clips)} ids for {len(vectors)} vectors")
    if len({clip.clip_id for clip in clips}) != len(clips):
        raise ValueError(f"{len(clips)} vectors of fewer clips: one of them is there twice")
    contiguous = np.ascontiguousarray(vectors, np.float32)
    lengths = _lengths(contiguous)
    if not (np.abs(lengths - 1) <= _LENGTH_TOLERANCE).all():  # also if one is NaN
        wrong = int(np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))[0])
        raise ValueError(f"the vector of clip {clips[wrong].clip_id} has length {lengths[wrong]:g}; expected 1")
    return contiguous


def checked_query(query: Float32, dim: int, k: int = 0) -> Float32:
    """``query`` (D,) as contiguous float32.

    Raises ``GenerationMismatch`` for another width, ``ValueError`` for another length than 1 and for k < 0.
    """
    if query.shape != (dim,):
        raise GenerationMismatch(
            f"a query of shape {query.shape} to an index of width {dim}: they come from different model generations"
        )
    if k < 0:
        raise ValueError(f"k is {k}; expected 0 or more")
    contiguous = np.ascontiguousarray(query, np.float32)
    length = float(_lengths(contiguous[None])[0])
    if not abs(length - 1) <= _LENGTH_TOLERANCE:
        raise ValueError(f"the query has length {length:g}; expected 1")
    return contiguous


def _lengths(vectors: Float32) -> Float32:
    lengths: Float32 = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
    return lengths


def _searches_rows(index: VectorIndex) -> TypeGuard[SearchesRows]:
    """As ``isinstance``, which looks at all methods of the protocol and takes as long as a short search."""
    return hasattr(index, "row_search") and hasattr(index, "cosines")


def row_search(index: VectorIndex, numbers: RowNumbers, query: Float32, among: Filter | None) -> RowSearch:
    """``SearchesRows.row_search`` of any index; -1 for a clip that has no row by now."""
    if _searches_rows(index):
        return index.row_search(query, among=among)
    return _SearchById(index, numbers, query, among)


class _SearchById:
    """``RowSearch`` of an index that knows ids only: it is searched again for each k."""

    def __init__(self, index: VectorIndex, numbers: RowNumbers, query: Float32, among: Filter | None) -> None:
        self._index = index
        self._numbers = numbers
        self._query = query
        self._among = among

    def nearest(self, k: int) -> FoundRows:
        found = self._index.search(self._query, k, among=self._among)
        return FoundRows(self._numbers.find(found.ids), found.similarities, found.exact)


def cosines(index: VectorIndex, numbers: RowNumbers, rows: Int64, query: Float32) -> Float32:
    """Cosines (B,) of the stored vectors of ``rows`` (B,) with the unit vector ``query`` (D,), NaN for each that is not
    held.
    """
    if _searches_rows(index):
        return index.cosines(rows, query)
    # Not a matrix product: BLAS may round equal rows differently, and they have to tie.
    compared: Float32 = np.einsum("nd,d->n", index.vectors(numbers.clip_ids(rows)), query)
    return compared


def best_first(
    similarities: Float32, ids: Sequence[str], k: int, at_least: float | None = None, *, exact: bool = True
) -> SearchResult:
    """A result of the k best of ``ids``, ties by the smaller id, and with a similarity of ``at_least`` so much.

    A similarity of NaN is no hit: the clip was removed while its vector was being looked up.
    """
    if at_least is not None or np.isnan(similarities).any():
        enough = np.flatnonzero(similarities >= (-np.inf if at_least is None else at_least))
        similarities, ids = similarities[enough], [ids[row] for row in enough.tolist()]
    order = np.argsort(-similarities)
    if (np.diff(similarities[order]) == 0).any():
        values = similarities.tolist()
        order = np.array(sorted(range(len(ids)), key=lambda row: (-values[row], ids[row])))
    order = order[:k]
    return SearchResult(similarities[order], [ids[row] for row in order.tolist()], exact)
