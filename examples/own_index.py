"""An index of one's own, with vectors in float16: ``ranking.index = "examples.own_index:Float16Backend"``."""

import msgspec
import numpy as np

from ranking.vectors.backends.port import FrozenState, best_first, checked_query, checked_vectors, reading


class Float16Index(dict):  # clip id → float16 vector of width dim
    def __init__(self, dim, _numbers, held=None):  # row numbers: for an index that holds no ids
        super().__init__((each, np.frombuffer(row, np.float16).reshape(dim)) for each, row in (held or {}).items())
        self.dim = dim

    def upsert(self, clips, vectors):
        rows = checked_vectors(clips, vectors, self.dim).astype(np.float16)
        self.update(zip([clip.clip_id for clip in clips], rows, strict=True))

    def remove(self, clip_ids):
        for clip_id in clip_ids:
            self.pop(clip_id, None)

    def search(self, query, k, *, among=None, at_least=None):
        ids = [*self] if among is None else [*self.keys() & set(among.clip_ids())]
        return best_first(self.vectors(ids) @ checked_query(query, self.dim, k), ids, k, at_least, exact=False)

    def vectors(self, clip_ids):
        return np.array([self.get(each, [np.nan] * self.dim) for each in clip_ids], "f4").reshape(-1, self.dim)

    def freeze(self):  # each is called by the thread that changes the index, while others search it
        return FrozenState(msgspec.msgpack.encode({each: row.tobytes() for each, row in self.items()}))

    await_room = compact = lambda _: None  # changes wait for nothing; nothing that was removed is held


class Float16Backend:
    name, create = "float16", Float16Index

    def read(self, state, _segments, dim, numbers):  # segments: files that do not change, for an index that has such
        with reading(f"index {self.name}"):  # what is not such a state becomes a SnapshotError
            return Float16Index(dim, numbers, msgspec.msgpack.decode(state, type=dict[str, bytes]))
