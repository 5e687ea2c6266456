"""Files that are there completely or not at all, whatever moment the process is killed at."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

DRAFT_SUFFIX: Final = ".draft"
"""Files of this name, with a dot in front, are what a killed process had not finished."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to, in the folder of ``path``, that takes its place once the block has ended without an error."""
    draft = path.with_name(f".{path.name}.{os.getpid()}{DRAFT_SUFFIX}")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
