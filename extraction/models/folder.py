"""The folder of the networks, and how a network gets into it: whole, or not at all."""

import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from extraction.models.manifest import ModelManifest, graph_path, manifest_path
from schemas.errors import ConfigurationError

FOLDER_VARIABLE: Final = "XDG_CACHE_HOME"


def default_folder() -> Path:
    """``dancerank/extractors`` in the user's cache folder: ``XDG_CACHE_HOME``, otherwise ``~/.cache``."""
    cache = os.environ.get(FOLDER_VARIABLE, "")
    return (Path(cache) if Path(cache).is_absolute() else Path.home() / ".cache") / "dancerank" / "extractors"


def install(folder: Path, manifest: ModelManifest, graph: bytes) -> None:
    """Write a network into ``folder``. A process that reads at the same time finds the old one, the new one, or,
    between the two files, a checksum that does not match.

    Raises ``ConfigurationError`` naming a file that cannot be written.
    """
    write_whole(graph_path(folder, manifest.name), graph)
    write_whole(
        manifest_path(folder, manifest.name), msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"
    )


def installed(folder: Path) -> list[str]:
    """Names of the networks in ``folder``, sorted; none if there is no such folder."""
    return sorted(path.stem for path in folder.glob("*.json"))


def write_whole(path: Path, content: bytes) -> None:
    """Replace ``path`` by ``content`` in one step. Raises ``ConfigurationError`` if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            Path(unfinished).chmod(0o644)
            Path(unfinished).replace(path)
        except BaseException:
            Path(unfinished).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ConfigurationError(
            f"{path}: cannot be written ({error.strerror}); choose another folder: extraction.models_folder",
            field="extraction.models_folder",
        ) from error
