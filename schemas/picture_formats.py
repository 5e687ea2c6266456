"""Formats of pictures, those that stand still and those that move."""

from enum import StrEnum
from typing import Final, Literal


class PictureFormat(StrEnum):
    """By the ending of a file."""

    PNG = "png"
    SVG = "svg"
    WEBP = "webp"
    GIF = "gif"
    MP4 = "mp4"

    @property
    def media_type(self) -> str:
        """As in the header Content-Type."""
        match self:
            case PictureFormat.SVG:
                return "image/svg+xml"
            case PictureFormat.MP4:
                return "video/mp4"
            case _:
                return f"image/{self}"


StillFormat = Literal[PictureFormat.PNG, PictureFormat.SVG]
MovingFormat = Literal[PictureFormat.WEBP, PictureFormat.GIF, PictureFormat.MP4]
STILL: Final[tuple[StillFormat, ...]] = (PictureFormat.PNG, PictureFormat.SVG)
MOVING: Final[tuple[MovingFormat, ...]] = (PictureFormat.WEBP, PictureFormat.GIF, PictureFormat.MP4)
