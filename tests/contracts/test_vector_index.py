"""What every ``schemas.ports.VectorIndex`` of ours promises, against a dict as the model."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ranking.vectors.backends.faiss_flat import FaissIndexes
from ranking.vectors.backends.numpy_exact import ExactIndexes
from ranking.vectors.backends.port import IndexFormat, StoredIndex, unit
from schemas.errors import GenerationMismatch, SnapshotError

FORMATS: dict[str, IndexFormat] = {"faiss": FaissIndexes(), "exact": ExactIndexes()}
DIM = 3
GRID = st.tuples(*[st.integers(-2, 2)] * DIM).filter(any)  # few directions, so that ties are common
IDS = st.integers(0, 12) | st.just(2**40)


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> IndexFormat:
    return FORMATS[request.param]


def units(rows: object) -> npt.NDArray[np.float32]:
    return np.stack([unit(row) for row in np.atleast_2d(np.array(rows))])  # type: ignore[arg-type]


def ids(*values: int) -> npt.NDArray[np.int64]:
    return np.array(values, np.int64)


class IndexAgainstDict(RuleBasedStateMachine):
    kind: IndexFormat

    def __init__(self) -> None:
        super().__init__()
        self.index: StoredIndex = self.kind.create(DIM)
        self.model: dict[int, npt.NDArray[np.float32]] = {}

    @rule(rows=st.dictionaries(IDS, GRID, min_size=1, max_size=6))
    def upsert(self, rows: dict[int, tuple[int, ...]]) -> None:
        vectors = units([*rows.values()])
        self.index.upsert(ids(*rows), vectors)
        self.model |= dict(zip(rows, vectors, strict=True))

    @rule(gone=st.lists(IDS, max_size=5, unique=True))
    def remove(self, gone: list[int]) -> None:
        assert self.index.remove(ids(*gone)) == len(self.model.keys() & set(gone))
        self.model = {i: vector for i, vector in self.model.items() if i not in gone}

    @rule(
        queries=st.lists(GRID, min_size=1, max_size=20),
        k=st.integers(0, 15),
        among=st.none() | st.lists(IDS, max_size=9),
    )
    def search(self, queries: list[tuple[int, ...]], k: int, among: list[int] | None) -> None:
        candidates = sorted(self.model if among is None else self.model.keys() & set(among))
        found, hits = self.index.search(units(queries), k, among=None if among is None else ids(*among))
        assert found.shape == hits.shape == (len(queries), min(k, len(candidates)))
        assert (found.dtype, hits.dtype) == (np.float32, np.int64)
        for row, query in enumerate(units(queries)):
            cosines = {i: float(self.model[i].astype(float) @ query.astype(float)) for i in candidates}
            assert len(set(hits[row].tolist())) == len(hits[row])
            np.testing.assert_allclose(found[row], [cosines[i] for i in hits[row].tolist()], atol=1e-5)
            np.testing.assert_allclose(found[row], sorted(cosines.values(), reverse=True)[:k], atol=1e-5)
            assert sorted(zip(-found[row], hits[row], strict=True)) == [*zip(-found[row], hits[row], strict=True)]

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read_back(self, data: st.DataObject) -> None:
        asked = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1))
        np.testing.assert_array_equal(self.index.vectors(ids(*asked)), np.stack([self.model[i] for i in asked]))

    @rule(absent=IDS)
    def read_absent(self, absent: int) -> None:
        if absent not in self.model:
            with pytest.raises(KeyError):
                self.index.vectors(ids(absent))

    @invariant()
    def counts(self) -> None:
        assert len(self.index) == len(self.model)


class FaissAgainstDict(IndexAgainstDict):
    kind = FORMATS["faiss"]


class ExactAgainstDict(IndexAgainstDict):
    kind = FORMATS["exact"]


for machine in (FaissAgainstDict, ExactAgainstDict):
    machine.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)

TestFaissAgainstDict = FaissAgainstDict.TestCase
TestExactAgainstDict = ExactAgainstDict.TestCase


def test_ties_are_cut_at_k_by_the_smaller_id(kind: IndexFormat) -> None:
    index = kind.create(DIM)
    index.upsert(np.arange(500, dtype=np.int64)[::-1].copy(), np.repeat(units([1, 2, 3]), 500, axis=0))
    for queries in (1, 40):
        found, hits = index.search(np.repeat(units([1, 2, 3]), queries, axis=0), 7)
        assert hits.tolist() == [[0, 1, 2, 3, 4, 5, 6]] * queries
        assert len(np.unique(found)) == 1


def test_a_restored_index_is_the_one_that_was_written(kind: IndexFormat, tmp_path: Path) -> None:
    index = kind.create(DIM)
    index.upsert(ids(5, 1, 9), units([[1, 0, 0], [0, 1, 0], [1, 1, 0]]))
    index.remove(ids(1))
    path = tmp_path / f"index{kind.extension}"
    index.write(path)
    restored = kind.read(path)
    assert (len(restored), restored.dim) == (2, DIM)
    restored.upsert(ids(5), units([0, 0, 1]))
    np.testing.assert_array_equal(restored.vectors(ids(9, 5)), units([[1, 1, 0], [0, 0, 1]]))


def test_an_empty_index_is_restored_with_its_width(kind: IndexFormat, tmp_path: Path) -> None:
    path = tmp_path / f"index{kind.extension}"
    kind.create(DIM).write(path)
    assert (len(kind.read(path)), kind.read(path).dim) == (0, DIM)


@pytest.mark.parametrize("content", [b"", b"nonsense" * 20])
def test_a_file_that_is_no_index_is_named(kind: IndexFormat, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "index.bin"
    path.write_bytes(content)
    with pytest.raises(SnapshotError, match=r"index\.bin"):
        kind.read(path)


def test_vectors_of_another_width_are_refused(kind: IndexFormat) -> None:
    index = kind.create(DIM)
    with pytest.raises(GenerationMismatch, match="width 3"):
        index.upsert(ids(1), np.ones((1, 4), np.float32))
    with pytest.raises(GenerationMismatch, match="width 3"):
        index.search(np.ones((1, 2), np.float32), 1)
    with pytest.raises(ValueError, match="2 ids for 1 vectors"):
        index.upsert(ids(1, 2), units([1, 0, 0]))


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8))
def test_unit_vectors_have_length_one_or_no_direction(values: list[float]) -> None:
    direction = unit(values)
    if not any(values):
        assert direction is None
    else:
        assert direction is not None
        assert np.linalg.norm(direction.astype(float)) == pytest.approx(1, abs=1e-6)
