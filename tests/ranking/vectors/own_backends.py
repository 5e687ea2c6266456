"""Two third-party backends: one that misses neighbours, and one that simulates a remote service."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from ranking.vectors.backends.numpy_exact import NumpyBackend, NumpyIndex
from ranking.vectors.backends.port import (
    Filter,
    FrozenState,
    IndexedClip,
    RowNumbers,
    SearchResult,
    SegmentFile,
    best_first,
    reading,
)
from schemas.errors import StoreUnavailable
from schemas.modalities import Modality
from schemas.ports import Float32


class LossyIndex(NumpyIndex):
    """Approximate: never finds every third of the clips that it holds, and estimates similarities to 0.005."""

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        nearest = super().search(query, len(self) if k > 0 else k, among=among)
        missed = set(sorted(self._vectors)[::3])
        kept = [number for number, clip_id in enumerate(nearest.ids) if clip_id not in missed]
        estimated = (nearest.similarities[kept] * 100).round() / 100
        return best_first(estimated, [nearest.ids[number] for number in kept], k, at_least, exact=False)


class LossyBackend(NumpyBackend):
    name = "lossy"

    def create(self, dim: int, numbers: RowNumbers) -> LossyIndex:
        return LossyIndex(dim)

    def read(self, state: bytes, segments: Mapping[str, Path], dim: int, numbers: RowNumbers) -> LossyIndex:
        made = self.create(dim, numbers)
        made.__dict__ |= super().read(state, segments, dim, numbers).__dict__
        return made


class _Segment(NamedTuple):
    content: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.content)

    def write(self, path: Path) -> None:
        path.write_bytes(self.content)


class SegmentedIndex(NumpyIndex):
    """Each time it is frozen, what has changed since goes to a new segment; what was removed stays in the old one."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.places: dict[str, str] = {}
        self.segments: dict[str, SegmentFile] = {}

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        super().upsert(clips, vectors)
        for clip in clips:
            self.places.pop(clip.clip_id, None)

    def remove(self, clip_ids: Collection[str]) -> None:
        super().remove(clip_ids)
        for clip_id in clip_ids:
            self.places.pop(clip_id, None)

    def freeze(self) -> FrozenState:
        if fresh := sorted(self._vectors.keys() - self.places.keys()):
            name = uuid.uuid4().hex
            self.places |= dict.fromkeys(fresh, name)
            vectors = {clip_id: self._vectors[clip_id].tobytes() for clip_id in fresh}
            self.segments[name] = _Segment(msgspec.msgpack.encode(vectors))
        used = {*self.places.values()}
        self.segments = {name: segment for name, segment in self.segments.items() if name in used}
        return FrozenState(msgspec.msgpack.encode(self.places), dict(self.segments))

    def compact(self) -> None:
        self.places = {}


class SegmentedBackend(NumpyBackend):
    name = "segmented"

    def create(self, dim: int, _numbers: RowNumbers) -> SegmentedIndex:
        return SegmentedIndex(dim)

    def read(self, state: bytes, segments: Mapping[str, Path], dim: int, numbers: RowNumbers) -> SegmentedIndex:
        made = self.create(dim, numbers)
        with reading("index segmented"):
            made.places = msgspec.msgpack.decode(state, type=dict[str, str])
        for name, path in segments.items():
            with reading(path):
                made.segments[name] = _Segment(path.read_bytes())
                vectors = msgspec.msgpack.decode(path.read_bytes(), type=dict[str, bytes])
                for clip_id, raw in vectors.items():
                    if made.places.get(clip_id) == name:
                        made._vectors[clip_id] = np.frombuffer(raw, np.float32)
        return made


class RemoteIndex(NumpyIndex):
    """Filters by what was stored with the vectors, and by nothing else where that is enough; may be unreachable."""

    def __init__(self, dim: int) -> None:
        super().__init__(dim)
        self.stored: dict[str, IndexedClip] = {}
        self.failures = 0

    def upsert(self, clips: Sequence[IndexedClip], vectors: Float32) -> None:
        if self.failures:
            self.failures -= 1
            raise StoreUnavailable("the index does not answer")
        super().upsert(clips, vectors)
        self.stored |= {clip.clip_id: clip for clip in clips}

    def remove(self, clip_ids: Collection[str]) -> None:
        super().remove(clip_ids)
        self.stored = {clip_id: clip for clip_id, clip in self.stored.items() if clip_id in self._vectors}

    def search(
        self, query: Float32, k: int, *, among: Filter | None = None, at_least: float | None = None
    ) -> SearchResult:
        if among is not None and (among.challenge_id or among.dancer_id):
            own = [
                clip.clip_id
                for clip in [*self.stored.values()]
                if among.challenge_id in (None, clip.challenge_id) and among.dancer_id in (None, clip.dancer_id)
            ]
            among = replace(among, clip_ids=lambda: own, count=len(own))
        return super().search(query, k, among=among, at_least=at_least)


class RemoteService:
    """``RemoteBackend``: what several processes share. It writes no snapshot."""

    name = "remote"

    def __init__(self) -> None:
        self.indexes: dict[tuple[str, Modality, int], RemoteIndex] = {}
        self.state: bytes | None = None

    def open(self, generation: str, modality: Modality, dim: int) -> RemoteIndex:
        return self.indexes.setdefault((generation, modality, dim), RemoteIndex(dim))

    def drop(self, generation: str, modality: Modality) -> None:
        self.indexes = {key: index for key, index in self.indexes.items() if key[:2] != (generation, modality)}

    def load_state(self) -> bytes | None:
        return self.state

    def save_state(self, state: bytes) -> None:
        self.state = state
