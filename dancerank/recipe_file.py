"""The file of a recipe and the folders that commands write to, checked before torch is imported."""

import os
import tomllib
from pathlib import Path
from typing import Any, Final

from schemas.errors import ConfigurationError
from schemas.escaping import shortened
from schemas.toml_documents import parse_toml

TABLES: Final = ("network", "training")
_MAX_QUOTED: Final = 80


def read_tables(path: Path | None) -> dict[str, dict[str, Any]]:
    """The tables of a recipe, none without a file. Raises ``ConfigurationError`` naming the file, and a table that no
    recipe has.
    """
    if path is None:
        return {}
    try:
        tables = parse_toml(path.read_text("utf-8-sig"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{path}: no readable TOML file ({shortened(str(error))})") from error
    for name, table in tables.items():
        if name not in TABLES or not isinstance(table, dict):
            raise ConfigurationError(
                f"{path}: {shortened(repr(name), _MAX_QUOTED)} is not a table of a recipe; "
                "allowed: [network], [training]"
            )
    return tables


def check_folder_to_write(folder: Path) -> None:
    """Raise ``ConfigurationError`` if ``folder`` cannot be made or written to; nothing is made."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise ConfigurationError(f"{folder} cannot be made, for {there} is not a folder; choose another folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{folder} cannot be written to, for {there} is read-only; choose another folder")


def check_file_to_write(path: Path, option: str) -> None:
    """Raise ``ConfigurationError`` naming the option if ``path`` cannot be written; nothing is written."""
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise ConfigurationError(f"--{option} {path} is not a file in an existing folder; name one", field=option)
    if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigurationError(f"--{option} {path} cannot be written (read-only); name another", field=option)
