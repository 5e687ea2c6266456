"""What the catalogue writes into snapshots: columns of the clips in some rows."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from ranking.vectors.groups import GroupNumbers
from schemas.errors import SnapshotError
from schemas.escaping import shortened
from schemas.ports import Int64, UInt32

_NO_CLIP: Final = 0


class _Written(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Little-endian columns, and the names that the numbers of challenges, dancers and styles stand for, from 1."""

    rows: bytes
    clip_ids: list[str]
    challenge_numbers: bytes
    challenge_names: list[str]
    dancer_numbers: bytes
    dancer_names: list[str]
    uploaded_at_ms: bytes
    log_partitions: bytes
    log_offsets: bytes
    presence: bytes
    style_numbers: bytes
    style_names: list[str]


class CatalogueBlock(msgspec.Struct, frozen=True):
    """What a catalogue knows of the clips in ``rows``; arrays and lists of N rows.

    ``challenges`` are 0 in a row that holds no clip, ``styles`` also for a clip without one. ``presence`` has a bit for
    each modality.
    """

    rows: Int64
    clip_ids: list[str]
    challenges: GroupNumbers
    dancers: GroupNumbers
    uploaded_at_ms: Int64
    log_partitions: Int64
    log_offsets: Int64
    presence: UInt32
    styles: GroupNumbers

    def __len__(self) -> int:
        return len(self.rows)

    def encoded(self) -> bytes:
        """For ``read_block``."""
        return msgspec.msgpack.encode(
            _Written(
                self.rows.astype("<u4").tobytes(),
                self.clip_ids,
                self.challenges.numbers.astype("<u4").tobytes(),
                self.challenges.names,
                self.dancers.numbers.astype("<u4").tobytes(),
                self.dancers.names,
                self.uploaded_at_ms.astype("<i8").tobytes(),
                self.log_partitions.astype("<i4").tobytes(),
                self.log_offsets.astype("<i8").tobytes(),
                self.presence.astype("<u4").tobytes(),
                self.styles.numbers.astype("<u4").tobytes(),
                self.styles.names,
            )
        )


def read_block(content: bytes) -> CatalogueBlock:
    """Raises ``SnapshotError``."""
    try:
        return _read(content)
    except ValueError as error:
        problem = shortened(str(error))
        raise SnapshotError(f"the catalogue cannot be read ({problem}); delete the snapshot") from error


def merged(blocks: Sequence[CatalogueBlock]) -> CatalogueBlock:
    """One block of the rows that hold a clip, each as the last of ``blocks`` that has it says."""
    if len(blocks) == 1 and blocks[0].challenges.numbers.all():
        return blocks[0]
    rows = np.concatenate([block.rows for block in blocks]) if blocks else np.empty(0, np.int64)
    numbers = np.concatenate([block.challenges.numbers for block in blocks]) if blocks else np.empty(0, np.uint32)
    _, from_end = np.unique(rows[::-1], return_index=True)
    last = len(rows) - 1 - from_end
    last = last[numbers[last] != _NO_CLIP]
    clip_ids = [clip_id for block in blocks for clip_id in block.clip_ids]

    def column(name: str, dtype: str) -> npt.NDArray[Any]:
        every = [getattr(block, name) for block in blocks]
        values: npt.NDArray[Any] = (np.concatenate(every) if every else np.empty(0, dtype))[last]
        return values

    return CatalogueBlock(
        rows=rows[last],
        clip_ids=[clip_ids[place] for place in last.tolist()],
        challenges=_of_all([block.challenges for block in blocks], last),
        dancers=_of_all([block.dancers for block in blocks], last),
        uploaded_at_ms=column("uploaded_at_ms", "<i8"),
        log_partitions=column("log_partitions", "<i8"),
        log_offsets=column("log_offsets", "<i8"),
        presence=column("presence", "<u4"),
        styles=_of_all([block.styles for block in blocks], last),
    )


def _of_all(blocks: Sequence[GroupNumbers], places: Int64) -> GroupNumbers:
    """The groups of blocks, one after the other, in ``places``; without names that are in none of these. 0 stays 0."""
    number_of: dict[str, int] = {}
    columns: list[UInt32] = [np.empty(0, np.uint32)]
    for block in blocks:
        own = [number_of.setdefault(name, len(number_of) + 1) for name in block.names]
        columns.append(np.array([0, *own], np.uint32)[block.numbers])
    used, numbers = np.unique(np.concatenate(columns)[places], return_inverse=True)
    names = list(number_of)
    first = 0 if len(used) and used[0] == 0 else 1
    return GroupNumbers(numbers.astype(np.uint32) + first, [names[number - 1] for number in used.tolist() if number])


def _read(content: bytes) -> CatalogueBlock:
    written = msgspec.msgpack.decode(content, type=_Written)
    block = CatalogueBlock(
        rows=np.frombuffer(written.rows, "<u4").astype(np.int64),
        clip_ids=written.clip_ids,
        challenges=_groups(written.challenge_numbers, written.challenge_names),
        dancers=_groups(written.dancer_numbers, written.dancer_names),
        uploaded_at_ms=np.frombuffer(written.uploaded_at_ms, "<i8").astype(np.int64),
        log_partitions=np.frombuffer(written.log_partitions, "<i4").astype(np.int64),
        log_offsets=np.frombuffer(written.log_offsets, "<i8").astype(np.int64),
        presence=np.frombuffer(written.presence, "<u4").astype(np.uint32),
        styles=_groups(written.style_numbers, written.style_names),
    )
    columns = [getattr(block, name) for name in block.__struct_fields__]
    lengths = {len(each.numbers if isinstance(each, GroupNumbers) else each) for each in columns}
    if len(lengths) != 1:
        raise ValueError(f"its columns have {sorted(lengths)} rows")
    if not np.array_equal(block.challenges.numbers == _NO_CLIP, block.dancers.numbers == _NO_CLIP):
        raise ValueError("a clip has no challenge or no dancer")
    if (np.diff(block.rows) <= 0).any():
        raise ValueError("its rows do not ascend")
    return block


def _groups(numbers: bytes, names: list[str]) -> GroupNumbers:
    groups = GroupNumbers(np.frombuffer(numbers, "<u4").astype(np.uint32), names)
    if groups.numbers.max(initial=0) > len(names):
        raise ValueError("a group has no name")
    return groups
