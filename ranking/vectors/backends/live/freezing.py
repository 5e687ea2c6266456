"""A state of a live index for a snapshot, and back.

The segments are files that the snapshots share. The rest, ``state``, are the vectors that no segment holds yet and the
dead slots of each segment. Both are read from a published state, which stays what it was while the index goes on.

Legend: B vectors, D width.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from ranking.vectors.backends.live.codes import Codes
from ranking.vectors.backends.live.merging import Merged
from ranking.vectors.backends.live.parts import FreshPart, Segment, State, alive
from ranking.vectors.backends.live.segment_files import CODES, VECTORS, SegmentVectors
from ranking.vectors.backends.port import SegmentFile, reading
from schemas.ports import Float32, Int64


class _SegmentState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    name: str
    coded: bool
    dead: bytes


class _IndexState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    dim: int
    rows: bytes
    vectors: bytes
    segments: list[_SegmentState]


class FrozenLiveIndex:
    """``FrozenIndex`` of a published state."""

    def __init__(self, dim: int, state: State) -> None:
        self._dim: Final = dim
        self._state: Final = state

    @property
    def segments(self) -> Mapping[str, SegmentFile]:
        files: dict[str, SegmentFile] = {}
        for segment in self._state.segments():
            files[f"{segment.name}{VECTORS}"] = segment.file
            if segment.codes is not None:
                files[f"{segment.name}{CODES}"] = segment.codes
        return files

    @cached_property
    def state(self) -> bytes:
        change = self._state.change
        fresh = [(each.part, alive(each, change)) for each in self._state.shown if isinstance(each.part, FreshPart)]
        return msgspec.msgpack.encode(
            _IndexState(
                self._dim,
                b"".join(part.rows[slots].astype("<i8").tobytes() for part, slots in fresh),
                b"".join(part.vectors(slots).astype("<f4").tobytes() for part, slots in fresh),
                [_segment_state(segment, change) for segment in self._state.segments()],
            )
        )


class Thawed(NamedTuple):
    """What was frozen: segments, each with its dead slots, and rows (B,) and vectors (B, D) that none holds."""

    segments: list[tuple[Merged, Int64]]
    rows: Int64
    vectors: Float32


def thawed(state: bytes, paths: Mapping[str, Path], dim: int) -> Thawed:
    """What was frozen of an index of width D. Raises ``SnapshotError``."""
    with reading("index faiss"):
        read = msgspec.msgpack.decode(state, type=_IndexState)
        rows = np.frombuffer(read.rows, "<i8")
        vectors = np.frombuffer(read.vectors, "<f4").reshape(len(rows), dim)
        if read.dim != dim or (rows < 0).any() or not np.isfinite(vectors).all():
            raise ValueError(f"it does not hold vectors of width {dim}")
    return Thawed([*_segments(read, paths, dim)], rows, vectors)


def _segments(read: _IndexState, paths: Mapping[str, Path], dim: int) -> Iterator[tuple[Merged, Int64]]:
    for segment in read.segments:
        with reading("index faiss"):
            vectors = paths[f"{segment.name}{VECTORS}"]
            dead = np.frombuffer(segment.dead, "<i8")
        with reading(vectors):
            file = SegmentVectors(vectors)
            if segment.coded and file.vectors.dtype != np.float16:
                raise ValueError("it has codes and not float16, which they belong to")
            if file.vectors.shape[1] != dim or (len(dead) and not 0 <= dead.min() <= dead.max() < len(file.rows)):
                raise ValueError(f"it is not of the index, whose width is {dim}")
        codes = None
        if segment.coded:
            with reading("index faiss"):
                path = paths[f"{segment.name}{CODES}"]
            with reading(path):
                codes = Codes.read(path)
                if (len(codes), codes.dim) != file.vectors.shape:
                    raise ValueError(f"it does not belong to {vectors.name}")
        yield Merged(segment.name, file, codes), dead


def _segment_state(segment: Segment, change: int) -> _SegmentState:
    dead = np.flatnonzero(segment.died <= change)
    return _SegmentState(segment.name, segment.codes is not None, dead.astype("<i8").tobytes())
