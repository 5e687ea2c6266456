"""Snapshots of the index view: written to a folder of their own, checked by checksums, made current in one step.

``CURRENT`` names the current folder; each folder holds ``manifest.json`` beside the files that it lists. Whenever a
writer dies, ``CURRENT`` names a complete snapshot, or the newest complete folder is found without it. The state beside
a remote index is the same manifest and files, packed into one value.
"""

import hashlib
import logging
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from schemas.errors import SnapshotError, SnapshotNotWritten
from schemas.escaping import escaped, shortened
from schemas.modalities import Modality
from schemas.ports import TopicPartition

log = logging.getLogger(__name__)

FORMAT: Final = "index-snapshot/5"
CURRENT: Final = "CURRENT"
MANIFEST: Final = "manifest.json"
_PREFIX: Final = "snapshot-"
_PARTIAL: Final = ".partial-"
_KEEP: Final = 2
_MIB: Final = 1024 * 1024
_MAX_QUOTED: Final = 80

FileWriter = Callable[[Path], None]


class SnapshotFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the snapshot's folder: length and SHA-256 (hex) of its bytes."""

    size_bytes: int
    sha256: str


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next offset to apply of one partition."""

    topic: str
    partition: int
    next_offset: int


class SpaceContents(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True, omit_defaults=True):
    """Contents of a snapshot for one model generation: clips, vectors and their width D by modality.

    If a modality has vectors of several widths, these are of the smallest; ``other_widths`` counts those of the others.
    """

    generation: str
    clips: int
    vectors: dict[Modality, int]
    widths: dict[Modality, int]
    other_widths: dict[Modality, dict[int, int]] = {}


class _Written(msgspec.Struct):
    schema: str


class SnapshotManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag=FORMAT, kw_only=True
):
    """What ``manifest.json`` says: up to which positions it goes, how much it holds of each generation, its files.

    ``index`` names the backend that wrote the indexes. ``deleted`` counts the clips known to be deleted; it never
    falls.
    """

    index: str
    positions: tuple[Position, ...]
    spaces: tuple[SpaceContents, ...]
    deleted: int
    created_at_ms: int
    files: dict[str, SnapshotFile] = {}

    def next_offsets(self) -> dict[TopicPartition, int]:
        return {TopicPartition(at.topic, at.partition): at.next_offset for at in self.positions}


def pack(manifest: SnapshotManifest, files: Mapping[str, bytes]) -> bytes:
    """For ``unpack``."""
    return msgspec.msgpack.encode((msgspec.json.encode(manifest), files))


def unpack(packed: bytes, origin: str) -> tuple[SnapshotManifest, dict[str, bytes]]:
    """Manifest and files. Raises ``SnapshotError`` naming ``origin``."""
    try:
        manifest, files = msgspec.msgpack.decode(packed, type=tuple[bytes, dict[str, bytes]])
    except ValueError as error:
        raise SnapshotError(f"{origin}: cannot be read ({error})") from error
    return _decoded(manifest, origin), files


def write_snapshot(
    root: Path,
    manifest: SnapshotManifest,
    files: Mapping[str, FileWriter],
    *,
    needed_bytes: int = 0,
    spare: Path | None = None,
) -> Path:
    """Write a snapshot under ``root``, make it the current one and keep one more; returns its folder.

    The one more is ``spare``, known to be intact, or else the newest: a newer one may be damaged and passed over.

    ``files`` maps a file name to what writes that file; ``manifest.files`` is filled in here. ``needed_bytes`` is about
    what the files take. Raises ``SnapshotNotWritten`` if there is less room or the disk refuses; the current snapshot
    stays as it was, and nothing of the new one is left.
    """
    written: list[Path] = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        _remove_partial(root)
        _check_room(root, needed_bytes)
        name = f"{_PREFIX}{_next_number(root):08d}"
        folder = root / f"{_PARTIAL}{name}"
        written = [folder, root / name]
        folder.mkdir()
        _fill(folder, manifest, files)
        folder.replace(root / name)
        _sync_folder(root)
        _point_current_at(root, name)
        written = []
        _prune(root, name, spare)
    except OSError as error:
        raise SnapshotNotWritten(
            f"{root}: the snapshot could not be written ({error}); free space or repair the disk"
        ) from error
    finally:
        for path in written:
            shutil.rmtree(path, ignore_errors=True)
        if written:
            _remove_partial(root)
    return root / name


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


def writes(content: bytes) -> FileWriter:
    """A function that writes ``content`` to a file of a snapshot."""

    def write(path: Path) -> None:
        path.write_bytes(content)

    return write


def read_snapshot(root: Path) -> tuple[Path, SnapshotManifest] | None:
    """The folder and manifest of the newest intact snapshot, the current one first; ``None`` if there is none at all.

    A damaged one, or one of another format, is logged and skipped. If no other is left, raises ``SnapshotError``
    naming the damaged file, or the format found and the one expected.
    """
    damaged: SnapshotError | None = None
    for name in _newest_first(root):
        try:
            return root / name, _verified(root / name)
        except SnapshotError as error:
            log.warning("snapshot skipped: %s", error)
            damaged = damaged or error
    if damaged:
        raise SnapshotError(
            f"{damaged}; no intact snapshot of this release is left in {root}: delete the folder to rebuild the index "
            "from the log"
        ) from damaged
    return None


def knows_deletions(root: Path, deleted: int) -> bool:
    """Whether every snapshot under ``root`` was written after the last of so many deletions, and holds none of it."""
    try:
        return all(_manifest(root / name).deleted >= deleted for name in _numbered(root))
    except SnapshotError:
        return False


def _fill(folder: Path, manifest: SnapshotManifest, files: Mapping[str, FileWriter]) -> None:
    listed: dict[str, SnapshotFile] = {}
    for name, write in files.items():
        write(folder / name)
        _sync(folder / name)
        listed[name] = SnapshotFile((folder / name).stat().st_size, _sha256(folder / name))
    content = msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(manifest, files=listed)))
    (folder / MANIFEST).write_bytes(content)
    _sync(folder / MANIFEST)
    _sync_folder(folder)


def _point_current_at(root: Path, name: str) -> None:
    pointer = root / f"{_PARTIAL}{CURRENT}"
    shutil.rmtree(pointer, ignore_errors=True)
    pointer.mkdir()
    (pointer / CURRENT).write_text(name)
    _sync(pointer / CURRENT)
    (pointer / CURRENT).replace(root / CURRENT)
    _sync_folder(root)
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
        current = (root / CURRENT).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return names
    return sorted(names, key=lambda name: name != current)


def _manifest(folder: Path) -> SnapshotManifest:
    path = folder / MANIFEST
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SnapshotError(f"{path}: cannot be read ({error.strerror})") from error
    return _decoded(content, str(path))


def _decoded(manifest: bytes, origin: str) -> SnapshotManifest:
    try:
        written = msgspec.json.decode(manifest, type=_Written).schema
        if written == FORMAT:
            return msgspec.json.decode(manifest, type=SnapshotManifest)
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8 raise UnicodeDecodeError
        raise SnapshotError(f"{origin}: {shortened(str(error))}") from error
    raise SnapshotError(
        f"{origin}: another release wrote it as {escaped(written[:_MAX_QUOTED])}; this one reads {FORMAT}"
    )


def _verified(folder: Path) -> SnapshotManifest:
    manifest = _manifest(folder)
    for name, listed in manifest.files.items():
        path = folder / name
        try:
            intact = path.stat().st_size == listed.size_bytes and _sha256(path) == listed.sha256
        except (OSError, ValueError) as error:  # a name with a NUL byte raises ValueError
            raise SnapshotError(f"{shortened(str(path))}: cannot be read ({shortened(str(error))})") from error
        if not intact:
            raise SnapshotError(f"{path}: not the bytes that were written (length or checksum differs)")
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
