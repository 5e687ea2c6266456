"""Every index of this project passes the checks of the port, and behaves as a dict under any sequence of changes."""

from collections.abc import Callable, Collection

import faiss
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ranking.vectors.backends.contract import INDEX_CHECKS
from ranking.vectors.backends.contract_clips import thawed
from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.live.tiers import Shape
from ranking.vectors.backends.numpy_exact import NumpyBackend, NumpyIndex
from ranking.vectors.backends.port import Filter, IndexBackend, IndexedClip, RowNumbers, SnapshotBackend
from ranking.vectors.unit_vectors import unit
from tests.ranking.vectors.live.copies import OnTheHost
from tests.ranking.vectors.own_backends import LossyBackend, LossyIndex, RemoteService, SegmentedBackend

EXACT = Shape(capacity=3, ratio=2, exact_below=1000, coded_from=1000, scanned=2)
CODED = Shape(capacity=3, ratio=2, exact_below=16, coded_from=16, scanned=2)


class CopyingBackend(FaissBackend):
    """Searches copies of segments, as with a GPU."""

    def create(self, dim: int, numbers: RowNumbers) -> LiveIndex:
        return LiveIndex(dim, numbers, shape=CODED, copy=OnTheHost)


BACKENDS: dict[str, Callable[[], IndexBackend]] = {
    "faiss": FaissBackend,
    "faiss in small segments": lambda: FaissBackend(shape=EXACT, background=False),
    "faiss in small segments with codes": lambda: FaissBackend(shape=CODED),
    "faiss with copies of segments": CopyingBackend,
    "numpy": NumpyBackend,
    "approximate": LossyBackend,
    "remote": RemoteService,
    "segmented": SegmentedBackend,
}
DIM = 3
GRID = st.tuples(*[st.integers(-2, 2)] * DIM).filter(any)  # few directions, so that ties are common
NAMES = (
    "",
    "a",
    "a\0",
    "B",
    "b",
    "ä",
    "𝄞",
    "c" * 128,
    *map(str, range(6)),
    *(f"base-{number}" for number in range(48)),
)
IDS = st.sampled_from(NAMES[:20])


class Numbers:
    """``RowNumbers`` of ``NAMES``."""

    def find(self, clip_ids: Collection[str]) -> npt.NDArray[np.int64]:
        return np.array([NAMES.index(clip_id) for clip_id in clip_ids], np.int64)

    def clip_ids(self, rows: npt.NDArray[np.int64]) -> list[str]:
        return [NAMES[row] for row in rows.tolist()]


NUMBERS = Numbers()


@pytest.mark.gpu
@pytest.mark.skipif(faiss.get_num_gpus() == 0, reason="FAISS has no GPU here")
@pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
def test_segments_on_a_gpu_pass_the_checks_of_the_port(check: Callable[[IndexBackend], None]) -> None:
    backend = FaissBackend(shape=CODED)
    assert backend._copies is not None
    check(backend)


@pytest.mark.parametrize("check", INDEX_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_index_passes_the_checks_of_the_port(backend: str, check: Callable[[IndexBackend], None]) -> None:
    check(BACKENDS[backend]())


class Forgetful(NumpyIndex):
    """Claims to be exact and misses the nearest clip."""

    def search(self, *arguments, **options):  # type: ignore[no-untyped-def]
        found = super().search(*arguments, **options)
        return found._replace(similarities=found.similarities[1:], ids=found.ids[1:])


class Unfiltered(LossyIndex):
    def search(self, query, k, *, among=None, at_least=None):  # type: ignore[no-untyped-def]
        return super().search(query, k, at_least=at_least)


class Accumulating(NumpyIndex):
    def remove(self, clip_ids) -> None:  # type: ignore[no-untyped-def]
        pass


class Unsorted(LossyIndex):
    def search(self, *arguments, **options):  # type: ignore[no-untyped-def]
        found = super().search(*arguments, **options)
        return found._replace(similarities=found.similarities[::-1], ids=found.ids[::-1])


class Tied(NumpyIndex):
    """Breaks ties by the greater id."""

    def search(self, query, k, *, among=None, at_least=None):  # type: ignore[no-untyped-def]
        found = super().search(query, len(self), among=among, at_least=at_least)
        order = sorted(range(len(found.ids)), key=lambda n: (found.similarities[n], found.ids[n]))[::-1][:k]
        return found._replace(similarities=found.similarities[order], ids=[found.ids[n] for n in order])


class Widthless(NumpyIndex):
    def upsert(self, clips, vectors) -> None:  # type: ignore[no-untyped-def]
        super().upsert(clips, np.resize(vectors, (len(vectors), self.dim)))


@pytest.mark.parametrize("broken", [Forgetful, Unfiltered, Accumulating, Unsorted, Tied, Widthless])
def test_the_checks_refuse_an_index_that_breaks_a_rule(broken: type[NumpyIndex]) -> None:
    class Broken(NumpyBackend):
        def create(self, dim: int, numbers: RowNumbers) -> NumpyIndex:
            return broken(dim)

    def run_all() -> None:
        for check in INDEX_CHECKS:
            check(Broken())

    with pytest.raises(AssertionError):
        run_all()


def only(clip_ids: Collection[str]) -> Filter:
    admitted = {*clip_ids}
    return Filter(clip_ids=lambda: admitted, rows=lambda: np.sort(NUMBERS.find(admitted)), count=len(admitted))


def units(rows: object) -> npt.NDArray[np.float32]:
    return np.stack([unit(row) for row in np.atleast_2d(np.array(rows))])  # type: ignore[arg-type]


def clips(*ids: str) -> list[IndexedClip]:
    return [IndexedClip(clip_id, "ch", "d", row) for clip_id, row in zip(ids, NUMBERS.find(ids).tolist(), strict=True)]


class IndexAgainstDict(RuleBasedStateMachine):
    make: Callable[[], SnapshotBackend] = FaissBackend
    exact = True

    def __init__(self) -> None:
        super().__init__()
        self.backend = type(self).make()
        self.index = self.backend.create(DIM, NUMBERS)
        self.model: dict[str, npt.NDArray[np.float32]] = {}

    @rule(rows=st.dictionaries(IDS, GRID, min_size=1, max_size=6))
    def upsert(self, rows: dict[str, tuple[int, ...]]) -> None:
        vectors = units([*rows.values()])
        self.index.upsert(clips(*rows), vectors)
        self.model |= dict(zip(rows, vectors, strict=True))

    @rule(gone=st.lists(IDS, max_size=5))
    def remove(self, gone: list[str]) -> None:
        self.index.remove(gone)
        self.model = {i: vector for i, vector in self.model.items() if i not in gone}

    @rule(
        query=GRID,
        k=st.integers(0, 15),
        among=st.none() | st.lists(IDS, max_size=9),
        at_least=st.none() | st.just(0.2345),
    )
    def search(self, query: tuple[int, ...], k: int, among: list[str] | None, at_least: float | None) -> None:
        candidates = sorted(self.model if among is None else self.model.keys() & set(among))
        admitted = None if among is None else only(among)
        direction = units(query)[0]
        found = self.index.search(direction, k, among=admitted, at_least=at_least)
        cosines = {i: float(self.model[i].astype(float) @ direction.astype(float)) for i in candidates}
        enough = [cosine for cosine in cosines.values() if at_least is None or cosine >= at_least]
        assert found.exact or not self.exact
        rounding = 1e-5 if self.exact else 1e-3
        assert found.similarities.dtype == np.float32
        assert len(set(found.ids)) == len(found.ids)
        np.testing.assert_allclose(found.similarities, [cosines[i] for i in found.ids], atol=rounding)
        if found.exact:
            np.testing.assert_allclose(found.similarities, sorted(enough, reverse=True)[:k], atol=rounding)
        elif at_least is None:
            assert len(found.ids) == min(k, len(candidates))
        order = [*zip(-found.similarities, found.ids, strict=True)]
        assert sorted(order) == order

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def read_back(self, data: st.DataObject) -> None:
        asked = data.draw(st.lists(st.sampled_from(sorted(self.model)), min_size=1))
        rounding = 0 if self.exact else 1e-3
        np.testing.assert_allclose(self.index.vectors(asked), np.stack([self.model[i] for i in asked]), atol=rounding)

    @rule(absent=IDS)
    def read_absent(self, absent: str) -> None:
        assert np.isnan(self.index.vectors([absent])).all() == (absent not in self.model)

    @rule(compacted=st.booleans())
    def restore(self, compacted: bool) -> None:
        if compacted:
            self.index.compact()
        self.index = thawed(self.backend, self.index.freeze(), DIM, numbers=NUMBERS)

    @invariant()
    def counts(self) -> None:
        assert len(self.index) == len(self.model)


class FaissAgainstDict(IndexAgainstDict):
    pass


class SegmentsAgainstDict(IndexAgainstDict):
    make = BACKENDS["faiss in small segments"]  # type: ignore[assignment]


class CodesAgainstDict(IndexAgainstDict):
    make = staticmethod(lambda: FaissBackend(shape=CODED, background=False))
    exact = False

    def __init__(self) -> None:
        super().__init__()
        self.upsert({f"base-{number}": (1 + number % 3, number % 5 - 2, number % 7 - 3) for number in range(48)})


@pytest.mark.parametrize("among", [["", "a", "base-0"], None])
def test_a_vector_whose_codes_estimate_the_least_is_found_too(among: list[str] | None) -> None:
    coded = CodesAgainstDict()
    coded.search(query=(1, 0, 0), k=1 if among else 48, among=among, at_least=None)


class NumpyAgainstDict(IndexAgainstDict):
    make = NumpyBackend


for machine in (FaissAgainstDict, SegmentsAgainstDict, CodesAgainstDict, NumpyAgainstDict):
    machine.TestCase.settings = settings(max_examples=40, stateful_step_count=12, deadline=None)

TestFaissAgainstDict = FaissAgainstDict.TestCase
TestSegmentsAgainstDict = SegmentsAgainstDict.TestCase
TestCodesAgainstDict = CodesAgainstDict.TestCase
TestNumpyAgainstDict = NumpyAgainstDict.TestCase


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=8))
def test_unit_vectors_have_length_one_or_no_direction(values: list[float]) -> None:
    direction = unit(values)
    if not any(values):
        assert direction is None
    else:
        assert direction is not None
        assert np.linalg.norm(direction.astype(float)) == pytest.approx(1, abs=1e-6)
