"""What a checkpoint's file says of itself, read without torch."""

from pathlib import Path
from typing import Final

import msgspec
from safetensors import SafetensorError, safe_open

from schemas.errors import CheckpointError
from schemas.local_files import check_is_file
from schemas.virality_target import FittedTarget

FORMAT: Final = "dancerank-framework/1"
TARGET: Final = "virality_target"
"""Metadata of the target that was learned, absent in checkpoints of ``eq1``."""


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of the checkpoint at ``path``. Raises ``CheckpointError`` naming the file if it is absent, truncated
    or of another format.
    """
    try:
        check_is_file(path)
        with safe_open(path, framework="np") as file:  # as "pt" it takes no path that is not UTF-8
            metadata = file.metadata() or {}
    except OSError as error:
        raise CheckpointError(f"{path}: no readable checkpoint ({error.strerror})") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path}: no readable checkpoint ({error}); copy it again, or train it again") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: not a {FORMAT} file but {metadata.get('format')!r}; train it with this release")
    return metadata


def read_target(path: Path) -> FittedTarget:
    """The target that the checkpoint at ``path`` has learned. Raises ``CheckpointError`` as ``read_metadata``."""
    try:
        return FittedTarget.from_json(read_metadata(path).get(TARGET))
    except msgspec.DecodeError as error:
        raise CheckpointError(f"{path}: its virality target cannot be read ({error}); train it again") from error
