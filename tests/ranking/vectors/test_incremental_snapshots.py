"""Snapshots write what has changed since the last, and what was deleted leaves the disk in time."""

from pathlib import Path

import numpy as np
import pytest
from msgspec import structs

from ranking.vectors.view import IndexView
from schemas.clock import ManualClock
from schemas.errors import SnapshotNotWritten
from schemas.events import ClipScored, embedding_array
from schemas.modalities import FUSED_MODALITIES
from schemas.observation import Observer
from tests.ranking.examples import NOW_MS, apply, apply_entries, deletion, result, scored_clip
from tests.ranking.vectors.own_backends import SegmentedBackend, SegmentedIndex

ERASE_WITHIN_S = 1000.0


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def view(clock: ManualClock) -> IndexView:
    """Whatever it holds is too much to write everything again at each deletion."""
    return IndexView(SegmentedBackend(), Observer(), clock, erase_within_s=ERASE_WITHIN_S, erase_at_once_bytes=0)


def clip(number: int) -> ClipScored:
    rng = np.random.default_rng(number)
    modalities = {modality: result(rng.normal(size=16)) for modality in FUSED_MODALITIES}
    return scored_clip(f"clip{number:05d}", dancer_id=f"dancer{number:05d}", modalities=modalities)


def written_bytes(root: Path, before: dict[Path, int]) -> int:
    """What was added to the files under ``root`` since they had the sizes ``before``."""
    return sum(path.stat().st_size - before.get(path, 0) for path in root.rglob("*") if path.is_file())


def sizes(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in root.rglob("*") if path.is_file()}


def traces(root: Path, number: int) -> set[str]:
    """Where under ``root`` the disk holds something of a clip but its id."""
    sought = [b"dancer%05d" % number]
    for one in clip(number).modalities.values():
        wide = embedding_array(one).astype(np.float64)
        sought.append((wide / np.linalg.norm(wide)).astype(np.float32).tobytes()[:16])
    found = (path for path in root.rglob("*") if path.is_file())
    return {path.name.partition("-")[0] for path in found if any(each in path.read_bytes() for each in sought)}


def test_what_a_snapshot_writes_follows_from_the_changes_not_from_what_there_is(
    tmp_path: Path, clock: ManualClock
) -> None:
    written: dict[int, int] = {}
    for clips in (200, 4000):
        root = tmp_path / str(clips)
        one = view(clock)
        apply(one, [clip(number) for number in range(clips)])
        one.save(root)
        before = sizes(root)
        apply(one, [clip(number) for number in range(clips, clips + 20)], start=clips)
        # The state of this index alone lists all clips.
        state = [*one.save(root).glob("*.state")]  # type: ignore[union-attr]
        written[clips] = written_bytes(root, before) - sum(path.stat().st_size for path in state)
        restored = view(clock)
        assert restored.restore(root)
        assert restored.content() == one.content()
    assert written[4000] < 1.1 * written[200]


def test_a_deleted_clip_leaves_the_disk_within_the_time_and_two_snapshots(tmp_path: Path, clock: ManualClock) -> None:
    one = view(clock)
    apply(one, [clip(number) for number in range(6)])
    one.save(tmp_path)
    apply_entries(one, deletion("clip00002"))
    assert one.save(tmp_path) is not None
    assert traces(tmp_path, 2), "writing everything again for one deletion would cost as much as there is"
    assert one.save(tmp_path) is None
    clock.advance(ERASE_WITHIN_S)
    restarted = view(clock)
    assert restarted.restore(tmp_path)
    assert [restarted.save(tmp_path) is not None for _ in range(3)] == [True, True, False]
    assert traces(tmp_path, 2) == set()
    assert traces(tmp_path, 3) != set()
    again = view(clock)
    assert again.restore(tmp_path)
    assert again.content() == one.content()


def due(root: Path, clock: ManualClock) -> IndexView:
    """A view whose snapshot holds clip 1, which has been deleted for as long as it may be there."""
    one = view(clock)
    apply(one, [clip(number) for number in range(6)])
    one.save(root)
    apply_entries(one, deletion("clip00001"))
    clock.advance(ERASE_WITHIN_S)
    return one


def test_what_is_deleted_while_others_are_erased_is_erased_next(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = due(tmp_path, clock)
    compact = SegmentedIndex.compact
    meanwhile = [2]

    def compacts_while_another_is_deleted(index: SegmentedIndex) -> None:
        compact(index)
        index.freeze()  # another snapshot's thread cannot be here, but a merge may seal segments
        if meanwhile:
            apply_entries(one, deletion(f"clip{meanwhile.pop():05d}", 1))

    monkeypatch.setattr(SegmentedIndex, "compact", compacts_while_another_is_deleted)
    for _ in range(2):
        one.save(tmp_path)
    assert traces(tmp_path, 1) == set()
    assert traces(tmp_path, 2) != set()
    clock.advance(ERASE_WITHIN_S)
    for _ in range(2):
        assert one.save(tmp_path) is not None
    assert traces(tmp_path, 2) == set()


def test_what_could_not_be_erased_is_erased_later(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = due(tmp_path, clock)

    def full(index: SegmentedIndex) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(SegmentedIndex, "compact", full)
        for _ in range(2):
            with pytest.raises(SnapshotNotWritten, match=r"could not be erased.*No space left"):
                one.save(tmp_path)
    for _ in range(2):
        assert one.save(tmp_path) is not None
    assert one.save(tmp_path) is None
    assert traces(tmp_path, 1) == set()


def test_a_log_that_was_lost_is_written_again_whole(tmp_path: Path, clock: ManualClock) -> None:
    one = view(clock)
    apply_entries(one, deletion("gone"))
    apply(one, [clip(number) for number in range(3)])
    one.save(tmp_path)
    for path in (*tmp_path.glob("segments/catalogue-*"), *tmp_path.glob("segments/deletions-*")):
        path.unlink()
    apply(one, [clip(3)], start=3)
    one.save(tmp_path)
    restored = view(clock)
    assert restored.restore(tmp_path)
    assert restored.content() == one.content()


def test_a_snapshot_that_failed_leaves_its_changes_to_the_next(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = view(clock)
    apply(one, [clip(0)])
    one.save(tmp_path)
    before = sizes(tmp_path)

    def full(path: Path, text: str) -> int:
        raise OSError(28, "No space left on device")

    for number in (1, 2):
        apply_entries(one, deletion(f"never-seen-{number}", number))
        apply(one, [clip(number)], start=number)
        with monkeypatch.context() as patched:
            patched.setattr(Path, "write_text", full)
            with pytest.raises(SnapshotNotWritten, match="No space left"):
                one.save(tmp_path)
        assert sizes(tmp_path) == before
    restored = view(clock)
    assert restored.restore(tmp_path)
    assert restored.clips() == 1
    one.save(tmp_path)
    assert restored.restore(tmp_path)
    assert restored.content() == one.content()


def test_a_catalogue_that_changed_more_than_it_holds_is_written_again(
    tmp_path: Path, clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ranking.vectors.change_log._MOST_WASTED_BYTES", 0)
    one = view(clock)
    apply(one, [clip(number) for number in range(10)])
    names: list[str] = []
    for turn in range(8):
        again = [structs.replace(clip(number), uploaded_at_ms=NOW_MS + 1 + turn) for number in range(4)]
        apply(one, again, start=10 + 4 * turn)
        one.save(tmp_path)
        (newest,) = sorted(tmp_path.glob("segments/catalogue-*"), key=lambda path: path.stat().st_mtime_ns)[-1:]
        names.append(newest.name)
        restored = view(clock)
        assert restored.restore(tmp_path)
        assert restored.content() == one.content()
    assert 1 < len({*names}) < 6
