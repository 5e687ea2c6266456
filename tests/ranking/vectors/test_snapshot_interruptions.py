"""Writers of snapshots that are killed, and disks that refuse them, leave the snapshot before."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import ranking.vectors.snapshots
from ranking.vectors.snapshots import write_snapshot
from schemas.errors import SnapshotNotWritten
from tests.ranking.vectors.written_snapshots import (
    Failing,
    Huge,
    files,
    manifest,
    offset_in,
    segments,
    segments_of,
    write,
)


class Killed(BaseException):
    """The process dies here; handlers do not run."""


def steps(monkeypatch: pytest.MonkeyPatch, die_at: int) -> Iterator[int]:
    """Count the steps that reach the disk; die in place of step ``die_at``."""
    taken = 0

    def dying(original: Callable[..., object]) -> Callable[..., object]:
        def step(*args: object, **options: object) -> object:
            nonlocal taken
            taken += 1
            if taken >= die_at:
                raise Killed
            return original(*args, **options)

        return step

    monkeypatch.setattr(os, "fsync", dying(os.fsync))
    for name in ("replace", "mkdir", "write_text", "write_bytes", "rmdir", "unlink"):
        monkeypatch.setattr(Path, name, dying(getattr(Path, name)))
    monkeypatch.setattr(ranking.vectors.snapshots.shutil, "rmtree", dying(ranking.vectors.snapshots.shutil.rmtree))
    while True:
        yield taken


@pytest.mark.tried(
    kind="leftovers", given="a writer killed between any two steps", outcome="the next one removes what is left"
)
def test_a_writer_may_be_killed_between_any_two_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    survived = 0
    for die_at in range(1, 100):
        root = tmp_path / str(die_at)
        for offset in (1, 2):
            write(root, offset)
        with monkeypatch.context() as patched:
            counter = steps(patched, die_at)
            next(counter)
            try:
                write(root, 3)
            except Killed:
                survived += 1
            else:
                break
        assert offset_in(root) in (2, 3)
        write(root, 4)
        assert offset_in(root) == 4
        assert [path for path in root.rglob("*") if path.name.startswith(".partial")] == []
        kept = {name for folder in root.glob("snapshot-*") for name in segments_of(folder)}
        assert {path.name for path in (root / "segments").iterdir()} == kept
    assert survived > 20


def test_a_first_writer_may_be_killed_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for die_at in range(1, 20):
        root = tmp_path / str(die_at)
        with monkeypatch.context() as patched, suppress(Killed):
            next(steps(patched, die_at))
            write(root, 1)
        assert offset_in(root) in (None, 1)


@pytest.mark.tried(
    kind="leftovers", given="a disk that fills up while a snapshot is written", outcome="the current snapshot stays"
)
def test_a_full_disk_leaves_the_current_snapshot(tmp_path: Path) -> None:
    write(tmp_path, 1)

    with pytest.raises(SnapshotNotWritten, match="No space left"):
        write_snapshot(tmp_path, manifest(2), files(2), {"full": Failing(OSError(28, "No space left on device"))})
    assert offset_in(tmp_path) == 1


@pytest.mark.tried(
    kind="leftovers", given="a snapshot that fails or is interrupted in mid-write", outcome="nothing of it is left"
)
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), RuntimeError("faiss")])
def test_a_snapshot_that_fails_leaves_nothing_of_itself(tmp_path: Path, error: BaseException) -> None:
    write(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))

    with pytest.raises((SnapshotNotWritten, type(error))):
        write_snapshot(tmp_path, manifest(2), files(2), {**segments("shared", "new"), "c": Failing(error)})
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.tried(
    kind="leftovers",
    given="a disk that is full when a snapshot is made current",
    outcome="nothing of it is left, however often it is tried",
)
def test_a_snapshot_that_cannot_be_made_current_leaves_nothing_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))

    def full(path: Path, text: str) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_text", full)
        for offset in (2, 3):
            with pytest.raises(SnapshotNotWritten, match="No space left"):
                write(tmp_path, offset)
            assert sorted(tmp_path.rglob("*")) == before
    write(tmp_path, 4)
    assert offset_in(tmp_path) == 4


@pytest.mark.tried(
    kind="leftovers", given="less room than a snapshot needs", outcome="refused with the room needed, nothing written"
)
def test_room_is_checked_before_anything_is_written_and_named(tmp_path: Path) -> None:
    write(tmp_path, 1)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SnapshotNotWritten, match=r"needs about [\d,]+\.\d MiB and [\d,]+\.\d MiB are free"):
        write_snapshot(tmp_path, manifest(2), files(2), {**segments("shared"), "huge": Huge(b"")})
    assert sorted(tmp_path.rglob("*")) == before
    write_snapshot(tmp_path, manifest(2), files(2), {"shared": Huge(b""), **segments("own-2")})
    assert offset_in(tmp_path) == 2, "what is there already takes no room"
