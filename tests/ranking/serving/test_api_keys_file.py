"""The file of keys on a disk that fails, and as other programs replace it."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ranking.serving.api import keys
from ranking.serving.api.keys import KeyRing, create_key, read_keys, revoke_key
from schemas.errors import ConfigurationError

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


def test_a_disk_that_is_full_leaves_the_file_as_it_was_and_nothing_beside_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_key(path, "a", created=NOW)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(keys.os, "fsync", full)
    for change in (lambda: create_key(path, "b", created=NOW), lambda: revoke_key(path, "a")):
        with pytest.raises(ConfigurationError, match=r"keys\.jsonl.*No space left"):
            change()
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_new_version_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_key(path, "a", created=NOW)
    steps: list[tuple[str, list[str]]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(handle: int) -> None:
        written = os.pread(handle, 10_000, 0).splitlines()
        steps.append(("synced", ["a" if b'"a"' in line else "b" for line in written]))
        fsync(handle)

    def replaced(new: Path, old: Path) -> Path:
        steps.append(("replaced", [key.name for key in read_keys(new)]))
        return replace(new, old)

    monkeypatch.setattr(keys.os, "fsync", synced)
    monkeypatch.setattr(keys.Path, "replace", replaced)
    create_key(path, "b", created=NOW)
    assert steps == [("synced", ["a", "b"]), ("replaced", ["a", "b"])]


def test_a_file_that_was_replaced_is_read_again_though_size_and_time_are_the_same(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    old, new = (create_key(place, "k", created=NOW) for place in (path, other))
    status = path.stat()
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert other.stat().st_size == status.st_size
    ring = KeyRing(path)
    assert ring.find(old) is not None
    other.replace(path)
    assert ring.find(old) is None
    assert ring.find(new) is not None
