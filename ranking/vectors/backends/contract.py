"""Checks that every implementation of the index port passes, one function to a rule.

For an index of your own, in a test::

    @pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
    def test_my_index(check):
        check(MyBackend())

Each check makes what it needs through the backend and raises ``AssertionError`` saying which rule does not hold. A
remote backend is asked for indexes of the generation ``contract`` only; what it holds of that is dropped.
"""

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final, cast

import numpy as np

from ranking.vectors.backends.port import (
    Filter,
    FrozenIndex,
    IndexBackend,
    IndexedClip,
    RemoteBackend,
    RowNumbers,
    SnapshotBackend,
    SnapshotIndex,
    VectorIndex,
    unit,
)
from schemas.errors import GenerationMismatch, SnapshotError
from schemas.modalities import Modality
from schemas.ports import Float32, Int64

DIM: Final = 4
TOLERANCE: Final = 0.01
"""By which a compressed index may be off, in each component of a vector and in an estimated similarity."""
_EXACT: Final = 1e-5
_GENERATION: Final = "contract"
_WIDE: Final = 16


def check_any_sequence_of_changes(backend: IndexBackend) -> None:
    """After any changes it holds and finds what a dict would: with every k, filter and threshold."""
    rng = np.random.default_rng(7)
    index, model = new_index(backend), dict[IndexedClip, Float32]()
    for _ in range(60):
        numbers = rng.permutation(14)[: rng.integers(1, 6)].tolist()
        if rng.random() < 0.7:
            put = {_clip(number, number % 3): _direction(rng) for number in numbers}
            index.upsert([*put], np.stack([*put.values()]))
            model |= put
        else:
            gone = {f"clip-{number}" for number in numbers}
            index.remove(gone)
            model = {clip: vector for clip, vector in model.items() if clip.clip_id not in gone}
        _expect(len(index) == len(model), f"{len(model)} vectors were put in and len() is {len(index)}")
        _compare_vectors(index, {clip.clip_id: vector for clip, vector in model.items()})
        for k in (1, 3, 20):
            for among in (None, *map(_only, (rng.permutation(16)[:5].tolist(), range(16), ()))):
                for at_least in (None, 0.2345):
                    _compare_search(index, model, _direction(rng), k, among, at_least)


def check_filters_by_challenge_and_dancer(backend: IndexBackend) -> None:
    """A filter admits what it says, also after a clip moved to another challenge or dancer."""
    rng = np.random.default_rng(8)
    index = new_index(backend)
    clips = [_clip(number, number % 2) for number in range(8)]
    index.upsert(clips, np.stack([_direction(rng) for _ in clips]))
    clips[0] = clips[0]._replace(challenge_id="challenge-1", dancer_id="dancer-5")
    index.upsert(clips[:1], _direction(rng)[None])
    for challenge_id, dancer_id in (("challenge-1", None), (None, "dancer-5"), ("challenge-0", "dancer-2")):
        admitted = {
            clip.clip_id
            for clip in clips
            if challenge_id in (None, clip.challenge_id) and dancer_id in (None, clip.dancer_id)
        }
        among = admitting(admitted, challenge_id=challenge_id, dancer_id=dancer_id)
        found = index.search(_direction(rng), 8, among=among)
        _expect(set(found.ids) <= admitted, f"{among} admits {admitted}, and it found {found.ids}")
        _expect(not found.exact or len(found.ids) == len(admitted), f"{among} admits {admitted}, not only {found.ids}")


def check_equal_vectors_are_cut_by_id(backend: IndexBackend) -> None:
    """Ties are broken by the smaller id, independent of the order of insertion; an approximate index may choose."""
    index, rng = new_index(backend), np.random.default_rng(9)
    clips = [_clip(number) for number in range(399, 99, -1)]
    same = _direction(rng)
    index.upsert(clips, np.repeat(same[None], len(clips), axis=0))
    found = index.search(same, 5)
    if found.exact:
        expected = [f"clip-{number}" for number in range(100, 105)]
        _expect(found.ids == expected, f"of equal vectors the first are {expected}, and it found {found.ids}")


def check_what_is_absent(backend: IndexBackend) -> None:
    """An empty index answers, removing what is not held is allowed, and its vectors are NaN."""
    index, query = new_index(backend), _direction(np.random.default_rng(10))
    for _ in range(2):
        index.remove(["nowhere"])
        _expect(len(index) == 0, "an empty index has len() 0")
        _expect(index.dim == DIM, f"an index made for width {DIM} says dim is {index.dim}")
        _expect(index.search(query, 3).ids == [], "an empty index finds nothing")
        absent = index.vectors(["nowhere"])
        _expect(absent.shape == (1, DIM) and bool(np.isnan(absent).all()), "a vector that is not held is a row of NaN")
        _expect(index.vectors([]).shape == (0, DIM), f"no vectors have shape (0, {DIM})")
        index.upsert([_clip(0)], query[None])
        _expect(index.search(query, 0).ids == [], "k = 0 finds nothing")
        index.remove([_clip(0).clip_id, "nowhere"])


def check_wrong_shapes_are_refused(backend: IndexBackend) -> None:
    """Vectors and queries of another width raise ``GenerationMismatch``, another number of vectors ``ValueError``."""
    index = new_index(backend)
    wide = np.eye(1, DIM + 1, dtype=np.float32)
    _raises(GenerationMismatch, lambda: index.upsert([_clip(0)], wide), "upsert of another width")
    _raises(GenerationMismatch, lambda: index.search(wide[0], 1), "a query of another width")
    _raises(ValueError, lambda: index.upsert([_clip(0), _clip(1)], wide[:, :DIM]), "2 clips and 1 vector")
    _expect(len(index) == 0, "what was refused is not held")


def check_it_survives_the_process(backend: IndexBackend) -> None:
    """A snapshot restores an index as it was; a remote index is there when it is opened again."""
    index, rng = new_index(backend), np.random.default_rng(11)
    vectors = {f"clip-{number}": _direction(rng) for number in range(3)}
    index.upsert([_clip(number) for number in range(3)], np.stack([*vectors.values()]))
    index.remove([_clip(1).clip_id])
    del vectors["clip-1"]
    if isinstance(backend, RemoteBackend):
        _check_remote(backend, vectors)
        return
    emptied = _thawed(backend, backend.create(DIM + 1, NUMBERS).freeze(), DIM + 1)
    _expect((len(emptied), emptied.dim) == (0, DIM + 1), "an empty index is restored with its width")
    frozen = cast(SnapshotIndex, index).freeze()
    index.upsert([_clip(0), _clip(3)], np.stack([_direction(rng), _direction(rng)]))
    index.remove([_clip(2).clip_id])
    restored = _thawed(backend, frozen)
    _expect((len(restored), restored.dim) == (2, DIM), "a restored index has the size and width it had when frozen")
    _compare_vectors(restored, vectors)
    vectors |= {"clip-2": _direction(rng), "clip-5": _direction(rng)}
    restored.upsert([_clip(2), _clip(5)], np.stack([vectors["clip-2"], vectors["clip-5"]]))
    _expect(len(restored) == 3, "a restored index can be changed")
    _compare_vectors(restored, vectors)
    for content in (b"", b"nonsense" * 20, frozen.state[:-9]):
        read = partial(backend.read, content, {}, DIM, NUMBERS)
        _raises(SnapshotError, read, "a state that is not of an index")


def check_what_was_removed_leaves_with_compaction(backend: IndexBackend) -> None:
    """After ``compact`` nothing that is frozen has the bytes of a vector that was removed or replaced before."""
    if isinstance(backend, RemoteBackend):
        return
    rng = np.random.default_rng(12)
    index = backend.create(_WIDE, NUMBERS)
    vectors = rng.normal(size=(64, _WIDE)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.upsert([_clip(number) for number in range(32)], vectors[:32])
    index.freeze()
    index.remove([_clip(number).clip_id for number in range(0, 32, 4)])
    index.upsert([_clip(number) for number in range(1, 32, 4)], vectors[33:64:4])
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
        _expect(not found, f"vectors {found} were removed or replaced and are frozen as {np.dtype(dtype)}")


INDEX_CHECKS: Final[tuple[Callable[[IndexBackend], None], ...]] = (
    check_any_sequence_of_changes,
    check_filters_by_challenge_and_dancer,
    check_equal_vectors_are_cut_by_id,
    check_what_is_absent,
    check_wrong_shapes_are_refused,
    check_it_survives_the_process,
    check_what_was_removed_leaves_with_compaction,
)


class _Numbers:
    """``RowNumbers`` of clips named ``clip-7``: the row is the number in the name."""

    def find(self, clip_ids: Collection[str]) -> Int64:
        numbers = [clip_id.removeprefix("clip-") for clip_id in clip_ids]
        return np.array([int(number) if number.isdecimal() else -1 for number in numbers], np.int64)

    def clip_ids(self, rows: Int64) -> list[str]:
        return [f"clip-{row}" for row in rows.tolist()]


NUMBERS: Final[RowNumbers] = _Numbers()
"""Row numbers of the clips of these checks."""


def admitting(admitted: Collection[str], *, challenge_id: str | None = None, dancer_id: str | None = None) -> Filter:
    """A filter that admits these clips of the checks."""
    return Filter(
        clip_ids=lambda: admitted,
        rows=lambda: np.sort(NUMBERS.find(admitted)),
        count=len(admitted),
        challenge_id=challenge_id,
        dancer_id=dancer_id,
    )


def new_index(backend: IndexBackend) -> VectorIndex:
    """An empty index of width ``DIM``."""
    if isinstance(backend, RemoteBackend):
        backend.drop(_GENERATION, Modality.SKELETAL)
        return backend.open(_GENERATION, Modality.SKELETAL, DIM)
    return backend.create(DIM, NUMBERS)


def _thawed(backend: SnapshotBackend, frozen: FrozenIndex, dim: int = DIM) -> SnapshotIndex:
    """The index as a snapshot restores it, in a folder that is deleted at once, as a snapshot may be."""
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in frozen.segments}
        for name, path in paths.items():
            frozen.segments[name].write(path)
            _expect(
                path.stat().st_size == frozen.segments[name].size_bytes, f"segment {name} has the size that it says"
            )
        return backend.read(frozen.state, paths, dim, NUMBERS)


def _check_remote(backend: RemoteBackend, vectors: Mapping[str, Float32]) -> None:
    _compare_vectors(backend.open(_GENERATION, Modality.SKELETAL, DIM), vectors)
    for generation, modality in (("contract-2", Modality.SKELETAL), (_GENERATION, Modality.SCENIC)):
        _expect(len(backend.open(generation, modality, DIM)) == 0, "each generation and modality has its own index")
        backend.drop(generation, modality)
    wider = backend.open(_GENERATION, Modality.SKELETAL, DIM + 1)
    _expect(len(wider) == 0, "an index of another width is empty")
    wider.upsert([_clip(0)], np.eye(1, DIM + 1, dtype=np.float32))
    _compare_vectors(backend.open(_GENERATION, Modality.SKELETAL, DIM), vectors)
    backend.drop(_GENERATION, Modality.SKELETAL)
    backend.drop(_GENERATION, Modality.SKELETAL)
    for width in (DIM, DIM + 1):
        _expect(len(backend.open(_GENERATION, Modality.SKELETAL, width)) == 0, "a dropped index is empty")
    backend.drop(_GENERATION, Modality.SKELETAL)
    before = backend.load_state()
    for state in (b"\x00one", b"two" * 100):
        backend.save_state(state)
        _expect(backend.load_state() == state, "load_state gives what save_state stored last")
    if before is not None:
        backend.save_state(before)


def _clip(number: int, group: int = 0) -> IndexedClip:
    return IndexedClip(f"clip-{number}", f"challenge-{group}", f"dancer-{number % 4}", number)


def _direction(rng: np.random.Generator) -> Float32:
    # From few directions, so that equal similarities are common.
    direction = unit([1, *rng.integers(-2, 3, DIM - 1)])
    if direction is None:
        raise AssertionError("the first component is 1")
    return direction


def _only(numbers: Sequence[int]) -> Filter:
    return admitting({f"clip-{number}" for number in numbers})


def _compare_vectors(index: VectorIndex, expected: Mapping[str, Float32]) -> None:
    ids = [*reversed([*expected]), "absent", *expected]
    found = index.vectors(ids)
    _expect(found.dtype == np.float32, f"vectors are float32, not {found.dtype}")
    wanted = np.stack([expected.get(clip_id, np.full(index.dim, np.nan)) for clip_id in ids])
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, err_msg="the vectors in the order asked, NaN if absent")


def _compare_search(
    index: VectorIndex,
    model: Mapping[IndexedClip, Float32],
    query: Float32,
    k: int,
    among: Filter | None,
    at_least: float | None,
) -> None:
    admitted = None if among is None else set(among.clip_ids())
    cosines = {
        clip.clip_id: float(vector.astype(float) @ query.astype(float))
        for clip, vector in model.items()
        if admitted is None or clip.clip_id in admitted
    }
    found = index.search(query, k, among=among, at_least=at_least)
    tolerance = _EXACT if found.exact else TOLERANCE
    _expect(found.similarities.shape == (len(found.ids),), "there are as many similarities as ids")
    _expect(found.similarities.dtype == np.float32, f"similarities are float32, not {found.similarities.dtype}")
    _expect(set(found.ids) <= cosines.keys(), f"{set(found.ids) - cosines.keys()} are not among the candidates")
    _expect(len(set(found.ids)) == len(found.ids) <= k, f"at most {k} distinct hits, not {found.ids}")
    np.testing.assert_allclose(found.similarities, [cosines[hit] for hit in found.ids], atol=tolerance)
    _expect(bool((np.diff(found.similarities) <= 0).all()), f"best first, not {found.similarities}")
    if at_least is not None:
        _expect(bool((found.similarities >= at_least - tolerance).all()), f"at least {at_least}: {found.similarities}")
    if found.exact:
        order = sorted(zip(-found.similarities, found.ids, strict=True))
        _expect([hit for _, hit in order] == found.ids, f"ties by the smaller id, not {found.ids}")
        best = sorted(cosines.values(), reverse=True)[:k]
        enough = [cosine for cosine in best if at_least is None or cosine >= at_least]
        np.testing.assert_allclose(found.similarities, enough, atol=tolerance, err_msg="an exact index misses nothing")


def _raises(expected: type[Exception], call: Callable[[], object], what: str) -> Exception:
    try:
        call()
    except expected as error:
        return error
    raise AssertionError(f"{what}: expected {expected.__name__}")


def _expect(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)
