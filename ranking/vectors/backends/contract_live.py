"""Checks of an index that is searched and frozen while it changes, and of what it refuses."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

import numpy as np

from ranking.vectors.backends.contract_clips import (
    DIM,
    NUMBERS,
    TOLERANCE,
    clip,
    compare_vectors,
    direction,
    expect,
    new_index,
    raises,
    rounds,
    thawed,
)
from ranking.vectors.backends.port import IndexBackend, RemoteBackend, VectorIndex
from schemas.errors import SnapshotError
from schemas.ports import Float32

_KEPT: Final = 24
"""Clips that are there all the time, with the same vectors."""
_CHANGED: Final = 40
_ROUNDS: Final = 60
_SEARCHERS: Final = 3


def check_searches_go_on_while_it_changes(backend: IndexBackend) -> None:
    """Whatever one thread changes, others find no clip twice, none that was removed before, and all that stay."""
    rng, index = np.random.default_rng(13), new_index(backend)
    kept = {clip(number).clip_id: direction(rng) for number in range(_KEPT)}
    index.upsert([clip(number) for number in range(_KEPT)], np.stack([*kept.values()]))
    gone = [clip(number) for number in range(_KEPT + _CHANGED, _KEPT + _CHANGED + 8)]
    index.upsert(gone, np.stack([direction(rng) for _ in gone]))
    index.remove([each.clip_id for each in gone])
    ended = threading.Event()

    def search_on(seed: int) -> None:
        own = np.random.default_rng(seed)
        while not ended.is_set():
            _search_once(index, kept, direction(own))

    with ThreadPoolExecutor(_SEARCHERS) as pool:
        searching = [pool.submit(search_on, seed) for seed in range(_SEARCHERS)]
        try:
            _change(index, rng, rounds(backend, _ROUNDS))
        finally:
            ended.set()
        for each in searching:
            each.result()


def check_what_is_frozen_stays(backend: IndexBackend) -> None:
    """Each frozen state is restored as it was, however the index went on; what was removed does not come back."""
    if isinstance(backend, RemoteBackend):
        return
    rng, index = np.random.default_rng(14), backend.create(DIM, NUMBERS)
    model, frozen = dict[str, Float32](), []
    for _ in range(24):
        numbers = rng.permutation(30)
        put, removed = numbers[:6].tolist(), {clip(number).clip_id for number in numbers[6:9].tolist()}
        vectors = np.stack([direction(rng) for _ in put])
        index.upsert([clip(number) for number in put], vectors)
        index.remove(removed)
        model = model | {clip(number).clip_id: vector for number, vector in zip(put, vectors, strict=True)}
        model = {clip_id: vector for clip_id, vector in model.items() if clip_id not in removed}
        frozen.append((index.freeze(), model))
    for state, expected in frozen[::5]:
        restored = thawed(backend, state)
        expect(len(restored) == len(expected), f"{len(expected)} vectors were frozen and {len(restored)} restored")
        compare_vectors(restored, expected)
        found = restored.search(direction(rng), 30)
        expect(
            set(found.ids) <= expected.keys(), f"{set(found.ids) - expected.keys()} were not held when it was frozen"
        )
        expect(not found.exact or set(found.ids) == expected.keys(), "an exact index that was restored misses nothing")


def check_bad_input_is_refused(backend: IndexBackend) -> None:
    """A clip twice, a vector without direction or with NaN, and a negative k raise ``ValueError``; nothing changes."""
    index, good = new_index(backend), np.eye(1, DIM, dtype=np.float32)
    for bad in (np.zeros_like(good), np.full_like(good, np.nan), np.full_like(good, np.inf), 2 * good):
        raises(ValueError, partial(index.upsert, [clip(0)], bad), f"a vector {bad.tolist()}")
        raises(ValueError, partial(index.search, bad[0], 1), f"a query {bad.tolist()}")
    raises(ValueError, lambda: index.upsert([clip(0), clip(0)], np.repeat(good, 2, axis=0)), "a clip twice")
    raises(ValueError, lambda: index.search(good[0], -1), "k = -1")
    expect(len(index) == 0, "what was refused is not held")


def check_damaged_segments_are_named(backend: IndexBackend) -> None:
    """A segment that is cut off raises ``SnapshotError``, naming the file."""
    if isinstance(backend, RemoteBackend):
        return
    rng, index = np.random.default_rng(15), backend.create(DIM, NUMBERS)
    for start in range(0, 60, 6):
        index.upsert([clip(number) for number in range(start, start + 6)], np.stack([direction(rng) for _ in range(6)]))
    frozen = index.freeze()
    for name in frozen.segments:
        error = raises(
            SnapshotError, partial(thawed, backend, frozen, damaged=name), f"a segment {name} without its last bytes"
        )
        expect(name in str(error), f"the error names the file {name}: {error}")


LIVE_CHECKS: Final[tuple[Callable[[IndexBackend], None], ...]] = (
    check_searches_go_on_while_it_changes,
    check_what_is_frozen_stays,
    check_bad_input_is_refused,
    check_damaged_segments_are_named,
)


def _change(index: VectorIndex, rng: np.random.Generator, count: int) -> None:
    """Rounds of upserts and removals; what is removed for good is not found by a search that starts later."""
    for _ in range(count):
        numbers = (_KEPT + rng.permutation(_CHANGED)).tolist()
        put, removed = numbers[:8], {clip(number).clip_id for number in numbers[8:12]}
        index.upsert([clip(number) for number in put], np.stack([direction(rng) for _ in put]))
        index.remove(removed)
        found = index.search(direction(rng), _KEPT + _CHANGED)
        expect(removed.isdisjoint(found.ids), f"{removed & {*found.ids}} were removed and are found")
        expect(
            not found.exact or {clip(number).clip_id for number in put} <= {*found.ids},
            "what was put in is found by the next search",
        )


def _search_once(index: VectorIndex, kept: dict[str, Float32], query: Float32) -> None:
    found = index.search(query, _KEPT + _CHANGED)
    expect(len(set(found.ids)) == len(found.ids), f"no clip is found twice: {found.ids}")
    expect(not np.isnan(found.similarities).any(), f"no similarity is NaN: {found.similarities}")
    changing = {clip(number).clip_id for number in range(_KEPT, _KEPT + _CHANGED)}
    stray = {*found.ids} - kept.keys() - changing
    expect(not stray, f"{stray} were removed before the search and are found")
    expect(not found.exact or kept.keys() <= {*found.ids}, f"{kept.keys() - {*found.ids}} stay and are not found")
    similarity = dict(zip(found.ids, found.similarities.tolist(), strict=True))
    for clip_id in kept.keys() & similarity.keys():
        expect(
            abs(similarity[clip_id] - float(kept[clip_id] @ query)) <= TOLERANCE,
            f"{clip_id} has the vector that it had, and another similarity",
        )
    compare_vectors(index, kept)
