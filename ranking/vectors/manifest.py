"""What a snapshot of the index view says of itself: ``manifest.json``."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from schemas.errors import SnapshotError
from schemas.escaping import escaped, shortened
from schemas.local_files import not_json
from schemas.modalities import MODALITIES, PAPER_MODALITIES, Modality
from schemas.ports import TopicPartition

FORMAT: Final = "index-snapshot/6"
MANIFEST: Final = "manifest.json"
_MAX_QUOTED: Final = 80
_SEGMENT_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")


class SnapshotFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the snapshot: length and SHA-256 (hex) of its bytes."""

    size_bytes: int
    sha256: str


class Position(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The next offset to apply of one partition."""

    topic: str
    partition: int
    next_offset: int


class IndexContents(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One index: how many vectors of which width D it holds, in which segments."""

    modality: Modality
    width: int
    vectors: int
    segments: tuple[str, ...] = ()


class SpaceContents(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Contents of a snapshot for one model generation; an index for each modality and width that any clip has.

    ``catalogue`` is the log that says which clips.
    """

    generation: str
    clips: int
    catalogue: str = ""
    indexes: tuple[IndexContents, ...]


class _Written(msgspec.Struct):
    schema: str


class SnapshotManifest(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="schema", tag=FORMAT, kw_only=True
):
    """Up to which positions the snapshot goes, how much it holds of each generation, and its files.

    ``index`` names the backend that wrote the indexes. ``deleted`` counts the clips known to be deleted; it never
    falls. ``deletions`` is the log that says which. ``erasures`` counts how often everything of deleted clips
    was taken out of segments and logs, and ``erasing_since_ms`` is when the first clip was deleted since.
    ``modalities`` are those that the bits of a clip in the catalogue stand for, from the lowest; where none are named,
    the paper's.

    ``files`` are in the snapshot's own folder. In one that all snapshots share are ``segments``, and ``logs``, to which
    later snapshots append: of these the manifest lists the beginning that is this snapshot's.
    """

    index: str
    positions: tuple[Position, ...]
    spaces: tuple[SpaceContents, ...]
    deleted: int
    created_at_ms: int
    deletions: str = ""
    erasures: int = 0
    erasing_since_ms: int | None = None
    modalities: tuple[str, ...] = ()
    files: dict[str, SnapshotFile] = {}
    segments: dict[str, SnapshotFile] = {}
    logs: dict[str, SnapshotFile] = {}

    def next_offsets(self) -> dict[TopicPartition, int]:
        return {TopicPartition(at.topic, at.partition): at.next_offset for at in self.positions}

    def indexes(self) -> Iterator[tuple[int, IndexContents]]:
        """Each index with the number of its space."""
        for number, space in enumerate(self.spaces):
            for index in space.indexes:
                yield number, index


def state_file(space: int, index: IndexContents) -> str:
    """The file of an index's state. The space is a number: a generation's name may contain what file names may not."""
    return f"{space}-{index.modality}-{index.width}.state"


def pack(manifest: SnapshotManifest, files: Mapping[str, bytes]) -> bytes:
    """For ``unpack``."""
    return msgspec.msgpack.encode((msgspec.json.encode(manifest), files))


def unpack(packed: bytes, origin: str) -> tuple[SnapshotManifest, dict[str, bytes]]:
    """Manifest and files. Raises ``SnapshotError`` naming ``origin``."""
    try:
        manifest, files = msgspec.msgpack.decode(packed, type=tuple[bytes, dict[str, bytes]])
    except ValueError as error:
        raise SnapshotError(f"{origin}: cannot be read ({error})") from error
    return decoded(manifest, origin), files


def decoded(manifest: bytes, origin: str) -> SnapshotManifest:
    """Raises ``SnapshotError`` naming ``origin``."""
    try:
        written = msgspec.json.decode(manifest, type=_Written).schema
        if written == FORMAT:
            read = msgspec.json.decode(manifest, type=SnapshotManifest)
            _check_segments(read)
            _check_modalities(read)
            return read
    except (ValueError, RecursionError) as error:  # bytes that are not UTF-8 raise UnicodeDecodeError
        raise SnapshotError(f"{origin}: {not_json(manifest) or shortened(str(error))}") from error
    raise SnapshotError(
        f"{origin}: another release wrote it as {escaped(written[:_MAX_QUOTED])}; this one reads {FORMAT}"
    )


def check_segment_name(name: str) -> None:
    """Raises ``ValueError`` for a name that may lead out of the folder of segments."""
    if not _SEGMENT_NAME.fullmatch(name):
        raise ValueError(f"{escaped(name[:_MAX_QUOTED])} is not the name of a segment")


def _check_segments(manifest: SnapshotManifest) -> None:
    for name in (*manifest.segments, *manifest.logs):
        check_segment_name(name)
    for _, index in manifest.indexes():
        for name in index.segments:
            if name not in manifest.segments:
                raise ValueError(f"segment {escaped(name[:_MAX_QUOTED])} is in an index and not among the files")


def _check_modalities(manifest: SnapshotManifest) -> None:
    """A release with other modalities, or an added package, may not take the bits of one for another's."""
    written = manifest.modalities or PAPER_MODALITIES
    if MODALITIES[: len(written)] != written or any(index.modality not in written for _, index in manifest.indexes()):
        shown = escaped(", ".join(written)[:_MAX_QUOTED])
        raise ValueError(f"its clips are of {shown}, here they are of {', '.join(MODALITIES)}")
