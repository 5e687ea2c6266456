"""Small videos made for tests: each picture says by its colour at which time it is shown."""

from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

SIZE = (64, 48)  # width, height
CLOCK_HZ = 60_000  # MPEG-4 has at most 65,535

Image = npt.NDArray[np.uint8]
Draw = Callable[[float], Image]


def numbered(time_s: float, size: tuple[int, int] = SIZE) -> Image:
    """A picture with the number of its step of 1/25 s, modulo 256, as eight black or white columns."""
    bits = [round(time_s * 25) >> bit & 1 for bit in range(8)]
    columns = np.repeat(np.array(bits, np.uint8) * 200 + 20, size[0] // 8)
    return np.broadcast_to(columns[None, :, None], (size[1], size[0], 3)).copy()


def step_of(image: Image) -> int:
    """The step of 1/25 s at which ``numbered`` drew ``image``, modulo 256."""
    cells = image[image.shape[0] // 2].mean(axis=-1).reshape(8, -1).mean(axis=1)
    return sum(int(cell > 120) << bit for bit, cell in enumerate(cells))


def corners(_: float = 0.0, size: tuple[int, int] = SIZE) -> Image:
    """Red top left, green top right, blue bottom left, black bottom right."""
    width, height = size
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2, 0] = 255
    image[: height // 2, width // 2 :, 1] = 255
    image[height // 2 :, : width // 2, 2] = 255
    return image


def write_video(
    path: Path,
    times_s: Iterable[float],
    draw: Draw = numbered,
    *,
    codec: str = "libx264",
    container: str | None = None,
    ratio: Fraction | None = None,
    rate: int = 25,
    options: dict[str, str] | None = None,
) -> Path:
    """A video with one picture at each time, in MP4 or as the name of ``path`` says."""
    defaults = {"crf": "10", "preset": "ultrafast", "g": "25"} if codec == "libx264" else {}
    with av.open(str(path), "w", format=container) as out:
        stream = None
        for time_s in times_s:
            image = draw(time_s)
            if stream is None:
                stream = out.add_stream(codec, rate=rate, options=defaults | (options or {}))
                stream.width, stream.height = image.shape[1], image.shape[0]
                stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
                stream.time_base = stream.codec_context.time_base = Fraction(1, CLOCK_HZ)
                if ratio is not None:
                    stream.codec_context.sample_aspect_ratio = ratio
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = round(time_s * CLOCK_HZ), Fraction(1, CLOCK_HZ)
            out.mux(stream.encode(frame))
        if stream is not None:
            out.mux(stream.encode())
    return path


def steady(seconds: float, rate_hz: float = 25.0, start_s: float = 0.0) -> Sequence[float]:
    """Times of the pictures of a video of so many seconds."""
    return [start_s + number / rate_hz for number in range(round(seconds * rate_hz))]


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """An MP4 that holds sound only."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=16_000, layout="mono")
        for start in range(0, round(seconds * 16_000), 1024):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            frame.sample_rate, frame.pts = 16_000, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def turned(path: Path, degrees: int, *, mirrored: bool = False) -> Path:
    """Sets the display matrix in the header of an MP4: its pictures are mirrored, then turned clockwise."""
    content = bytearray(path.read_bytes())
    at = content.index(b"tkhd") + 4 + 4 + 20 + 8 + 8
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    flip = -1 if mirrored else 1
    rows = [flip * cos, flip * sin, 0, -sin, cos, 0]
    content[at : at + 24] = b"".join((value << 16).to_bytes(4, "big", signed=True) for value in rows)
    path.write_bytes(content)
    return path
