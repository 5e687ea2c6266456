"""Which clips an embedding space holds: their dancers, challenges and modalities, and a row number for each."""

from collections.abc import Collection, Iterable, Sequence
from itertools import repeat
from typing import Final

import msgspec
import numpy as np
from pyroaring import BitMap

from ranking.vectors.catalogue_block import CatalogueBlock
from ranking.vectors.columns import Column
from ranking.vectors.groups import Groups
from ranking.vectors.row_changes import RowChanges
from schemas.errors import NotFound, SnapshotError
from schemas.modalities import MODALITIES, Modality
from schemas.ports import Bool, Int64, UInt32

_BIT: Final = {modality: 1 << number for number, modality in enumerate(MODALITIES)}


class CatalogueEntry(msgspec.Struct, array_like=True):
    """What a space knows of one clip.

    ``uploaded_at_ms`` is the upload's time; ``log_partition`` and ``log_offset`` name the record that it comes from.
    ``style``: as ``ranking.views.clip_styles`` has it.
    """

    clip_id: str
    dancer_id: str
    challenge_id: str
    uploaded_at_ms: int
    log_partition: int
    log_offset: int
    modalities: tuple[Modality, ...]
    style: str | None = None


class Catalogue:
    """Clips in rows 0, 1, 2, …: ``RowNumbers`` of its space.

    A clip keeps its row until it is deleted, across snapshots too; then another clip may get it. All that is known of
    the clips is in columns, and a change takes the same time however many there are.
    """

    def __init__(self, entries: Iterable[CatalogueEntry] = ()) -> None:
        self._clip_ids: list[str] = []  # "" in a row without a clip
        self._rows: dict[str, int] = {}
        self._free: list[int] = []
        self._reserved: dict[str, int] = {}
        self._challenges, self._dancers, self._styles = Groups(), Groups(), Groups()
        self._uploaded_ms, self._offsets = Column(np.int64, 0), Column(np.int64, 0)
        self._partitions, self._presence = Column(np.int32, 0), Column(np.uint32, 0)
        self._having = dict.fromkeys(MODALITIES, 0)
        self._unwritten = BitMap()
        self._changes = RowChanges()
        for entry in entries:
            self.put(entry)

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, clip_id: str) -> CatalogueEntry | None:
        row = self._rows.get(clip_id)
        return None if row is None else self.entry(row)

    def entries(self) -> list[CatalogueEntry]:
        """Rows of all clips, in the order of their clip ids."""
        return [self.entry(row) for _, row in sorted(self._rows.items())]

    def put(self, entry: CatalogueEntry) -> None:
        """Add a clip, or replace what is known of it."""
        row = self.reserve(entry.clip_id)
        self._reserved.pop(entry.clip_id, None)
        self._rows[entry.clip_id] = row
        self._challenges.move(row, entry.challenge_id)
        self._dancers.move(row, entry.dancer_id)
        self._styles.move(row, entry.style)
        self._uploaded_ms[row] = entry.uploaded_at_ms
        self._partitions[row], self._offsets[row] = entry.log_partition, entry.log_offset
        presence = sum(_BIT[modality] for modality in entry.modalities)
        self._count(int(self._presence[row]), presence)
        self._presence[row] = presence
        self._changed(row)

    def reserve(self, clip_id: str) -> int:
        """The row of a clip, which a clip that is not held has once it is put; until then it is not held."""
        row = self._rows.get(clip_id)
        if row is None:
            row = self._reserved.get(clip_id)
        if row is None:
            row = self._reserved[clip_id] = self._free.pop() if self._free else len(self._clip_ids)
            if row == len(self._clip_ids):
                self._clip_ids.append("")
                for column in (self._challenges, self._dancers, self._styles, *self._columns()):
                    column.extend(1)
            self._clip_ids[row] = clip_id
        return row

    def delete(self, clip_id: str) -> None:
        """Remove a clip; nothing happens if it is not held."""
        row = self._rows.pop(clip_id, None)
        if row is not None:
            for groups in (self._challenges, self._dancers, self._styles):
                groups.move(row, None)
            self._count(int(self._presence[row]), 0)
            for column in self._columns():
                column[row] = 0
            self._changed(row)
        else:
            row = self._reserved.pop(clip_id, None)
        if row is not None:
            self._clip_ids[row] = ""
            self._free.append(row)

    def entry(self, row: int) -> CatalogueEntry:
        """Raises ``KeyError`` for the row of a clip that was deleted."""
        challenge_id, dancer_id = self._challenges.name(row), self._dancers.name(row)
        if challenge_id is None or dancer_id is None:
            raise KeyError(row)
        presence = int(self._presence[row])
        return CatalogueEntry(
            clip_id=self._clip_ids[row],
            dancer_id=dancer_id,
            challenge_id=challenge_id,
            uploaded_at_ms=int(self._uploaded_ms[row]),
            log_partition=int(self._partitions[row]),
            log_offset=int(self._offsets[row]),
            modalities=tuple(modality for modality in MODALITIES if presence & _BIT[modality]),
            style=self._styles.name(row),
        )

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
        return _members(self._challenges, challenge_ids, "challenge", field)

    def rows_of_dancers(self, dancer_ids: Iterable[str], field: str = "dancer_id") -> Int64:
        """Rows of the clips of any of the dancers, ascending. Raises ``NotFound`` naming ``field``."""
        return _members(self._dancers, dancer_ids, "dancer", field)

    def rows_of_style(self, style: str, field: str = "style") -> Int64:
        """Rows of the clips that show a dance style, ascending. Raises ``NotFound`` naming ``field``."""
        return _members(self._styles, [style], "style", field)

    def of_challenges(self, rows: Int64, challenge_ids: Iterable[str]) -> Bool:
        """Which of the clips in ``rows`` (N,) are in one of the challenges, (N,), which need not be known."""
        return self._challenges.having(rows, challenge_ids)

    def of_dancers(self, rows: Int64, dancer_ids: Iterable[str]) -> Bool:
        """Which of the clips in ``rows`` (N,) are of one of the dancers, (N,), who need not be known."""
        return self._dancers.having(rows, dancer_ids)

    def of_style(self, rows: Int64, style: str) -> Bool:
        """Which of the clips in ``rows`` (N,) show a dance style, (N,), which need not be known."""
        return self._styles.having(rows, [style])

    def dancers(self) -> Iterable[str]:
        """All whose clips are held."""
        return self._dancers.names()

    def clips_of_dancer(self, dancer_id: str) -> int:
        """0 for a dancer who is not known."""
        return self._dancers.size(dancer_id)

    def all_rows(self) -> Int64:
        """Rows of all clips that are held, ascending."""
        return np.flatnonzero(self._challenges.in_any())

    def uploaded_at_ms(self, rows: Int64) -> Int64:
        """When the clips in ``rows`` (N,) were uploaded, (N,)."""
        uploaded: Int64 = self._uploaded_ms.values[rows]
        return uploaded

    def having(self, modality: Modality, rows: Int64) -> Bool:
        """Which of the clips in ``rows`` (N,) have the modality, (N,)."""
        return self.having_any([modality], rows)

    def having_any(self, modalities: Iterable[Modality], rows: Int64) -> Bool:
        """Which of the clips in ``rows`` (N,) have one of the modalities, (N,); a row without a clip has none."""
        having: Bool = (self._presence.values[rows] & sum(_BIT[modality] for modality in modalities)) != 0
        return having

    def clips_having(self, modality: Modality) -> Int64:
        """Rows of all clips that have the modality, ascending."""
        return np.flatnonzero(self._presence.values & _BIT[modality])

    def count_having(self, modality: Modality) -> int:
        """How many clips have the modality, in constant time."""
        return self._having[modality]

    @property
    def changes(self) -> int:
        """Rows that were changed so far, one changed twice counted twice: a moment for ``changed_since``."""
        return self._changes.count

    def changed_since(self, changes: int) -> Int64:
        """Rows whose clip came, changed or went since then, ascending. Raises ``ChangesForgotten``."""
        return self._changes.since(changes)

    def block(self) -> CatalogueBlock:
        """All rows that hold a clip."""
        return self._block(self.all_rows())

    def unwritten(self) -> CatalogueBlock:
        """The rows that have changed since this was called last, or all that were ever used."""
        rows = np.asarray(self._unwritten.to_array(), np.int64)
        self._unwritten = BitMap()
        return self._block(rows)

    @classmethod
    def of(cls, block: CatalogueBlock) -> "Catalogue":
        """The clips of a block that has no row without one. Raises ``SnapshotError``."""
        count = int(block.rows.max(initial=-1)) + 1
        free = np.ones(count, bool)
        free[block.rows] = False
        made = cls()
        made._free = np.flatnonzero(free)[::-1].tolist()
        made._clip_ids = [*block.clip_ids] if count == len(block) else [""] * count
        if count > len(block):
            for row, clip_id in zip(block.rows.tolist(), block.clip_ids, strict=True):
                made._clip_ids[row] = clip_id
        made._rows = dict(zip(block.clip_ids, block.rows.tolist(), strict=True))
        if len(made._rows) != len(block):
            raise SnapshotError("the catalogue cannot be read (a clip is in it twice); delete the snapshot")
        columns = (block.uploaded_at_ms, block.log_offsets, block.log_partitions, block.presence)
        for column, values in zip(made._columns(), columns, strict=True):
            column.extend(count)
            column.values[block.rows] = values
        made._having = {modality: len(made.clips_having(modality)) for modality in MODALITIES}
        try:
            made._challenges, made._dancers, made._styles = (
                Groups.of(_spread(groups.numbers, block.rows, count), groups.names)
                for groups in (block.challenges, block.dancers, block.styles)
            )
        except ValueError as error:
            raise SnapshotError(f"the catalogue cannot be read ({error}); delete the snapshot") from error
        return made

    def _count(self, before: int, now: int) -> None:
        """A clip had the modalities of ``before`` and has those of ``now``."""
        if before != now:
            for modality, bit in _BIT.items():
                self._having[modality] += bool(now & bit) - bool(before & bit)

    def _changed(self, row: int) -> None:
        self._unwritten.add(row)
        self._changes.add(row)

    def _columns(self) -> tuple[Column, Column, Column, Column]:
        return self._uploaded_ms, self._offsets, self._partitions, self._presence

    def _block(self, rows: Int64) -> CatalogueBlock:
        challenges = self._challenges.numbered(rows)
        ids = self.clip_ids(rows)
        return CatalogueBlock(
            rows=rows,
            clip_ids=[clip_id if held else "" for clip_id, held in zip(ids, challenges.numbers.tolist(), strict=True)],
            challenges=challenges,
            dancers=self._dancers.numbered(rows),
            styles=self._styles.numbered(rows),
            uploaded_at_ms=self._uploaded_ms.values[rows],
            log_partitions=self._partitions.values[rows].astype(np.int64),
            log_offsets=self._offsets.values[rows],
            presence=self._presence.values[rows],
        )


def _spread(numbers: UInt32, rows: Int64, count: int) -> UInt32:
    """``numbers`` (N,) in their ``rows`` (N,) of ``count``, 0 in others."""
    spread: UInt32 = np.zeros(count, np.uint32)
    spread[rows] = numbers
    return spread


def _members(groups: Groups, names: Iterable[str], noun: str, field: str) -> Int64:
    asked = [*names]
    for name in asked:
        if name not in groups:
            raise NotFound(f"{noun} {name} is not known here", field=field)
    return groups.rows(asked)
