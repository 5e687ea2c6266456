"""Snapshots are saved beside the loop that keeps the index view."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from ranking.vectors.backends.numpy_exact import NumpyBackend, NumpyIndex
from ranking.vectors.saving import Saver, saving
from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.errors import SnapshotNotWritten, StoreUnavailable
from schemas.observation import Observer
from schemas.questions.retrieval import SimilarQuery
from tests.ranking.examples import apply, scored_clip
from tests.ranking.vectors.own_backends import SegmentedBackend
from tests.waiting import wait_until

PATIENCE_FOR_NOTHING_S = 3600.0


class Reports(Observer):
    def __init__(self) -> None:
        self.failed = 0

    def snapshot_failed(self) -> None:
        self.failed += 1


def index_view() -> IndexView:
    return IndexView(NumpyBackend(), Observer(), ManualClock())


@pytest.mark.parametrize("failing", [{1}, {1, 2, 3}], ids=["once", "to the end"])
def test_a_snapshot_that_fails_is_reported_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    tries, reports = 0, Reports()

    def save(_: IndexView, __: Path) -> None:
        nonlocal tries
        tries += 1
        if tries in failing:
            raise SnapshotNotWritten("no space left on the device")

    monkeypatch.setattr(IndexView, "save", save)
    saver = Saver(index_view(), tmp_path, reports)
    for _ in range(3):
        saver.save()
    assert (tries, reports.failed) == (3, len(failing))
    assert caplog.messages.count("a snapshot was written again") == (1 if failing == {1} else 0)


def test_a_remote_index_that_does_not_answer_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def save(_: IndexView, __: Path) -> None:
        raise StoreUnavailable("the index does not answer")

    monkeypatch.setattr(IndexView, "save", save)
    Saver(index_view(), tmp_path, Reports()).save()
    assert "the state of the index was not saved: the index does not answer" in caplog.text


def test_snapshots_are_saved_meanwhile_and_the_last_one_has_everything(tmp_path: Path) -> None:
    view = index_view()
    apply(view, [scored_clip("a")])
    with saving(view, tmp_path, Observer(), interval_s=0.01, last_call_s=60.0):
        wait_until(lambda: [*tmp_path.glob("snapshot-*")], what="no snapshot was saved")
    with saving(view, tmp_path, Observer(), interval_s=PATIENCE_FOR_NOTHING_S, last_call_s=60.0):
        apply(view, [scored_clip("b")], start=1)
    restored = index_view()
    assert restored.restore(tmp_path)
    assert restored.content() == view.content()


def test_queries_do_not_wait_for_a_batch_that_waits_for_a_merge(monkeypatch: pytest.MonkeyPatch) -> None:
    view = index_view()
    apply(view, [scored_clip("a"), scored_clip("b")])
    waiting, merged = threading.Event(), threading.Event()

    def wait(_: NumpyIndex) -> None:
        waiting.set()
        assert merged.wait(60.0)

    monkeypatch.setattr(NumpyIndex, "await_room", wait)
    changing = threading.Thread(target=apply, args=[view, [scored_clip("c")]], kwargs={"start": 2})
    changing.start()
    assert waiting.wait(60.0)
    assert [hit.clip_id for hit in view.similar(SimilarQuery(clip_id="a")).hits] == ["b"]
    merged.set()
    changing.join()
    assert {hit.clip_id for hit in view.similar(SimilarQuery(clip_id="a")).hits} == {"b", "c"}


def test_changes_and_queries_go_on_while_a_snapshot_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    view = IndexView(SegmentedBackend(), Observer(), ManualClock())
    apply(view, [scored_clip("a"), scored_clip("b")])
    writing, goes_on = threading.Event(), threading.Event()
    write: Callable[[Path, bytes], int] = Path.write_bytes

    def slow(path: Path, content: bytes) -> int:
        if path.parent.name == "segments":
            writing.set()
            assert goes_on.wait(60.0)
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", slow)
    saver = threading.Thread(target=view.save, args=[tmp_path])
    saver.start()
    assert writing.wait(60.0)
    apply(view, [scored_clip("c")], start=2)
    assert {hit.clip_id for hit in view.similar(SimilarQuery(clip_id="a")).hits} == {"b", "c"}
    goes_on.set()
    saver.join()
    restored = IndexView(SegmentedBackend(), Observer(), ManualClock())
    assert restored.restore(tmp_path)
    assert restored.clips() == 2, "what was there when the snapshot began"
    assert view.save(tmp_path) is not None
    assert restored.restore(tmp_path)
    assert restored.content() == view.content()
