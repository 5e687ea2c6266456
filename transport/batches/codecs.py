"""Decompression of what Kafka's producers and brokers compress, by streams that stop at a limit.

The library of each codec is imported when the first batch needs it.
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import Any, Final

_FED_BYTES: Final = 4 * 1024
"""Compressed bytes given to a decompressor at once; small, because what it does not use it gives back as a copy."""
_PIECE_BYTES: Final = 256 * 1024
"""At most this much comes out at once."""
_GZIP_HEADER: Final = 31  # zlib's wbits for a gzip member with a window of 32 KiB
_XERIAL: Final = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES: Final = 16
_BLOCK_LENGTH: Final = struct.Struct(">i")


class Codec(IntEnum):
    """Compression of a batch: the lowest three bits of its attributes."""

    NONE = 0
    GZIP = 1
    SNAPPY = 2
    LZ4 = 3
    ZSTD = 4


class CodecMissing(Exception):
    """The library of a codec is not installed."""


class Damaged(Exception):
    """Bytes that are not what the codec writes."""


class TooLarge(Exception):
    """More than the limit would come out."""


def decompress(codec: Codec, compressed: bytes, limit_bytes: int) -> bytes | bytearray:
    """What ``compressed`` holds. Nothing beyond ``limit_bytes``, and one piece of 256 KiB, is ever held.

    Raises ``TooLarge``, ``Damaged`` and ``CodecMissing``, naming the codec.
    """
    if codec is Codec.NONE:
        return compressed
    content = bytearray()
    try:
        for piece in _STREAMS[codec](compressed, limit_bytes):
            content += piece
            if len(content) > limit_bytes:
                raise TooLarge(f"{len(compressed)} bytes of {codec.name.lower()} hold more than {limit_bytes} bytes")
    except ImportError as error:
        raise CodecMissing(f"the library for {codec.name.lower()} is not installed ({error})") from error
    except (TooLarge, Damaged):
        raise
    except Exception as error:  # each library has errors of its own, from RuntimeError to zstandard.ZstdError
        raise Damaged(f"{len(compressed)} bytes are not {codec.name.lower()}: {error}") from error
    return content


def _gzip(compressed: bytes, _: int) -> Iterator[bytes]:
    yield from _pieces(lambda: zlib.decompressobj(_GZIP_HEADER), compressed)


def _lz4(compressed: bytes, _: int) -> Iterator[bytes]:
    from lz4.frame import LZ4FrameDecompressor

    yield from _pieces(LZ4FrameDecompressor, compressed)


def _pieces(opened: Callable[[], Any], compressed: bytes) -> Iterator[bytes]:
    """Through decompressors with the interface of ``zlib``'s, one for each member or frame that follows another."""
    fed = 0
    while fed < len(compressed):
        stream = opened()
        while not stream.eof:
            given = compressed[fed : fed + _FED_BYTES]
            if not given:
                raise EOFError("it ends too early")
            yield stream.decompress(given, _PIECE_BYTES)
            fed += len(given)
            while not stream.eof and (tail := _tail(stream)) is not None:
                yield stream.decompress(tail, _PIECE_BYTES)
        fed -= len(stream.unused_data or b"")


def _tail(stream: Any) -> bytes | None:
    """What has to be given again for the rest of the output; ``None`` if more input is needed."""
    if hasattr(stream, "needs_input"):
        return None if stream.needs_input else b""
    return stream.unconsumed_tail or None


def _zstd(compressed: bytes, _: int) -> Iterator[bytes]:
    import zstandard

    with zstandard.ZstdDecompressor().stream_reader(compressed, read_across_frames=True) as reader:
        while piece := reader.read(_PIECE_BYTES):
            yield piece


def _snappy(compressed: bytes, limit_bytes: int) -> Iterator[bytes]:
    """One block, or blocks with their lengths as the Java library writes them; each begins with its uncompressed size.

    https://github.com/google/snappy/blob/main/format_description.txt
    """
    import snappy

    blocks = _xerial_blocks(compressed) if compressed.startswith(_XERIAL) else [compressed]
    for block in blocks:
        if _snappy_size(block) > limit_bytes:
            raise TooLarge(f"{len(compressed)} bytes of snappy hold more than {limit_bytes} bytes")
        yield snappy.uncompress(block)


def _xerial_blocks(compressed: bytes) -> Iterator[bytes]:
    at = _XERIAL_HEADER_BYTES
    while at < len(compressed):
        (size,) = _BLOCK_LENGTH.unpack_from(compressed, at)
        at += _BLOCK_LENGTH.size
        if not 0 < size <= len(compressed) - at:
            raise ValueError(f"a block of {size} bytes at {at}")
        yield compressed[at : at + size]
        at += size


def _snappy_size(block: bytes) -> int:
    size = 0
    for index, byte in enumerate(block[:5]):
        size |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return size
    raise ValueError("no uncompressed size")


_STREAMS: Final[dict[Codec, Callable[[bytes, int], Iterator[bytes]]]] = {
    Codec.GZIP: _gzip,
    Codec.SNAPPY: _snappy,
    Codec.LZ4: _lz4,
    Codec.ZSTD: _zstd,
}
