"""What the checks of the index port are made of: clips with row numbers, directions that tie, and comparisons."""

import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Final

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
    cosines,
    row_search,
)
from ranking.vectors.unit_vectors import unit
from schemas.modalities import Modality
from schemas.ports import Float32, Int64

DIM: Final = 4
TOLERANCE: Final = 0.01
"""By which a compressed index may be off, in each component of a vector and in an estimated similarity."""
_EXACT: Final = 1e-5
GENERATION: Final = "contract"


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
        backend.drop(GENERATION, Modality.SKELETAL)
        return backend.open(GENERATION, Modality.SKELETAL, DIM)
    return backend.create(DIM, NUMBERS)


def thawed(
    backend: SnapshotBackend,
    frozen: FrozenIndex,
    dim: int = DIM,
    *,
    numbers: RowNumbers = NUMBERS,
    damaged: str = "",
) -> SnapshotIndex:
    """The index as a snapshot restores it, in a folder that is deleted at once, as a snapshot may be.

    Of the segment ``damaged`` the last bytes are cut off.
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / name for name in frozen.segments}
        for name, path in paths.items():
            segment = frozen.segments[name]
            segment.write(path)
            content = path.read_bytes()
            expect(len(content) == segment.size_bytes, f"segment {name} has the size that it says")
            if name == damaged:
                path.unlink()  # it may be a link to the index's own file
                path.write_bytes(content[:-9])
        return backend.read(frozen.state, paths, dim, numbers)


def clip(number: int, group: int = 0) -> IndexedClip:
    return IndexedClip(f"clip-{number}", f"challenge-{group}", f"dancer-{number % 4}", number)


def direction(rng: np.random.Generator) -> Float32:
    # From few directions, so that equal similarities are common.
    direction = unit([1, *rng.integers(-2, 3, DIM - 1)])
    if direction is None:
        raise AssertionError("the first component is 1")
    return direction


def rounds(backend: IndexBackend, local: int) -> int:
    """``local`` rounds of changes and searches, or a quarter for a service, where each is a round trip."""
    return local // 4 if isinstance(backend, RemoteBackend) else local


def only(numbers: Sequence[int]) -> Filter:
    return admitting({f"clip-{number}" for number in numbers})


def compare_vectors(index: VectorIndex, expected: Mapping[str, Float32]) -> None:
    ids = [*reversed([*expected]), "absent", *expected]
    found = index.vectors(ids)
    expect(found.dtype == np.float32, f"vectors are float32, not {found.dtype}")
    wanted = np.stack([expected.get(clip_id, np.full(index.dim, np.nan)) for clip_id in ids])
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE, err_msg="the vectors in the order asked, NaN if absent")
    query = np.eye(1, index.dim, dtype=np.float32)[0]
    compared, wanted = cosines(index, NUMBERS, NUMBERS.find(ids), query), np.einsum("nd,d->n", found, query)
    # A merge in the background may have rounded a vector in between.
    np.testing.assert_allclose(compared, wanted, atol=TOLERANCE, err_msg="the cosines are those of the stored vectors")


def compare_search(
    index: VectorIndex,
    model: Mapping[IndexedClip, Float32],
    query: Float32,
    k: int,
    among: Filter | None,
    at_least: float | None,
) -> None:
    admitted = None if among is None else set(among.clip_ids())
    found = index.search(query, k, among=among, at_least=at_least)
    ids = [each.clip_id for each in model if admitted is None or each.clip_id in admitted]
    # What an index keeps may be rounded, and is compared elsewhere: it is exact by what it keeps.
    vectors = index.vectors(ids) if found.exact else [model[each] for each in model if each.clip_id in {*ids}]
    cosines = {
        clip_id: float(vector.astype(float) @ query.astype(float)) for clip_id, vector in zip(ids, vectors, strict=True)
    }
    tolerance = _EXACT if found.exact else TOLERANCE
    expect(found.similarities.shape == (len(found.ids),), "there are as many similarities as ids")
    expect(found.similarities.dtype == np.float32, f"similarities are float32, not {found.similarities.dtype}")
    expect(set(found.ids) <= cosines.keys(), f"{set(found.ids) - cosines.keys()} are not among the candidates")
    expect(len(set(found.ids)) == len(found.ids) <= k, f"at most {k} distinct hits, not {found.ids}")
    np.testing.assert_allclose(found.similarities, [cosines[hit] for hit in found.ids], atol=tolerance)
    expect(bool((np.diff(found.similarities) <= 0).all()), f"best first, not {found.similarities}")
    if at_least is not None:
        expect(bool((found.similarities >= at_least - tolerance).all()), f"at least {at_least}: {found.similarities}")
    if found.exact:
        order = sorted(zip(-found.similarities, found.ids, strict=True))
        expect([hit for _, hit in order] == found.ids, f"ties by the smaller id, not {found.ids}")
        best = sorted(cosines.values(), reverse=True)[:k]
        enough = [cosine for cosine in best if at_least is None or cosine >= at_least]
        np.testing.assert_allclose(found.similarities, enough, atol=tolerance, err_msg="an exact index misses nothing")
        search = row_search(index, NUMBERS, query, among)
        for near in (search.nearest(-(-k // 2)), search.nearest(k)):
            known = [cosines[clip_id] for clip_id in NUMBERS.clip_ids(near.rows)]
            np.testing.assert_allclose(near.similarities, known, atol=tolerance, err_msg="the similarities of the rows")
        expect({*found.ids} <= {*NUMBERS.clip_ids(near.rows)}, f"the rows of all hits are found, not {near.rows}")


def raises(expected: type[Exception], call: Callable[[], object], what: str) -> Exception:
    try:
        call()
    except expected as error:
        return error
    raise AssertionError(f"{what}: expected {expected.__name__}")


def expect(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(rule)
