"""A video as frames at 25 Hz, decoded in a process of its own with limits, with bounded memory whatever its length."""

import fcntl
import json
import os
import queue
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import numpy as np

from dancerank_installation import missing_extra
from extraction.decoding import worker
from extraction.decoding.content import VideoContent
from extraction.frames import BATCH_FRAMES, FRAME_RATE_HZ, Frame, Image, VideoProperties
from extraction.settings import ExtractionSettings
from schemas.errors import (
    DecoderEnded,
    DecoderUnavailable,
    ExtraMissing,
    FeatureError,
    VideoLengthRefused,
    VideoOversized,
    VideoUnreadable,
)
from schemas.modalities import MAX_DURATION_S

_WORKER: Final = str(Path(worker.__file__))
_ENVIRONMENT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "LD_LIBRARY_PATH", "LANG", "LC_ALL")
"""What the decoder gets of this process's environment, which may hold secrets."""
_KEEPING: Final = {"MALLOC_MMAP_THRESHOLD_": str(1 << 25), "MALLOC_TRIM_THRESHOLD_": str(1 << 26)}
"""The C library keeps the memory of a picture for the next one, where it would give it back and take it again page by
page: a third of the decoder's CPU time. Address space is limited all the same."""
_AHEAD: Final = 4 * BATCH_FRAMES
"""Frames that are decoded ahead of their use."""
_MAX_DAMAGED: Final = 0.1
_LEAST_DECODED: Final = 0.9
_LENGTH_SLACK_S: Final = 0.5
_MAX_JSON: Final = 1 << 16
_PIPE_BYTES: Final = 1 << 20

_ERRORS: Final[dict[str, type[FeatureError]]] = {
    worker.UNREADABLE: VideoUnreadable,
    worker.LENGTH: VideoLengthRefused,
    worker.OVERSIZED: VideoOversized,
}


def require_decoder() -> None:
    """Raise ``ExtraMissing`` unless the decoder's process can import what it needs."""
    if find_spec("av") is None:
        raise ExtraMissing(str(missing_extra(ModuleNotFoundError(name="av"))))


class DecodingReport(NamedTuple):
    """What was decoded: ``frames`` at 25 Hz of ``pictures`` in the video. ``damaged``: pictures that were incomplete or
    could not be decoded at all.
    """

    frames: int
    pictures: int
    damaged: int


@dataclass(frozen=True)
class DecoderLimits:
    """What decoding a video may take, as ``ExtractionSettings`` has it. ``longest_s``: length of a clip."""

    longest_side: int
    max_pixels: int
    memory_bytes: int
    cpu_s: float
    patience_s: float
    longest_s: float = MAX_DURATION_S

    @classmethod
    def of(cls, settings: ExtractionSettings) -> Self:
        return cls(
            settings.longest_side,
            settings.max_pixels,
            settings.decoder_memory_bytes,
            settings.decoder_cpu_s,
            settings.decoder_patience_s,
        )


class DecodedVideo:
    """The frames of one video, in order, once. A context manager: leaving it ends the decoder.

    Raises, on entry or while frames are read, ``VideoUnreadable``, ``VideoLengthRefused``, ``VideoOversized``, or
    ``DecoderEnded`` if the decoder crashed or exceeded a limit; entry returns once the first picture is there.
    """

    def __init__(self, content: VideoContent, limits: DecoderLimits) -> None:
        self._content, self._limits = content, limits
        self._frames: queue.Queue[Frame | FeatureError | DecodingReport | Exception] = queue.Queue(_AHEAD)
        self._closed = threading.Event()
        self.properties: VideoProperties
        self.report: DecodingReport | None = None
        """Set once every frame was read."""

    def __enter__(self) -> Self:
        limits = self._limits
        os.lseek(self._content.descriptor, 0, os.SEEK_SET)  # who decodes it once more begins at the beginning
        request = worker.Request(
            self._content.descriptor,
            self._content.size_bytes,
            limits.longest_side,
            limits.max_pixels,
            limits.longest_s,
            limits.memory_bytes,
            limits.cpu_s,
        )
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", _WORKER, json.dumps(request._asdict())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={name: value for name in _ENVIRONMENT if (value := os.environ.get(name)) is not None} | _KEEPING,
                pass_fds=[self._content.descriptor],
                start_new_session=True,  # Ctrl-C is for the process that reads, which then ends this one
            )
        except OSError as error:
            raise DecoderUnavailable(
                f"the decoder cannot be started ({error.strerror}); free memory, or lower extraction.workers"
            ) from error
        assert self._process.stdout is not None
        self._pipe = self._process.stdout.fileno()
        _enlarge(self._pipe)
        try:
            kind, _, length = self._head()
            if kind != worker.PROPERTIES:
                raise self._refusal(kind, length)
            self._take_properties(self._json(length))
        except BaseException:
            self.close()
            raise
        self._reader = threading.Thread(target=self._read, name="read-frames", daemon=True)
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the decoder. Idempotent."""
        self._closed.set()
        if self._process.poll() is None:
            self._process.kill()
        reader: threading.Thread | None = getattr(self, "_reader", None)
        if reader is not None:
            while reader.is_alive():  # it may wait for room
                _drain(self._frames)
                reader.join(0.01)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._process.wait()

    def ahead(self) -> int:
        """Frames that are decoded and not yet read."""
        return self._frames.qsize()

    def batches(self, size: int = BATCH_FRAMES) -> Iterator[Sequence[Frame]]:
        """Lists of ``size`` frames, the last one of those that are left. ``report`` is set at the end."""
        batch: list[Frame] = []
        while True:
            item = self._frames.get()
            if isinstance(item, Frame):
                batch.append(item)
                if len(batch) == size:
                    yield batch
                    batch = []
            elif isinstance(item, DecodingReport):
                if batch:
                    yield batch
                self.report = item
                return
            else:
                raise item

    def _read(self) -> None:
        try:
            image: Image | None = None
            while True:
                kind, index, length = self._head()
                if kind == worker.PICTURE:
                    image = self._picture(length)
                elif kind == worker.END:
                    self._put(self._ended(self._json(length)))
                    return
                elif kind != worker.REPEAT or image is None:
                    raise self._refusal(kind, length)
                assert image is not None
                if not self._put(Frame(index, index / FRAME_RATE_HZ, image)):
                    return
        except Exception as error:  # noqa: BLE001 - raised where frames are read
            self._put(error)

    def _put(self, item: Frame | DecodingReport | Exception) -> bool:
        while not self._closed.is_set():
            try:
                self._frames.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _take_properties(self, told: dict[str, Any]) -> None:
        turned = told["rotation"]
        self._turns, self._mirrored = turned // 90, told["mirrored"]
        seen = told["image_height"], told["image_width"]
        self._stored = (seen[1], seen[0], 3) if turned % 180 else (*seen, 3)
        self.properties = VideoProperties(
            told["width"],
            told["height"],
            told["duration_s"],
            told["frame_rate_hz"],
            turned,
            told["scale"],
            self._content.sha256,
        )

    def _picture(self, length: int) -> Image:
        image = np.empty(self._stored, np.uint8)
        if length != image.nbytes:
            raise DecoderEnded("the decoder sent a picture of another size; report this with the video")
        self._fill(memoryview(image.data).cast("B"))
        if self._mirrored:
            image = image[:, ::-1]
        if self._turns:
            image = np.rot90(image, self._turns)
        image = np.ascontiguousarray(image)
        image.flags.writeable = False
        return image

    def _ended(self, counts: dict[str, Any]) -> DecodingReport | FeatureError:
        frames, decoded, damaged = counts["steps"], counts["decoded"], counts["damaged"]
        if damaged > _MAX_DAMAGED * (decoded + damaged):
            return VideoUnreadable(f"{damaged} of its {decoded + damaged} pictures are damaged; upload it again")
        length_s, declared_s = frames / FRAME_RATE_HZ, counts["declared_s"]
        if length_s < _LEAST_DECODED * declared_s - _LENGTH_SLACK_S:
            return VideoUnreadable(
                f"it is cut off: its pictures end after {length_s:.1f} s of {declared_s:.1f} s; upload it again"
            )
        return DecodingReport(frames, decoded, damaged)

    def _refusal(self, kind: bytes, length: int) -> FeatureError:
        if kind != worker.REFUSED:
            return DecoderEnded(f"the decoder sent a message of kind {kind!r}; report this with the video")
        refused = self._json(length)
        if refused["kind"] == worker.MEMORY:
            return self._over_memory()
        return _ERRORS[refused["kind"]](refused["message"], field="features.uri")

    def _over_memory(self) -> FeatureError:
        mib = self._limits.memory_bytes >> 20
        return VideoOversized(
            f"decoding it needs more than {mib} MiB; scale it down, or raise extraction.decoder_memory_bytes",
            field="features.uri",
        )

    def _head(self) -> tuple[bytes, int, int]:
        head = bytearray(worker.HEAD.size)
        self._fill(memoryview(head))
        kind, index, length = worker.HEAD.unpack(head)
        return kind, index, length

    def _json(self, length: int) -> dict[str, Any]:
        content = bytearray(min(length, _MAX_JSON))
        self._fill(memoryview(content))
        value: dict[str, Any] = json.loads(content)
        return value

    def _fill(self, view: memoryview) -> None:
        """Read until ``view`` is full; the patience starts again with every byte that comes."""
        while view.nbytes:
            if not select.select([self._pipe], [], [], self._limits.patience_s)[0]:
                raise DecoderEnded(
                    f"no picture came for {self._limits.patience_s:g} s, and its decoder was ended; encode it again, "
                    "or raise extraction.decoder_patience_s",
                    field="features.uri",
                )
            count = os.readv(self._pipe, [view])
            if not count:
                raise self._crash()
            view = view[count:]

    def _crash(self) -> FeatureError:
        status = self._process.wait()
        if status == -signal.SIGXCPU:
            return DecoderEnded(
                f"decoding it took more than {self._limits.cpu_s:g} CPU seconds; encode it again with fewer pixels, or "
                "raise extraction.decoder_cpu_s",
                field="features.uri",
            )
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"exit status {status}"
        return DecoderEnded(f"its decoder ended with {how}; encode it again", field="features.uri")


def _enlarge(pipe: int) -> None:
    try:
        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    except OSError:  # more than this user may have; it works with less
        return


def _drain(frames: "queue.Queue[Any]") -> None:
    try:
        while True:
            frames.get_nowait()
    except queue.Empty:
        return
