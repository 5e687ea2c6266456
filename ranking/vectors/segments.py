"""The folder of segments that the snapshots of an index view share: each is written once."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from ranking.vectors.backends.port import SegmentFile
from ranking.vectors.change_log import ChangeLog
from ranking.vectors.files import listed, sync, sync_folder
from ranking.vectors.manifest import SnapshotFile, check_segment_name

SEGMENTS: Final = "segments"
"""The folder's name."""
_PARTIAL: Final = ".partial-"


class SegmentFolder:
    """``segments`` under the root of the snapshots. A segment never changes, a log only grows.

    Either is deleted once no snapshot names it.
    """

    def __init__(self, root: Path) -> None:
        self._folder: Final = root / SEGMENTS

    def path(self, name: str) -> Path:
        return self._folder / name

    def missing(self, segments: Mapping[str, SegmentFile], held: Mapping[str, SnapshotFile]) -> dict[str, SegmentFile]:
        """Those to be written: not among the ``held`` ones of snapshots, or gone since, or of another size."""
        return {name: segment for name, segment in segments.items() if not self._holds(name, held.get(name))}

    def write(self, segments: Mapping[str, SegmentFile]) -> dict[str, SnapshotFile]:
        """Write segments; none is there under its name before it is whole. Raises ``OSError``."""
        if not segments:
            return {}
        self._folder.mkdir(exist_ok=True)
        written: dict[str, SnapshotFile] = {}
        for name, segment in segments.items():
            check_segment_name(name)
            partial = self._folder / f"{_PARTIAL}{name}"
            partial.unlink(missing_ok=True)
            segment.write(partial)
            sync(partial)
            written[name] = listed(partial)
            partial.replace(self._folder / name)
        sync_folder(self._folder)
        return written

    def append(self, logs: Sequence[ChangeLog]) -> dict[str, SnapshotFile]:
        """Append what is pending of each log; returns what a snapshot holds of it. Raises ``OSError``."""
        if logs:
            self._folder.mkdir(exist_ok=True)
        written = {log.name: log.write(self._folder) for log in logs}
        if logs:
            sync_folder(self._folder)
        return written

    def roll_back(self, logs: Sequence[ChangeLog]) -> None:
        """Undo ``append``."""
        for log in logs:
            log.roll_back(self._folder)

    def keep(self, names: Iterable[str]) -> None:
        """Delete all other files, those that a killed writer left included. Raises ``OSError``."""
        kept = set(names)
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                if path.name not in kept and path.is_file():
                    path.unlink()
            if not kept and not any(self._folder.iterdir()):
                self._folder.rmdir()

    def _holds(self, name: str, written: SnapshotFile | None) -> bool:
        try:
            return written is not None and self.path(name).stat().st_size == written.size_bytes
        except OSError:
            return False
