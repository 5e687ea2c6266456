"""Which clips an embedding space holds: their dancers, challenges and modalities, and a row number for each."""

from array import array
from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from ranking.vectors.groups import Groups
from schemas.errors import NotFound, SnapshotError
from schemas.escaping import shortened
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Int64

Bool = npt.NDArray[np.bool_]
_NOT_HELD: Final = -1
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
    """Clips in rows 0, 1, 2, …: ``RowNumbers`` of its space.

    A clip keeps its row until it is deleted, across snapshots too; then another clip may get it.
    """

    def __init__(self, entries: Iterable[CatalogueEntry] = ()) -> None:
        self._entries: list[CatalogueEntry | None] = []
        self._clip_ids: list[str] = []
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._reserved: dict[str, int] = {}
        self._presence = array("I")
        self._uploaded_ms = array("q")
        self._challenges, self._dancers = Groups(), Groups()
        for entry in entries:
            self.put(entry)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, clip_id: str) -> CatalogueEntry | None:
        row = self._rows.get(clip_id)
        return None if row is None else self._entries[row]

    def entries(self) -> list[CatalogueEntry]:
        """Rows of all clips, in the order of their clip ids."""
        return sorted((entry for entry in self._entries if entry is not None), key=lambda entry: entry.clip_id)

    def put(self, entry: CatalogueEntry) -> None:
        """Add a clip, or replace what is known of it."""
        row = self.reserve(entry.clip_id)
        self._reserved.pop(entry.clip_id, None)
        self._rows[entry.clip_id] = row
        self._set(row, entry)

    def reserve(self, clip_id: str) -> int:
        """The row of a clip, which a clip that is not held has once it is put; until then it is not held."""
        row = self._rows.get(clip_id)
        if row is None:
            row = self._reserved.get(clip_id)
        if row is None:
            row = self._reserved[clip_id] = self._free.pop() if self._free else len(self._entries)
            if row == len(self._entries):
                self._entries.append(None)
                self._clip_ids.append("")
                self._presence.append(0)
                self._uploaded_ms.append(_NOT_HELD)
                self._challenges.extend(1)
                self._dancers.extend(1)
            self._clip_ids[row] = clip_id
        return row

    def delete(self, clip_id: str) -> None:
        """Remove a clip; nothing happens if it is not held."""
        row = self._rows.pop(clip_id, None)
        if row is not None:
            self._set(row, None)
        else:
            row = self._reserved.pop(clip_id, None)
        if row is not None:
            self._free.append(row)

    def entry(self, row: int) -> CatalogueEntry:
        """Raises ``KeyError`` for the row of a clip that was deleted."""
        entry = self._entries[row]
        if entry is None:
            raise KeyError(row)
        return entry

    def clip_ids(self, rows: Int64) -> list[str]:
        """Ids of the clips in ``rows`` (N,)."""
        return [*map(self._clip_ids.__getitem__, rows.tolist())]

    def row_of(self, clip_id: str) -> int:
        """Raises ``NotFound`` naming ``clip_id``."""
        try:
            return self._rows[clip_id]
        except KeyError:
            raise NotFound(f"clip {clip_id} is not known here", field="clip_id") from None

    def find(self, clip_ids: Collection[str]) -> Int64:
        """Rows (B,) in the order asked, those that are only reserved included; -1 for a clip that has none."""
        rows = np.array([*map(self._rows.get, clip_ids, repeat(-1))], np.int64)
        if self._reserved:
            for number, clip_id in enumerate(clip_ids):
                rows[number] = self._reserved.get(clip_id, rows[number])
        return rows

    def rows_of(self, clip_ids: Sequence[str]) -> Int64:
        """Rows of those of the clips that are held."""
        rows = np.array([*map(self._rows.get, clip_ids, repeat(-1))], np.int64)
        return rows[rows >= 0]

    def rows_of_challenges(self, challenge_ids: Iterable[str], field: str = "challenge_id") -> Int64:
        """Rows of the clips in any of the challenges, ascending. Raises ``NotFound`` naming ``field``."""
        return _rows(self._challenges, challenge_ids, "challenge", field)

    def rows_of_dancers(self, dancer_ids: Iterable[str], field: str = "dancer_id") -> Int64:
        """Rows of the clips of any of the dancers, ascending. Raises ``NotFound`` naming ``field``."""
        return _rows(self._dancers, dancer_ids, "dancer", field)

    def of_dancers(self, rows: Int64, dancer_ids: Iterable[str]) -> Bool:
        """Which of the clips in ``rows`` (N,) are of one of the dancers, (N,), who need not be known."""
        return self._dancers.having(rows, dancer_ids)

    def clips_of_dancer(self, dancer_id: str) -> int:
        """0 for a dancer who is not known."""
        return self._dancers.size(dancer_id)

    def all_rows(self) -> Int64:
        """Rows of all clips that are held, ascending."""
        return np.flatnonzero(np.frombuffer(self._uploaded_ms, np.int64) != _NOT_HELD)

    def uploaded_at_ms(self, rows: Int64) -> Int64:
        """When the clips in ``rows`` (N,) were uploaded, (N,)."""
        return np.frombuffer(self._uploaded_ms, np.int64)[rows]

    def having(self, modality: Modality, rows: Int64) -> Bool:
        """Which of the clips in ``rows`` (N,) have the modality, (N,)."""
        if not len(rows):
            return np.empty(0, bool)
        having: Bool = (np.frombuffer(self._presence, np.uintc)[rows] & _BIT[modality]) != 0
        return having

    def encode(self) -> bytes:
        """For ``decode``."""
        return msgspec.msgpack.encode(self._entries)

    @classmethod
    def decode(cls, raw: bytes) -> "Catalogue":
        """Raises ``SnapshotError``."""
        try:
            entries = msgspec.msgpack.decode(raw, type=list[CatalogueEntry | None])
            if len({entry.clip_id for entry in entries if entry is not None}) + entries.count(None) != len(entries):
                raise ValueError("a clip is in it twice")
        except ValueError as error:
            problem = shortened(str(error))
            raise SnapshotError(f"the catalogue cannot be read ({problem}); delete the snapshot") from error
        held = cls()
        held._entries = [None] * len(entries)
        held._clip_ids = ["" if entry is None else entry.clip_id for entry in entries]
        held._presence = array("I", bytes(4 * len(entries)))
        held._uploaded_ms = array("q", [_NOT_HELD]) * len(entries)
        held._challenges.extend(len(entries))
        held._dancers.extend(len(entries))
        for row, entry in enumerate(entries):
            if entry is None:
                held._free.append(row)
            else:
                held._rows[entry.clip_id] = row
                held._set(row, entry)
        return held

    def _set(self, row: int, after: CatalogueEntry | None) -> None:
        before, self._entries[row] = self._entries[row], after
        self._uploaded_ms[row] = _NOT_HELD if after is None else after.uploaded_at_ms
        self._presence[row] = 0 if after is None else sum(_BIT[modality] for modality in after.modalities)
        for groups, field in ((self._challenges, "challenge_id"), (self._dancers, "dancer_id")):
            groups.move(row, getattr(before, field, None), getattr(after, field, None))


def _rows(groups: Groups, names: Iterable[str], noun: str, field: str) -> Int64:
    asked = [*names]
    for name in asked:
        if name not in groups:
            raise NotFound(f"{noun} {name} is not known here", field=field)
    return groups.rows(asked)
