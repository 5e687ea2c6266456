"""An index view's state as a snapshot, or the state beside a remote index, holds it."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from ranking.vectors.backends.port import IndexBackend, RemoteBackend, SnapshotBackend, SnapshotIndex, VectorIndex
from ranking.vectors.catalogue import Catalogue
from ranking.vectors.change_log import framed
from ranking.vectors.embedding_space import EmbeddingSpace
from ranking.vectors.manifest import IndexContents, SnapshotManifest, SpaceContents, state_file, unpack
from ranking.vectors.snapshot_logs import SnapshotLogs, read_catalogue, read_deletions
from ranking.vectors.snapshots import read_snapshot
from schemas.errors import SnapshotError
from schemas.escaping import shortened
from schemas.modalities import Modality

log = logging.getLogger(__name__)

DELETED_FILE: Final = "deleted"
"""In the state beside a remote index, which has no logs."""
_MAX_QUOTED: Final = 80


def catalogue_file(space: int) -> str:
    """In the state beside a remote index, the catalogue of a space."""
    return f"{space}-catalogue"


class Restored(NamedTuple):
    """Spaces by generation, deleted clips, and the logs that the next snapshot appends to; ``origin``: from where.

    ``is_whole``: no index is incomplete because its file is damaged.
    """

    origin: Path
    manifest: SnapshotManifest
    spaces: dict[str, EmbeddingSpace]
    deleted: set[str]
    logs: SnapshotLogs

    @property
    def is_whole(self) -> bool:
        return not any(space.incomplete for space in self.spaces.values())


class _Stored(NamedTuple):
    """As it is stored: small files, segments, the catalogue of each space and the deletions."""

    origin: Path
    manifest: SnapshotManifest
    files: Mapping[str, bytes]
    segments: Mapping[str, Path]
    damaged: Mapping[Path, SnapshotError]
    catalogues: list[bytes]
    deletions: bytes


def restored(backend: IndexBackend, root: Path) -> Restored | None:
    """What a remote backend holds, or the newest intact snapshot under ``root``; ``None`` if there is none.

    Raises ``SnapshotError`` if all are damaged, of another format or of another backend.
    """
    stored = _stored_remotely(backend) if isinstance(backend, RemoteBackend) else _stored_in(root)
    if stored is None:
        return None
    origin, manifest = stored.origin, stored.manifest
    if manifest.index != backend.name:
        raise SnapshotError(
            f"{origin}: index {shortened(repr(manifest.index), _MAX_QUOTED)} wrote it and ranking.index is "
            f"{backend.name!r}; set it back, or delete the folder to rebuild the index from the log"
        )
    try:
        spaces = {
            contents.generation: _space(backend, number, contents, stored)
            for number, contents in enumerate(manifest.spaces)
        }
        deleted = read_deletions(stored.deletions)
    except (KeyError, ValueError, SnapshotError) as error:
        raise SnapshotError(f"{origin}: cannot be read ({shortened(str(error))}); delete it") from error
    if len(deleted) != manifest.deleted:
        raise SnapshotError(f"{origin}: knows another number of deletions than its manifest says; delete it")
    logs = SnapshotLogs()
    if not isinstance(backend, RemoteBackend):
        catalogues = {
            contents.generation: (contents.catalogue, content)
            for contents, content in zip(manifest.spaces, stored.catalogues, strict=True)
        }
        logs = SnapshotLogs.restored(catalogues, (manifest.deletions, stored.deletions))
    return Restored(origin, manifest, spaces, deleted, logs)


def _stored_remotely(backend: RemoteBackend) -> _Stored | None:
    packed, origin = backend.load_state(), Path(f"state of index {backend.name}")
    if packed is None:
        return None
    manifest, files = unpack(packed, str(origin))
    try:
        catalogues = [framed(files[catalogue_file(number)]) for number in range(len(manifest.spaces))]
        return _Stored(origin, manifest, files, {}, {}, catalogues, framed(files[DELETED_FILE]))
    except KeyError as error:
        raise SnapshotError(f"{origin}: cannot be read ({error}); delete it") from error


def _stored_in(root: Path) -> _Stored | None:
    found = read_snapshot(root)
    if found is None:
        return None
    folder, manifest = found.folder, found.manifest
    files = {name: (folder / name).read_bytes() for name in manifest.files if folder / name not in found.damaged}
    try:
        catalogues = [found.log(contents.catalogue) for contents in manifest.spaces]
        deletions = found.log(manifest.deletions)
        return _Stored(folder, manifest, files, found.segments, found.damaged, catalogues, deletions)
    except KeyError as error:
        raise SnapshotError(f"{folder}: cannot be read ({shortened(str(error))}); delete it") from error


def _space(backend: IndexBackend, number: int, contents: SpaceContents, stored: _Stored) -> EmbeddingSpace:
    catalogue = read_catalogue(stored.catalogues[number])
    indexes: dict[Modality, dict[int, VectorIndex]] = {}
    incomplete: dict[tuple[Modality, int], str] = {}
    for of in contents.indexes:
        index: VectorIndex
        if isinstance(backend, RemoteBackend):
            index = backend.open(contents.generation, of.modality, of.width)
        else:
            try:
                index = _read_index(backend, number, of, stored, catalogue)
            except SnapshotError as error:
                log.warning("%s: the %s index is rebuilt from the log: %s", stored.origin, of.modality, error)
                index = backend.create(of.width, catalogue)
                incomplete[of.modality, of.width] = str(error)
        indexes.setdefault(of.modality, {})[of.width] = index
    space = EmbeddingSpace.restored(contents.generation, backend, catalogue, indexes, incomplete)
    # A remote index may be ahead of the state that is kept beside it.
    if not isinstance(backend, RemoteBackend):
        vectors = {(of.modality, of.width): of.vectors for of in contents.indexes}
        vectors |= dict.fromkeys(incomplete, 0)
        if (len(space), space.vectors()) != (contents.clips, vectors):
            raise SnapshotError("it holds another number of clips or vectors than its manifest says")
        if not space.holds_its_clips():
            raise SnapshotError("its indexes hold other clips than its catalogue")
    return space


def _read_index(
    backend: SnapshotBackend, number: int, of: IndexContents, stored: _Stored, catalogue: Catalogue
) -> SnapshotIndex:
    """Raises ``SnapshotError`` if one of its files is damaged."""
    name, segments = state_file(number, of), {segment: stored.segments[segment] for segment in of.segments}
    for path in (stored.origin / name, *segments.values()):
        if path in stored.damaged:
            raise stored.damaged[path]
    return backend.read(stored.files[name], segments, of.width, catalogue)
