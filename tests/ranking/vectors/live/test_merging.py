"""Merges of the parts of a live index."""

import gc
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ranking.vectors.backends.faiss_live import FaissBackend
from ranking.vectors.backends.live import index as live_index
from ranking.vectors.backends.live.index import LiveIndex
from ranking.vectors.backends.live.parts import Segment
from ranking.vectors.backends.live.segment_files import SegmentFolder
from ranking.vectors.backends.live.tiers import Lane, Shape
from ranking.vectors.backends.port import resting_afterwards
from tests.ranking.vectors.live.clusters import NAMES, WIDTH, Beside, among, clips, clustered
from tests.waiting import wait_until

SHAPE = Shape(capacity=32, ratio=3, exact_below=200, coded_from=64, scanned=8)


def made(folder: Path, shape: Shape = SHAPE) -> LiveIndex:
    return FaissBackend(shape=shape, folder=folder, background=False).create(WIDTH, NAMES)


def parts(index: LiveIndex) -> list[Any]:
    return [part for part, _ in index._state.shown]


@pytest.mark.parametrize("count", [100, 1000, 6000])
def test_an_index_has_few_parts_for_each_power_of_its_size(count: int, tmp_path: Path) -> None:
    index = made(tmp_path)
    for start in range(0, count, 20):
        index.upsert(clips(range(start, start + 20)), clustered(20, np.random.default_rng(start)))
        tiers = 1 + np.log(max(1, (start + 20) / SHAPE.capacity)) / np.log(SHAPE.ratio)
        assert len(parts(index)) <= 1 + (SHAPE.ratio - 1) * np.ceil(tiers)


def test_a_small_index_is_exact_and_a_large_one_has_codes_until_it_is_small_again(tmp_path: Path) -> None:
    beside = Beside(made(tmp_path))
    beside.put(range(190))
    assert beside.recall(20) == 1
    assert all(part.codes is None for part in parts(beside.index))  # type: ignore[arg-type]
    beside.put(range(190, 800))
    query = clustered(1, beside.rng)[0]
    assert not beside.index.search(query, 5).exact
    assert beside.index.search(query, 5, among=among(range(8))).exact
    beside.remove(range(60, 800))
    beside.put(range(32))
    assert beside.index.search(query, 5).exact
    beside.agree(range(800))


def test_changes_during_a_merge_are_not_lost_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beside, merged, during = Beside(made(tmp_path)), live_index.merged, []

    def interrupted(*arguments: Any) -> Any:
        result = merged(*arguments)
        if not during:
            during.append(True)
            beside.remove(range(10, 30))
            beside.put(range(40, 60))
            beside.put(range(25, 28))
        return result

    monkeypatch.setattr(live_index, "merged", interrupted)
    for start in range(0, 400, 20):
        beside.put(range(start, start + 20))
        beside.agree(range(400))
        assert beside.recall(10) >= 0.9
    assert during


def test_what_was_removed_stays_away_after_merges_and_restoring(tmp_path: Path) -> None:
    backend = FaissBackend(shape=SHAPE, folder=tmp_path, background=False)
    index = backend.create(WIDTH, NAMES)
    vectors = clustered(900, np.random.default_rng(5))
    for start in range(0, 900, 30):
        index.upsert(clips(range(start, start + 30)), vectors[start : start + 30])
        index.remove([str(row) for row in range(start, start + 30, 3)])
        frozen = index.freeze()
        for each in (index, backend.read(frozen.state, written(frozen, tmp_path / f"at-{start}"), WIDTH, NAMES)):
            for row in range(0, start + 30, 3):
                assert str(row) not in each.search(vectors[row], 5).ids
            assert np.isnan(each.vectors([str(row) for row in range(0, 900, 3)])).all()
            assert len(each) == (start + 30) * 2 // 3


def written(frozen: Any, folder: Path) -> dict[str, Path]:
    folder.mkdir()
    for name, segment in frozen.segments.items():
        segment.write(folder / name)
    return {name: folder / name for name in frozen.segments}


@pytest.mark.parametrize("failing", ["fsync", "replace", "open"])
def test_a_disk_that_refuses_a_merge_costs_nothing_and_the_next_change_merges(
    failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    backend = FaissBackend(shape=SHAPE, folder=tmp_path)
    beside = Beside(backend.create(WIDTH, NAMES))

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        owner: Any = os if failing == "fsync" else Path
        full.setattr(owner, failing, refuse)
        for start in range(0, 600, 30):
            beside.put(range(start, start + 30))
        settle(backend)
    assert "could not be merged" in caplog.text
    assert "No space left" in caplog.text
    beside.agree(range(600))
    assert beside.recall(10) == 1
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]
    beside.put(range(600, 640))
    settle(backend)
    assert any(isinstance(part, Segment) for part in parts(beside.index))  # type: ignore[arg-type]
    beside.agree(range(700))
    assert beside.recall(10) >= 0.9


@pytest.mark.parametrize("background", [True, False])
def test_an_index_that_has_settled_has_nothing_left_to_merge(background: bool, tmp_path: Path) -> None:
    backend = FaissBackend(shape=SHAPE, folder=tmp_path, background=background)
    beside = Beside(backend.create(WIDTH, NAMES))
    for start in range(0, 900, 30):
        beside.put(range(start, start + 30))
    beside.index.settle()  # type: ignore[attr-defined]
    assert not any(beside.index.merge(lane) for lane in Lane)  # type: ignore[attr-defined]
    assert len(parts(beside.index)) <= 7  # type: ignore[arg-type]
    beside.agree(range(900))


def settle(backend: FaissBackend) -> None:
    wait_until(lambda: not backend._merges._running, what="merges go on")  # type: ignore[union-attr]


def test_an_index_at_rest_writes_nothing_into_a_folder_that_is_removed_and_merges_after_its_next_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "index"
    backend = FaissBackend(shape=SHAPE, folder=folder)
    beside, under_way = Beside(backend.create(WIDTH, NAMES)), threading.Event()

    def endless(*arguments: Any) -> Any:
        under_way.set()
        while True:
            arguments[-1]()

    with monkeypatch.context() as slowly, resting_afterwards(backend):
        slowly.setattr(live_index, "merged", endless)
        beside.put(range(100))
        assert under_way.wait()
    shutil.rmtree(folder, ignore_errors=True)
    assert not backend._merges._running  # type: ignore[union-attr]
    assert not folder.exists()
    assert not caplog.records
    beside.put(range(100, 140))
    settle(backend)
    assert any(isinstance(part, Segment) for part in parts(beside.index))  # type: ignore[arg-type]
    beside.agree(range(140))


def test_a_large_merge_does_not_hold_up_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FaissBackend(shape=SHAPE, folder=tmp_path)
    beside, merged = Beside(backend.create(WIDTH, NAMES)), live_index.merged
    large, goes_on = threading.Event(), threading.Event()

    def waiting(*arguments: Any) -> Any:
        if threading.current_thread().name == f"merge-{Lane.LARGE}":
            large.set()
            goes_on.wait()
        return merged(*arguments)

    monkeypatch.setattr(live_index, "merged", waiting)
    try:
        beside.put(range(600))
        row = 600
        while not large.is_set():
            beside.put(range(row, row + 30))
            row += 30
        before = beside.index._next_number  # type: ignore[attr-defined]
        wait_until(
            lambda: any(isinstance(part, Segment) and part.number > before + 4 for part in parts(beside.index)),  # type: ignore[arg-type]
            lambda: beside.put(range(600)),
            what="no small merge while a large one waits",
        )
        beside.agree(range(row))
    finally:
        goes_on.set()
    settle(backend)
    beside.agree(range(row))


def test_a_change_after_which_no_merge_is_due_starts_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = list[str]()
    start = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", lambda self: (started.append(self.name), start(self)))
    backend = FaissBackend(shape=SHAPE, folder=tmp_path)
    beside = Beside(backend.create(WIDTH, NAMES))
    with resting_afterwards(backend):
        beside.put(range(2 * SHAPE.capacity))
        for row in range(8):
            beside.remove([row])
        assert started == []
        beside.put(range(2 * SHAPE.capacity, 4 * SHAPE.capacity))
        beside.index.settle()  # type: ignore[attr-defined]
    assert "merge-small" in started


def test_files_go_with_the_segments_and_with_the_process_that_made_them(tmp_path: Path) -> None:
    index = made(tmp_path)
    for start in range(0, 900, 30):
        index.upsert(clips(range(start, start + 30)), clustered(30, np.random.default_rng(start)))
    gc.collect()
    held = {f"{each.name}.vectors" for each in parts(index) if isinstance(each, Segment)}
    assert {path.name for path in tmp_path.rglob("*.vectors")} == held
    abandoned = tmp_path / "live-abandoned"
    abandoned.mkdir()
    (abandoned / "lock").touch()
    folder = next(path.parent for path in tmp_path.rglob("*.vectors"))
    assert SegmentFolder(tmp_path).path("x").parent.is_dir()
    assert not abandoned.exists()
    assert folder.exists()
    del index
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize("call", [lambda index: index.compact(), lambda index: index.merge(Lane.SMALL)])
def test_an_index_without_segments_has_nothing_to_merge(call: Callable[[LiveIndex], object], tmp_path: Path) -> None:
    index = made(tmp_path)
    call(index)
    index.upsert(clips(range(10)), clustered(10, np.random.default_rng(1)))
    call(index)
    assert len(index) == 10
    assert not [*tmp_path.iterdir()]
