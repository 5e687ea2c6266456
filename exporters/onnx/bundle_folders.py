"""Where a bundle may be written, and how one that is there is changed; decided without torch."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from schemas.bundle import MANIFEST_NAME, BundleManifest, read_bundle
from schemas.errors import BundleError


def check_bundle_folder(folder: Path, *, overwrite: bool) -> None:
    """Raise ``BundleError`` if ``folder`` exists, unless it may be overwritten and holds a bundle or nothing."""
    check_folder(folder, MANIFEST_NAME, "a bundle", overwrite=overwrite)


def check_folder(folder: Path, manifest: str, what: str, *, overwrite: bool) -> None:
    """Raise ``BundleError`` if ``folder`` exists, unless it may be overwritten and is empty or has the file
    ``manifest`` of ``what``."""
    try:
        if not folder.exists():
            return
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written ({error.strerror}); choose another folder") from error
    if not overwrite:
        raise BundleError(f"{folder}: exists already; choose another folder or ask for it to be overwritten")
    if not (folder / manifest).is_file() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BundleError(f"{folder}: holds something other than {what}; it is not overwritten")


def change_bundle(
    folder: Path, before: BundleManifest, after: BundleManifest, added: Mapping[str, bytes]
) -> BundleManifest:
    """Replace the manifest of the bundle in ``folder`` once the files in ``added``, whose names no other content has,
    are there; then remove the files that it no longer lists. Returns the manifest as it reads.

    A reader finds the bundle as it was or as it will be.
    """
    for name, content in added.items():
        _write(folder / name, content)
    _write(folder / MANIFEST_NAME, msgspec.json.format(msgspec.json.encode(after)) + b"\n")
    for name in sorted(listed_files(before) - listed_files(after)):
        (folder / name).unlink(missing_ok=True)
    return read_bundle(folder).manifest


def listed_files(manifest: BundleManifest) -> set[str]:
    """The names of all files of a bundle, but for the manifest itself."""
    names = {entry.file for entry in (*manifest.files(), *manifest.gradient_files())}
    if manifest.classifier is not None:
        names.add(manifest.classifier.file)
    if manifest.profile.sample is not None:
        names.add(manifest.profile.sample.file)
    return names


def _write(path: Path, content: bytes) -> None:
    """In one step, so that no reader finds half a file."""
    draft = path.with_name(f".{path.name}.draft")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise BundleError(f"{path}: cannot be written ({error.strerror}); make the folder writable") from error
