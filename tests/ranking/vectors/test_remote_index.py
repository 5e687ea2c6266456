"""The view over an index that persists by itself: state beside the vectors, replicas that share it, failures."""

from pathlib import Path

import pytest

from ranking.vectors.manifest import FORMAT, pack, unpack
from ranking.vectors.view import IndexView
from ranking.views.log_records import LogEntry, positions_after
from schemas.clock import ManualClock
from schemas.errors import NotFound, SnapshotError, StoreUnavailable
from schemas.events import ClipScored
from schemas.modalities import Modality
from schemas.observation import Observer
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import apply, apply_entries, at, deletion, logged, result, scored_clip
from tests.ranking.vectors.own_backends import RemoteService

SKELETAL, FACIAL = Modality.SKELETAL, Modality.FACIAL


@pytest.fixture
def service() -> RemoteService:
    return RemoteService()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "unused"


def process(service: RemoteService) -> IndexView:
    return IndexView(service, Observer(), ManualClock())


def embedded(clip_id: str, **embeddings: list[float]) -> ClipScored:
    return scored_clip(clip_id, modalities={Modality(m): result(values) for m, values in embeddings.items()})


def found(view: IndexView, **query: object) -> list[str]:
    return [hit.clip_id for hit in view.similar(SimilarQuery(**query)).hits]  # type: ignore[arg-type]


LOG = [embedded("a", skeletal=[1, 0]), embedded("b", skeletal=[3, 4]), embedded("c", skeletal=[4, 3], facial=[1, 0, 0])]


def test_a_restarted_process_answers_from_what_the_remote_index_holds(service: RemoteService, folder: Path) -> None:
    view = process(service)
    apply_entries(view, deletion("d"))
    apply(view, LOG)
    assert view.save(folder) is None
    restarted = process(service)
    assert restarted.restore(folder)
    assert restarted.generations() == {"g1": 3}
    assert restarted.positions([at()]) == view.positions([at()]) == {at(): 3}
    assert restarted.sizes() == {FACIAL: 1, SKELETAL: 3}
    assert found(restarted, clip_id="a") == found(view, clip_id="a") == ["c", "b"]
    assert restarted.content() == view.content()
    apply(restarted, [scored_clip("d")], start=3)
    assert restarted.generations() == {"g1": 3}, "a deletion is part of the state"
    assert not folder.exists()


def test_without_a_state_there_is_nothing_to_restore(service: RemoteService, folder: Path) -> None:
    assert not process(service).restore(folder)


def test_the_state_is_stored_only_when_something_changed(service: RemoteService, folder: Path) -> None:
    view = process(service)
    apply(view, LOG)
    view.save(folder)
    service.state = None
    view.save(folder)
    assert service.state is None
    apply(view, LOG[:1], start=3)
    view.save(folder)
    assert service.state is not None


def test_an_index_ahead_of_the_state_shows_nothing_that_the_view_does_not_know(
    service: RemoteService, folder: Path
) -> None:
    view = process(service)
    apply(view, LOG)
    view.save(folder)
    later: list[LogEntry] = [
        *logged([embedded("e", skeletal=[1, 0], facial=[1, 0, 0]), embedded("c", skeletal=[1, 0])], start=3),
        deletion("b"),
    ]
    apply_entries(view, *later)
    killed_before_saving = process(service)
    assert killed_before_saving.restore(folder)
    assert found(killed_before_saving, clip_id="a") == ["c"], "b has no vector any more, e is not known yet"
    assert killed_before_saving.similar(SimilarQuery(clip_id="a")).hits[0].missing == []
    apply_entries(killed_before_saving, *later)
    assert killed_before_saving.content() == view.content()
    with pytest.raises(NotFound):
        found(killed_before_saving, clip_id="b")


def test_of_a_clip_that_moved_only_the_challenge_that_the_view_knows_finds_it(
    service: RemoteService, folder: Path
) -> None:
    behind, ahead = process(service), process(service)
    for view in (behind, ahead):
        apply(view, [*LOG, scored_clip("o", challenge_id="other", modalities={SKELETAL: result([0, 1])})])
    moved = scored_clip("b", challenge_id="other", modalities={SKELETAL: result([3, 4])}, uploaded_at_ms=2**50)
    apply(ahead, [moved], start=4)
    assert found(ahead, clip_id="a", challenge_id="other") == ["b", "o"]
    assert found(behind, clip_id="a", challenge_id="other") == ["o"]
    assert found(behind, clip_id="a", challenge_id="ch") == ["c"]


def test_an_index_that_does_not_answer_is_tried_again_with_the_same_batch(service: RemoteService) -> None:
    view = process(service)
    apply(view, LOG[:1])
    service.indexes["g1", SKELETAL, 2].failures = 2
    entries = logged(LOG[1:], start=1)
    positions = positions_after(entry.record for entry in entries)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            view.apply(entries, positions)
        assert view.positions([at()]) == {at(): 1}
        assert view.generations() == {"g1": 1}
    assert not view.apply(entries, positions)
    assert found(view, clip_id="a") == ["c", "b"]


def test_a_batch_has_no_server_count_its_vectors(
    service: RemoteService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes a server the longer the more it holds."""
    view = process(service)
    apply(view, LOG)
    counted: list[object] = []
    of_class = type(service.indexes["g1", SKELETAL, 2])
    monkeypatch.setattr(of_class, "__len__", lambda index: counted.append(index) or 1)
    apply(view, [embedded("d", skeletal=[1, 0]), embedded("c", skeletal=[1, 0])], start=3)
    apply_entries(view, deletion("b"))
    view.save(folder)
    assert view.sizes() == {SKELETAL: 3}
    assert counted == []
    apply(view, [embedded("e", skeletal=[1, 0, 0])], start=5)
    assert counted != [], "two bundles share the generation's name, and the catalogue knows no widths"


def test_retired_generations_and_empty_indexes_are_dropped(service: RemoteService, folder: Path) -> None:
    view = process(service)
    apply(view, [*LOG, scored_clip("a", generation="g2", modalities={SKELETAL: result([1, 0])})])
    assert service.indexes.keys() == {("g1", SKELETAL, 2), ("g1", FACIAL, 3), ("g2", SKELETAL, 2)}
    view.save(folder)
    apply(view, [embedded("c", skeletal=[1, 0])], start=4)
    assert ("g1", FACIAL, 3) not in service.indexes
    restarted = process(service)
    restarted.retire(["g2"])
    restarted.restore(folder)
    assert restarted.generations() == {"g1": 3}
    assert ("g2", SKELETAL, 2) not in service.indexes
    restarted.retire(["g1"])
    assert not any(len(index) for index in service.indexes.values())


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (lambda state: state[:-1], "cannot be read"),
        (lambda _: b"\xff\xfe", "cannot be read"),
        (lambda state: state.replace(FORMAT.encode(), b"index-snapshot/9"), "wrote it as index-snapshot/9; this one"),
        (lambda state: pack(unpack(state, "")[0], {}), "cannot be read"),
    ],
    ids=["truncated", "not a state", "another format", "without its files"],
)
def test_a_state_that_cannot_be_read_is_refused_by_name(
    service: RemoteService, folder: Path, harm: object, says: str
) -> None:
    view = process(service)
    apply(view, LOG)
    view.save(folder)
    assert service.state is not None
    service.state = harm(service.state)  # type: ignore[operator]
    with pytest.raises(SnapshotError, match=f"state of index remote: .*{says}"):
        process(service).restore(folder)
