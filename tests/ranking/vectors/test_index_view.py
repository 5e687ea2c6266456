import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.numpy_exact import NumpyBackend
from ranking.vectors.backends.port import SnapshotBackend
from ranking.vectors.view import IndexView
from ranking.views.log_records import positions_after
from schemas.clock import ManualClock
from schemas.errors import NotFound, NotReady, QueryError, SnapshotError, SnapshotNotWritten
from schemas.events import ClipScored
from schemas.modalities import FUSED_MODALITIES, Modality
from schemas.observation import Observer
from schemas.ports import ScoredRecord
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import NOW_MS, apply, apply_entries, at, deletion, logged, record, result, scored_clip

FULL = Path("/dev/full")
SKELETAL, FACIAL, SCENIC = Modality.SKELETAL, Modality.FACIAL, Modality.SCENIC


class Reports(Observer):
    def __init__(self) -> None:
        self.skips: list[tuple[str, str]] = []
        self.sizes: dict[Modality, int] = {}
        self.freshness_s: list[float] = []

    def skipped(self, topic: str, reason: str) -> None:
        self.skips.append((topic, reason))

    def index_size(self, modality: Modality, vectors: int) -> None:
        self.sizes[modality] = vectors

    def retrievable(self, freshness_s: float) -> None:
        self.freshness_s.append(freshness_s)


@pytest.fixture
def reports() -> Reports:
    return Reports()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(start_ms=NOW_MS)


@pytest.fixture(params=[FaissBackend(), NumpyBackend()], ids=["faiss", "exact"])
def make(request: pytest.FixtureRequest, reports: Reports, clock: ManualClock) -> Callable[..., IndexView]:
    kind: SnapshotBackend = request.param
    return lambda **options: IndexView(kind, reports, clock, **options)


def embedded(clip_id: str, **embeddings: list[float]) -> ClipScored:
    return scored_clip(clip_id, modalities={Modality(m): result(values) for m, values in embeddings.items()})


def state(view: IndexView, clips: list[str]) -> dict[str, object]:
    """What can be seen of a view from outside: each clip's neighbours, or why there are none."""
    seen: dict[str, object] = {
        "positions": view.positions([at(0), at(1)]),
        "sizes": view.sizes(),
        "clips": view.clips(),
    }
    for clip_id in clips:
        try:
            seen[clip_id] = view.similar(SimilarQuery(clip_id=clip_id, k=50, include_own=True)).hits
        except (QueryError, NotReady) as error:
            seen[clip_id] = error.message
    return seen


def test_clips_become_retrievable_with_a_unit_vector_per_modality(make: Callable[..., IndexView]) -> None:
    view = make()
    with pytest.raises(NotReady):
        view.similar(SimilarQuery(clip_id="a"))
    apply(view, [embedded("a", skeletal=[3, 4], facial=[0, 5, 0]), embedded("b", skeletal=[60, 80])])
    assert (view.generations(), view.clips(), view.sizes()) == ({"g1": 2}, 2, {FACIAL: 1, SKELETAL: 2})
    hit = view.similar(SimilarQuery(clip_id="a")).hits[0]
    assert (hit.clip_id, hit.missing) == ("b", [FACIAL])
    assert hit.similarities[SKELETAL] == pytest.approx(1, abs=1e-6)


def test_an_embedding_without_direction_counts_as_absent(make: Callable[..., IndexView]) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[0, 0], scenic=[1, 0])])
    assert view.sizes() == {SCENIC: 1}


def test_a_clip_scored_again_loses_the_modality_it_no_longer_has(make: Callable[..., IndexView]) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0], facial=[1, 0]), embedded("b", facial=[1, 0])])
    apply(view, [embedded("a", skeletal=[0, 1])], start=2)
    assert view.sizes() == {FACIAL: 1, SKELETAL: 1}
    assert view.similar(SimilarQuery(clip_id="b")).hits == []


def test_generations_lie_side_by_side_and_each_answers_alone(make: Callable[..., IndexView], tmp_path: Path) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0]), embedded("b", skeletal=[1, 0]), embedded("c", skeletal=[0, 1])])
    upgraded = [embedded("a", skeletal=[1, 0, 0]), embedded("c", skeletal=[1, 0, 0]), embedded("d", skeletal=[1, 0, 0])]
    apply(view, [structs.replace(clip, generation="g2") for clip in upgraded], start=3)
    view.save(tmp_path)
    restored = make()
    restored.restore(tmp_path)
    for each in (view, restored):
        assert (each.generations(), each.sizes(), each.clips()) == ({"g1": 3, "g2": 3}, {SKELETAL: 6}, 6)
        nearest = {g: each.similar(SimilarQuery(clip_id="a", k=2), g) for g in ("g1", "g2")}
        assert [answer.generation for answer in nearest.values()] == ["g1", "g2"]
        assert [hit.clip_id for hit in nearest["g1"].hits] == ["b", "c"]
        assert [hit.clip_id for hit in nearest["g2"].hits] == ["c", "d"]
        with pytest.raises(NotFound):
            each.similar(SimilarQuery(clip_id="d"), "g1")
        with pytest.raises(QueryError, match="g3 is not indexed here; held are g1, g2"):
            each.similar(SimilarQuery(clip_id="a"), "g3")


def test_without_a_choice_the_generation_that_came_first_answers(make: Callable[..., IndexView]) -> None:
    view = make()
    apply(view, [scored_clip("a", generation="g2"), scored_clip("a")])
    assert view.similar(SimilarQuery(clip_id="a")).generation == "g2"


def test_a_retired_generation_is_dropped_and_stays_dropped(
    make: Callable[..., IndexView], reports: Reports, tmp_path: Path
) -> None:
    view = make()
    log = [embedded("a", skeletal=[1, 0]), embedded("b", skeletal=[1, 0])]
    upgraded = [structs.replace(clip, generation="g2") for clip in log]
    apply(view, [*log, *upgraded])
    before = view.save(tmp_path)
    view.retire(["g1"])
    assert reports.sizes == {SKELETAL: 2}, "reported at once, also if nothing is read any more"
    apply(view, [scored_clip("c"), *upgraded], start=4)
    assert (view.generations(), reports.sizes) == ({"g2": 2}, {SKELETAL: 2})
    assert reports.skips == [("clips.scored", "retired_generation")]
    after = view.save(tmp_path)
    assert before is not None
    assert after is not None
    assert len([*after.iterdir()]) < len([*before.iterdir()])
    restored = make()
    restored.retire(["g2"])
    restored.restore(tmp_path)
    assert (restored.generations(), restored.positions([at()])) == ({}, {at(): 7})
    assert restored.save(tmp_path) is not None


def test_a_clip_deleted_before_a_generation_came_stays_deleted_in_it(make: Callable[..., IndexView]) -> None:
    view = make()
    apply_entries(view, deletion("a"))
    apply(view, [scored_clip("a"), scored_clip("a", generation="g2"), scored_clip("b", generation="g2")])
    assert view.generations() == {"g2": 1}


@pytest.mark.parametrize("arrival", [(0, 1), (1, 0)], ids=["in order", "late first"])
@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_the_later_upload_of_a_clip_holds_also_if_its_challenge_moved_it_to_a_lower_partition(
    make: Callable[..., IndexView], arrival: tuple[int, int], together: bool
) -> None:
    older = logged([scored_clip("a", challenge_id="old", uploaded_at_ms=1000)], start=50, partition=1)
    later = logged([scored_clip("a", challenge_id="new", uploaded_at_ms=2000)], start=4, partition=0)
    view = make()
    apply(view, [scored_clip("b", challenge_id="old"), scored_clip("c", challenge_id="new")])
    records = [(older, later)[number][0] for number in arrival]
    for batch in [records] if together else [[entry] for entry in records]:
        view.apply(batch, positions_after(entry.record for entry in batch))
    found = {
        challenge: [hit.clip_id for hit in view.similar(SimilarQuery(clip_id=example, challenge_id=challenge)).hits]
        for challenge, example in (("old", "c"), ("new", "b"))
    }
    assert found == {"old": ["b"], "new": ["a", "c"]}


def test_an_index_that_the_disk_refuses_fails_the_snapshot_and_nothing_else(
    make: Callable[..., IndexView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0])])
    with monkeypatch.context() as full:
        full.setattr(
            "ranking.vectors.snapshots._fill", lambda folder, _, files: FULL.write_bytes(files["0-skeletal-2.state"])
        )
        with pytest.raises(SnapshotNotWritten, match="could not be written"):
            view.save(tmp_path)
    assert view.save(tmp_path) is not None


def test_a_replay_changes_nothing_and_positions_never_go_back(make: Callable[..., IndexView]) -> None:
    view = make()
    log = [embedded(f"c{n % 4}", skeletal=[n, 1], scenic=[1, n]) for n in range(9)]
    apply(view, log)
    before = state(view, ["c0", "c1", "c2", "c3"])
    apply(view, log[2:5], start=2)
    apply(view, log)
    assert state(view, ["c0", "c1", "c2", "c3"]) == before


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(10)), st.integers(1, 10))
def test_the_order_of_application_does_not_matter(order: list[int], batch: int) -> None:
    log: list[ScoredRecord] = []
    for number in range(10):
        clip = embedded(
            f"c{number % 3}", **{str(FUSED_MODALITIES[m % 4]): [number + 1, m] for m in range(number % 3, 5, 2)}
        )
        log += [ScoredRecord(record(clip, number, partition=number % 2), clip)]

    def applied(sequence: list[int], size: int) -> dict[str, object]:
        view = IndexView(NumpyBackend(), Observer(), ManualClock())
        for start in range(0, 10, size):
            entries = [log[i] for i in sequence[start : start + size]]
            view.apply(entries, positions_after(entry.record for entry in entries))
        return state(view, ["c0", "c1", "c2"])

    assert applied(order, batch) == applied([*range(10)], 10)


def test_only_clips_scored_since_the_start_count_as_fresh(
    make: Callable[..., IndexView], reports: Reports, clock: ManualClock
) -> None:
    view = make()
    clock.advance(4)
    entries = [
        ScoredRecord(record(clip, offset, timestamp_ms=NOW_MS + age_ms), clip)
        for offset, (clip, age_ms) in enumerate([(scored_clip("old"), -1), (scored_clip("new"), 500)])
    ]
    view.apply(entries, {at(): 2})
    view.apply(entries, {at(): 2})
    assert reports.freshness_s == [4.0]
    assert reports.sizes == dict.fromkeys(FUSED_MODALITIES, 2)


def test_a_restored_view_answers_as_the_saved_one_and_goes_on(make: Callable[..., IndexView], tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    log = [embedded(f"c{n}", **{m: rng.normal(size=4).tolist() for m in FUSED_MODALITIES[n % 3 :]}) for n in range(12)]
    view = make()
    apply(view, log[:8])
    assert view.save(tmp_path) is not None
    assert view.save(tmp_path) is None  # nothing changed
    restored = make()
    assert restored.restore(tmp_path)
    names = [f"c{n}" for n in range(12)]
    assert restored.generations() == {"g1": 8}
    assert state(restored, names) == state(view, names)
    assert restored.save(tmp_path) is None
    for each in (view, restored):
        apply(each, log[6:], start=6)
    assert state(restored, names) == state(view, names)
    assert restored.save(tmp_path) is not None


def test_a_damaged_snapshot_leads_to_the_one_before(make: Callable[..., IndexView], tmp_path: Path) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0])])
    view.save(tmp_path)
    apply(view, [embedded("b", skeletal=[0, 1])], start=1)
    folder = view.save(tmp_path)
    assert folder is not None
    (catalogue,) = tmp_path.glob("segments/catalogue-*")
    catalogue.write_bytes(catalogue.read_bytes()[:-1])
    restored = make()
    assert restored.restore(tmp_path)
    assert (restored.clips(), restored.positions([at()])) == (1, {at(): 1})


@pytest.mark.parametrize(
    ("said", "instead"),
    [('"clips": 1', '"clips": 2'), ('"vectors": 1', '"vectors": 2'), ('"deleted": 1', '"deleted": 0')],
)
def test_a_manifest_that_says_otherwise_than_its_files_is_not_believed(
    make: Callable[..., IndexView], tmp_path: Path, said: str, instead: str
) -> None:
    view = make()
    apply_entries(view, deletion("b"))
    apply(view, [embedded("a", skeletal=[1, 0])])
    folder = view.save(tmp_path)
    assert folder is not None
    manifest = folder / "manifest.json"
    assert said in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(said, instead))
    restored = make()
    with pytest.raises(SnapshotError, match=r"another number of .* than its manifest says"):
        restored.restore(tmp_path)
    assert (restored.generations(), restored.positions([at()])) == ({}, {})


def test_a_snapshot_of_another_release_is_named(make: Callable[..., IndexView], tmp_path: Path) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0])])
    folder = view.save(tmp_path)
    assert folder is not None
    manifest = folder / "manifest.json"
    manifest.write_text('{"schema": "index-snapshot/2", "generation": "g1"}')
    with pytest.raises(SnapshotError, match="another release wrote it as index-snapshot/2; this one reads index-"):
        make().restore(tmp_path)


def test_a_snapshot_of_another_index_is_refused_by_name(tmp_path: Path) -> None:
    written, read = (IndexView(backend, Observer(), ManualClock()) for backend in (NumpyBackend(), FaissBackend()))
    apply(written, [embedded("a", skeletal=[1, 0])])
    written.save(tmp_path)
    with pytest.raises(
        SnapshotError, match=r"index 'numpy' wrote it and ranking\.index is 'faiss'; set it back, or delete the folder"
    ):
        read.restore(tmp_path)
    assert read.generations() == {}


def test_once_no_clip_has_a_modality_its_embeddings_may_have_another_width(make: Callable[..., IndexView]) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0], facial=[1, 0])])
    apply(view, [embedded("a", skeletal=[1, 0])], start=1)
    apply(view, [embedded("a", facial=[1, 0, 0])], start=2)
    assert view.sizes() == {FACIAL: 1}


def test_there_may_be_no_snapshot_yet(make: Callable[..., IndexView], tmp_path: Path) -> None:
    assert not make().restore(tmp_path / "none")


def test_a_snapshot_names_what_it_holds(make: Callable[..., IndexView], tmp_path: Path) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0])])
    folder = view.save(tmp_path)
    assert folder is not None
    manifest = msgspec.json.decode((folder / "manifest.json").read_bytes())
    (space,) = manifest["spaces"]
    (index,) = space.pop("indexes")
    assert space.pop("catalogue") in manifest["logs"]
    assert space == {"generation": "g1", "clips": 1}
    assert index.pop("segments") == [*manifest["segments"]]
    assert index == {"modality": "skeletal", "width": 2, "vectors": 1}
    assert manifest["positions"] == [{"topic": "clips.scored", "partition": 0, "next_offset": 1}]


def test_queries_run_while_batches_are_applied_and_see_them_whole(
    make: Callable[..., IndexView], tmp_path: Path
) -> None:
    view = make()
    pair = [embedded("left", skeletal=[1, 0]), embedded("right", skeletal=[1, 0])]
    apply(view, [embedded("query", skeletal=[1, 0]), *pair])
    stop, torn = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            found = [hit.similarity for hit in view.similar(SimilarQuery(clip_id="query")).hits]
            if len(found) != 2 or found[0] != found[1]:
                torn.append(found)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(60):
        direction = [[1, 0], [0, 1], [3, 4]][turn % 3]
        apply(view, [embedded(name, skeletal=direction) for name in ("left", "right")], start=3 + 2 * turn)
        if turn % 20 == 0:
            view.save(tmp_path)
    stop.set()
    for thread in threads:
        thread.join()
    assert torn == []


def test_a_snapshot_being_written_does_not_hold_up_queries(
    make: Callable[..., IndexView], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = make()
    apply(view, [embedded("a", skeletal=[1, 0]), embedded("b", skeletal=[1, 0])])
    answered: list[str] = []

    def asks_meanwhile(root: Path, *_: object, **__: object) -> Path:
        answered.extend(hit.clip_id for hit in view.similar(SimilarQuery(clip_id="a")).hits)
        return root

    monkeypatch.setattr("ranking.vectors.view.write_snapshot", asks_meanwhile)
    view.save(tmp_path)
    assert answered == ["b"]
