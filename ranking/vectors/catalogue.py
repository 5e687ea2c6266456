"""Which clips an embedding space holds: clip id ↔ int64 id, dancer, challenge and modalities."""

from array import array
from collections.abc import Iterable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from schemas.errors import NotFound, SnapshotError
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Int64

Bool = npt.NDArray[np.bool_]
_BIT: Final = {modality: 1 << number for number, modality in enumerate(MODALITIES)}


class CatalogueEntry(msgspec.Struct, array_like=True):
    """What a space knows of one clip.

    ``uploaded_at_ms`` is the upload's time; ``log_partition`` and ``log_offset`` name the record that it comes from.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    uploaded_at_ms: int
    log_partition: int
    log_offset: int
    modalities: tuple[Modality, ...]


class Catalogue:
    """Clips under dense ids 0, 1, 2, … in the order of their first application; an id is never given twice."""

    def __init__(self, entries: Iterable[CatalogueEntry] = ()) -> None:
        self._entries: list[CatalogueEntry | None] = []
        self._ids: dict[str, int] = {}
        self._presence = array("B")
        self._of_challenge: dict[str, array[int]] = {}
        self._of_dancer: dict[str, array[int]] = {}
        for entry in entries:
            self.put(entry)

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, clip_id: str) -> CatalogueEntry | None:
        clip = self._ids.get(clip_id)
        return None if clip is None else self._entries[clip]

    def entries(self) -> list[CatalogueEntry]:
        """Of all clips, in the order of their clip ids."""
        return sorted((entry for entry in self._entries if entry is not None), key=lambda entry: entry.clip_id)

    def put(self, entry: CatalogueEntry) -> int:
        """Add a clip, or replace what is known of it; returns its id."""
        clip = self._ids.setdefault(entry.clip_id, len(self._entries))
        if clip == len(self._entries):
            self._skip_id()
        before = self._entries[clip]
        self._entries[clip], self._presence[clip] = entry, _bits(entry)
        self._regroup(clip, before, entry)
        return clip

    def delete(self, clip_id: str) -> int | None:
        """Forget a clip; returns the id that it had, which stays unused, or ``None`` if it was not here."""
        clip = self._ids.pop(clip_id, None)
        if clip is None:
            return None
        before, self._entries[clip], self._presence[clip] = self._entries[clip], None, 0
        self._regroup(clip, before, None)
        return clip

    def entry(self, clip: int) -> CatalogueEntry:
        """The clip with int64 id ``clip``. Raises ``KeyError`` for one that was deleted."""
        entry = self._entries[clip]
        if entry is None:
            raise KeyError(clip)
        return entry

    def id_of(self, clip_id: str) -> int:
        """Raises ``NotFound`` naming ``clip_id``."""
        try:
            return self._ids[clip_id]
        except KeyError:
            raise NotFound(f"clip {clip_id} is not known here", field="clip_id") from None

    def ids_of_challenge(self, challenge_id: str) -> Int64:
        """Ids of the challenge's clips. Raises ``NotFound`` naming ``challenge_id``."""
        return _members(self._of_challenge, "challenge", challenge_id)

    def ids_of_dancer(self, dancer_id: str) -> Int64:
        """Ids of the dancer's clips. Raises ``NotFound`` naming ``dancer_id``."""
        return _members(self._of_dancer, "dancer", dancer_id)

    def having(self, modality: Modality, ids: Int64) -> Bool:
        """Which of the clips ``ids`` (N,) have the modality, (N,)."""
        if not len(ids):
            return np.empty(0, bool)
        having: Bool = (np.frombuffer(self._presence, np.uint8)[ids] & _BIT[modality]) != 0
        return having

    def encode(self) -> bytes:
        """For ``decode``."""
        return msgspec.msgpack.encode(self._entries)

    @classmethod
    def decode(cls, raw: bytes) -> "Catalogue":
        """Raises ``SnapshotError``."""
        try:
            entries = msgspec.msgpack.decode(raw, type=list[CatalogueEntry | None])
        except msgspec.DecodeError as error:
            raise SnapshotError(f"the catalogue cannot be read ({error}); delete the snapshot") from error
        catalogue = cls()
        for entry in entries:
            if entry is not None:
                catalogue.put(entry)
            else:
                catalogue._skip_id()
        return catalogue

    def _regroup(self, clip: int, before: CatalogueEntry | None, after: CatalogueEntry | None) -> None:
        for groups, field in ((self._of_challenge, "challenge_id"), (self._of_dancer, "dancer_id")):
            _move(groups, clip, getattr(before, field, None), getattr(after, field, None))

    def _skip_id(self) -> None:
        self._entries.append(None)
        self._presence.append(0)


def _bits(entry: CatalogueEntry) -> int:
    return sum(_BIT[modality] for modality in entry.modalities)


def _members(groups: dict[str, "array[int]"], kind: str, name: str) -> Int64:
    members = groups.get(name)
    if not members:
        raise NotFound(f"{kind} {name} is not known here", field=f"{kind}_id")
    return np.array(members, np.int64)


def _move(groups: dict[str, "array[int]"], clip: int, before: str | None, after: str | None) -> None:
    """From one group into another; ``None`` is none."""
    if before == after:
        return
    if before is not None:
        groups[before].remove(clip)
        if not groups[before]:
            del groups[before]
    if after is not None:
        groups.setdefault(after, array("q")).append(clip)
