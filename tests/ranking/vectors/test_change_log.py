"""Files that each snapshot appends to."""

from pathlib import Path

import pytest

from ranking.vectors.change_log import ChangeLog, blocks
from ranking.vectors.manifest import SnapshotFile
from schemas.errors import SnapshotError


def content(folder: Path, log: ChangeLog, held: SnapshotFile) -> list[bytes]:
    return blocks((folder / log.name).read_bytes()[: held.size_bytes])


def committed(folder: Path, log: ChangeLog, *added: bytes) -> SnapshotFile:
    for block in added:
        log.add(block)
    written = log.write(folder)
    log.commit()
    return written


def test_each_snapshot_appends_its_changes_and_holds_the_beginning(tmp_path: Path) -> None:
    log = ChangeLog("catalogue")
    held = [committed(tmp_path, log, *added) for added in ([b"one"], [b"two", b"", b"three"], [])]
    found = [content(tmp_path, log, each) for each in held]
    assert found == [[b"one"], [b"one", b"two", b"three"], [b"one", b"two", b"three"]]
    assert log.pending_bytes == 0


def test_what_no_snapshot_holds_is_written_again_and_what_a_kill_left_is_cut_off(tmp_path: Path) -> None:
    log = ChangeLog("catalogue")
    held = committed(tmp_path, log, b"one")
    log.add(b"two")
    log.write(tmp_path)
    restarted = ChangeLog.restored("catalogue", log.name, (tmp_path / log.name).read_bytes()[: held.size_bytes])
    log.roll_back(tmp_path)
    assert (tmp_path / log.name).stat().st_size == held.size_bytes
    assert content(tmp_path, log, committed(tmp_path, log)) == [b"one", b"two"]
    assert content(tmp_path, restarted, committed(tmp_path, restarted, b"other")) == [b"one", b"other"]
    assert (tmp_path / log.name).read_bytes().endswith(b"other")


def test_a_first_write_that_fails_leaves_no_file(tmp_path: Path) -> None:
    log = ChangeLog("catalogue")
    log.add(b"one")
    log.write(tmp_path)
    log.roll_back(tmp_path)
    assert [*tmp_path.iterdir()] == []
    assert content(tmp_path, log, committed(tmp_path, log)) == [b"one"]


def test_a_log_of_mostly_outdated_blocks_is_written_again_as_one(tmp_path: Path) -> None:
    log = ChangeLog("catalogue")
    block = bytes(1 << 18)
    committed(tmp_path, log, block)
    assert not log.is_mostly_outdated
    for _ in range(4):
        committed(tmp_path, log, block)
        last = log.is_mostly_outdated
    assert last
    made = log.rewritten(tmp_path, lambda written: written[-1] + b"%d" % len(written))
    assert made.name != log.name
    assert not made.is_mostly_outdated
    assert content(tmp_path, made, committed(tmp_path, made)) == [block + b"5"]


def test_a_damaged_log_is_not_written_again(tmp_path: Path) -> None:
    log = ChangeLog("catalogue")
    committed(tmp_path, log, b"one")
    (tmp_path / log.name).write_bytes((tmp_path / log.name).read_bytes()[:-1] + b"X")
    with pytest.raises(SnapshotError, match="does not begin with the bytes that were written"):
        log.rewritten(tmp_path, b"".join)


def test_a_log_whose_file_is_gone_or_too_short_is_not_there(tmp_path: Path) -> None:
    log = ChangeLog("catalogue")
    assert log.is_in(tmp_path)
    committed(tmp_path, log, b"one")
    assert log.is_in(tmp_path)
    (tmp_path / log.name).write_bytes(b"")
    assert not log.is_in(tmp_path)
    (tmp_path / log.name).unlink()
    assert not log.is_in(tmp_path)


@pytest.mark.parametrize("damage", [b"\0", b"\xff" * 8, (3).to_bytes(8, "big") + b"ab"])
def test_a_log_that_ends_in_the_middle_of_a_block_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match="in the middle of a block"):
        blocks(damage)
