"""Checks that every implementation of the index port passes, one function to a rule.

For an index of your own, in a test::

    @pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
    def test_my_index(check):
        check(MyBackend())

Each check makes what it needs through the backend and raises ``AssertionError`` saying which rule does not hold. A
remote backend is asked for indexes of the generation ``contract`` only; what it holds of that is dropped.
"""

import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, cast

import numpy as np

from ranking.vectors.backends.contract_clips import (
    DIM,
    GENERATION,
    NUMBERS,
    admitting,
    clip,
    compare_search,
    compare_vectors,
    direction,
    expect,
    new_index,
    only,
    raises,
    rounds,
    thawed,
)
from ranking.vectors.backends.contract_live import LIVE_CHECKS
from ranking.vectors.backends.port import IndexBackend, IndexedClip, RemoteBackend, SnapshotIndex
from schemas.errors import GenerationMismatch, SnapshotError
from schemas.modalities import Modality
from schemas.ports import Float32

_WIDE: Final = 16


def check_any_sequence_of_changes(backend: IndexBackend) -> None:
    """After any changes it holds and finds what a dict would: with every k, filter and threshold."""
    rng = np.random.default_rng(7)
    index, model = new_index(backend), dict[IndexedClip, Float32]()
    for _ in range(rounds(backend, 60)):
        numbers = rng.permutation(14)[: rng.integers(1, 6)].tolist()
        if rng.random() < 0.7:
            put = {clip(number, number % 3): direction(rng) for number in numbers}
            index.upsert([*put], np.stack([*put.values()]))
            model |= put
        else:
            gone = {f"clip-{number}" for number in numbers}
            index.remove(gone)
            model = {clip: vector for clip, vector in model.items() if clip.clip_id not in gone}
        expect(len(index) == len(model), f"{len(model)} vectors were put in and len() is {len(index)}")
        compare_vectors(index, {clip.clip_id: vector for clip, vector in model.items()})
        for k in (1, 3, 20):
            for among in (None, *map(only, (rng.permutation(16)[:5].tolist(), range(16), ()))):
                for at_least in (None, 0.2345):
                    compare_search(index, model, direction(rng), k, among, at_least)


def check_filters_by_challenge_and_dancer(backend: IndexBackend) -> None:
    """A filter admits what it says, also after a clip moved to another challenge or dancer."""
    rng = np.random.default_rng(8)
    index = new_index(backend)
    clips = [clip(number, number % 2) for number in range(8)]
    index.upsert(clips, np.stack([direction(rng) for _ in clips]))
    clips[0] = clips[0]._replace(challenge_id="challenge-1", dancer_id="dancer-5")
    index.upsert(clips[:1], direction(rng)[None])
    for challenge_id, dancer_id in (("challenge-1", None), (None, "dancer-5"), ("challenge-0", "dancer-2")):
        admitted = {
            clip.clip_id
            for clip in clips
            if challenge_id in (None, clip.challenge_id) and dancer_id in (None, clip.dancer_id)
        }
        among = admitting(admitted, challenge_id=challenge_id, dancer_id=dancer_id)
        found = index.search(direction(rng), 8, among=among)
        expect(set(found.ids) <= admitted, f"{among} admits {admitted}, and it found {found.ids}")
        expect(not found.exact or len(found.ids) == len(admitted), f"{among} admits {admitted}, not only {found.ids}")


def check_equal_vectors_are_cut_by_id(backend: IndexBackend) -> None:
    """Ties are broken by the smaller id, independent of the order of insertion; an approximate index may choose."""
    index, rng = new_index(backend), np.random.default_rng(9)
    clips = [clip(number) for number in range(399, 99, -1)]
    same = direction(rng)
    index.upsert(clips, np.repeat(same[None], len(clips), axis=0))
    found = index.search(same, 5)
    if found.exact:
        expected = [f"clip-{number}" for number in range(100, 105)]
        expect(found.ids == expected, f"of equal vectors the first are {expected}, and it found {found.ids}")


def check_what_is_absent(backend: IndexBackend) -> None:
    """An empty index answers, removing what is not held is allowed, and its vectors are NaN."""
    index, query = new_index(backend), direction(np.random.default_rng(10))
    for _ in range(2):
        index.remove(["nowhere"])
        expect(len(index) == 0, "an empty index has len() 0")
        expect(index.dim == DIM, f"an index made for width {DIM} says dim is {index.dim}")
        expect(index.search(query, 3).ids == [], "an empty index finds nothing")
        absent = index.vectors(["nowhere"])
        expect(absent.shape == (1, DIM) and bool(np.isnan(absent).all()), "a vector that is not held is a row of NaN")
        expect(index.vectors([]).shape == (0, DIM), f"no vectors have shape (0, {DIM})")
        index.upsert([clip(0)], query[None])
        expect(index.search(query, 0).ids == [], "k = 0 finds nothing")
        index.remove([clip(0).clip_id, "nowhere"])


def check_wrong_shapes_are_refused(backend: IndexBackend) -> None:
    """Vectors and queries of another width raise ``GenerationMismatch``, another number of vectors ``ValueError``."""
    index = new_index(backend)
    wide = np.eye(1, DIM + 1, dtype=np.float32)
    raises(GenerationMismatch, lambda: index.upsert([clip(0)], wide), "upsert of another width")
    raises(GenerationMismatch, lambda: index.search(wide[0], 1), "a query of another width")
    raises(ValueError, lambda: index.upsert([clip(0), clip(1)], wide[:, :DIM]), "2 clips and 1 vector")
    expect(len(index) == 0, "what was refused is not held")


def check_it_survives_the_process(backend: IndexBackend) -> None:
    """A snapshot restores an index as it was; a remote index is there when it is opened again."""
    index, rng = new_index(backend), np.random.default_rng(11)
    vectors = {f"clip-{number}": direction(rng) for number in range(3)}
    index.upsert([clip(number) for number in range(3)], np.stack([*vectors.values()]))
    index.remove([clip(1).clip_id])
    del vectors["clip-1"]
    if isinstance(backend, RemoteBackend):
        _check_remote(backend, vectors)
        return
    emptied = thawed(backend, backend.create(DIM + 1, NUMBERS).freeze(), DIM + 1)
    expect((len(emptied), emptied.dim) == (0, DIM + 1), "an empty index is restored with its width")
    frozen = cast(SnapshotIndex, index).freeze()
    index.upsert([clip(0), clip(3)], np.stack([direction(rng), direction(rng)]))
    index.remove([clip(2).clip_id])
    restored = thawed(backend, frozen)
    expect((len(restored), restored.dim) == (2, DIM), "a restored index has the size and width it had when frozen")
    compare_vectors(restored, vectors)
    vectors |= {"clip-2": direction(rng), "clip-5": direction(rng)}
    restored.upsert([clip(2), clip(5)], np.stack([vectors["clip-2"], vectors["clip-5"]]))
    expect(len(restored) == 3, "a restored index can be changed")
    compare_vectors(restored, vectors)
    for content in (b"", b"nonsense" * 20, frozen.state[:-9]):
        read = partial(backend.read, content, {}, DIM, NUMBERS)
        raises(SnapshotError, read, "a state that is not of an index")


def check_what_was_removed_leaves_with_compaction(backend: IndexBackend) -> None:
    """After ``compact`` nothing that is frozen has the bytes of a vector that was removed or replaced before."""
    if isinstance(backend, RemoteBackend):
        return
    rng = np.random.default_rng(12)
    index = backend.create(_WIDE, NUMBERS)
    vectors = rng.normal(size=(64, _WIDE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.upsert([clip(number) for number in range(32)], vectors[:32])
    index.freeze()
    index.remove([clip(number).clip_id for number in range(0, 32, 4)])
    index.upsert([clip(number) for number in range(1, 32, 4)], vectors[33:64:4])
    index.compact()
    frozen = index.freeze()
    with tempfile.TemporaryDirectory() as folder:
        content = frozen.state
        for name, segment in frozen.segments.items():
            segment.write(Path(folder) / name)
            content += (Path(folder) / name).read_bytes()
    gone = [number for number in range(32) if number % 4 < 2]
    for dtype in (np.float32, np.float16):
        found = [number for number in gone if vectors[number].astype(dtype).tobytes() in content]
        expect(not found, f"vectors {found} were removed or replaced and are frozen as {np.dtype(dtype)}")


INDEX_CHECKS: Final[tuple[Callable[[IndexBackend], None], ...]] = (
    check_any_sequence_of_changes,
    check_filters_by_challenge_and_dancer,
    check_equal_vectors_are_cut_by_id,
    check_what_is_absent,
    check_wrong_shapes_are_refused,
    check_it_survives_the_process,
    check_what_was_removed_leaves_with_compaction,
    *LIVE_CHECKS,
)


def _check_remote(backend: RemoteBackend, vectors: Mapping[str, Float32]) -> None:
    compare_vectors(backend.open(GENERATION, Modality.SKELETAL, DIM), vectors)
    for generation, modality in (("contract-2", Modality.SKELETAL), (GENERATION, Modality.SCENIC)):
        expect(len(backend.open(generation, modality, DIM)) == 0, "each generation and modality has its own index")
        backend.drop(generation, modality)
    wider = backend.open(GENERATION, Modality.SKELETAL, DIM + 1)
    expect(len(wider) == 0, "an index of another width is empty")
    wider.upsert([clip(0)], np.eye(1, DIM + 1, dtype=np.float32))
    compare_vectors(backend.open(GENERATION, Modality.SKELETAL, DIM), vectors)
    backend.drop(GENERATION, Modality.SKELETAL)
    backend.drop(GENERATION, Modality.SKELETAL)
    for width in (DIM, DIM + 1):
        expect(len(backend.open(GENERATION, Modality.SKELETAL, width)) == 0, "a dropped index is empty")
    backend.drop(GENERATION, Modality.SKELETAL)
    before = backend.load_state()
    for state in (b"\x00one", b"two" * 100):
        backend.save_state(state)
        expect(backend.load_state() == state, "load_state gives what save_state stored last")
    if before is not None:
        backend.save_state(before)
