"""A live index: changes go to a fresh part in memory, full ones are sealed and merged, and searches go on meanwhile.

One thread changes the index; any number of others search it. A search takes the state that was published last, which
nothing changes any more; it holds no lock. Merges run on threads of their own and publish a state too, under a lock
that they share with changes and hold only to exchange parts.

Where the vector of a row is, is kept for changes and look-ups: the number of its part and its slot, in one integer.

Legend: B vectors, D width.
"""

import logging
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final

import numpy as np

from ranking.vectors.backends.live.background import MergeThreads
from ranking.vectors.backends.live.codes import CODEWORDS
from ranking.vectors.backends.live.freezing import FrozenLiveIndex
from ranking.vectors.backends.live.heap import return_free_memory
from ranking.vectors.backends.live.merging import Merged, Sources, merged
from ranking.vectors.backends.live.parts import NEVER, Copy, FreshPart, Part, Segment, Shown, State
from ranking.vectors.backends.live.searching import Admitted, ComparedRows, StateSearch, cosines
from ranking.vectors.backends.live.segment_files import SegmentFolder, SegmentVectors
from ranking.vectors.backends.live.tiers import Lane, Merge, Shape, due, size
from ranking.vectors.backends.port import (
    Filter,
    IndexedClip,
    RowNumbers,
    RowSearch,
    SearchResult,
    best_first,
    checked_query,
    checked_vectors,
)
from schemas.ports import Float32, Int64

log = logging.getLogger(__name__)

_ABSENT: Final = -1
_SLOT_BITS: Final = 32
_SLOT: Final = (1 << _SLOT_BITS) - 1
_LOOK_AGAIN_S: Final = 1.0
_FIRST_ROWS: Final = 1024


class LiveIndex:
    """``SnapshotIndex``: exact while it is small, and then as exact as the segments with codes let it be."""

    def __init__(
        self,
        dim: int,
        numbers: RowNumbers,
        *,
        folder: SegmentFolder | None = None,
        merges: MergeThreads | None = None,
        shape: Shape | None = None,
        threads: int = 1,
        copy: Callable[[SegmentVectors], Copy] | None = None,
    ) -> None:
        """``dim``: width D. ``folder``: for the segments. ``merges``: the threads that merge; without, changes do.
        ``threads``: how many a search may use; inference shares the machine. ``copy`` makes copies of segments with
        codes, for searches on a GPU.
        """
        self._dim = dim
        self._numbers = numbers
        self._folder = folder or SegmentFolder()
        self._merges = merges
        self._shape = shape or Shape()
        self._threads = threads
        self._copy = copy
        self._changed = threading.Condition()
        self._next_number = 0
        self._parts: dict[int, Part] = {}
        self._claimed: dict[int, int] = {}  # parts that are being merged, and the last change that the merge saw
        self._locations: Int64 = np.full(_FIRST_ROWS, _ABSENT, np.int64)
        self._fresh = self._new_fresh()
        self._state = State(0, (Shown(self._fresh, 0),), 0)

    @property
    def dim(self) -> int:
        return self._dim

    def __len__(self) -> int:
        return self._state.live

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        vectors = checked_vectors(clips, vectors, self._dim)
        rows = np.fromiter((clip.row for clip in clips), np.int64, len(clips))
        if len(rows):
            if rows.min() < 0:
                raise ValueError(f"clip {clips[int(rows.argmin())].clip_id} has no row number")
            self._wait_for_merges()
            if self._put(rows, vectors):
                self._merge_soon()

    def remove(self, clip_ids: Collection[str]) -> None:
        rows = np.unique(self._numbers.find(clip_ids))
        with self._changed:
            rows = rows[(rows >= 0) & (rows < len(self._locations))]
            before = self._locations[rows]
            rows, before = rows[before != _ABSENT], before[before != _ABSENT]
            change = self._state.change + 1
            self._end(before, change)
            self._locations[rows] = _ABSENT
            self._publish(self._state.shown[:-1], change, self._state.live - len(rows))
        if len(rows):
            self._merge_soon()

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        query = checked_query(query, self._dim, k)
        found = self.row_search(query, among=among).nearest(k)
        rows, similarities = found.rows, found.similarities
        if at_least is not None:
            enough = similarities >= at_least
            rows, similarities = rows[enough], similarities[enough]
        return best_first(similarities, self._numbers.clip_ids(rows), k, exact=found.exact)

    def row_search(self, query: Float32, *, among: Filter | None = None) -> RowSearch:
        query = checked_query(query, self._dim)
        state = self._state
        if among is not None and among.count <= self._shape.scanned:
            rows = among.rows()
            compared = self._compared(rows, query)
            held = ~np.isnan(compared)
            return ComparedRows(rows[held], compared[held])
        return StateSearch(state, query, None if among is None else Admitted(among.rows()), self._threads)

    def vectors(self, clip_ids: Sequence[str]) -> Float32:
        return self._look_up(self._numbers.find(clip_ids))

    def cosines(self, rows: Int64, query: Float32) -> Float32:
        return self._compared(rows, checked_query(query, self._dim))

    def freeze(self) -> FrozenLiveIndex:
        return FrozenLiveIndex(self._dim, self._state)

    def restore(self, segments: Sequence[tuple[Merged, Int64]], rows: Int64, vectors: Float32) -> None:
        """Take over what was frozen, before any change: segments, each with its dead slots, and fresh vectors (B, D).

        Raises ``ValueError`` for a row that is there twice.
        """
        shown = []
        with self._changed:
            for made, dead in segments:
                died = np.full(len(made.file.rows), NEVER, np.int64)
                died[dead] = 0
                part = self._copied(made).segment(self._number(), died)
                if (self._locate(part) != _ABSENT).any():
                    raise ValueError(f"segment {made.name} holds a row that another holds too")
                shown.append(Shown(part, part.filled))
            self._publish(shown, 0, sum(size(part) for part, _ in shown))
        if len(np.unique(rows)) != len(rows) or not np.isnan(self._look_up(rows)).all():
            raise ValueError("a row is there twice")
        if len(rows):
            self._put(rows, vectors)

    def merge(self, lane: Lane, check: Callable[[], None] = lambda: None) -> bool:
        """Carry out one merge of ``lane``; ``False`` if none is due. ``check`` may raise to end it."""
        with self._changed:
            state = self._state
            merge = self._due(lane)
            if merge is None:
                return False
            self._claimed.update(dict.fromkeys((part.number for part in merge.parts), state.change))
        self._carry_out(merge, state, check)
        return True

    def await_room(self) -> None:
        self._wait_for_merges()

    def settle(self) -> None:
        """Return once no merge is due or under way, and what they freed is returned to the system: for measurements,
        and before an index is only read.
        """
        while True:
            if not any(self.merge(lane) for lane in Lane):
                with self._changed:
                    if not self._claimed:
                        break
                    self._changed.wait()
        return_free_memory()

    def compact(self) -> None:
        asked = self._state.change
        while True:
            with self._changed:
                state = self._state
                held = [part for part in state.segments() if part.dead and (part.died <= asked).any()]
                free = [part for part in held if part.number not in self._claimed]
                if not free:
                    if not held and all(seen >= asked for seen in self._claimed.values()):
                        return
                    self._changed.wait()
                    continue
                self._claimed[free[0].number] = state.change
            self._carry_out(Merge((free[0],), free[0].codes is not None), state, lambda: None)

    def _carry_out(self, merge: Merge, state: State, check: Callable[[], None]) -> None:
        """Merge parts that are claimed; ``state`` is one that holds them all."""
        try:
            sources = Sources([Shown(part, part.filled) for part in merge.parts], state.change)
            coded = merge.coded and len(sources.rows) >= CODEWORDS
            made = merged(sources, coded, state.live, self._folder, check) if len(sources.rows) else None
            made = None if made is None else self._copied(made)
            with self._changed:
                self._exchange(merge, sources, made)
        finally:
            with self._changed:
                for part in merge.parts:
                    del self._claimed[part.number]
                self._changed.notify_all()

    def _copied(self, made: Merged) -> Merged:
        if self._copy is None or made.codes is None:
            return made
        try:
            return made._replace(copy=self._copy(made.file))
        except RuntimeError as error:
            log.warning(
                "a segment of %d vectors is searched on the host, not on the GPU: %s", len(made.file.rows), error
            )
            return made

    def _exchange(self, merge: Merge, sources: Sources, made: Merged | None) -> None:
        """Put a merged segment in the place of its parts; what ended meanwhile ends in it too."""
        kept = [each for each in self._state.shown[:-1] if each.part not in merge.parts]
        if made is not None:
            part = made.segment(self._number(), sources.died())
            kept.insert(0, Shown(part, part.filled))
            self._parts[part.number] = part
        self._publish(kept, self._state.change, self._state.live)
        if made is not None:
            self._locate(part)
        for each in merge.parts:
            del self._parts[each.number]

    def _put(self, rows: Int64, vectors: Float32) -> bool:
        """Set the vectors (B, D) of distinct rows (B,); whether a part was sealed."""
        with self._changed:
            self._make_room(int(rows.max()) + 1)
            missing = len(rows) - self._room()
            parts = [self._fresh, *(self._new_fresh() for _ in range(-(-missing // self._shape.capacity)))]
            places, start = np.empty(len(rows), np.int64), 0
            for part in parts:
                slots = part.append(rows[start:], vectors[start:])
                places[start : start + len(slots)] = part.number << _SLOT_BITS | slots
                start += len(slots)
            change, before = self._state.change + 1, self._locations[rows]
            self._end(before[before != _ABSENT], change)
            self._locations[rows] = places
            self._fresh = parts[-1]
            sealed = [Shown(part, part.filled) for part in parts[:-1]]
            added = int((before == _ABSENT).sum())
            self._publish([*self._state.shown[:-1], *sealed], change, self._state.live + added)
        return bool(sealed)

    def _end(self, locations: Int64, change: int) -> None:
        """Say that the vectors at ``locations`` are no clip's from ``change`` on."""
        numbers = locations >> _SLOT_BITS
        for number in np.unique(numbers).tolist():
            slots = locations[numbers == number] & _SLOT
            self._parts[number].died[slots] = change
            self._parts[number].dead += len(slots)

    def _publish(self, sealed: Sequence[Shown], change: int, live: int) -> None:
        self._state = State(change, (*sealed, Shown(self._fresh, self._fresh.filled)), live)

    def _locate(self, segment: Segment) -> Int64:
        """Say where the vectors of a segment are; returns where those of its rows were before."""
        self._parts[segment.number] = segment
        slots = np.flatnonzero(segment.died == NEVER)
        rows = segment.rows[slots]
        self._make_room(int(segment.rows[-1]) + 1)
        before: Int64 = self._locations[rows]
        self._locations[rows] = segment.number << _SLOT_BITS | slots
        return before

    def _make_room(self, rows: int) -> None:
        held = len(self._locations)
        if rows > held:
            more = np.full(max(rows - held, held), _ABSENT, np.int64)
            self._locations = np.concatenate([self._locations, more])

    def _room(self) -> int:
        return len(self._fresh.rows) - self._fresh.filled

    def _number(self) -> int:
        self._next_number += 1
        return self._next_number

    def _new_fresh(self) -> FreshPart:
        part = FreshPart(self._number(), self._dim, self._shape.capacity)
        self._parts[part.number] = part
        return part

    def _look_up(self, rows: Int64) -> Float32:
        """Vectors (B, D) of the rows (B,); NaN for each that is not held."""
        vectors: Float32 = np.full((len(rows), self._dim), np.nan, np.float32)
        for part, slots, places in self._places(rows):
            vectors[places] = part.vectors(slots)
        return vectors

    def _compared(self, rows: Int64, query: Float32) -> Float32:
        """Cosines (B,) of the rows (B,) with ``query`` (D,); NaN for each that is not held."""
        compared: Float32 = np.full(len(rows), np.nan, np.float32)
        for part, slots, places in self._places(rows):
            compared[places] = cosines(part, slots, query)
        return compared

    def _places(self, rows: Int64) -> Iterator[tuple[Part, Int64, Int64]]:
        """In which slots of which part the rows (B,) that are held lie, each with its place among them."""
        pending = np.flatnonzero(rows >= 0)
        while len(pending):
            locations = self._locations
            pending = pending[rows[pending] < len(locations)]
            at = locations[rows[pending]]
            pending, at = pending[at != _ABSENT], at[at != _ABSENT]
            numbers = at >> _SLOT_BITS
            gone = np.zeros(len(pending), bool)
            for number in np.unique(numbers).tolist():
                own = numbers == number
                part = self._parts.get(number)
                if part is None:  # merged since: its vectors have another location by now
                    gone |= own
                else:
                    yield part, at[own] & _SLOT, pending[own]
            pending = pending[gone]

    def _due(self, lane: Lane) -> Merge | None:
        """The next merge of a lane that none of the parts is in already."""
        free = [part for part, _ in self._state.shown[:-1] if part.number not in self._claimed]
        return due(free, self._state.live, self._shape, lane)

    def _merge_soon(self) -> None:
        if self._merges is not None:
            with self._changed:
                lanes = [lane for lane in Lane if self._due(lane) is not None]
            if lanes:  # most changes bring none, and a thread that is started for nothing takes what questions need
                self._merges.wake(self, lanes)
        else:
            for lane in Lane:
                while self.merge(lane):
                    pass

    def _wait_for_merges(self) -> None:
        """While more full parts than are allowed wait for a merge that is coming: memory is bounded."""
        if self._merges is not None:
            with self._changed:
                while self._waiting() > self._shape.waiting and self._merges.serves(self):
                    self._changed.wait(_LOOK_AGAIN_S)

    def _waiting(self) -> int:
        return sum(isinstance(part, FreshPart) for part, _ in self._state.shown[:-1])
