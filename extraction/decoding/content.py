"""The bytes of a video: an open file with its checksum, bounded in size."""

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from schemas.errors import FeatureFileCorrupt, FeatureFileMissing, VideoOversized, VideoUnreadable

_CHUNK_BYTES: Final = 1 << 20


class VideoContent(NamedTuple):
    """An open file: its descriptor, size in bytes, SHA-256 in hexadecimal digits, and when it was last written to."""

    descriptor: int
    size_bytes: int
    sha256: str
    written_ns: int

    def check_unchanged(self) -> None:
        """Raise ``VideoUnreadable`` if the file was written to since its checksum was computed."""
        status = os.fstat(self.descriptor)
        if (status.st_size, status.st_mtime_ns) != (self.size_bytes, self.written_ns):
            raise VideoUnreadable(
                "it was written to while it was read; upload it whole, then name it", field="features.uri"
            )


@contextmanager
def open_path(path: Path, *, max_bytes: int) -> Iterator[VideoContent]:
    """The file at ``path``, open for reading. Raises as ``measure`` does, and ``FeatureFileMissing`` for a path that
    cannot be opened.
    """
    try:
        # Without O_NONBLOCK, opening a named pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise FeatureFileMissing(
            f"it cannot be read ({error.strerror}); name a file that this user may read", field="features.uri"
        ) from error
    try:
        yield measure(descriptor, max_bytes=max_bytes)
    finally:
        os.close(descriptor)


def measure(descriptor: int, *, max_bytes: int, sha256: str | None = None) -> VideoContent:
    """The content of an open file, read once for its checksum, which has to be ``sha256`` if that is given.

    Raises ``FeatureFileMissing`` for what is not a regular file, ``VideoOversized`` above ``max_bytes``,
    ``FeatureFileCorrupt`` for another checksum, and ``VideoUnreadable`` if the file changes meanwhile.
    """
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise FeatureFileMissing("it is not a regular file; name one file", field="features.uri")
    if status.st_size > max_bytes:
        raise VideoOversized(
            f"it has {status.st_size} bytes, over the limit of {max_bytes}; encode it with fewer, or raise "
            "extraction.max_video_bytes",
            field="features.uri",
        )
    digest, at = hashlib.sha256(), 0
    while at < status.st_size and (chunk := os.pread(descriptor, _CHUNK_BYTES, at)):
        digest.update(chunk)
        at += len(chunk)
    if sha256 not in (None, digest.hexdigest()):
        raise FeatureFileCorrupt(
            "checksum mismatch with the upload's sha256; send the video again, or the right checksum",
            field="features.sha256",
        )
    content = VideoContent(descriptor, at, digest.hexdigest(), status.st_mtime_ns)
    content.check_unchanged()
    return content
