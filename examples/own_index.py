"""An index of one's own, with vectors in float16: ``ranking.index = "examples.own_index:Float16Backend"``."""

import msgspec
import numpy as np

from ranking.vectors.backends.port import FrozenState, best_first, checked_query, checked_vectors, reading


class Float16Index(dict):  # clip id → float16 vector of width dim
    def __init__(self, dim, held=()):
        super().__init__(held)
        self.dim = dim

    def upsert(self, clips, vectors):
        rows = checked_vectors(clips, vectors, self.dim).astype(np.float16)
        self.update((clip.clip_id, row) for clip, row in zip(clips, rows, strict=True))

    def remove(self, clip_ids):
        for clip_id in clip_ids:
            self.pop(clip_id, None)

    def search(self, query, k, *, among=None, at_least=None):
        ids = [*self] if among is None else [*self.keys() & set(among.clip_ids())]
        return best_first(self.vectors(ids) @ checked_query(query, self.dim, k), ids, k, at_least, exact=False)

    def vectors(self, clip_ids):
        absent = np.full(self.dim, np.nan)
        return np.array([self.get(each, absent) for each in clip_ids], np.float32).reshape(-1, self.dim)

    def freeze(self):
        return FrozenState(msgspec.msgpack.encode({each: row.tobytes() for each, row in self.items()}))

    def compact(self):  # nothing that was removed is held
        pass


class Float16Backend:
    name = "float16"

    def create(self, dim, _numbers):  # row numbers of the clips, for an index that holds no ids
        return Float16Index(dim)

    def read(self, state, _segments, dim, _numbers):  # segments: files that do not change, for an index that has such
        with reading(f"index {self.name}"):  # what is not such a state becomes a SnapshotError
            held = msgspec.msgpack.decode(state, type=dict[str, bytes])
            return Float16Index(dim, {each: np.frombuffer(row, np.float16).reshape(dim) for each, row in held.items()})
