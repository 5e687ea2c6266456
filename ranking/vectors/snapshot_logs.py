"""What of the index view is appended from snapshot to snapshot: the clips of each generation, and the deletions."""

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from ranking.vectors.catalogue import Catalogue
from ranking.vectors.catalogue_block import merged, read_block
from ranking.vectors.change_log import ChangeLog, blocks
from schemas.errors import SnapshotError
from schemas.escaping import shortened

log = logging.getLogger(__name__)

_CATALOGUE: Final = "catalogue"
_DELETIONS: Final = "deletions"


class SnapshotLogs:
    """A log for the catalogue of each generation, and one for the deletions.

    ``take`` adds what has changed since it was called last, or everything to a log that is new because there was none,
    or because its file was lost.
    """

    def __init__(self) -> None:
        self._catalogues: dict[str, ChangeLog] = {}
        self._deletions: ChangeLog | None = None
        self._undeclared: list[str] = []

    @classmethod
    def restored(cls, catalogues: Mapping[str, tuple[str, bytes]], deletions: tuple[str, bytes]) -> "SnapshotLogs":
        """The logs of a snapshot: of each the name and the content, catalogues by generation."""
        made = cls()
        made._catalogues = {
            generation: ChangeLog.restored(_CATALOGUE, name, content)
            for generation, (name, content) in catalogues.items()
            if name
        }
        name, content = deletions
        made._deletions = ChangeLog.restored(_DELETIONS, name, content) if name else ChangeLog(_DELETIONS)
        return made

    def catalogue(self, generation: str) -> str:
        """The name of a log that was taken; empty as long as it is."""
        return _name(self._catalogues[generation])

    @property
    def deletions(self) -> str:
        """Likewise."""
        return "" if self._deletions is None else _name(self._deletions)

    def all(self) -> list[ChangeLog]:
        """Those that a snapshot writes."""
        logs = [*self._catalogues.values(), *([] if self._deletions is None else [self._deletions])]
        return [each for each in logs if not each.is_empty]

    def declare(self, clip_ids: Iterable[str]) -> None:
        """Have the next ``take`` append deletions."""
        self._undeclared += clip_ids

    def take(self, catalogues: Mapping[str, Catalogue], deleted: Collection[str]) -> None:
        """Add what has changed, while nothing changes; generations that are no longer held are left out."""
        taken: dict[str, ChangeLog] = {}
        for generation, catalogue in catalogues.items():
            changes = catalogue.unwritten()
            taken[generation] = self._catalogues.get(generation) or ChangeLog(_CATALOGUE)
            if generation not in self._catalogues:
                changes = catalogue.block()
            if len(changes):
                taken[generation].add(changes.encoded())
        self._catalogues = taken
        if self._deletions is None:
            self._deletions, self._undeclared = ChangeLog(_DELETIONS), sorted(deleted)
        if self._undeclared:
            self._deletions.add(msgspec.msgpack.encode(self._undeclared))
            self._undeclared = []

    def find(self, folder: Path) -> None:
        """Forget the logs whose files are gone from ``folder``."""
        self._catalogues = {name: each for name, each in self._catalogues.items() if each.is_in(folder)}
        if self._deletions is not None and not self._deletions.is_in(folder):
            self._deletions = None

    def shrink(self, folder: Path, *, all_of_them: bool) -> None:
        """Begin new logs of the clips that are held, in place of those that consist mostly of what is outdated, or of
        all. It reads files and may run beside changes. Raises ``OSError``.
        """
        for generation, each in [*self._catalogues.items()]:
            if all_of_them or each.is_mostly_outdated:
                try:
                    self._catalogues[generation] = each.rewritten(folder, _merged)
                except SnapshotError as error:
                    log.warning("the next snapshot writes the whole catalogue of %s: %s", shortened(generation), error)
                    del self._catalogues[generation]


def read_catalogue(content: bytes) -> Catalogue:
    """The clips that a log says. Raises ``SnapshotError``."""
    return Catalogue.of(merged([read_block(block) for block in _blocks(content)]))


def read_deletions(content: bytes) -> set[str]:
    """The clips that a log names. Raises ``SnapshotError``."""
    try:
        return {clip_id for block in _blocks(content) for clip_id in msgspec.msgpack.decode(block, type=list[str])}
    except ValueError as error:
        raise SnapshotError(f"the deletions cannot be read ({shortened(str(error))}); delete the snapshot") from error


def _name(of: ChangeLog) -> str:
    return "" if of.is_empty else of.name


def _merged(written: Sequence[bytes]) -> bytes:
    return merged([read_block(block) for block in written]).encoded()


def _blocks(content: bytes) -> list[bytes]:
    try:
        return blocks(content)
    except ValueError as error:
        raise SnapshotError(f"a log cannot be read ({error}); delete the snapshot") from error
