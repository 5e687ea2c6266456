"""Videos of drawn frames: H.264 in mp4, or animated webp."""

from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self

import av
import cv2
import numpy as np

from extraction.frames import FRAME_RATE_HZ, Image
from schemas.errors import ConfigurationError

VideoFormat = Literal["mp4", "webp"]

_WEBP_EVERY: Final = 2
"""An animated webp has every second frame, at most this wide: it is large and slow to write."""
_WEBP_WIDTH: Final = 480


class VideoWriter:
    """Writes frames (H, W, 3), RGB, of one size at 25 Hz to ``path``. The file is whole after ``close``, or at the end
    of ``with``.

    Raises ``ConfigurationError`` naming the file if it cannot be written.
    """

    def __init__(self, path: Path, kind: VideoFormat) -> None:
        self._path, self._kind = path, kind
        self._every = _WEBP_EVERY if kind == "webp" else 1
        self._written = 0
        try:
            path.open("wb").close()  # the library opens it when the first frame is complete
            self._file = av.open(str(path), "w", format=kind, options={"loop": "0"} if kind == "webp" else {})
        except (OSError, av.FFmpegError) as error:
            raise _unwritable(path, error) from error
        self._stream: av.VideoStream | None = None

    def write(self, image: Image) -> None:
        number, self._written = self._written, self._written + 1
        if number % self._every:
            return
        image = self._fitted(image)
        if self._stream is None:
            self._stream = self._opened(image)
        frame = av.VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts = number // self._every
        self._mux(frame)

    def close(self) -> None:
        if self._stream is not None:
            self._mux(None)
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, image: Image) -> av.VideoStream:
        rate = Fraction(FRAME_RATE_HZ) / self._every
        codec, options = "libx264", {"crf": "23", "preset": "veryfast"}
        if self._kind == "webp":
            codec, options = "libwebp_anim", {"quality": "60", "compression_level": "2"}
        stream = self._file.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width = image.shape[:2]
        stream.pix_fmt = "yuv420p"
        return stream

    def _fitted(self, image: Image) -> Image:
        """With even sides, as 4:2:0 needs them, and for webp no wider than ``_WEBP_WIDTH``."""
        height, width = image.shape[:2]
        if self._kind == "webp" and width > _WEBP_WIDTH:
            height, width = round(height * _WEBP_WIDTH / width), _WEBP_WIDTH
            image = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        return image[: height - height % 2, : width - width % 2].copy()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        assert self._stream is not None
        try:
            for packet in self._stream.encode(frame):
                self._file.mux(packet)
        except (OSError, av.FFmpegError) as error:
            raise _unwritable(self._path, error) from error


def _unwritable(path: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(f"{path}: cannot be written ({error}); choose another --out")
