"""Where a bundle may be written, decided without torch."""

from pathlib import Path

from schemas.bundle import MANIFEST_NAME
from schemas.errors import BundleError


def check_bundle_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise ``BundleError`` if ``folder`` exists, unless it may be overwritten and holds a bundle or nothing."""
    if not folder.exists():
        return
    if not overwrite:
        raise BundleError(f"{folder}: exists already; choose another folder or ask for it to be overwritten")
    if not (folder / MANIFEST_NAME).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BundleError(f"{folder}: holds something other than a bundle; it is not overwritten")
