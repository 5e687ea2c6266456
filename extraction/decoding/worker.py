"""The decoder's process: a video on a file descriptor to RGB pictures at 25 Hz on standard output.

A script that imports nothing but the standard library and PyAV, so that it starts in a tenth of a second and holds
little that a hostile video could reach: ``python -P worker.py '{"descriptor": 7, …}'`` (the fields of ``Request``).

Each message on standard output is ``_HEAD``: its kind, the index of a picture on the grid, and the length of what
follows. Kinds: ``PROPERTIES`` (JSON, once, before the first picture), ``PICTURE`` (height × width × 3 bytes, RGB),
``REPEAT`` (the picture before this one once more), ``END`` (JSON: counts) and ``REFUSED`` (JSON: why, the last).
"""

import contextlib
import json
import math
import os
import resource
import struct
import sys
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

GRID_HZ: Final = 25
HEAD: Final = struct.Struct("<cIQ")
PROPERTIES: Final = b"P"
PICTURE: Final = b"F"
REPEAT: Final = b"R"
END: Final = b"E"
REFUSED: Final = b"X"

UNREADABLE: Final = "unreadable"
LENGTH: Final = "length"
OVERSIZED: Final = "oversized"
MEMORY: Final = "memory"

_CONTAINERS: Final = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,mxf,3gp,nut,h264,hevc,ivf,mjpeg,m4v,dv,av1,obu"
)
"""FFmpeg's demuxers that may be used. Left out are those that open other files and addresses (concat, hls, dash), those
that interpret text, and pictures."""
_PICTURES: Final = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
_LEAD: Final = 1 / (2 * GRID_HZ)
"""Seconds, half a step of the grid: the most that a picture is shown before its time."""
_CLOSE: Final = 1e-6
_FULL_TURN: Final = 360
_QUARTER: Final = 90
_LENGTH_SLACK_S: Final = 0.5
_REMEDY: Final = "encode it again, for example as H.264 in MP4"


class Request(NamedTuple):
    """What to decode, and the limits. Sizes in bytes and pixels, times in seconds."""

    descriptor: int
    size_bytes: int
    longest_side: int
    max_pixels: int
    longest_s: float
    memory_bytes: int
    cpu_s: float


class Refused(Exception):
    """The video cannot be used; ``kind`` is UNREADABLE, LENGTH, OVERSIZED or MEMORY."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class Grid:
    """Which picture each step of 1/25 s shows: the one nearest in time, but none more than half a step before its time.

    Times are seconds since the first picture, and rise.
    """

    def __init__(self) -> None:
        self._shown_s: float | None = None
        self._interval_s = 1 / GRID_HZ
        self._next = 0

    def steps_before(self, time_s: float) -> range:
        """The steps that the picture shown so far fills before the one at ``time_s`` takes its place."""
        if self._shown_s is None:
            self._shown_s = time_s
            return range(0)
        self._interval_s = time_s - self._shown_s
        self._shown_s = time_s
        return self._until(math.ceil((time_s - min(self._interval_s / 2, _LEAD)) * GRID_HZ - _CLOSE))

    def steps_to_end(self, last_s: float | None) -> range:
        """The steps that the last picture fills, shown for ``last_s`` seconds (``None``: for as long as the one
        before, at most a step)."""
        if self._shown_s is None:
            return range(0)
        usual_s = min(self._interval_s, 1 / GRID_HZ)
        if last_s is None or last_s < usual_s / 2:  # some containers state one tick of their clock
            last_s = usual_s
        return self._until(max(1, round((self._shown_s + last_s) * GRID_HZ)))

    def _until(self, end: int) -> range:
        steps = range(self._next, max(self._next, end))
        self._next = steps.stop
        return steps


class Orientation(NamedTuple):
    """How a stored picture becomes upright: mirrored left to right first, then turned counter-clockwise by degrees."""

    mirrored: bool
    turned: int

    @property
    def lies(self) -> bool:
        """Whether width and height change places."""
        return self.turned % 180 == _QUARTER


def orientation(matrix: bytes | None) -> Orientation:
    """Of a display matrix (nine 32-bit integers, 16.16), to the nearest quarter turn."""
    if matrix is None or len(matrix) < 36:
        return Orientation(False, 0)
    a, b, _, c, d = struct.unpack("=5i", matrix[:20])
    mirrored = a * d - b * c < 0
    if mirrored:
        a, b = -a, -b
    degrees = math.degrees(math.atan2(-b, a)) if (a or b) else 0.0
    return Orientation(mirrored, round(degrees / _QUARTER) * _QUARTER % _FULL_TURN)


class Decoding:
    """The pictures of one video."""

    def __init__(self, request: Request) -> None:
        import av
        import av.logging

        av.logging.set_level(None)
        self._av = av
        self._request = request
        self.decoded = 0
        self.damaged = 0
        self.steps = 0
        self._file = open(request.descriptor, "rb", buffering=0)  # noqa: PTH123, SIM115 - a descriptor
        _refuse_pictures(self._file.read(16))
        self._file.seek(0)
        try:
            self._container: Any = av.open(
                self._file,
                mode="r",
                options={"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"} | self._pixels(),
                io_open=_open_nothing,
                buffer_size=1 << 18,
            )
        except (av.error.FFmpegError, ValueError) as error:
            if isinstance(error, MemoryError):
                raise
            raise Refused(UNREADABLE, f"it is not a video that can be read ({_said(error)}); {_REMEDY}") from error
        self._stream = self._video_stream()
        self._check_declared()

    def _video_stream(self) -> Any:
        attached = self._av.stream.Disposition.attached_pic
        streams = [stream for stream in self._container.streams.video if not stream.disposition & attached]
        if not streams:
            others = sorted({stream.type for stream in self._container.streams})
            held = " and ".join(others) or "nothing"
            raise Refused(UNREADABLE, f"it has no video stream, only {held}; send the video itself")
        best = self._container.streams.best("video")
        return best if best in streams else streams[0]

    def _check_declared(self) -> None:
        context = self._stream.codec_context
        if context is None or not getattr(context, "codec", None):
            raise Refused(UNREADABLE, f"its pictures are in a format that cannot be decoded here; {_REMEDY}")
        self._check_pixels(context.width, context.height)
        self._check_length(self.declared_s)
        context.thread_count = 1  # the same pictures each time, also of a damaged video
        context.options = self._pixels()

    def _pixels(self) -> dict[str, str]:
        """FFmpeg's own option, for pictures that are larger than their container says."""
        return {"max_pixels": str(self._request.max_pixels)}

    def _check_pixels(self, width: int, height: int) -> None:
        if width * height > self._request.max_pixels:
            raise Refused(
                OVERSIZED,
                f"its pictures have {width} × {height} pixels, over the limit of {self._request.max_pixels}; scale it "
                "down, or raise extraction.max_pixels",
            )

    def _check_length(self, length_s: float) -> None:
        if length_s > self._request.longest_s + _LENGTH_SLACK_S:
            raise Refused(
                LENGTH,
                f"it lasts {length_s:.1f} s, and a clip lasts at most {self._request.longest_s:g} s; cut it, or "
                "upload a longer routine with its features (tensor 'routine')",
            )

    @property
    def declared_s(self) -> float:
        """The length that the container states, in seconds; 0 if it states none."""
        stream = self._stream
        if stream.duration and stream.time_base:
            return float(stream.duration * stream.time_base)
        return (self._container.duration or 0) / 1e6

    @property
    def rate_hz(self) -> float:
        return float(self._stream.average_rate or self._stream.guessed_rate or 0)

    def pictures(self) -> Iterator[tuple[float, float | None, Any]]:
        """Time since the first picture, how long it is shown if that is known, and the picture; times rise."""
        first_s: float | None = None
        last_s = -math.inf
        step_s = 1 / self.rate_hz if self.rate_hz else 1 / GRID_HZ
        for frame in self._frames():
            self.decoded += 1
            self.damaged += bool(frame.is_corrupt)
            self._check_pixels(frame.width, frame.height)
            time_s = last_s + step_s if frame.pts is None or frame.time_base is None else frame.pts * frame.time_base
            time_s = float(time_s) if math.isfinite(time_s) else 0.0
            if time_s <= last_s:
                continue
            last_s = time_s
            first_s = time_s if first_s is None else first_s
            shown_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else None
            yield time_s - first_s, shown_s, frame

    def _frames(self) -> Iterator[Any]:
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                return
            except self._av.error.FFmpegError as error:
                self._check_memory(error)
                self.damaged += 1  # the container is damaged from here on
                return
            try:
                yield from packet.decode()
            except self._av.error.FFmpegError as error:
                self._check_memory(error)
                self.damaged += 1

    def _check_memory(self, error: Exception) -> None:
        """Raise ``MemoryError`` if that is why decoding failed; decoders often say only that it did."""
        context = self._stream.codec_context
        left_bytes = self._request.memory_bytes - _most_memory_bytes()
        if isinstance(error, MemoryError) or left_bytes < 4 * context.width * context.height:
            raise MemoryError from error

    def run(self, out: int) -> None:
        """Write every message of the video to ``out``, but a refusal."""
        grid = Grid()
        writer: Writer | None = None
        held, shown_s = None, None
        for time_s, lasts_s, picture in self.pictures():
            self._check_length(time_s)
            writer = writer or self._start(picture, out)
            self.steps += writer.write(grid.steps_before(time_s), held)
            held, shown_s = picture, lasts_s
        if writer is None:
            raise Refused(UNREADABLE, f"none of its pictures can be decoded; {_REMEDY}")
        self.steps += writer.write(grid.steps_to_end(shown_s), held)
        counts = {"steps": self.steps, "decoded": self.decoded, "damaged": self.damaged, "declared_s": self.declared_s}
        _write_json(out, END, counts)

    def _start(self, picture: Any, out: int) -> "Writer":
        matrix = next((bytes(data) for data in picture.side_data if data.type.name == "DISPLAYMATRIX"), None)
        turn = orientation(matrix)
        ratio = self._stream.sample_aspect_ratio or self._stream.codec_context.sample_aspect_ratio
        width, height = picture.width, picture.height
        if ratio and 0.1 < ratio < 10:
            width = max(1, round(width * ratio))
        scale = min(1.0, self._request.longest_side / max(width, height))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        upright = (height, width) if turn.lies else (width, height)
        seen = (size[1], size[0]) if turn.lies else size
        properties = {
            "width": upright[0],
            "height": upright[1],
            "image_width": seen[0],
            "image_height": seen[1],
            "duration_s": self.declared_s,
            "frame_rate_hz": self.rate_hz,
            "rotation": turn.turned,
            "mirrored": turn.mirrored,
            "scale": scale,
        }
        _write_json(out, PROPERTIES, properties)
        return Writer(self._av, out, size)


class Writer:
    """Writes pictures as stored, scaled to ``size`` (width, height); the reader turns them upright."""

    def __init__(self, av: Any, out: int, size: tuple[int, int]) -> None:
        kinds = av.video.reformatter.Interpolation
        self._exact = int(kinds.ACCURATE_RND | kinds.BITEXACT)
        self._area, self._cubic, self._linear = int(kinds.AREA), int(kinds.BICUBIC), int(kinds.BILINEAR)
        self._out, self._size = out, size

    def write(self, steps: range, picture: Any) -> int:
        """Show ``picture`` at ``steps``; returns how many they are."""
        for step in steps[:1]:
            _write(self._out, PICTURE, step, self._converted(picture))
        for step in steps[1:]:
            _write(self._out, REPEAT, step, b"")
        return len(steps)

    def _converted(self, picture: Any) -> Any:
        width, height = self._size
        if width < picture.width or height < picture.height:
            way = self._area
        else:  # of a picture that keeps its size colours alone are interpolated, which takes half as long linearly
            way = self._linear if (width, height) == (picture.width, picture.height) else self._cubic
        rgb = picture.reformat(width, height, "rgb24", interpolation=way | self._exact, threads=1)
        plane = rgb.planes[0]
        content = memoryview(plane)
        if plane.line_size == 3 * width:
            return content[: 3 * width * height]
        return b"".join(content[row * plane.line_size :][: 3 * width] for row in range(height))


def _refuse_pictures(beginning: bytes) -> None:
    """A still picture opens as a video of one picture in FFmpeg; an animated one is refused likewise."""
    if not beginning:
        raise Refused(UNREADABLE, "it is empty; upload it again")
    webp = beginning[:4] == b"RIFF" and beginning[8:12] == b"WEBP"
    kind = "WebP" if webp else next((name for magic, name in _PICTURES if beginning.startswith(magic)), None)
    if kind is not None:
        raise Refused(UNREADABLE, f"it is a picture ({kind}), whatever its name says; name a video")


def _open_nothing(url: str, *_: object) -> Any:
    raise PermissionError(f"a video may not open {url}")


def _most_memory_bytes() -> int:
    """The largest address space that this process has had; 0 where the system does not say it."""
    try:
        with open("/proc/self/status") as status:  # noqa: PTH123
            lines = [line.split() for line in status if line.startswith("VmPeak:")]
    except OSError:
        return 0
    return int(lines[0][1]) * 1024 if lines else 0


def _said(error: BaseException) -> str:
    return str(getattr(error, "strerror", None) or error)[:200]


def _write_json(out: int, kind: bytes, value: dict[str, Any]) -> None:
    _write(out, kind, 0, json.dumps(value).encode())


def _write(out: int, kind: bytes, step: int, content: Any) -> None:
    for part in (HEAD.pack(kind, step, len(content)), content):
        view = memoryview(part)
        while view.nbytes:
            view = view[os.write(out, view) :]


def _limit(request: Request) -> None:
    seconds = math.ceil(request.cpu_s)
    resource.setrlimit(resource.RLIMIT_AS, (request.memory_bytes, request.memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    request = Request(**json.loads(sys.argv[1]))
    _limit(request)
    out = sys.stdout.fileno()
    with contextlib.suppress(BrokenPipeError):  # the reader has ended
        try:
            Decoding(request).run(out)
        except (Refused, MemoryError) as error:
            kind = error.kind if isinstance(error, Refused) else MEMORY
            _write_json(out, REFUSED, {"kind": kind, "message": str(error)})
    os._exit(0)  # what a library would do at its end is of no use here


if __name__ == "__main__":
    main()
