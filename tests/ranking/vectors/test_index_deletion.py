"""Deletion in the index view and its snapshots."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.catalogue import Catalogue, CatalogueEntry
from ranking.vectors.manifest import MANIFEST
from ranking.vectors.snapshots import read_snapshot
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry
from schemas.clock import ManualClock
from schemas.errors import NotFound, SnapshotError
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import TopicPartition
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import DELETIONS, TOPIC, apply, apply_entries, at, deletion, logged, result, scored_clip

WIDTH = 6
SKELETAL, FACIAL = Modality.SKELETAL, Modality.FACIAL


class Reports(Observer):
    def __init__(self) -> None:
        self.left_out: list[tuple[str, str]] = []
        self.sizes: dict[Modality, int] = {}

    def skipped(self, topic: str, reason: str) -> None:
        self.left_out.append((topic, reason))

    def index_size(self, modality: Modality, vectors: int) -> None:
        self.sizes[modality] = vectors


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture(params=[FaissBackend(), NumpyBackend()], ids=["faiss", "exact"])
def make(request: pytest.FixtureRequest, reports: Reports) -> Callable[[], IndexView]:
    return lambda: IndexView(request.param, reports, ManualClock())


def clip(number: int, **changes: object) -> ClipScored:
    """A clip of its own dancer and challenge, with embeddings that no other has."""
    rng = np.random.default_rng(number)
    modalities = {modality: result(rng.normal(size=WIDTH)) for modality in FUSED_MODALITIES}
    fields = {"dancer_id": f"dancer{number:02d}", "challenge_id": f"challenge{number:02d}", "modalities": modalities}
    return scored_clip(f"clip{number:02d}", **(fields | changes))


def known(view: IndexView, numbers: range = range(12)) -> dict[int, list[tuple[str, float]] | None]:
    """Of each clip whom it resembles, ``None`` if it is not known."""
    found: dict[int, list[tuple[str, float]] | None] = {}
    for number in numbers:
        try:
            hits = view.similar(SimilarQuery(clip_id=f"clip{number:02d}", k=50)).hits
            found[number] = [(hit.clip_id, round(hit.similarity, 5)) for hit in hits]
        except NotFound:
            found[number] = None
    return found


def content(folder: Path) -> bytes:
    """All bytes of a snapshot, those of its segments included."""
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    shared = (folder.parent / "segments" / name for name in (*manifest["segments"], *manifest["logs"]))
    paths = [*sorted(folder.iterdir()), *shared]
    return b"".join(path.read_bytes() for path in paths)


def traces(found: bytes, number: int) -> list[str]:
    """What is still there of a clip but its id."""
    vectors = [view_of.tobytes() for view_of in stored_vectors(number)]
    looked_for = {f"dancer{number:02d}": f"dancer{number:02d}".encode()}
    looked_for |= {f"challenge{number:02d}": f"challenge{number:02d}".encode()}
    looked_for |= {f"vector {place}": vector for place, vector in enumerate(vectors)}
    return [name for name, wanted in looked_for.items() if wanted in found]


def stored_vectors(number: int) -> list[np.ndarray]:
    """The unit vectors of a clip, as an index of its own stores them."""
    view = IndexView(NumpyBackend(), Observer(), ManualClock())
    apply(view, [clip(number)])
    indexes = view._spaces["g1"]._indexes
    return [
        index.vectors([f"clip{number:02d}"]) for modality in FUSED_MODALITIES for index in indexes[modality].values()
    ]


def test_a_deleted_clip_is_in_no_index_and_in_no_answer(make: Callable[[], IndexView], reports: Reports) -> None:
    view, never = make(), make()
    apply(view, [clip(number) for number in range(6)])
    apply_entries(view, deletion("clip02"), deletion("clip05", 1))
    apply(never, [clip(number) for number in (0, 1, 3, 4)])
    assert view.clips() == 4
    assert view.sizes() == reports.sizes == dict.fromkeys(FUSED_MODALITIES, 4)
    assert known(view) == known(never)
    for query in (SimilarQuery(dancer_id="dancer02"), SimilarQuery(clip_id="clip00", challenge_id="challenge02")):
        with pytest.raises(NotFound):
            view.similar(query)
    assert view.positions([TopicPartition(DELETIONS, 0)]) == {TopicPartition(DELETIONS, 0): 2}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["scored first", "deleted first"])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_deleted_clip_stays_deleted_whichever_comes_first(
    make: Callable[[], IndexView], reports: Reports, order: tuple[int, int], together: bool
) -> None:
    view = make()
    both: list[LogEntry] = [logged([clip(1)])[0], deletion("clip01")]
    entries = [both[number] for number in order]
    for batch in [entries] if together else [[entry] for entry in entries]:
        apply_entries(view, *batch)
    apply(view, [clip(1, uploaded_at_ms=2**50), clip(2)], start=1)
    assert (view.clips(), view.sizes()) == (1, dict.fromkeys(FUSED_MODALITIES, 1))
    assert set(reports.left_out) == {(TOPIC, "deleted_clip")}


def test_an_index_without_vectors_is_none(make: Callable[[], IndexView], reports: Reports, tmp_path: Path) -> None:
    """So that it makes no difference whether its only clip was ever there."""
    view = make()
    apply(view, [clip(1), clip(2, modalities={SKELETAL: result(np.arange(WIDTH))})])
    apply_entries(view, deletion("clip01"))
    assert view.sizes() == {SKELETAL: 1}
    assert reports.sizes == {modality: int(modality == SKELETAL) for modality in FUSED_MODALITIES}
    apply(view, [clip(3, modalities={FACIAL: result(np.arange(WIDTH + 1))})], start=2)
    assert view.sizes() == {FACIAL: 1, SKELETAL: 1}
    apply_entries(view, deletion("clip02", 1), deletion("clip03", 2))
    assert view.save(tmp_path) is not None
    restored = make()
    assert restored.restore(tmp_path)
    assert (restored.clips(), restored.sizes()) == (0, {})


def test_a_snapshot_holds_nothing_of_a_deleted_clip_but_that_it_was_deleted(
    make: Callable[[], IndexView], tmp_path: Path
) -> None:
    view = make()
    apply(view, [clip(number) for number in range(6)])
    folder = view.save(tmp_path)
    assert folder is not None
    before = content(folder)
    apply_entries(view, deletion("clip05"), deletion("clip02", 1))
    folder = view.save(tmp_path)
    assert folder is not None
    after = content(folder)
    assert len(traces(before, 2)) == len(traces(before, 5)) == 2 + len(FUSED_MODALITIES)
    assert traces(after, 2) == traces(after, 5) == []
    assert len(traces(after, 4)) == 2 + len(FUSED_MODALITIES)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    assert ([space["clips"] for space in manifest["spaces"]], manifest["deleted"]) == ([4], 2)
    restored = make()
    assert restored.restore(tmp_path)
    for each in (view, restored):
        apply(each, [clip(5, uploaded_at_ms=2**50), clip(6)], start=6)
    assert restored.clips() == 5
    assert known(restored) == known(view)


def test_a_snapshot_that_may_hold_a_deleted_clip_is_pushed_out_though_nothing_changes_any_more(
    make: Callable[[], IndexView], tmp_path: Path
) -> None:
    view = make()
    apply(view, [clip(1), clip(2)])
    assert view.save(tmp_path) is not None
    apply_entries(view, deletion("clip01"))
    assert view.save(tmp_path) is not None
    restarted = make()
    assert restarted.restore(tmp_path)
    assert restarted.save(tmp_path) is not None
    assert restarted.save(tmp_path) is None
    kept = sorted(tmp_path.glob("snapshot-*"))
    assert len(kept) == 2
    assert [traces(content(folder), 1) for folder in kept] == [[], []]
    everything = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert traces(everything, 1) == []


def test_an_older_snapshot_and_the_rest_of_the_topics_end_in_the_same_state(
    make: Callable[[], IndexView], tmp_path: Path
) -> None:
    view = make()
    apply(view, [clip(number) for number in range(6)])
    view.save(tmp_path)
    rest: list[LogEntry] = [deletion("clip03"), *logged([clip(6), clip(3)], start=6), deletion("clip06", 1)]
    apply_entries(view, *rest)
    restored = make()
    assert restored.restore(tmp_path)
    assert restored.positions([at(), TopicPartition(DELETIONS, 0)]) == {at(): 6}
    apply_entries(restored, *rest)
    assert known(restored) == known(view)
    assert (
        (restored.clips(), restored.sizes()) == (view.clips(), view.sizes()) == (5, dict.fromkeys(FUSED_MODALITIES, 5))
    )


def test_a_snapshot_of_an_earlier_format_is_refused_by_name(make: Callable[[], IndexView], tmp_path: Path) -> None:
    view = make()
    apply(view, [clip(1)])
    folder = view.save(tmp_path)
    assert folder is not None
    manifest = (folder / MANIFEST).read_bytes()
    (folder / MANIFEST).write_bytes(manifest.replace(b"index-snapshot/6", b"index-snapshot/4"))
    with pytest.raises(SnapshotError, match=r"wrote it as index-snapshot/4; .* delete the folder to rebuild"):
        read_snapshot(tmp_path)


def test_a_catalogue_keeps_the_rows_of_others_when_a_clip_is_deleted() -> None:
    def entry(clip_id: str, dancer: str = "d", challenge: str = "ch") -> CatalogueEntry:
        return CatalogueEntry(clip_id, dancer, challenge, 0, 0, 0, (Modality.SCENIC,))

    catalogue = Catalogue([entry("a"), entry("b", "e", "other"), entry("c")])
    for clip_id in ("b", "b", "never seen"):
        catalogue.delete(clip_id)
    with pytest.raises(KeyError):
        catalogue.entry(1)
    assert catalogue.rows_of_dancers(["d"]).tolist() == [0, 2]
    assert catalogue.having(Modality.SCENIC, np.array([0, 1, 2])).tolist() == [True, False, True]
    for held in (catalogue, Catalogue.of(catalogue.block())):
        assert len(held) == 2
        assert held.get("b") is None
        with pytest.raises(NotFound):
            held.rows_of_challenges(["other"])
        assert held.clip_ids(held.rows_of_dancers(["d"])) == ["a", "c"]
        held.put(entry("b"))
        assert held.clip_ids(held.rows_of_dancers(["d"])) == ["a", "b", "c"]
    assert b"other" not in catalogue.block().encoded()
