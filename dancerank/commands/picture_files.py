"""Pictures that commands write: the format follows from the name of the file."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from dancerank.places_to_write import check_file_to_write
from dancerank.terminal import Console
from schemas.drawing import StillFormat
from schemas.errors import ConfigurationError

_FORMATS: Final[dict[str, StillFormat]] = {".png": "png", ".svg": "svg"}
Out = Annotated[Path | None, typer.Option("--out", "-o", help="File to write a picture to: .png or .svg.")]


def check_picture(out: Path) -> StillFormat:
    """The format of a picture at ``out``; raises ``ConfigurationError`` if it cannot be written, or has another end."""
    ending = out.suffix.lower()
    if ending not in _FORMATS:
        raise ConfigurationError(f"--out {out} must end in .png or .svg", field="out")
    check_file_to_write(out, "out")
    return _FORMATS[ending]


def write_picture(console: Console, out: Path, draw: Callable[[StillFormat], bytes]) -> None:
    """Raises as ``check_picture``, and what ``draw`` does."""
    out.write_bytes(draw(check_picture(out)))
    console.print(f"written to {out}", markup=False)
