"""The folder of segments that the snapshots of an index view share: each is written once."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ranking.vectors.backends.port import SegmentFile
from ranking.vectors.files import listed, sync, sync_folder
from ranking.vectors.manifest import SnapshotFile, check_segment_name

_FOLDER: Final = "segments"
_PARTIAL: Final = ".partial-"


class SegmentFolder:
    """``segments`` under the root of the snapshots. A file there never changes; it goes once no snapshot names it."""

    def __init__(self, root: Path) -> None:
        self._folder = root / _FOLDER

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
