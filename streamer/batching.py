"""Batches of clips of similar length, so that little of a batch is padding. Pure logic: time is passed in.

Legend: a clip's length counts steps; a batch's padded cost is its longest clip's length times its number of clips.
"""

import math
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Batch(Generic[T]):
    """Clips to score together, in the order in which they were added, with their lengths in steps."""

    items: tuple[T, ...]
    lengths: tuple[int, ...]

    @property
    def steps(self) -> int:
        """Steps of the clips, without padding."""
        return sum(self.lengths)

    @property
    def padded_steps(self) -> int:
        """The padded cost; the share of padding in it is ``1 - steps / padded_steps``."""
        return max(self.lengths) * len(self.lengths)


class LengthBatcher(Generic[T]):
    """Collects clips in buckets whose edges form a geometric series: bucket b holds lengths in (ratio^(b-1), ratio^b].

    A bucket is full, and a batch, when one more clip would exceed ``max_clips`` or ``max_steps`` of padded cost; it is
    late when its oldest clip has waited ``max_wait_s``. A single clip above ``max_steps`` is a batch of its own.
    """

    def __init__(self, *, max_clips: int, max_steps: int, max_wait_s: float, ratio: float) -> None:
        self._max_clips = max_clips
        self._max_steps = max_steps
        self._max_wait_s = max_wait_s
        self._log_ratio = math.log(ratio)
        self._filling: dict[int, _Bucket[T]] = {}
        self._full: list[_Bucket[T]] = []
        self._size = 0

    def __len__(self) -> int:
        """Clips that are waiting, including those of full buckets."""
        return self._size

    def add(self, item: T, length: int, now_s: float) -> None:
        """Put a clip of ``length`` ≥ 1 steps into its bucket; a full bucket is returned by the next ``due``."""
        key = math.ceil(math.log(length) / self._log_ratio)
        bucket = self._filling.setdefault(key, _Bucket(now_s))
        if bucket.items and max(length, *bucket.lengths) * (len(bucket.items) + 1) > self._max_steps:
            self._full.append(bucket)
            bucket = self._filling[key] = _Bucket(now_s)
        bucket.items.append(item)
        bucket.lengths.append(length)
        if len(bucket.items) >= self._max_clips or length >= self._max_steps:
            self._full.append(self._filling.pop(key))
        self._size += 1

    def due(self, now_s: float, *, most: int | None = None) -> list[Batch[T]]:
        """Full and late buckets as batches, ordered by their oldest clips, so that every bucket gets its turn.

        At most ``most`` of them; a late bucket beyond that stays and may still fill.
        """
        late = [bucket for bucket in self._filling.values() if now_s - bucket.since_s >= self._max_wait_s]
        return self._take([*self._full, *late], most)

    def next_due_s(self) -> float | None:
        """When the next batch will be due: minus infinity if one is full, ``None`` if nothing waits."""
        if self._full:
            return -math.inf
        return min((bucket.since_s + self._max_wait_s for bucket in self._filling.values()), default=None)

    def drain(self, *, most: int | None = None) -> list[Batch[T]]:
        """Like ``due``, for all buckets, full and late or not."""
        return self._take([*self._full, *self._filling.values()], most)

    def _take(self, ready: list["_Bucket[T]"], most: int | None) -> list[Batch[T]]:
        chosen = sorted(ready, key=lambda bucket: bucket.since_s)[:most]
        self._full = [bucket for bucket in self._full if bucket not in chosen]
        self._filling = {key: bucket for key, bucket in self._filling.items() if bucket not in chosen}
        self._size -= sum(len(bucket.items) for bucket in chosen)
        return [Batch(tuple(bucket.items), tuple(bucket.lengths)) for bucket in chosen]


@dataclass(eq=False)
class _Bucket(Generic[T]):
    """``since_s``: when its first clip was added."""

    since_s: float
    items: list[T] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
