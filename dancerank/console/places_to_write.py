"""Folders and files that commands write to, checked before anything is computed."""

import os
from pathlib import Path

from schemas.errors import ConfigurationError
from schemas.local_files import is_folder


def check_folder_to_write(folder: Path) -> None:
    """Raise ``ConfigurationError`` if ``folder`` cannot be made or written to; nothing is made."""
    there = folder.absolute()
    try:
        while not there.exists():
            there = there.parent
    except OSError as error:
        raise ConfigurationError(f"{folder} cannot be made ({error.strerror}); choose another folder") from error
    if not is_folder(there):
        raise ConfigurationError(f"{folder} cannot be made, for {there} is not a folder; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{folder} cannot be written to, for {there} is read-only; choose another folder")


def check_file_to_write(path: Path, option: str) -> None:
    """Raise ``ConfigurationError`` naming the option if ``path`` cannot be written; nothing is written."""
    try:
        there = path.exists()
    except OSError as error:
        problem = f"--{option} {path} cannot be written ({error.strerror}); name another"
        raise ConfigurationError(problem, field=option) from error
    if is_folder(path) or not is_folder(path.absolute().parent):
        raise ConfigurationError(f"--{option} {path} is not a file in an existing folder; name one", field=option)
    if not os.access(path if there else path.absolute().parent, os.W_OK):
        raise ConfigurationError(f"--{option} {path} cannot be written (read-only); name another", field=option)
