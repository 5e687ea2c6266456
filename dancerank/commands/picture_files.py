"""Pictures that commands write: the format follows from the name of the file."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from dancerank.console.places_to_write import check_file_to_write
from dancerank.console.terminal import Console
from schemas.errors import ConfigurationError
from schemas.picture_formats import STILL, StillFormat

Format = TypeVar("Format", bound=str)
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File to write a picture to: .png or .svg.")]


def picture_format(out: Path, formats: Sequence[Format]) -> Format:
    """The one of the ``formats`` that the name of ``out`` ends in. Raises ``ConfigurationError`` if it ends in none, or
    cannot be written.
    """
    ending = out.suffix.lower().removeprefix(".")
    found = next((format for format in formats if format == ending), None)
    if found is None:
        *some, last = (f".{format}" for format in formats)
        raise ConfigurationError(f"--out {out} must end in {', '.join(some)} or {last}", field="out")
    check_file_to_write(out, "out")
    return found


def write_picture(console: Console, out: Path, draw: Callable[[StillFormat], bytes]) -> None:
    """Raises as ``picture_format``, and what ``draw`` does."""
    out.write_bytes(draw(picture_format(out, STILL)))
    console.print(f"written to {out}", markup=False)
