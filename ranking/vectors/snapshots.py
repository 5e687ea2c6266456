"""Snapshots of the index view: written to a folder of their own, checked by checksums, made current in one step.

``CURRENT`` names the current folder; each folder holds ``manifest.json`` beside the files that it lists. Segments of
indexes are in a folder that all snapshots share, so that a snapshot writes only those that the one before it lacked.
Whenever a writer dies, ``CURRENT`` names a complete snapshot, or the newest complete folder is found without it. The
state beside a remote index is the same manifest and files, packed into one value.
"""

import logging
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from ranking.vectors.backends.port import SegmentFile
from ranking.vectors.change_log import ChangeLog
from ranking.vectors.files import check, check_beginning, listed, sync, sync_folder
from ranking.vectors.manifest import MANIFEST, SnapshotFile, SnapshotManifest, decoded, state_file
from ranking.vectors.segments import SegmentFolder
from schemas.errors import SnapshotError, SnapshotNotWritten
from schemas.local_files import read_file, read_text

log = logging.getLogger(__name__)

CURRENT: Final = "CURRENT"
_PREFIX: Final = "snapshot-"
_PARTIAL: Final = ".partial-"
_KEEP: Final = 2
_MIB: Final = 1024 * 1024
_CHECKS_AT_ONCE: Final = 2


class Snapshot(NamedTuple):
    """A snapshot on the disk; ``segments``: the files of its segments by name.

    ``damaged``: files of indexes that are not what was written. The others are.
    """

    folder: Path
    manifest: SnapshotManifest
    segments: Mapping[str, Path]
    damaged: Mapping[Path, SnapshotError]

    def log(self, name: str) -> bytes:
        """The content of a log, as it was then; that of ``""`` is empty. Raises ``KeyError`` if there is none."""
        if not name:
            return b""
        beginning = self.manifest.logs[name]
        with SegmentFolder(self.folder.parent).path(name).open("rb") as file:
            return file.read(beginning.size_bytes)


def write_snapshot(
    root: Path,
    manifest: SnapshotManifest,
    files: Mapping[str, bytes],
    segments: Mapping[str, SegmentFile] | None = None,
    logs: Sequence[ChangeLog] = (),
    *,
    spare: Path | None = None,
) -> Path:
    """Write a snapshot under ``root``, make it the current one and keep one more; returns its folder.

    The one more is ``spare``, known to be intact, or else the newest: a newer one may be damaged and passed over.

    ``files`` are written into its folder, of ``segments`` those that no snapshot under ``root`` has yet, of ``logs``
    what is pending; the files, segments and logs of ``manifest`` are filled in here. Raises ``SnapshotNotWritten`` if
    there is less room than these take or the disk refuses; the current snapshot stays as it was, and nothing of the new
    one is left.
    """
    folder, written = SegmentFolder(root), list[Path]()
    held: _Held | None = None
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_partial(root)
        held = _held(root)
        folder.keep(held.names())
        missing = folder.missing(segments or {}, held.segments)
        pending_bytes = sum(log.pending_bytes for log in logs) + sum(map(len, files.values()))
        _check_room(root, pending_bytes + sum(each.size_bytes for each in missing.values()))
        in_folder = held.segments | folder.write(missing)
        manifest = msgspec.structs.replace(
            manifest,
            segments={name: in_folder[name] for name in segments or {}},
            logs=folder.append(logs),
        )
        name = f"{_PREFIX}{_next_number(root):08d}"
        draft = root / f"{_PARTIAL}{name}"
        written = [draft, root / name]
        draft.mkdir()
        _fill(draft, manifest, files)
        draft.replace(root / name)
        sync_folder(root)
        _point_current_at(root, name)
        for log in logs:
            log.commit()
        written, held = [], None
        _prune(root, name, spare)
        folder.keep(_held(root).names())
    except OSError as error:
        raise SnapshotNotWritten(
            f"{root}: the snapshot could not be written ({error}); free space or repair the disk"
        ) from error
    finally:
        for path in written:
            shutil.rmtree(path, ignore_errors=True)
        if held is not None:
            _remove_partial(root)
            folder.roll_back(logs)
            with suppress(OSError):
                folder.keep(held.names())
    return root / name


class _Held(NamedTuple):
    """Segments of snapshots, and names of their logs."""

    segments: dict[str, SnapshotFile]
    logs: set[str]

    def names(self) -> set[str]:
        return self.logs.union(self.segments)


def _held(root: Path) -> _Held:
    """What all snapshots under ``root`` that say what it is have in the folder that they share."""
    held = _Held({}, set())
    for name in _numbered(root):
        path = root / name / MANIFEST
        # A manifest that cannot be read for now must not cost its segments: OSError is for the caller.
        with suppress(FileNotFoundError, SnapshotError):
            manifest = decoded(path.read_bytes(), str(path))
            held.segments.update(manifest.segments)
            held.logs.update(manifest.logs)
    return held


def _check_room(root: Path, needed_bytes: int) -> None:
    free_bytes = shutil.disk_usage(root).free
    if free_bytes < needed_bytes:
        raise SnapshotNotWritten(
            f"{root}: a snapshot needs about {needed_bytes / _MIB:,.1f} MiB and {free_bytes / _MIB:,.1f} MiB are free; "
            "free space, or move ranking.index_folder to a larger disk"
        )


def _remove_partial(root: Path) -> None:
    for leftover in root.glob(f"{_PARTIAL}*"):
        shutil.rmtree(leftover, ignore_errors=True)


def read_snapshot(root: Path) -> Snapshot | None:
    """The newest intact snapshot, the current one first; ``None`` if there is none at all.

    A damaged one, or one of another format, is logged and skipped. If no other is left, it is the newest of which only
    files of indexes are damaged; if there is none either, raises ``SnapshotError`` naming the damaged file, or the
    format found and the one expected.
    """
    damaged: SnapshotError | None = None
    partly: Snapshot | None = None
    for name in _newest_first(root):
        try:
            found = _verified(root, name)
        except SnapshotError as error:
            log.warning("snapshot skipped: %s", error)
            damaged = damaged or error
            continue
        if not found.damaged:
            return found
        for problem in found.damaged.values():
            log.warning("snapshot %s: an index is damaged: %s", name, problem)
        partly = partly or found
    if partly is not None:
        return partly
    if damaged:
        raise SnapshotError(
            f"{damaged}; no intact snapshot of this release is left in {root}: delete the folder to rebuild the index "
            "from the log"
        ) from damaged
    return None


def is_erased(root: Path, erasures: int) -> bool:
    """Whether every snapshot under ``root`` was written after so many erasures, and holds nothing that they erased."""
    try:
        return all(_manifest(root / name).erasures >= erasures for name in _numbered(root))
    except SnapshotError:
        return False


def _fill(folder: Path, manifest: SnapshotManifest, files: Mapping[str, bytes]) -> None:
    written: dict[str, SnapshotFile] = {}
    for name, content in files.items():
        (folder / name).write_bytes(content)
        sync(folder / name)
        written[name] = listed(folder / name)
    content = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, files=written)))
    (folder / MANIFEST).write_bytes(content)
    sync(folder / MANIFEST)
    sync_folder(folder)


def _point_current_at(root: Path, name: str) -> None:
    pointer = root / f"{_PARTIAL}{CURRENT}"
    shutil.rmtree(pointer, ignore_errors=True)
    pointer.mkdir()
    (pointer / CURRENT).write_text(name)
    sync(pointer / CURRENT)
    (pointer / CURRENT).replace(root / CURRENT)
    sync_folder(root)
    pointer.rmdir()


def _prune(root: Path, current: str, spare: Path | None) -> None:
    others = [name for name in _numbered(root) if name != current]
    kept = [spare.name] if spare is not None and spare.name in others else others[-(_KEEP - 1) :]
    for name in others:
        if name not in kept:
            shutil.rmtree(root / name)


def _numbered(root: Path) -> list[str]:
    """Names of the snapshots, oldest first."""
    folders = (path for path in root.glob(f"{_PREFIX}*") if path.is_dir())
    return sorted(path.name for path in folders if path.name.removeprefix(_PREFIX).isdecimal())


def _next_number(root: Path) -> int:
    names = _numbered(root)
    return int(names[-1].removeprefix(_PREFIX)) + 1 if names else 1


def _newest_first(root: Path) -> list[str]:
    names = _numbered(root)[::-1]
    try:
        current = read_text(root / CURRENT).strip()
    except OSError:
        return names
    return sorted(names, key=lambda name: name != current)


def _manifest(folder: Path) -> SnapshotManifest:
    path = folder / MANIFEST
    try:
        content = read_file(path)
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read ({error.strerror})") from error
    return decoded(content, str(path))


def _verified(root: Path, name: str) -> Snapshot:
    manifest, folder = _manifest(root / name), SegmentFolder(root)
    segments = {segment: folder.path(segment) for segment in manifest.segments}
    of_indexes = {state_file(number, index) for number, index in manifest.indexes()}
    for log_name, beginning in manifest.logs.items():
        check_beginning(folder.path(log_name), beginning)
    for file, written in manifest.files.items():
        if file not in of_indexes:
            check(root / name / file, written)
    checked = {root / name / file: written for file, written in manifest.files.items() if file in of_indexes}
    checked |= {path: manifest.segments[segment] for segment, path in segments.items()}
    with ThreadPoolExecutor(_CHECKS_AT_ONCE) as checking:
        found = checking.map(_problem, checked.keys(), checked.values())
        damaged = {path: problem for path, problem in zip(checked, found, strict=True) if problem is not None}
    return Snapshot(root / name, manifest, segments, damaged)


def _problem(path: Path, written: SnapshotFile) -> SnapshotError | None:
    try:
        check(path, written)
    except SnapshotError as error:
        return error
    return None
